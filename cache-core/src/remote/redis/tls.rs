//! TLS: whom we trust, who we are, and what went wrong.
//!
//! There is no way to accept a certificate that cannot be checked: a server of one's own has a CA of
//! one's own, and that can be named. What the library offers for this, `#insecure` in the URL, is an
//! error here, so that nobody reads a URL as safer than it is.

use crate::{Error, remote::redis::lanes::is_unknown_host};
use redis::{ConnectionAddr, ConnectionInfo, RedisError};
#[cfg(feature = "redis-tls")]
use {
    super::RedisSettings,
    redis::{Client, ClientTlsConfig, TlsCertificates},
    rustls::{
        CertificateError, ClientConfig, RootCertStore,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    std::{error::Error as _, io, sync::Arc},
};

/// Before the URL is read: without the feature that fails, and not in words that name the feature.
pub(super) fn check_url(url: &str) -> Result<(), Error> {
    let asks = url.starts_with("rediss:") || url.starts_with("valkeys:");
    if asks && !cfg!(feature = "redis-tls") {
        return Err(Error::config(
            "the URL of the remote tier asks for TLS, but this build lacks the feature `redis-tls`, which cache-core and each crate over it has",
        ));
    }
    Ok(())
}

/// After it was read. The library decides whether to check certificates by the URL alone.
pub(super) fn check(info: &ConnectionInfo) -> Result<(), Error> {
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => Err(Error::config(
            "the URL of the remote tier ends with #insecure, which would accept anybody as the server; \
             leave that out, and where the server's CA is not one that the system trusts, give it to \
             RedisSettings::ca_certificate",
        )),
        _ => Ok(()),
    }
}

pub(super) fn is_asked_for(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

/// Why nothing came back while a connection was made. A port that speaks no TLS waits for the end of
/// what it takes for a line.
pub(super) fn silence(address: &ConnectionAddr) -> &'static str {
    if is_asked_for(address) {
        "nothing answers in time at the address in its URL; is its port one for TLS?"
    } else {
        "nothing answers in time at the address in its URL"
    }
}

/// What a connection that broke while it was made may be about: a port for TLS hangs up on whoever
/// speaks anything else.
pub(super) fn hint(address: &ConnectionAddr, error: &RedisError) -> Option<&'static str> {
    let broke = error.is_io_error() && !error.is_connection_refusal() && !is_unknown_host(error);
    (broke && !is_asked_for(address)).then_some(
        "the connection to the address in its URL could not be made, or broke at once; does the port ask for TLS (rediss://)?",
    )
}

/// What `error` says, if it is of TLS.
#[cfg(feature = "redis-tls")]
pub(super) fn reason(error: &RedisError) -> Option<&'static str> {
    use rustls::Error;
    let source: &Arc<dyn std::error::Error + Send + Sync> = error.source()?.downcast_ref()?;
    let Some(error) = source.downcast_ref::<io::Error>() else {
        return Some(
            "the CA certificates of this system cannot be read, or the host in its URL is no name that a certificate may have",
        );
    };
    Some(match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(error) => refusal(error),
        // Before anything can be read a server says only that it goes on with us, or that it does not.
        Error::AlertReceived(_) => {
            "it refuses our side of TLS: RedisSettings::client_certificate is missing, or not one that it accepts"
        }
        Error::InvalidMessage(_) => {
            "what answers at the port in its URL does not speak TLS, which the scheme of its URL asks for"
        }
        _ => "TLS with the address in its URL failed",
    })
}

#[cfg(not(feature = "redis-tls"))]
pub(super) fn reason(_: &RedisError) -> Option<&'static str> {
    None
}

#[cfg(feature = "redis-tls")]
fn refusal(error: &CertificateError) -> &'static str {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        Expired | ExpiredContext { .. } => "its certificate has expired",
        NotValidYet | NotValidYetContext { .. } => {
            "its certificate is not valid yet, by the clock of this machine"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "its certificate is not for the host in its URL"
        }
        // A CA that was made anew, of the same name, is another one.
        UnknownIssuer | BadSignature => {
            "its certificate is of a CA that is not trusted; RedisSettings::ca_certificate names one"
        }
        _ => "its certificate was refused",
    }
}

/// The certificates that were given, in PEM, and what is wrong with them.
#[cfg(feature = "redis-tls")]
#[derive(Clone, Default)]
pub(super) struct Given {
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

#[cfg(feature = "redis-tls")]
impl RedisSettings {
    /// Trusts the CA certificates in `pem`, one or more in PEM, and no others. Default: those that the
    /// system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` in the environment name others.
    ///
    /// ```
    /// use cache_core::{Error, remote::{Redis, RedisSettings}};
    ///
    /// fn shared(url: &str, ca: Vec<u8>) -> Result<Redis, Error> {
    ///     Redis::with(RedisSettings::new(url)?.ca_certificate(ca))
    /// }
    ///
    /// let error = shared("rediss://cache.internal", b"no certificate".to_vec()).unwrap_err();
    /// assert!(error.is_config());
    /// ```
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca = Some(pem.into());
        self.equipped()
    }

    /// Shows the server this certificate, and whatever links it to a CA, in PEM, by its private key, in
    /// PEM and not encrypted. Default: none, which a server with `tls-auth-clients yes` refuses.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self.equipped()
    }

    /// With what was given as a part of the address, which is where the library looks for it. What
    /// cannot be read is left out, and an error before anything is dialled.
    fn equipped(mut self) -> Self {
        let certificates =
            TlsCertificates {
                root_cert: self.tls.ca.clone(),
                client_tls: self.tls.client.clone().map(|(client_cert, client_key)| {
                    ClientTlsConfig {
                        client_cert,
                        client_key,
                    }
                }),
            };
        if let Ok(client) = Client::build_with_tls(self.info.clone(), certificates) {
            self.info = client.get_connection_info().clone();
        }
        self
    }

    /// Adds to `problems` what keeps TLS from working.
    pub(super) fn check_tls(&self, problems: &mut Vec<String>) {
        let Given { ca, client } = &self.tls;
        if !is_asked_for(self.info.addr()) {
            for (name, given) in [
                ("ca_certificate", ca.is_some()),
                ("client_certificate", client.is_some()),
            ] {
                if given {
                    problems.push(format!(
                        "{name} is given, but the URL does not ask for TLS, as rediss:// does"
                    ));
                }
            }
            return;
        }
        if ca.as_ref().is_some_and(|pem| roots(pem).is_none()) {
            problems.push(
                "ca_certificate holds no certificate, or one that cannot be read; accepted is PEM"
                    .to_owned(),
            );
        }
        if let Some((certificate, key)) = client
            && identity(certificate, key).is_none()
        {
            problems.push(
                "client_certificate cannot be used; accepted are a certificate in PEM and its private key in PEM, not encrypted"
                    .to_owned(),
            );
        }
        choose_provider();
    }
}

/// The library takes the cryptography that the process has chosen, and panics where there is none and
/// the build has two. An application that chooses does so before, and that stands.
#[cfg(feature = "redis-tls")]
fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        let _ = ring::default_provider().install_default();
    }
}

#[cfg(feature = "redis-tls")]
fn roots(pem: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// A configuration that shows this certificate: what the library makes of it when it dials, where an
/// error would come too late.
#[cfg(feature = "redis-tls")]
fn identity(certificate: &[u8], key: &[u8]) -> Option<ClientConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .ok()
}

#[cfg(all(test, not(feature = "redis-tls")))]
mod tests {
    use crate::remote::from_url;

    #[test]
    fn rds_38_a_build_without_tls_names_the_feature_and_never_goes_without() {
        for scheme in ["rediss", "valkeys"] {
            let error = from_url(&format!("{scheme}://:canary@localhost")).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(error.is_config() && text.contains("redis-tls"), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
}
