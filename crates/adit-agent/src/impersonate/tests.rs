use adit_identity::{Extra, Impersonation};

use super::*;

fn job() -> Impersonation {
    let extra = |key: &str, values: &[&str]| Extra {
        key: key.into(),
        values: values.iter().map(|&value| value.into()).collect(),
    };
    Impersonation::new(
        "gitlab:ci_job:7".into(),
        Some("u-1".into()),
        vec![
            "gitlab:ci_job".into(),
            "gitlab:group:3".into(),
            "gitlab:group:3".into(),
        ],
        vec![
            extra("agent.gitlab.com/id", &["5"]),
            extra("100% sure", &["a", "b"]),
            extra("é", &["ü"]),
        ],
    )
    .unwrap()
}

fn apply(headers: &mut HeaderMap, act_as: ActAs) -> Result<(), NotActing> {
    Acting::new(act_as, Arc::new(Ceiling::default())).apply(headers, &Deed::Discovery)
}

fn written(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (
            name.to_string(),
            String::from_utf8(value.as_bytes().to_vec()).unwrap(),
        )
    };
    headers.iter().map(pair).collect()
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[test]
fn every_part_of_an_identity_is_written_as_it_is() {
    let mut all = headers(&[("accept", "*/*")]);
    apply(&mut all, ActAs::Impersonate(job())).unwrap();
    let want = [
        ("accept", "*/*"),
        ("impersonate-user", "gitlab:ci_job:7"),
        ("impersonate-uid", "u-1"),
        ("impersonate-group", "gitlab:ci_job"),
        ("impersonate-group", "gitlab:group:3"),
        ("impersonate-group", "gitlab:group:3"),
        ("impersonate-extra-agent.gitlab.com%2fid", "5"),
        ("impersonate-extra-100%25%20sure", "a"),
        ("impersonate-extra-100%25%20sure", "b"),
        ("impersonate-extra-%c3%a9", "ü"),
    ];
    assert_eq!(
        written(&all),
        want.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn agent_itself_is_sent_without_any_identity() {
    let mut all = headers(&[("accept", "*/*")]);
    apply(&mut all, ActAs::Agent).unwrap();
    assert_eq!(all, headers(&[("accept", "*/*")]));
}

#[test]
fn identity_that_came_in_is_refused_while_impersonating() {
    let names = [
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-scopes",
        "impersonate-x",
    ];
    for name in names {
        let mut all = headers(&[("accept", "*/*"), (name, "x")]);
        let refused = apply(&mut all, ActAs::Impersonate(job()));
        assert_eq!(
            refused,
            Err(NotActing::Smuggled(HeaderName::from_static(name))),
            "{name}"
        );
    }
}

#[test]
fn credentials_that_came_in_are_always_refused() {
    for name in ["authorization", "proxy-authorization"] {
        for act_as in [ActAs::Agent, ActAs::Impersonate(job())] {
            let refused = apply(&mut headers(&[(name, "x")]), act_as);
            assert_eq!(
                refused,
                Err(NotActing::Smuggled(HeaderName::from_static(name))),
                "{name}"
            );
        }
    }
}

#[test]
fn agent_passes_on_whom_its_caller_names_up_to_the_ceiling() {
    let ask = |fields: &[(&'static str, &'static str)]| {
        let mut all = headers(fields);
        apply(&mut all, ActAs::Agent).map(|()| all.len())
    };
    assert_eq!(
        ask(&[("impersonate-user", "jane"), ("impersonate-group", "dev")]),
        Ok(2)
    );
    let masters = Err(NotActing::Beyond(Beyond::Group("system:masters".into())));
    assert_eq!(
        ask(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "system:masters")
        ]),
        masters
    );
    assert_eq!(
        ask(&[
            ("impersonate-group", "dev"),
            ("impersonate-group", " system:masters")
        ]),
        masters
    );
    let admin = Err(NotActing::Beyond(Beyond::User("system:admin".into())));
    assert_eq!(
        ask(&[
            ("impersonate-user", "jane"),
            ("impersonate-user", "system:admin")
        ]),
        admin
    );
}

#[test]
fn identity_beyond_the_ceiling_is_refused() {
    let masters =
        Impersonation::new("a".into(), None, vec!["system:masters".into()], vec![]).unwrap();
    let mut all = HeaderMap::new();
    let refused = apply(&mut all, ActAs::Impersonate(masters));
    assert_eq!(
        refused,
        Err(NotActing::Beyond(Beyond::Group("system:masters".into())))
    );
    assert!(all.is_empty());
}

#[test]
fn anything_but_one_user_is_not_sent() {
    assert_eq!(
        assert_one_user(&HeaderMap::new()),
        Err(NotActing::Unwritable)
    );
    let twice = headers(&[("impersonate-user", "a"), ("impersonate-user", "b")]);
    assert_eq!(assert_one_user(&twice), Err(NotActing::Unwritable));
    assert_eq!(
        assert_one_user(&headers(&[("impersonate-user", "")])),
        Err(NotActing::Unwritable)
    );
}
