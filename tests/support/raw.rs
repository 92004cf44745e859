//! One HTTP/1.1 connection as bytes, from either end: for requests and answers that no HTTP library would write.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection after the TLS handshake.
pub struct Raw<IO> {
    pub io: IO,
    /// Read and not asked for yet.
    unread: Vec<u8>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Raw<IO> {
    pub fn new(io: IO) -> Self {
        Self {
            io,
            unread: Vec::new(),
        }
    }

    /// The next head, byte for byte, with its blank line; `None` when the peer has left.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let rest = self.unread.split_off(end + 4);
                let head = std::mem::replace(&mut self.unread, rest);
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill().await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// The peer ended before them.
    pub async fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < len {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.unread.split_off(len);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// Status and body of the next answer, which must say its length.
    pub async fn answer(&mut self) -> Option<(u16, String, Vec<u8>)> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = self
            .exactly(
                field(&head, "content-length")
                    .and_then(|len| len.parse().ok())
                    .unwrap_or(0),
            )
            .await
            .ok()?;
        Some((status, head, body))
    }

    /// Everything until the peer ends its half, or breaks off, and how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.fill().await {
                Ok(0) => return (std::mem::take(&mut self.unread), Ok(())),
                Ok(_) => {}
                Err(error) => return (std::mem::take(&mut self.unread), Err(error)),
            }
        }
    }

    /// What has come already, without waiting for more.
    pub async fn now(&mut self) -> Vec<u8> {
        while let std::task::Poll::Ready(Ok(1..)) = futures_util::poll!(std::pin::pin!(self.fill()))
        {
        }
        std::mem::take(&mut self.unread)
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// The peer has left.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(bytes.as_ref()).await?;
        self.io.flush().await
    }

    /// Ends our half.
    ///
    /// # Errors
    ///
    /// The peer has left.
    pub async fn shut(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.unread).await
    }
}

/// The value of a field in a head as text.
#[must_use]
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
