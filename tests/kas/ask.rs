//! A GET of the agent server's front door, over plain HTTP.

use std::net::SocketAddr;

use adit_tests::Raw;
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Asked {
    pub status: u16,
    pub head: String,
    /// For the message of a failed test.
    #[expect(dead_code, reason = "printed only")]
    pub text: String,
}

impl Asked {
    pub async fn of(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let fields: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{fields}\r\n");
        let mut connection = Raw::new(TcpStream::connect(server).await.unwrap());
        connection.write(head).await.unwrap();
        let head = connection.head().await.expect("an answer");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (body, _) = connection.rest().await;
        Self {
            status,
            head,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}
