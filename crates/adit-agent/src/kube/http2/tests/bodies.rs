//! What passes both ways on a stream: bodies, trailers, informational heads, in whatever order they come.

use super::*;

#[tokio::test]
async fn body_and_trailers_cross_both_ways() {
    let (client, server) = pair(&server::Builder::new()).await;
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    let frames = vec![
        Ok(Frame::data(Bytes::from_static(b"one "))),
        Ok(Frame::data(Bytes::new())),
        Ok(Frame::data(Bytes::from(vec![b'x'; 300_000]))),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let serving = async |server: &mut Server| {
        let (request, mut respond) = accept(server).await;
        let (bytes, theirs) = while_served(server, read_all(request.into_body())).await;
        assert_eq!((bytes.len(), theirs), (300_004, Some(trailers.clone())));
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(b"answer"), false)
            .unwrap();
        send.send_trailers(trailers.clone()).unwrap();
        respond
    };
    let calling = async {
        let (response, _upload) = client.call(Some(body(frames))).await.unwrap();
        response.into_body().collect().await.unwrap()
    };
    let collected = beside(server, serving, calling).await;
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "answer");
}

#[tokio::test]
async fn answer_comes_while_the_body_still_flows() {
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (request, mut respond) = accept(server).await;
        respond
            .send_response(Response::new(()), false)
            .unwrap()
            .send_data("early".into(), true)
            .unwrap();
        (request, respond)
    };
    let calling = async {
        let (response, _upload) = client.call(Some(silent())).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(beside(server, serving, calling).await, "early");
}

#[tokio::test]
async fn api_server_that_wants_no_more_of_a_body_is_still_heard() {
    let answered = tokio::sync::Notify::new();
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (request, mut respond) = accept(server).await;
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        respond
            .send_response(response, false)
            .unwrap()
            .send_data("no".into(), true)
            .unwrap();
        while_served(server, answered.notified()).await;
        respond.send_reset(Reason::NO_ERROR);
        (request, respond)
    };
    let endless =
        futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 64 << 10]))));
    let calling = async {
        let (response, mut upload) = client
            .call(Some(RequestBody::new(StreamBody::new(endless))))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        answered.notify_one();
        poll_fn(|cx| upload.poll(cx)).await;
        response.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(beside(server, serving, calling).await, "no");
}

#[tokio::test]
async fn other_informational_heads_are_passed_on() {
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (_, mut respond) = accept(server).await;
        let hints = Response::builder()
            .status(103)
            .header("link", "</x>")
            .body(())
            .unwrap();
        respond.send_informational(hints).unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        respond
    };
    let mut seen = Vec::new();
    let tell = |status: StatusCode, headers: &HeaderMap| {
        seen.push((status.as_u16(), headers["link"].clone()))
    };
    let calling = call(
        client.connection.lease().unwrap(),
        request(&None),
        None,
        Expectation::None,
        tell,
    );
    drop(beside(server, serving, calling).await.unwrap());
    assert_eq!(seen, [(103, HeaderValue::from_static("</x>"))]);
}

/// While its window is narrowed, widened and narrowed again.
#[tokio::test(start_paused = true)]
async fn answer_comes_whole_whatever_its_pace() {
    const BYTES: usize = 32 << 20;
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (request, mut respond) = accept(server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        let sending = async {
            let (mut left, mut pieces) = (BYTES, 0);
            while left > 0 {
                send.reserve_capacity(left);
                let room = poll_fn(|cx| match send.capacity() {
                    0 => send.poll_capacity(cx).map(|room| room.unwrap().unwrap()),
                    room => Poll::Ready(room),
                });
                // Windows are multiples of it, so that nothing at all is due while one is halved again and again.
                let piece = room.await.min(16 << 10);
                left -= piece;
                let piece = Bytes::from(vec![0; piece]);
                send.send_data(piece, left == 0).unwrap();
                pieces += 1;
                // The clock stands still while it sends quickly.
                if pieces / 133 % 2 == 1 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        while_served(server, sending).await;
        (request, respond)
    };
    let calling = async {
        let (response, _upload) = client.call(None).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        collected.to_bytes().len()
    };
    assert_eq!(beside(server, serving, calling).await, BYTES);
}
