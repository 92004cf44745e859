use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::*;

/// What is read of `pieces`, each sent once the one before was taken, and what is left in the socket.
async fn read_pieces(pieces: &[&[u8]]) -> (Result<Option<String>, String>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    sender.set_nodelay(true).unwrap();
    let send = async {
        for piece in pieces {
            sender.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        sender.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(read(&mut socket), send);
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    let read = read
        .map(|address| address.map(|address| address.to_string()))
        .map_err(|error| format!("{error:?}"));
    (read, rest)
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = V2.to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187];

#[tokio::test]
async fn both_versions_tell_the_client_and_leave_the_rest() {
    let mut ipv6 = [0; 36];
    ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    ipv6[15] = 7;
    ipv6[32..34].copy_from_slice(&[0x12, 0x67]);
    let with_extras = [&IPV4[..], &[4, 0, 1, 42]].concat();
    let cases: [(Vec<u8>, Option<&str>); 8] = [
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(),
            Some("192.0.2.7:4711"),
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(),
            Some("[2001:db8::7]:4711"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
        (v2(1, 0x11, &IPV4), Some("192.0.2.7:4711")),
        (v2(1, 0x21, &ipv6), Some("[2001:db8::7]:4711")),
        (v2(1, 0x11, &with_extras), Some("192.0.2.7:4711")),
        (v2(0, 0x00, &[]), None),
    ];
    for (header, client) in cases {
        let expected = (Ok(client.map(str::to_owned)), b"\x16\x03\nrest".to_vec());
        let whole = [&header[..], b"\x16\x03\nrest"].concat();
        assert_eq!(read_pieces(&[&whole]).await, expected, "{header:?}");
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(
            read_pieces(&bytes).await,
            expected,
            "{header:?} byte by byte"
        );
    }
}

#[tokio::test]
async fn what_is_no_header_or_not_for_tcp_is_refused() {
    let long = [b"PROXY ".to_vec(), vec![b'1'; 200], b"\r\n".to_vec()].concat();
    let cases: [(&[u8], &str); 10] = [
        (b"GET / HTTP/1.1\r\n\r\n", "Missing"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
            "Missing",
        ),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n", "Malformed"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 99999\r\n", "Malformed"),
        (b"PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n", "Malformed"),
        (b"PROXY TCP4 192.0.2.7", "Malformed"),
        (&long, "Malformed"),
        (&v2(1, 0x12, &IPV4), "Malformed"),
        (&v2(1, 0x11, &IPV4[..8]), "Malformed"),
        (&v2(1, 0x31, &[0; 216]), "Malformed"),
    ];
    for (header, error) in cases {
        let (read, _) = read_pieces(&[header]).await;
        assert_eq!(read, Err(error.to_owned()), "{header:?}");
    }
    let mut huge = v2(1, 0x11, &IPV4);
    huge[14] = 0xff;
    assert_eq!(read_pieces(&[&huge]).await.0, Err("Malformed".to_owned()));
    assert!(read_pieces(&[b"PROX"]).await.0.is_err());
}
