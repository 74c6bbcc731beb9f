//! Inputs that once made a target fail, kept in the repository.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::PathBuf;

/// The kept inputs of one target.
pub(crate) struct Regressions {
    folder: PathBuf,
}

impl Regressions {
    pub(crate) fn of(target: &str) -> Regressions {
        let all = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/regressions");
        Regressions {
            folder: PathBuf::from(all).join(target),
        }
    }

    /// All of them, in the order of their names.
    ///
    /// # Panics
    ///
    /// When a kept input cannot be read: to leave it out would be to skip it silently.
    pub(crate) fn load(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> = match self.folder.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            listed => listed
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
                .expect("the folder of kept inputs can be listed"),
        };
        paths.sort();
        let read = |path| fs::read(path).expect("a kept input can be read");
        paths.iter().map(read).collect()
    }

    /// Under a name made of the content, so that the same input is kept once.
    pub(crate) fn keep(&self, input: &[u8]) -> io::Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        hasher.write(input);
        let path = self.folder.join(format!("{:016x}.bin", hasher.finish()));
        fs::create_dir_all(&self.folder)?;
        fs::write(&path, input)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_loaded_once() {
        let folder = std::env::temp_dir().join(format!("regressions-{}", std::process::id()));
        let regressions = Regressions { folder };
        assert!(regressions.load().is_empty());
        for input in [b"one".as_slice(), b"two", b"one"] {
            regressions
                .keep(input)
                .expect("the temporary folder can be written");
        }
        let mut loaded = regressions.load();
        fs::remove_dir_all(&regressions.folder).expect("the folder is ours");
        loaded.sort();
        assert_eq!(loaded, [b"one", b"two"]);
    }
}
