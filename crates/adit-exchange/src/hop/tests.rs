use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn request(version: Version, lines: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.version_mut() = version;
    *request.headers_mut() = headers(lines);
    request
}

#[test]
fn connection_lists_are_read_over_lines_spaces_and_case() {
    let listed = Listed::of_request(&headers(&[
        ("connection", "Keep-Alive, X-One ,,"),
        ("connection", "\tx-two,close"),
    ]))
    .unwrap();
    assert!(listed.contains(&HeaderName::from_static("x-one")));
    assert!(listed.contains(&HeaderName::from_static("x-two")));
    assert_eq!(listed.0.len(), 2);
}

#[test]
fn a_connection_member_that_is_no_name_is_refused_in_a_request_and_skipped_in_an_answer() {
    let odd = headers(&[("connection", "x y, x-one")]);
    assert_eq!(Listed::of_request(&odd).unwrap_err(), NotAName);
    assert!(Listed::of_answer(&odd).contains(&HeaderName::from_static("x-one")));
}

#[test]
fn identity_listed_in_connection_is_seen_in_any_spelling() {
    for list in [
        "Impersonate-User",
        "close, IMPERSONATE-extra-x",
        "authorization",
        "X-Remote-Group",
    ] {
        let listed = Listed::of_request(&headers(&[("connection", list)])).unwrap();
        assert!(listed.names_identity(), "{list}");
    }
    assert!(
        !Listed::of_request(&headers(&[("connection", "keep-alive, te, x-one")]))
            .unwrap()
            .names_identity()
    );
}

#[test]
fn an_upgrade_counts_only_on_http_1_1_and_when_connection_says_so() {
    let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    assert_eq!(
        upgrade_asked(&request(Version::HTTP_11, &spdy)).unwrap(),
        "SPDY/3.1"
    );
    assert_eq!(upgrade_asked(&request(Version::HTTP_10, &spdy)), None);
    assert_eq!(upgrade_asked(&request(Version::HTTP_2, &spdy)), None);
    assert_eq!(
        upgrade_asked(&request(Version::HTTP_11, &[("upgrade", "SPDY/3.1")])),
        None
    );
}

#[test]
fn protocols_that_would_hide_requests_are_ignored() {
    for protocol in ["h2c", "H2C", "websocket, h2c", "TLS/1.2", ""] {
        let asked = upgrade_asked(&request(
            Version::HTTP_11,
            &[("connection", "upgrade"), ("upgrade", protocol)],
        ));
        assert_eq!(asked, None, "{protocol}");
    }
}

#[test]
fn a_token_in_a_websocket_subprotocol_is_seen() {
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    let token = HeaderValue::from_static(
        "v5.channel.k8s.io, Base64url.bearer.authorization.k8s.io.c2VjcmV0",
    );
    assert!(is_token_subprotocol(&name, &token));
    assert!(!is_token_subprotocol(
        &name,
        &HeaderValue::from_static("v5.channel.k8s.io")
    ));
}

#[test]
fn trailers_hold_nothing_that_frames_routes_or_authenticates() {
    for name in [
        "impersonate-user",
        "authorization",
        "content-length",
        "transfer-encoding",
        "host",
        "x-remote-user",
        "cookie",
    ] {
        assert!(!may_trail(&HeaderName::from_static(name)), "{name}");
    }
    assert!(may_trail(&HeaderName::from_static("x-checksum")));
}
