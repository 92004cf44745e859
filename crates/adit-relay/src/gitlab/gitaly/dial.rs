//! Decides how a Gitaly is dialled: by TCP, TLS or a socket of this machine, as its address says.
//!
//! Called by the HTTP client, for which an address is written as a URI. Invariant: names are resolved for each connection anew, and with
//! TLS the certificate is checked for the name in the address.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use adit_authority::gitlab::gitaly::Address;
use http::{Uri, uri::InvalidUri};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tower_service::Service;

/// Dials.
#[derive(Clone)]
pub(super) struct Dial {
    tls: TlsConnector,
}

/// A connection.
pub(super) type Wire = TokioIo<Box<dyn Io>>;

/// What a connection can do, whatever it is made of.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Dial {
    pub(super) const fn new(tls: TlsConnector) -> Self {
        Self { tls }
    }

    async fn dial(self, to: Uri) -> io::Result<Wire> {
        let io: Box<dyn Io> = match to.scheme_str() {
            Some(UNIX) => Box::new(UnixStream::connect(path_of(&to)?).await?),
            Some(TLS) => {
                let socket = connect(&to).await?;
                let host = to.host().unwrap_or_default();
                let name = ServerName::try_from(without_brackets(host).to_owned());
                let name = name.map_err(io::Error::other)?;
                Box::new(self.tls.connect(name, socket).await?)
            }
            Some(_) | None => Box::new(connect(&to).await?),
        };
        Ok(TokioIo::new(io))
    }
}

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().dial(to))
    }
}

const TCP: &str = "http";
const TLS: &str = "https";
const UNIX: &str = "unix";

/// An address as the HTTP client takes it, which keeps connections by scheme and authority: a path is in hexadecimal.
pub(super) fn origin(address: &Address) -> Result<Uri, InvalidUri> {
    match address {
        Address::Tcp(host, port) => format!("{TCP}://{host}:{port}"),
        Address::Tls(host, port) => format!("{TLS}://{host}:{port}"),
        Address::Unix(path) => format!("{UNIX}://{}", hex(path)),
    }
    .parse()
}

async fn connect(to: &Uri) -> io::Result<TcpStream> {
    let (Some(host), Some(port)) = (to.host(), to.port_u16()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let socket = TcpStream::connect((without_brackets(host), port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

fn hex(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn path_of(uri: &Uri) -> io::Result<PathBuf> {
    let digits = uri.host().unwrap_or_default().as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    let path = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    path.map(PathBuf::from)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_path() {
        let path = Path::new("/var/opt/gitlab/gitaly sockets/ä.socket");
        let uri = origin(&Address::Unix(path.to_owned())).unwrap();
        assert_eq!(path_of(&uri).unwrap(), path);
    }

    #[test]
    fn addresses_are_kept_apart() {
        let addresses = [
            "tcp://a:1",
            "tls://a:1",
            "tcp://a:2",
            "tcp://[::1]:1",
            "unix:/a",
        ];
        let origins = addresses.map(|text| origin(&text.parse().unwrap()).unwrap().to_string());
        assert_eq!(
            origins,
            [
                "http://a:1/",
                "https://a:1/",
                "http://a:2/",
                "http://[::1]:1/",
                "unix://2f61/"
            ]
        );
    }
}
