//! The connection itself: how many requests it takes, how far it reads ahead, and when it is given up.

use std::collections::VecDeque;

use adit_process::metrics::Label as _;

use super::*;

#[tokio::test]
async fn connection_takes_as_many_requests_as_its_peer_allows() {
    let mut builder = server::Builder::new();
    let (Client { connection, .. }, _server) = pair(builder.max_concurrent_streams(3)).await;
    let mut leases: VecDeque<_> = (0..3).map(|_| connection.lease().unwrap()).collect();
    assert!(connection.lease().is_none());
    leases.pop_front();
    assert_eq!(connection.load().streams(), 2);
    let last = connection.lease().unwrap();
    connection.load().retire();
    drop((last, leases));
    assert!(connection.lease().is_none());
    assert_eq!(connection.load().streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn peer_that_allows_none_is_never_open() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(0);
    let serving = async {
        let mut server: Server = builder.handshake(far).await.unwrap();
        let _ = server.accept().await;
    };
    tokio::select! {
        opened = open(near, LIMITS, Window::Wide) => panic!("{:?}", opened.map(|_| ())),
        () = serving => panic!("the client hung up"),
        // The clock runs when nothing else can.
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn silent_connection_is_given_up_within_its_time() {
    let (mut client, _server) = pair(&server::Builder::new()).await;
    // The server's end is not driven: nothing is answered, nothing is closed.
    let began = Instant::now();
    let lease = client.connection.lease().unwrap();
    let called = call(lease, request(&None), None, Expectation::None, |_, _| {}).await;
    let error = called.map(|_| ()).unwrap_err();
    assert_eq!(
        client.driver.join_next().await.unwrap().unwrap(),
        Loss::Silent
    );
    assert_eq!(began.elapsed().as_secs(), LIMITS.dead_after.as_secs());
    assert!(error.to_string().contains("ping"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_in_the_end() {
    let (mut client, mut server) = pair(&server::Builder::new()).await;
    let began = Instant::now();
    let closed = async { while server.accept().await.is_some() {} };
    let (loss, ()) = tokio::join!(client.driver.join_next(), closed);
    assert_eq!(loss.unwrap().unwrap(), Loss::Idle);
    assert!(began.elapsed() >= LIMITS.idle_after);
}

#[tokio::test(start_paused = true)]
async fn answers_are_not_read_faster_than_they_are_taken() {
    for window in Window::ALL.iter().copied() {
        read_no_further_than(window).await;
    }
}

async fn read_no_further_than(window: Window) {
    let (client, mut server) = pair_with(&server::Builder::new(), window).await;
    let sent = async {
        let (_request, mut respond) = accept(&mut server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        let mut sent = 0;
        let filling = poll_fn(|cx| {
            send.reserve_capacity(4 << 20);
            while let Poll::Ready(Some(Ok(room))) = send.poll_capacity(cx) {
                send.send_data(Bytes::from(vec![0; room]), false).unwrap();
                sent += room;
                send.reserve_capacity(4 << 20);
            }
            Poll::<()>::Pending
        });
        let _ =
            tokio::time::timeout(Duration::from_secs(5), while_served(&mut server, filling)).await;
        sent
    };
    let calling = async {
        let (response, upload) = client.call(None).await.unwrap();
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        (body, upload)
    };
    let (sent, held) = soon(async { tokio::join!(sent, calling) }).await;
    assert!(sent <= window.bytes() as usize + (32 << 10), "{sent}");
    assert!(!held.0.is_end_stream());
}
