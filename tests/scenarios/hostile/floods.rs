//! Floods over HTTP/2: requests that are taken back at once (CVE-2023-44487), settings, pings, tiny frames, header lists that
//! grow when they are unpacked. The one who floods is hung up on or slowed, the others are served.

use adit_tests::{World, caller::get, kube, relay, scenario, until, within, world};
use bytes::Bytes;
use futures_util::future::join;
use h2::Reason;
use http::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Bystander,
    frames::{PREFACE, frame},
};

#[test]
fn requests_taken_back_at_once_end_the_connection_and_harm_nobody() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let mut connection = world.job.h2().await;
        let flood = async {
            for at in 0..20_000 {
                let Ok(sender) = connection.sender.clone().ready().await else {
                    return at;
                };
                connection.sender = sender;
                let Ok((_answer, mut stream)) = connection
                    .sender
                    .send_request(world.job.h2_get("/never"), false)
                else {
                    return at;
                };
                stream.send_reset(Reason::CANCEL);
                if at % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            20_000
        };
        let (sent, ()) = within("the flood", join(flood, bystander.is_unharmed())).await;
        assert!(sent < 20_000, "nobody minded {sent} requests taken back");
        let ended = within("the connection's end", connection.connection.join_next())
            .await
            .unwrap()
            .unwrap();
        assert!(ended.is_some(), "it ended well");
        until("nothing is open", || world.kube.open() == 0).await;
        bystander.is_unharmed().await;
        drop((connection, bystander));
        world.stop().await;
    });
}

#[test]
fn cancels_of_one_job_do_not_cost_the_others_their_tunnel() {
    scenario(async {
        let relay = relay().with("limits", "opens_per_second", 1_000_000);
        let world = World::of(kube(), relay).await;
        let other = world.relay.job(9002).http2().await;
        let watch = other.send(get("/watch")).await.unwrap();
        // Each stays below what ends a connection.
        for _ in 0..8 {
            let mut connection = world.job.h2().await;
            for _ in 0..60 {
                let mut taken_back = Vec::new();
                for _ in 0..15 {
                    connection.sender = connection.sender.ready().await.unwrap();
                    taken_back.push(connection.send(world.job.h2_get("/never"), false));
                }
                // Lets them get as far as they can first.
                let came = world.kube.request_count();
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                    if world.kube.request_count() >= came + 15 {
                        break;
                    }
                }
                for (_, mut stream) in taken_back {
                    stream.send_reset(Reason::CANCEL);
                }
            }
            let answer = within("an answer", other.get("/api")).await;
            // Refused at worst, and told so.
            assert!(answer.status == 200 || answer.refused().reason == "too_many_cancels");
        }
        until("the flood is over", || world.kube.open() == 1).await;
        let metrics = world.relay.metrics().await;
        assert_eq!(
            metrics.value("adit_relay_tunnels_opened_total"),
            1.0,
            "the tunnel was lost"
        );
        drop((watch, other));
        until("nothing is open", || world.kube.open() == 0).await;
        world.stop().await;
    });
}

#[test]
fn frames_that_cost_an_answer_each_do_not_pile_up() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let pings = frame(6, 0, 0, &[7; 8]);
        let settings = frame(4, 0, 0, &[]);
        let resets = frame(3, 0, 1, &8_u32.to_be_bytes());
        let unknown = frame(0x0b, 0, 0, b"what?");
        let continuation = frame(9, 0, 1, &[0; 100]);
        let empty_data = frame(0, 0, 1, &[]);
        let window = frame(8, 0, 0, &0_u32.to_be_bytes());
        let bad_settings = frame(4, 0, 0, &[0, 5, 0, 0, 0, 0]);
        for kind in [
            pings,
            settings,
            resets,
            unknown,
            continuation,
            empty_data,
            window,
            bad_settings,
        ] {
            let mut io = world.job.tls(adit_tests::pki::HTTP2).await;
            io.write_all(PREFACE).await.unwrap();
            let batch = kind.repeat(1000);
            // Nothing is read meanwhile: answers find no way out.
            let flood = async {
                for _ in 0..20 {
                    match tokio::time::timeout(
                        std::time::Duration::from_millis(200),
                        io.write_all(&batch),
                    )
                    .await
                    {
                        Ok(Ok(())) => {}
                        // Hung up on, or no longer read.
                        Ok(Err(_)) | Err(_) => return,
                    }
                }
            };
            within("the flood", join(flood, bystander.is_unharmed())).await;
        }
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn header_lists_that_grow_when_unpacked_are_refused() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let mut connection = world.job.h2().await;
        let mut head = world.job.h2_get("/api");
        // Sent once, and then as an index of one byte each.
        for _ in 0..3000 {
            head.headers_mut().append(
                HeaderName::from_static("cookie"),
                HeaderValue::from_static("0123456789012345678901234567890123456789"),
            );
        }
        let (answer, _) = connection.send(head, true);
        if let Ok(answer) = within("an answer or the end", answer).await {
            assert!(
                matches!(answer.status().as_u16(), 400 | 431),
                "{}",
                answer.status()
            );
        }
        assert_eq!(
            world
                .kube
                .requests()
                .iter()
                .filter(|request| request.value("impersonate-user")
                    == Some("gitlab:ci_job:9001".into()))
                .count(),
            0
        );
        bystander.is_unharmed().await;
        drop((connection, bystander));
        world.stop().await;
    });
}

#[test]
fn frames_of_one_byte_cost_only_their_sender() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let mut connection = world.job.h2().await;
        let (answer, mut send) = connection.send(world.job.h2_get("/sink"), false);
        let flood = async {
            for at in 0..30_000_u64 {
                send.reserve_capacity(1);
                match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                    Some(Ok(_))
                        if send
                            .send_data(adit_tests::pattern::piece(at, 1), false)
                            .is_ok() => {}
                    _ => return,
                }
            }
            let _ = send.send_data(Bytes::new(), true);
        };
        within("the flood", join(flood, bystander.is_unharmed())).await;
        drop((answer, connection, bystander));
        until("nothing is open", || world.kube.open() == 0).await;
        world.stop().await;
    });
}

#[test]
fn client_that_never_reads_its_answers_is_bounded() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let mut connection = world.job.raw().await;
        let flood = async {
            let request = world.job.head("GET /big/1000000", "");
            for _ in 0..2000 {
                match tokio::time::timeout(
                    std::time::Duration::from_millis(200),
                    connection.write(&request),
                )
                .await
                {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        };
        within("the flood", join(flood, bystander.is_unharmed())).await;
        let mut some = [0; 100];
        let _ = connection.io.read(&mut some).await;
        drop((connection, bystander));
        until("nothing is open", || world.kube.open() == 0).await;
        world.stop().await;
    });
}
