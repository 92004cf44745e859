//! Who answers in a relay's place.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

/// A relay, or a GitLab, that answers so many requests, over plain HTTP on loopback, and gives the last one back.
pub(crate) struct FakeRelay {
    pub(crate) url: String,
    pub(crate) request: thread::JoinHandle<String>,
}

impl FakeRelay {
    pub(crate) fn answering(status: &'static str, body: &'static str) -> Self {
        Self::answering_in_turn(vec![(status, body)])
    }

    pub(crate) fn answering_in_turn(answers: Vec<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let request = thread::spawn(move || {
            let mut request = String::new();
            for (status, body) in answers {
                request = answer(&listener, status, body);
            }
            request
        });
        Self { url, request }
    }
}

fn answer(listener: &TcpListener, status: &str, body: &str) -> String {
    let mut socket = listener.accept().unwrap().0;
    let mut request = String::new();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    while reader.read_line(&mut request).unwrap() > 2 {}
    write!(
        socket,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
    )
    .unwrap();
    request
}
