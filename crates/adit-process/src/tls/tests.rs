//! Certificates of a test CA, shown and believed over an in-memory connection.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::reread::{Look, Reread, keep, look};

const SOON: Duration = Duration::from_secs(5);

/// A CA and a folder with what it made.
struct Fixture {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Fixture {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let fixture = Self { folder, ca };
        fixture.write_certificate(2040);
        fixture
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.path("relay.pem"),
            key: self.path("relay.key"),
        }
    }

    /// Writes a new certificate that ends with `year`, and its key.
    fn write_certificate(&self, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        fs::write(self.path("relay.pem"), certificate.pem()).unwrap();
        fs::write(self.path("relay.key"), key.serialize_pem()).unwrap();
    }

    fn write_foreign_key(&self) {
        fs::write(
            self.path("relay.key"),
            KeyPair::generate().unwrap().serialize_pem(),
        )
        .unwrap();
    }

    fn trusting(&self) -> TrustRoots {
        TrustRoots::Only(self.path("ca.pem"))
    }
}

/// What one handshake showed: the server's own certificate and the protocol agreed.
async fn handshake(
    server: &ServerTls,
    client: &ClientTls,
    name: &'static str,
) -> std::io::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let mut tasks = JoinSet::new();
    let acceptor = server.acceptor();
    tasks.spawn(async move { acceptor.accept(far).await.map(drop) });
    let connector = client.connector();
    let name = ServerName::try_from(name).unwrap();
    let stream = timeout(SOON, connector.connect(name, near))
        .await
        .expect("a handshake in time")?;
    let session = stream.get_ref().1;
    let shown = session
        .peer_certificates()
        .unwrap()
        .first()
        .unwrap()
        .to_vec();
    Ok((shown, session.alpn_protocol().map(<[u8]>::to_vec)))
}

#[tokio::test]
async fn certificate_is_shown_believed_and_alpn_agreed() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[H2, HTTP_1_1]).unwrap();
    let client = ClientTls::new(&fixture.trusting(), &[HTTP_1_1]).unwrap();
    let (_, alpn) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_eq!(alpn.as_deref(), Some(HTTP_1_1));
}

#[tokio::test]
async fn wrong_name_and_unknown_issuer_are_refused() {
    let (ours, theirs) = (Fixture::new(), Fixture::new());
    let server = ServerTls::load(ours.files(), &[]).unwrap();
    let believing = ClientTls::new(&ours.trusting(), &[]).unwrap();
    assert!(handshake(&server, &believing, "other.test").await.is_err());
    let stranger = ClientTls::new(&theirs.trusting(), &[]).unwrap();
    assert!(handshake(&server, &stranger, "relay.test").await.is_err());
}

#[tokio::test]
async fn extra_roots_are_believed_beside_the_systems() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let client = ClientTls::new(&TrustRoots::SystemAnd(fixture.path("ca.pem")), &[]).unwrap();
    handshake(&server, &client, "relay.test").await.unwrap();
}

#[tokio::test]
async fn new_files_are_shown_after_a_reload() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let client = ClientTls::new(&fixture.trusting(), &[]).unwrap();
    let (before, _) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_eq!(look(server.own()).unwrap(), Look::Unchanged);

    fixture.write_certificate(2041);
    let old_end = server.own().not_after();
    assert_eq!(look(server.own()).unwrap(), Look::Replaced);
    assert!(server.own().not_after() > old_end);
    let (after, _) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_ne!(before, after);
}

/// As of a mounted Kubernetes secret: the names lead through one link, which is swapped.
#[test]
fn files_are_read_where_their_links_lead_by_then() {
    let fixture = Fixture::new();
    for (folder, ends) in [("..1", 2041), ("..2", 2042)] {
        fixture.write_certificate(ends);
        fs::create_dir(fixture.path(folder)).unwrap();
        for name in ["relay.pem", "relay.key"] {
            fs::rename(fixture.path(name), fixture.path(folder).join(name)).unwrap();
        }
    }
    symlink("..1", fixture.path("..data")).unwrap();
    for name in ["relay.pem", "relay.key"] {
        symlink(Path::new("..data").join(name), fixture.path(name)).unwrap();
    }
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let old_end = server.own().not_after();
    symlink("..2", fixture.path("next")).unwrap();
    fs::rename(fixture.path("next"), fixture.path("..data")).unwrap();
    assert_eq!(look(server.own()).unwrap(), Look::Replaced);
    assert!(server.own().not_after() > old_end);
}

#[tokio::test]
async fn foreign_key_keeps_the_old_certificate_until_both_fit_again() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let client = ClientTls::new(&fixture.trusting(), &[]).unwrap();
    let (before, _) = handshake(&server, &client, "relay.test").await.unwrap();

    fixture.write_foreign_key();
    assert!(matches!(look(server.own()), Err(TlsError::Mismatch { .. })));
    fs::write(fixture.path("relay.key"), "half a fi").unwrap();
    assert!(matches!(look(server.own()), Err(TlsError::Pem { .. })));
    fs::remove_file(fixture.path("relay.key")).unwrap();
    assert!(matches!(look(server.own()), Err(TlsError::Read { .. })));
    let (after, _) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_eq!(before, after);

    fixture.write_certificate(2042);
    assert_eq!(look(server.own()).unwrap(), Look::Replaced);
}

#[tokio::test(start_paused = true)]
async fn watch_notices_new_content_by_itself() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let old_end = server.own().not_after();
    fixture.write_certificate(2043);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep(Arc::new(server.own().clone()), &Reread::default()));
    let replaced = async {
        while server.own().not_after() == old_end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), replaced)
        .await
        .expect("within a few looks");
}

#[test]
fn metrics_tell_the_expiry_and_count_reloads() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let mut registry = Registry::default();
    server.own().register(&mut registry);
    fixture.write_foreign_key();
    look(server.own()).unwrap_err();
    look(server.own()).unwrap_err();
    fixture.write_certificate(2041);
    look(server.own()).unwrap();
    look(server.own()).unwrap();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "adit_tls_certificate_expiry_timestamp_seconds 2272060800\n",
        // From 1975 on.
        "adit_tls_certificate_lifetime_seconds 2114294400\n",
        "adit_tls_certificate_reloads_total{outcome=\"failed\"} 2\n",
        "adit_tls_certificate_reloads_total{outcome=\"replaced\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn unusable_files_are_named() {
    let fixture = Fixture::new();
    let missing = TrustRoots::Only(Path::new("/nowhere/ca.pem").to_owned());
    assert_eq!(
        ClientTls::new(&missing, &[]).unwrap_err().to_string(),
        "cannot read /nowhere/ca.pem"
    );

    fs::write(fixture.path("relay.pem"), "no certificate").unwrap();
    assert!(matches!(
        ServerTls::load(fixture.files(), &[]),
        Err(TlsError::NoCertificate { .. })
    ));
    let not_a_ca_file = TrustRoots::SystemAnd(fixture.path("relay.key"));
    assert!(matches!(
        ClientTls::new(&not_a_ca_file, &[]),
        Err(TlsError::NoCertificate { .. })
    ));
}

#[test]
fn debug_shows_no_key() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let key = fs::read_to_string(fixture.path("relay.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{server:?}").contains(secret));
}

/// A client that resumes, and shows a certificate which this CA made until the end of that year.
fn client_of(
    fixture: &Fixture,
    ends: i32,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = date_time_ymd(ends, 12, 31);
    let certificate = params.signed_by(&key, &fixture.ca).unwrap();
    client_showing(fixture, &certificate, &key, version)
}

fn client_showing(
    fixture: &Fixture,
    certificate: &rcgen::Certificate,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(fixture.ca.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        );
    Arc::new(config.unwrap())
}

/// What the server was shown, and how the handshake went. A byte goes back, so that the client has read the tickets before it.
async fn shown(
    server: &ServerTls,
    client: &Arc<ClientConfig>,
) -> (Vec<CertificateDer<'static>>, HandshakeKind) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let acceptor = server.acceptor();
    let accepted = async {
        let mut stream = acceptor.accept(far).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().unwrap_or_default().to_vec();
        (shown, session.handshake_kind().unwrap())
    };
    let connected = async {
        let name = ServerName::try_from("relay.test").unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, near).await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
    };
    let both = async { tokio::join!(accepted, connected) };
    timeout(SOON, both).await.expect("a handshake in time").0
}

#[tokio::test]
async fn what_a_client_showed_is_known_in_a_resumed_session_and_checked_anew() {
    for version in [&TLS13, &TLS12] {
        let (fixture, others) = (Fixture::new(), Fixture::new());
        let server = ServerTls::load(fixture.files(), &[]).unwrap();
        let roots = ClientRoots::load(fixture.path("ca.pem"), &server).unwrap();
        let client = client_of(&fixture, 2040, version);
        let (chain, kind) = shown(&server, &client).await;
        assert_eq!(kind, HandshakeKind::Full);
        assert_eq!(roots.check(&chain), Ok(()));
        let (again, kind) = shown(&server, &client).await;
        assert_eq!(kind, HandshakeKind::Resumed);
        assert_eq!(again, chain);

        // The CA was replaced meanwhile: a session of before is no way around that.
        fs::write(fixture.path("ca.pem"), others.ca.pem()).unwrap();
        assert_eq!(look(&roots).unwrap(), Look::Replaced);
        let (again, kind) = shown(&server, &client).await;
        assert_eq!(kind, HandshakeKind::Resumed);
        assert_eq!(roots.check(&again), Err(Unproved::UnknownCa));
    }
}

#[tokio::test]
async fn who_shows_nothing_or_what_has_ended_gets_through_the_handshake() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let roots = ClientRoots::load(fixture.path("ca.pem"), &server).unwrap();
    let nothing = ClientTls::new(&fixture.trusting(), &[]).unwrap();
    let (chain, _) = shown(&server, &nothing.config()).await;
    assert_eq!(roots.check(&chain), Err(Unproved::NoCertificate));
    let over = client_of(&fixture, 2020, &TLS13);
    let (chain, _) = shown(&server, &over).await;
    assert_eq!(roots.check(&chain), Err(Unproved::Expired));
}

/// In its chain stands what has expired, under the name of its CA: it does not hide whose it is no more.
#[tokio::test]
async fn who_has_something_expired_in_its_chain_is_dropped_with_its_ca() {
    let (fixture, others) = (Fixture::new(), Fixture::new());
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let roots = ClientRoots::load(fixture.path("ca.pem"), &server).unwrap();
    let (mut chain, _) = shown(&server, &client_of(&fixture, 2040, &TLS13)).await;
    let mut expired = CertificateParams::default();
    expired.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    expired.not_after = date_time_ymd(2020, 12, 31);
    let key = KeyPair::generate().unwrap();
    chain.push(expired.self_signed(&key).unwrap().der().clone());
    assert_eq!(roots.check(&chain), Ok(()));
    let dropped = roots.dropped(&chain);
    let replaced = async {
        fs::write(fixture.path("ca.pem"), others.ca.pem()).unwrap();
        assert_eq!(look(&roots).unwrap(), Look::Replaced);
    };
    let both = async { tokio::join!(dropped, replaced) };
    timeout(SOON, both).await.expect("it is dropped");
}

/// A server that was believed once would not be checked again.
#[tokio::test]
async fn no_session_is_resumed_where_the_cas_may_be_replaced() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let roots = ServerRoots::load("a.key", fixture.trusting()).unwrap();
    let fixed = ClientTls::new(&fixture.trusting(), &[]).unwrap().config();
    let mut checked = ClientConfig::clone(&fixed);
    roots.check_in(&mut checked);
    let by = ClientTls::by(&roots, &[]).unwrap().config();
    for (client, expected) in [
        (fixed, HandshakeKind::Resumed),
        (by, HandshakeKind::Full),
        (Arc::new(checked), HandshakeKind::Full),
    ] {
        shown(&server, &client).await;
        let (_, kind) = shown(&server, &client).await;
        assert_eq!(kind, expected);
    }
}

#[tokio::test]
async fn own_certificate_is_shown_as_it_is_by_then_and_no_session_is_resumed() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let _roots = ClientRoots::load(fixture.path("ca.pem"), &server).unwrap();
    let own = OwnCertificate::load(fixture.files()).unwrap();
    let client = ClientTls::new(&fixture.trusting(), &[])
        .unwrap()
        .showing(Some(&own));
    let (before, _) = shown(&server, &client.config()).await;
    fixture.write_certificate(2041);
    assert_eq!(look(&own).unwrap(), Look::Replaced);
    let (after, kind) = shown(&server, &client.config()).await;
    assert_eq!(kind, HandshakeKind::Full);
    assert_ne!(before, after);
}

#[tokio::test]
async fn chain_that_is_longer_than_any_is_hung_up_on() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let _roots = ClientRoots::load(fixture.path("ca.pem"), &server).unwrap();
    let text = fs::read_to_string(fixture.path("relay.pem")).unwrap();
    for (certificates, passes) in [(9, true), (10, false)] {
        fs::write(fixture.path("relay.pem"), text.repeat(certificates)).unwrap();
        let own = OwnCertificate::load(fixture.files()).unwrap();
        let client = ClientTls::new(&fixture.trusting(), &[])
            .unwrap()
            .showing(Some(&own));
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (acceptor, connector) = (server.acceptor(), client.connector());
        let name = ServerName::try_from("relay.test").unwrap();
        let both = async { tokio::join!(acceptor.accept(far), connector.connect(name, near)) };
        let (accepted, _) = timeout(SOON, both).await.expect("a handshake in time");
        assert_eq!(accepted.is_ok(), passes, "{certificates}");
    }
}

#[test]
fn first_of_the_cas_to_end_is_the_one_that_is_told() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let ending = |year| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    };
    for years in [[2031, 2040], [2040, 2031]] {
        let file = fixture.path("ca.pem");
        fs::write(&file, years.map(ending).concat()).unwrap();
        let roots = ClientRoots::load(file, &server).unwrap();
        assert_eq!(
            since_1970(roots.first_to_end().unwrap().not_after),
            1_956_441_600
        );
    }
}

#[test]
fn certificate_that_is_no_cas_vouches_for_no_client() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let file = fixture.path("ca.pem");
    let roots = ClientRoots::load(file.clone(), &server).unwrap();
    let mut params = CertificateParams::default();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "relay.test");
    let key = KeyPair::generate().unwrap();
    let of_server = params.signed_by(&key, &fixture.ca).unwrap().pem();
    fs::write(&file, format!("{}{of_server}", fixture.ca.pem())).unwrap();
    let refused = look(&roots).unwrap_err().to_string();
    assert!(
        refused.contains("ca.pem") && refused.contains("no CA's"),
        "{refused}"
    );
    assert_eq!(roots.certificates().len(), 1, "the old one stays");
    assert!(ClientRoots::load(file, &server).is_err());
}

#[tokio::test]
async fn certificate_that_a_client_has_signed_itself_lets_in_that_client_alone() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let signed = || {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (certificate, key)
    };
    let ((pinned, key), (other, others)) = (signed(), signed());
    let file = fixture.path("ca.pem");
    fs::write(&file, pinned.pem()).unwrap();
    let roots = ClientRoots::load(file, &server).unwrap();
    assert!(!roots.certificates()[0].is_ca);
    for (certificate, key, expected) in [
        (&pinned, &key, Ok(())),
        // Of the same name.
        (&other, &others, Err(Unproved::UnknownCa)),
    ] {
        let client = client_showing(&fixture, certificate, key, &TLS13);
        let (chain, _) = shown(&server, &client).await;
        assert_eq!(roots.check(&chain), expected);
    }
}

/// Has nothing to show, and notes by which CAs it is asked for something.
#[derive(Debug, Default)]
struct Asked(Mutex<String>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock() = String::from_utf8_lossy(&names.concat()).into_owned();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn clients_are_asked_for_certificates_of_the_cas_of_now_by_name() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let asked = Arc::new(Asked::default());
    let client = ClientTls::new(&fixture.trusting(), &[]).unwrap();
    let mut client = Arc::unwrap_or_clone(client.config());
    client.client_auth_cert_resolver = Arc::<Asked>::clone(&asked);
    client.resumption = Resumption::disabled();
    let client = Arc::new(client);
    let file = fixture.path("ca.pem");
    let write_ca = |name| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        fs::write(&file, ca.pem()).unwrap();
    };
    write_ca("the first CA");
    let roots = ClientRoots::load(file.clone(), &server).unwrap();
    shown(&server, &client).await;
    assert!(asked.0.lock().contains("the first CA"));
    write_ca("the next CA");
    assert_eq!(look(&roots).unwrap(), Look::Replaced);
    shown(&server, &client).await;
    let names = asked.0.lock().clone();
    assert!(
        names.contains("the next CA") && !names.contains("first"),
        "{names}"
    );
}

#[test]
fn file_of_cas_is_taken_whole_or_not() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let file = fixture.path("ca.pem");
    let roots = ClientRoots::load(file.clone(), &server).unwrap();
    let both = format!("{}{}", fixture.ca.pem(), other.ca.pem());
    fs::write(&file, &both).unwrap();
    assert_eq!(look(&roots).unwrap(), Look::Replaced);
    assert_eq!(roots.certificates().len(), 2);
    fs::write(&file, both.replace("-----END", "----END")).unwrap();
    look(&roots).unwrap_err();
    assert!(roots.trouble().is_some());
    assert_eq!(roots.certificates().len(), 2);
}
