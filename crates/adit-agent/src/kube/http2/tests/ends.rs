//! Requests and answers that break off, are refused, or are taken back: each looks like it at the other end.

use super::*;

#[tokio::test]
async fn who_leaves_takes_the_request_back() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let reset = async {
        let (_request, mut respond) = accept(&mut server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        while_served(&mut server, poll_fn(|cx| send.poll_reset(cx)))
            .await
            .unwrap()
    };
    let calling = async {
        let (response, upload) = client.call(None).await.unwrap();
        assert_eq!(client.connection.load().streams(), 1);
        drop((response, upload));
    };
    let (reason, ()) = soon(async { tokio::join!(reset, calling) }).await;
    assert_eq!(reason, Reason::CANCEL);
    assert_eq!(client.connection.load().streams(), 0);
}

#[tokio::test]
async fn body_that_breaks_off_never_looks_complete() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let broken = StreamError::Reset {
        reason: ResetReason::Cancelled,
        message: String::new(),
    };
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Err(broken)];
    let reading = async {
        let (request, _respond) = accept(&mut server).await;
        let mut recv = request.into_body();
        while_served(&mut server, async {
            loop {
                match recv.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.reason(),
                    None => panic!("it looks complete"),
                }
            }
        })
        .await
    };
    let (reason, called) =
        soon(async { tokio::join!(reading, client.call(Some(body(frames)))) }).await;
    assert_eq!(reason, Some(Reason::CANCEL));
    assert!(called.is_err());
}

#[tokio::test]
async fn answer_that_breaks_off_is_an_error() {
    let (client, server) = pair(&server::Builder::new()).await;
    let serving = async |server: &mut Server| {
        let (_, mut respond) = accept(server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data("half".into(), false).unwrap();
        while_served(server, tokio::task::yield_now()).await;
        // RFC 9113 section 8.1 has it only after a complete answer.
        send.send_reset(Reason::NO_ERROR);
        respond
    };
    let calling = async {
        let (response, _upload) = client.call(None).await.unwrap();
        response.into_body().collect().await.map(|_| ())
    };
    let error = beside(server, serving, calling).await.unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
}

/// Refuses all that comes.
async fn refuse(server: &mut Server) {
    loop {
        let (_request, mut respond) = accept(server).await;
        respond.send_reset(Reason::REFUSED_STREAM);
    }
}

#[tokio::test]
async fn refused_stream_may_be_tried_again() {
    let (client, server) = pair(&server::Builder::new()).await;
    let lease = client.connection.lease().unwrap();
    let calling = call(lease, request(&None), None, Expectation::None, |_, _| {});
    let untouched = beside(server, refuse, calling).await;
    assert!(
        matches!(untouched, Err(CallError::NotTaken(_))),
        "{:?}",
        untouched.map(|_| ())
    );
    assert!(
        client.connection.lease().is_none(),
        "who refuses once gets no more"
    );
}

#[tokio::test]
async fn refused_stream_whose_body_has_begun_is_lost() {
    let (client, server) = pair(&server::Builder::new()).await;
    let begun = beside(server, refuse, client.call(Some(text("x")))).await;
    assert!(
        matches!(begun, Err(CallError::Lost { .. })),
        "{:?}",
        begun.map(|_| ())
    );
}
