//! Reads what a balancer puts in front of a connection to say who is behind it: the PROXY protocol, version 1 or 2,
//! <https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>. Not a byte behind the header is taken from the socket.

use std::{io, net::SocketAddr};

use ppp::{HeaderResult, v1, v2};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadProxyHeader {
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    #[error("it does not begin with a header of the PROXY protocol")]
    Missing,
    #[error("the header of the PROXY protocol is malformed, or for something else than TCP")]
    Malformed,
}

/// What every header of version 2 begins with.
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What every header of version 1 begins with.
const V1: &[u8] = b"PROXY ";
/// Longest header of version 1, by its definition.
const V1_MOST: usize = 107;
/// Longest rest of a header of version 2 that is taken; addresses have 36 bytes, balancers add some hundred.
const V2_MOST: usize = 4096;

/// Takes the header from the socket. `None`: the balancer says that it speaks for itself, or does not know.
pub(super) async fn read(socket: &mut TcpStream) -> Result<Option<SocketAddr>, BadProxyHeader> {
    let mut header = vec![0; V2.len()];
    socket.read_exact(&mut header).await?;
    if header == V2 {
        read_v2(socket, &mut header).await?;
    } else if header.starts_with(V1) {
        read_v1(socket, &mut header).await?;
    } else {
        return Err(BadProxyHeader::Missing);
    }
    source(&header)
}

async fn read_v2(socket: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), BadProxyHeader> {
    let mut fixed = [0; 4];
    socket.read_exact(&mut fixed).await?;
    header.extend_from_slice(&fixed);
    let [_, _, high, low] = fixed;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > V2_MOST {
        return Err(BadProxyHeader::Malformed);
    }
    let start = header.len();
    header.resize(start + rest, 0);
    if let Some(rest) = header.get_mut(start..) {
        socket.read_exact(rest).await?;
    }
    Ok(())
}

/// Looks at what has come and takes it as far as the end of the line.
async fn read_v1(socket: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), BadProxyHeader> {
    let mut seen = [0; V1_MOST];
    while !header.ends_with(b"\n") {
        let room = V1_MOST - header.len();
        let came = socket
            .peek(seen.get_mut(..room).unwrap_or_default())
            .await?;
        let came = seen.get(..came).unwrap_or_default();
        if came.is_empty() {
            // The peer has left, or the line is longer than any.
            return Err(BadProxyHeader::Malformed);
        }
        let end = came.iter().position(|byte| *byte == b'\n');
        let start = header.len();
        header.resize(start + end.map_or(came.len(), |end| end + 1), 0);
        if let Some(more) = header.get_mut(start..) {
            socket.read_exact(more).await?;
        }
    }
    Ok(())
}

fn source(header: &[u8]) -> Result<Option<SocketAddr>, BadProxyHeader> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
            v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
        }),
        HeaderResult::V2(Ok(header)) => match (header.command, header.protocol, header.addresses) {
            (v2::Command::Local, ..) | (_, v2::Protocol::Unspecified, _) => Ok(None),
            (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(pair)) => {
                Ok(Some((pair.source_address, pair.source_port).into()))
            }
            (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(pair)) => {
                Ok(Some((pair.source_address, pair.source_port).into()))
            }
            (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::Unspecified) => Ok(None),
            (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::Unix(_))
            | (v2::Command::Proxy, v2::Protocol::Datagram, _) => Err(BadProxyHeader::Malformed),
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(BadProxyHeader::Malformed),
    }
}

#[cfg(test)]
mod tests;
