//! Turning values into bytes and back.
//!
//! The memory tier keeps values as they are and needs no codec. A cache that has one weighs its
//! values by their encoded length, and can share them with other processes.

use crate::Error;
use std::fmt;

/// Encodes and decodes values of `V`.
///
/// Bytes come back from a store that others can write to: [`decode`](Self::decode) must answer
/// whatever it is given with a value or an error, without panicking.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// The bytes of `value`.
    ///
    /// # Errors
    ///
    /// When the value has no encoding.
    fn encode(&self, value: &V) -> Result<Vec<u8>, Error>;

    /// The value that `bytes` encode.
    ///
    /// # Errors
    ///
    /// When they encode none, in full.
    fn decode(&self, bytes: &[u8]) -> Result<V, Error>;
}

/// JSON by `serde_json`: readable in the store, and tolerant of fields that come and go.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

#[cfg(feature = "json")]
impl<V: serde::Serialize + serde::de::DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(value).map_err(Error::codec)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, Error> {
        serde_json::from_slice(bytes).map_err(Error::codec)
    }
}

/// The compact format of bincode 2, standard configuration.
///
/// bincode is no longer maintained ([RUSTSEC-2025-0141]): 2.x works and has no known vulnerability,
/// but will get no fixes. Choose it for data that exists in it already; prefer [`Json`] otherwise.
/// A decoded value is refused beyond 64 MiB.
///
/// [RUSTSEC-2025-0141]: https://rustsec.org/advisories/RUSTSEC-2025-0141.html
#[cfg(feature = "bincode")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Bincode;

#[cfg(feature = "bincode")]
const BINCODE: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<{ 64 * 1024 * 1024 }>,
> = bincode::config::standard().with_limit();

#[cfg(feature = "bincode")]
impl<V: serde::Serialize + serde::de::DeserializeOwned> Codec<V> for Bincode {
    fn encode(&self, value: &V) -> Result<Vec<u8>, Error> {
        bincode::serde::encode_to_vec(value, BINCODE).map_err(Error::codec)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, Error> {
        let (value, read) =
            bincode::serde::decode_from_slice(bytes, BINCODE).map_err(Error::codec)?;
        if read == bytes.len() {
            Ok(value)
        } else {
            Err(Error::codec("bytes follow the value"))
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "json", feature = "bincode"))]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct User {
        id: u64,
        name: String,
        tags: Vec<Option<bool>>,
    }

    fn check(codec: &impl Codec<User>) {
        let user = User {
            id: u64::MAX,
            name: "Zoë".into(),
            tags: vec![None, Some(true)],
        };
        let bytes = codec.encode(&user).unwrap();
        assert_eq!(codec.decode(&bytes).unwrap(), user);
        for cut in 0..bytes.len() {
            assert!(
                codec.decode(&bytes[..cut]).unwrap_err().is_codec(),
                "cut at {cut}"
            );
        }
        let longer = [bytes.as_slice(), b"\0"].concat();
        assert!(codec.decode(&longer).unwrap_err().is_codec());
    }

    #[test]
    fn values_survive_both_codecs_and_cut_bytes_are_errors() {
        check(&Json);
        check(&Bincode);
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let huge = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(Codec::<Vec<u64>>::decode(&Bincode, &huge).is_err());
    }
}
