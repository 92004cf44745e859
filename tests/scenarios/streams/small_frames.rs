//! Terminal sessions, logs and events come in tiny pieces. HTTP/2 libraries take many unread ones for an attack and close
//! the whole connection; on the way through relay and agent that must hit nobody.

use adit_tests::{
    body,
    caller::{get, next_piece, request},
    scenario, within, world,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;

#[test]
fn upload_in_tiny_frames_passes() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.h2().await;
        let head = world.job.h2_get("/sink").map(|()| ());
        let (answer, mut send) = connection.send(head, false);
        let mut sent = 0;
        while sent < 20_000 {
            send.reserve_capacity(10);
            within(
                "capacity",
                std::future::poll_fn(|cx| send.poll_capacity(cx)),
            )
            .await
            .unwrap()
            .unwrap();
            send.send_data(adit_tests::pattern::piece(sent, 10), false)
                .unwrap();
            sent += 10;
        }
        send.send_data(Bytes::new(), true).unwrap();
        let mut answer = within("an answer", answer).await.unwrap().into_body();
        let body = within("its body", answer.data()).await.unwrap().unwrap();
        assert_eq!(body, "{\"bytes\":20000}");
        drop((answer, connection));
        world.stop().await;
    });
}

#[test]
fn tiny_events_to_readers_that_are_late_break_no_connection() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watches = join_all((0..50).map(|_| http2.send(get("/watch")))).await;
        let mut watches: Vec<_> = watches.into_iter().map(Result::unwrap).collect();
        for at in 0..60 {
            world.kube.event(&at.to_string());
            // Lets the pieces leave one by one; joined they would be no test.
            tokio::task::yield_now().await;
        }
        http2.get("/api").await.echo();
        let expected: String = (0..60).map(|at| format!("{at}\n")).collect();
        for watch in &mut watches {
            let mut came = Vec::new();
            while came.len() < expected.len() {
                came.extend_from_slice(&next_piece(watch).await);
            }
            assert_eq!(String::from_utf8(came).unwrap(), expected);
        }
        drop((watches, http2));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn bytes_sent_one_by_one_come_back_one_by_one() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let (hand, body) = body::by_hand();
        let mut answer = within("a head", http2.send(request(Method::POST, "/duplex", body)))
            .await
            .unwrap();
        for at in 0..300_u32 {
            let byte = [at as u8];
            hand.data(byte.to_vec()).await;
            assert_eq!(next_piece(&mut answer).await, byte.as_slice());
        }
        drop((hand, answer, http2));
        world.stop().await;
    });
}
