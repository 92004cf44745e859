//! Tells who speaks plain HTTP to a port with TLS that it does.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Looks at the first byte of a connection, which stays there; to plain HTTP says what is wrong. Cancel-safe until then.
///
/// # Errors
/// The connection broke off, or spoke plain HTTP.
pub async fn refuse_plain(socket: &mut TcpStream) -> io::Result<()> {
    let mut start = [0];
    socket.peek(&mut start).await?;
    let [first] = start;
    // A method's first letter, and no kind of record of TLS: a URL begins with the wrong scheme.
    if !first.is_ascii_uppercase() {
        return Ok(());
    }
    let mut unread = [0; 4096];
    // What is left unread when a socket closes can cost the peer the answer.
    let _ = socket.read(&mut unread).await?;
    socket.write_all(SPEAKS_TLS).await?;
    socket.shutdown().await?;
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "plain HTTP where TLS is spoken",
    ))
}

const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 50\r\nConnection: close\r\n\r\nThis port speaks TLS: its URL begins with https://";
