//! What an admin port says at `/metrics`, read as a scraper would.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{SOON, pki};

/// One reading.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// Reads `/metrics` at an admin port.
    ///
    /// # Panics
    ///
    /// When nobody answers there.
    pub async fn read(admin: SocketAddr) -> Self {
        Self(admin_get(admin, "/metrics").await.1)
    }

    /// The sample with exactly this name and labels.
    ///
    /// # Panics
    ///
    /// When there is none: each begins at 0, so that one that is not there is called something else.
    #[must_use]
    pub fn value(&self, sample: &str) -> f64 {
        self.assert_known(sample);
        let found = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("there is no sample {sample}:\n{}", self.0))
    }

    /// All samples of a name, whatever their labels.
    ///
    /// # Panics
    ///
    /// When no metric has this name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, "")
    }

    /// All samples of a name with this label, `outcome="answered"`, whatever the others.
    ///
    /// # Panics
    ///
    /// When no metric has this name.
    #[must_use]
    pub fn sum_where(&self, name: &str, label: &str) -> f64 {
        self.assert_known(name);
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        self.0
            .lines()
            .filter(of_name)
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Every metric there is, as its samples are called, but for the three kinds of a histogram's. A metric that has not
    /// been counted yet is there, too.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let named = |line: &str| {
            let (family, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(match kind {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                _ => family.to_owned(),
            })
        };
        self.0.lines().filter_map(named).collect()
    }

    fn assert_known(&self, sample: &str) {
        let name = sample.split('{').next().unwrap_or_default();
        let of_histogram = ["_count", "_sum", "_bucket"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let names = self.names();
        assert!(
            names.contains(name) || of_histogram.is_some_and(|name| names.contains(name)),
            "no metric is called {name}: {names:#?}"
        );
    }
}

/// Waits until an admin port says so.
///
/// # Panics
///
/// When it takes longer than [`SOON`].
pub(crate) async fn until(admin: SocketAddr, sample: &str, is_so: impl Fn(f64) -> bool) {
    let began = tokio::time::Instant::now();
    loop {
        let value = Metrics::read(admin).await.value(sample);
        if is_so(value) {
            return;
        }
        assert!(began.elapsed() < SOON, "{sample} stays {value}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Status and body of a GET to an admin port.
///
/// # Panics
///
/// When nobody answers there.
pub async fn admin_get(admin: SocketAddr, path: &str) -> (u16, String) {
    ask(TcpStream::connect(admin).await.unwrap(), path).await
}

/// The same, of one that has a certificate.
pub(crate) async fn admin_get_over_tls(admin: SocketAddr, path: &str) -> (u16, String) {
    let socket = TcpStream::connect(admin).await.unwrap();
    let tls = TlsConnector::from(pki::shared().client(&[pki::HTTP1]));
    ask(tls.connect(pki::localhost(), socket).await.unwrap(), path).await
}

async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
