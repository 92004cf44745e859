//! Bodies that wait to be asked for: RFC 9110 section 10.1.1.

use super::*;

/// Whether the body came, for a request whose caller waits to be told to send it.
async fn expecting(serve: impl AsyncFnOnce(&mut Server, Request<RecvStream>, SendResponse<Bytes>)) {
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (request, respond) = accept(server).await;
        serve(server, request, respond).await;
    };
    let calling = async {
        let (lease, body) = (client.connection.lease().unwrap(), Some(text("body")));
        let (response, mut upload) = call(
            lease,
            request(&body),
            body,
            Expectation::Continue,
            |_, _| {},
        )
        .await
        .unwrap();
        poll_fn(|cx| upload.poll(cx)).await;
        response.into_body().collect().await.unwrap();
    };
    beside(server, serving, calling).await;
}

#[tokio::test(start_paused = true)]
async fn expected_continue_lets_the_body_go() {
    let asked = Instant::now();
    expecting(async |server, request, mut respond| {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        respond.send_informational(go_on).unwrap();
        assert_eq!(
            while_served(server, read_all(request.into_body())).await.0,
            b"body"
        );
        respond.send_response(Response::new(()), true).unwrap();
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "nobody waited for the timer"
    );
}

#[tokio::test(start_paused = true)]
async fn body_goes_after_a_second_without_continue() {
    expecting(async |server, request, mut respond| {
        assert_eq!(
            while_served(server, read_all(request.into_body())).await.0,
            b"body"
        );
        respond.send_response(Response::new(()), true).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn body_is_not_asked_for_after_a_final_answer() {
    expecting(async |server, request, mut respond| {
        respond.send_response(Response::new(()), true).unwrap();
        let mut recv = request.into_body();
        let came = while_served(server, async { recv.data().await }).await;
        assert!(came.is_none_or(|data| data.is_err()), "no byte of the body");
    })
    .await;
}
