//! What an admin port says at `/metrics`, read as a scraper would.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

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

    /// The sample with exactly this name and labels; 0 when there is none.
    #[must_use]
    pub fn value(&self, sample: &str) -> f64 {
        let found = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_default()
    }

    /// All samples of a name, whatever their labels.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        self.0
            .lines()
            .filter(of_name)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// Status and body of a GET to an admin port.
///
/// # Panics
///
/// When nobody answers there.
pub async fn admin_get(admin: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
