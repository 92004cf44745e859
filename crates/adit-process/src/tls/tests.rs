//! Certificates of a test CA, shown and believed over an in-memory connection.

use std::fs;
use std::path::Path;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

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
    assert_eq!(look(&server).unwrap(), Look::Unchanged);

    fixture.write_certificate(2041);
    let old_end = server.not_after();
    assert_eq!(look(&server).unwrap(), Look::Replaced);
    assert!(server.not_after() > old_end);
    let (after, _) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn foreign_key_keeps_the_old_certificate_until_both_fit_again() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let client = ClientTls::new(&fixture.trusting(), &[]).unwrap();
    let (before, _) = handshake(&server, &client, "relay.test").await.unwrap();

    fixture.write_foreign_key();
    assert!(matches!(look(&server), Err(TlsError::Mismatch { .. })));
    fs::write(fixture.path("relay.key"), "half a fi").unwrap();
    assert!(matches!(look(&server), Err(TlsError::Pem { .. })));
    fs::remove_file(fixture.path("relay.key")).unwrap();
    assert!(matches!(look(&server), Err(TlsError::Read { .. })));
    let (after, _) = handshake(&server, &client, "relay.test").await.unwrap();
    assert_eq!(before, after);

    fixture.write_certificate(2042);
    assert_eq!(look(&server).unwrap(), Look::Replaced);
}

#[tokio::test(start_paused = true)]
async fn watch_notices_new_content_by_itself() {
    let fixture = Fixture::new();
    let server = ServerTls::load(fixture.files(), &[]).unwrap();
    let old_end = server.not_after();
    fixture.write_certificate(2043);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep(Arc::new(server.clone()), &Reread::default()));
    let replaced = async {
        while server.not_after() == old_end {
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
    server.register(&mut registry);
    fixture.write_foreign_key();
    look(&server).unwrap_err();
    look(&server).unwrap_err();
    fixture.write_certificate(2041);
    look(&server).unwrap();
    look(&server).unwrap();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "adit_tls_certificate_expiry_timestamp_seconds 2272060800\n",
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
