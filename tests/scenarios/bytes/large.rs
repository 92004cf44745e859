//! Bodies of any size pass with flat memory.

use adit_tests::{
    World, body,
    caller::{Http1, Http2, get, request},
    lonely::{alone, memory, peak_memory},
    pattern::Check,
    scenario, within, world,
};
use http::Method;
use http_body_util::BodyExt;

const SIZE: u64 = 64 << 20;
/// All windows and buffers on the way, of callers, relay, agent and API server together: they share this process.
const BUFFERS: usize = 40 << 20;

/// Passes a small body by HTTP/2 and then, alone in a process, the large ones, during which no more memory than the buffers may be
/// held. `name` is the calling test's.
fn takes_only_buffers(name: &str, pass: impl AsyncFnOnce(&World, Http1, Http2)) {
    alone(name, || {
        scenario(async {
            let world = world().await;
            let (http1, http2) = (world.job.http1().await, world.job.http2().await);
            http2.get("/big/100000").await;
            let upload = request(Method::PUT, "/sink", body::pattern(100_000));
            http2.answer(upload).await;
            let before = memory();
            pass(&world, http1, http2).await;
            let more = peak_memory() - before;
            assert!(more < BUFFERS, "{} MiB more", more >> 20);
            world.stop().await;
        });
    });
}

#[test]
fn download_of_64_mib_takes_no_more_memory_than_the_windows() {
    let name = "bytes::large::download_of_64_mib_takes_no_more_memory_than_the_windows";
    takes_only_buffers(name, async |_, mut http1, http2| {
        let path = format!("/big/{SIZE}");
        for answer in [http2.send(get(&path)).await, http1.send(get(&path)).await] {
            let mut body = answer.unwrap().into_body();
            let mut check = Check::default();
            while let Some(frame) = within("more", body.frame()).await {
                check.take(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(check.seen, SIZE);
        }
    });
}

#[test]
fn upload_of_64_mib_takes_no_more_memory_than_the_windows() {
    let name = "bytes::large::upload_of_64_mib_takes_no_more_memory_than_the_windows";
    takes_only_buffers(name, async |world, mut http1, http2| {
        let unsized_upload = request(Method::PUT, "/sink", body::pattern(SIZE));
        assert_eq!(http2.send(unsized_upload).await.unwrap().status(), 200);
        let sized_upload = request(Method::PUT, "/sink", body::pattern_of_known_length(SIZE));
        assert_eq!(http1.send(sized_upload).await.unwrap().status(), 200);
        assert_eq!(world.kube.sunk() as u64, 2 * SIZE + 100_000);
    });
}

#[test]
fn many_large_answers_pass_on_one_tunnel() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        for _ in 0..30 {
            let answer = http2.get("/big/1000000").await;
            assert_eq!(answer.body.len(), 1_000_000);
        }
        drop(http2);
        world.stop().await;
    });
}
