//! Connections over TLS: they pass all that others pass, and what cannot be checked is not used.

use crate::{
    refusals::{CANARY, serves_and_says},
    support::{Loads, coherent, policy, up},
};
use cache_core::{
    Cache,
    remote::{Failure, Redis, RedisSettings, Remote, RemoteSettings, Value, checks},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{
    proxy::{Proxy, Way},
    redis::{Server, free_port},
};

/// A CA, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::called("the authority")
    }

    fn called(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn identity(&self, host: &str) -> Identity {
        self.sign(&CertificateParams::new(vec![host.to_owned()]).unwrap())
    }

    fn expired(&self, host: &str) -> Identity {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }
}

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

/// A server that speaks TLS on one port, and to the operator on another.
struct TlsServer {
    server: Server,
    port: u16,
    _files: Files,
}

/// The files it reads, removed with it.
struct Files(PathBuf);

impl Files {
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl TlsServer {
    fn start(ca: &Authority, identity: &Identity, options: &[&str]) -> Self {
        let port = free_port();
        let directory =
            std::env::temp_dir().join(format!("cache-tls-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = Files(directory);
        let (number, authority) = (port.to_string(), files.write("ca.pem", &ca.pem()));
        let certificate = files.write("server.pem", &identity.certificate);
        let key = files.write("server.key", &identity.key);
        let of_tls = [
            ("--tls-port", &number),
            ("--tls-ca-cert-file", &authority),
            ("--tls-cert-file", &certificate),
            ("--tls-key-file", &key),
        ];
        let mut all: Vec<&str> = of_tls
            .iter()
            .flat_map(|(name, value)| [*name, value])
            .collect();
        // Later ones count.
        all.extend(["--tls-auth-clients", "no"]);
        all.extend(options);
        Self {
            server: Server::start_with(&all),
            port,
            _files: files,
        }
    }
}

/// As `support::settings`, with a limit for dialling that a busy machine keeps.
fn settings(url: &str) -> RedisSettings {
    crate::support::settings(url).connect(Duration::from_secs(1))
}

fn trusting(ca: &Authority, port: u16) -> RedisSettings {
    settings(&format!("rediss://127.0.0.1:{port}")).ca_certificate(ca.pem())
}

#[tokio::test]
async fn redis_over_tls_passes_the_checks_of_every_remote_tier() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &[]);
    let remote = Redis::with(trusting(&ca, tls.port)).unwrap();
    up(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    checks::all(&remote).await;
}

/// Everything that a cache says and hears: the canary is on the wire of a plain connection, and not
/// on that of one over TLS.
async fn wire(settings: RedisSettings, proxy: &Proxy) -> bool {
    let cache: Cache<String> = Cache::builder("it")
        .policy(policy().group(CANARY))
        .remote(Arc::new(Redis::with(settings).unwrap()))
        .remote_settings(RemoteSettings::new().budget(Duration::from_secs(1)))
        .build()
        .unwrap();
    crate::support::until("coherence", async || {
        cache.remote_stats().unwrap().is_coherent
    })
    .await;
    let long = CANARY.repeat(10_000);
    for (key, value) in [("small", CANARY), ("large", &*long)] {
        cache
            .insert(&(key, CANARY), value.to_owned())
            .await
            .unwrap();
        assert_eq!(cache.get(&(key, CANARY)).await.unwrap().as_str(), value);
    }
    cache.invalidate_group(CANARY).await;
    let held = cache.remote_stats().unwrap();
    assert!(
        held.health.is_up() && held.health.degraded.is_empty(),
        "{held:?}"
    );
    assert!(proxy.accepted() >= 3, "both lanes and the link");
    let bytes = proxy.recorded();
    assert!(bytes.len() > 100_000, "{}", bytes.len());
    bytes
        .windows(CANARY.len())
        .any(|part| part == CANARY.as_bytes())
}

#[tokio::test]
async fn over_tls_nothing_is_on_the_wire_in_plain_text() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &[]);
    let plain = Proxy::recording(tls.server.port()).await;
    assert!(wire(settings(&plain.url()), &plain).await);
    let _ = tls.server.ask(&["CONFIG", "SET", "requirepass", CANARY]);
    let sealed = Proxy::recording(tls.port).await;
    let url = format!("valkeys://:{CANARY}@127.0.0.1:{}", sealed.port());
    let settings = settings(&url).ca_certificate(ca.pem());
    assert!(!wire(settings, &sealed).await);
}

#[tokio::test]
async fn a_server_that_wants_to_know_us_is_shown_the_client_certificate() {
    let ca = Authority::new();
    let options = ["--tls-auth-clients", "yes"];
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &options);
    let me = ca.identity("client");
    let known = trusting(&ca, tls.port).client_certificate(me.certificate, me.key);
    let cache: Cache<u64> = Cache::builder("it")
        .remote(Arc::new(Redis::with(known).unwrap()))
        .build()
        .unwrap();
    coherent(&cache).await;
    serves_and_says(trusting(&ca, tls.port), "client_certificate").await;
    let other = Authority::new().identity("client");
    let foreign = trusting(&ca, tls.port).client_certificate(other.certificate, other.key);
    serves_and_says(foreign, "client_certificate").await;
}

/// RDS-38: what `identity` shows is refused with `words`, and nothing secret was sent.
async fn is_refused(ca: &Authority, identity: &Identity, trusted: Option<&Authority>, words: &str) {
    let tls = TlsServer::start(ca, identity, &[]);
    let proxy = Proxy::recording(tls.port).await;
    let url = format!("rediss://:{CANARY}@127.0.0.1:{}", proxy.port());
    let mut settings = settings(&url);
    if let Some(trusted) = trusted {
        settings = settings.ca_certificate(trusted.pem());
    }
    serves_and_says(settings, words).await;
    let bytes = proxy.recorded();
    assert!(
        !bytes
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes())
    );
    let stats = tls.server.ask(&["INFO", "commandstats"]);
    let stats: String = redis::from_redis_value(stats).unwrap();
    for never in ["cmdstat_auth", "cmdstat_hello", "cmdstat_time"] {
        assert!(!stats.contains(never), "{stats}");
    }
}

#[tokio::test]
async fn rds_38_an_expired_certificate_is_refused() {
    let ca = Authority::new();
    is_refused(&ca, &ca.expired("127.0.0.1"), Some(&ca), "expired").await;
}

#[tokio::test]
async fn rds_38_a_certificate_for_another_host_is_refused() {
    let ca = Authority::new();
    is_refused(
        &ca,
        &ca.identity("example.org"),
        Some(&ca),
        "host in its URL",
    )
    .await;
}

#[tokio::test]
async fn rds_38_a_certificate_of_an_unknown_authority_is_refused() {
    let ca = Authority::new();
    let identity = ca.identity("127.0.0.1");
    // One of the same name as well: made anew, it is another.
    for other in [Authority::called("another"), Authority::new()] {
        is_refused(&ca, &identity, Some(&other), "ca_certificate").await;
    }
    is_refused(&ca, &identity, None, "ca_certificate").await;
}

#[tokio::test]
async fn rds_38_tls_against_a_plain_port_is_said_and_never_downgraded() {
    let server = Server::start();
    let proxy = Proxy::recording(server.port()).await;
    let url = format!("rediss://:{CANARY}@127.0.0.1:{}", proxy.port());
    serves_and_says(settings(&url), "TLS").await;
    assert!(
        !proxy
            .recorded()
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes())
    );
}

#[tokio::test]
async fn rds_38_a_plain_url_against_a_tls_port_is_said() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &[]);
    let url = format!("redis://127.0.0.1:{}", tls.port);
    serves_and_says(settings(&url), "TLS").await;
}

/// RDS-06: in the hello as well, whoever never answers keeps nobody waiting.
#[tokio::test]
async fn rds_06_a_tarpit_in_the_hello_of_tls_is_dialled_in_the_background_alone() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &[]);
    let proxy = Proxy::before(tls.port).await;
    proxy.set_new(Way::BlackHole);
    let limit = Duration::from_millis(250);
    let remote = Redis::with(trusting(&ca, proxy.port()).connect(limit)).unwrap();
    let began = Instant::now();
    while proxy.accepted() < 5 {
        assert_eq!(remote.look(b"k", limit).await, Err(Failure::Away));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let least = proxy.accepted() as f64 / 4.0 - 1.0;
    assert!(began.elapsed().as_secs_f64() >= least, "RDS-23");
    // One that hangs does not end the attempts: each has its limit.
    proxy.set_new(Way::Open);
    up(&remote).await;
}

/// What is stored over TLS is found without, and the reverse: it is one server.
#[tokio::test]
async fn processes_with_and_without_tls_share_one_server() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("localhost"), &[]);
    let url = format!("rediss://localhost:{}", tls.port);
    let sealed = Redis::with(settings(&url).ca_certificate(ca.pem())).unwrap();
    let plain = crate::support::redis(&tls.server.url());
    up(&sealed).await;
    up(&plain).await;
    let limit = Duration::from_secs(1);
    let value = Value {
        bytes: "v".into(),
        lasting: Duration::from_secs(60),
    };
    sealed.put_many(&[(b"k", value)], limit).await.unwrap();
    let found = plain.look(b"k", limit).await.unwrap().unwrap();
    assert_eq!(found.bytes, "v");
}

#[test]
fn certificates_that_cannot_be_used_are_errors_that_name_the_setting() {
    let ca = Authority::new();
    let (me, other) = (ca.identity("me"), ca.identity("other"));
    let url = "rediss://localhost";
    let cases = [
        (settings(url).ca_certificate(CANARY), "ca_certificate"),
        (settings(url).ca_certificate(""), "ca_certificate"),
        (
            settings(url).ca_certificate(ca.pem().replace("MI", "AA")),
            "ca_certificate",
        ),
        (
            settings("redis://localhost").ca_certificate(ca.pem()),
            "ca_certificate",
        ),
        (
            settings(url).client_certificate(&*me.certificate, CANARY),
            "client_certificate",
        ),
        (
            settings(url).client_certificate(CANARY, &*me.key),
            "client_certificate",
        ),
        (
            settings(url).client_certificate(&*me.certificate, &*other.key),
            "client_certificate",
        ),
        (
            settings("redis://localhost").client_certificate(&*me.certificate, &*me.key),
            "client_certificate",
        ),
    ];
    for (settings, name) in cases {
        let shown = format!("{settings:?}");
        let error = Redis::with(settings).unwrap_err();
        let text = format!("{shown} {error} {error:?}");
        assert!(
            error.is_config() && error.to_string().contains(name),
            "{text}"
        );
        for secret in [CANARY, "BEGIN", "PRIVATE KEY"] {
            assert!(!text.contains(secret), "SEC-01: {text}");
        }
    }
}

/// As while a CA is replaced.
#[tokio::test]
async fn a_bundle_of_authorities_is_trusted_as_a_whole() {
    let (old, new) = (Authority::new(), Authority::new());
    let bundle = old.pem() + &new.pem();
    for ca in [&old, &new] {
        let tls = TlsServer::start(ca, &ca.identity("127.0.0.1"), &[]);
        let url = format!("rediss://127.0.0.1:{}", tls.port);
        let remote = Redis::with(settings(&url).ca_certificate(&*bundle)).unwrap();
        up(&remote).await;
    }
}

#[tokio::test]
async fn loads_are_shared_over_tls() {
    let ca = Authority::new();
    let tls = TlsServer::start(&ca, &ca.identity("127.0.0.1"), &[]);
    let process = || -> Cache<u64> {
        Cache::builder("it")
            .remote(Arc::new(Redis::with(trusting(&ca, tls.port)).unwrap()))
            .remote_settings(RemoteSettings::new().budget(Duration::from_secs(1)))
            .build()
            .unwrap()
    };
    let (a, b) = (process(), process());
    coherent(&a).await;
    coherent(&b).await;
    let loads = Loads::default();
    let (first, second) = tokio::join!(
        a.get_or_load(&1, || loads.clone().slowly(Duration::from_millis(50))),
        b.get_or_load(&1, || loads.clone().slowly(Duration::from_millis(50))),
    );
    assert_eq!(
        (*first.unwrap(), *second.unwrap(), loads.count()),
        (1, 1, 1)
    );
    a.invalidate(&1).await;
    crate::support::until("the notice", async || b.in_memory(&1).is_none()).await;
}
