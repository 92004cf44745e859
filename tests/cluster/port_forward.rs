//! `kubectl port-forward`: several connections at once, bytes both ways.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_carrier},
    large::noise,
    running::Running,
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_carrier![Needs::Pods; forwarded_connections_carry_bytes_both_ways]
}

fn forwarded_connections_carry_bytes_both_ways(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let mut forward = job.kubectl("port-forward pod/bench :7000 :8080").start();
    let (echo, web) = (port(&mut forward, 7000), port(&mut forward, 8080));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| echoes(echo, &noise(512 << 10)));
        }
    });
    let mut page = connect(web);
    page.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("hello from "),
        "{answer}"
    );
    assert!(forward.is_running(), "it goes on");
}

/// Here, for a port there.
fn port(forward: &mut Running, there: u16) -> u16 {
    let suffix = format!(" -> {there}");
    until("kubectl names the port", || {
        let said = forward.stdout();
        let line = said.lines().find(|line| {
            line.starts_with("Forwarding from 127.0.0.1:") && line.ends_with(&suffix)
        })?;
        line.split([':', ' ']).nth(3)?.parse().ok()
    })
}

fn echoes(port: u16, bytes: &[u8]) {
    let mut socket = connect(port);
    thread::scope(|scope| {
        let mut out = socket.try_clone().unwrap();
        scope.spawn(move || out.write_all(bytes).unwrap());
        let mut back = vec![0; bytes.len()];
        socket.read_exact(&mut back).unwrap();
        assert!(back == bytes, "the echo is not what was said");
    });
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
}
