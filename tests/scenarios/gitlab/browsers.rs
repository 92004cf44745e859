//! Browsers that have a page of GitLab's open: its session, its proof, its origin, and what of a cluster's answer it may see.

use adit_tests::{
    Answer, Caller, Endpoint, KubeBuilder, body,
    caller::{self, breaks_off, get},
    kube,
    raw::field,
    scenario, within,
};
use http::{Method, Request, Response, StatusCode};

use super::{Place, RECHECK};
use crate::upgrades::WEBSOCKET;

const PAGE: &str = "https://gitlab.test";
const AS_USER: &str = "user_access: { access_as: { user: {} }, groups: [{ id: group }] }";

/// The usual place, which serves browsers, and `dev1`, who is logged in.
struct Known {
    place: Place,
    cookie: String,
    csrf_token: String,
}

/// What a page sends.
type Shown<'a> = [(&'a str, &'a str)];

impl Known {
    async fn new(keys: &str, more: &str) -> Self {
        Self::before(kube(), keys, more).await
    }

    async fn before(kube: KubeBuilder, keys: &str, more: &str) -> Self {
        let browsers = format!("browsers: {{ allowed_origins: ['{PAGE}'], {more} }}");
        let place = Place::trusted_before(kube, &format!("{keys}, {browsers}")).await;
        let (cookie, csrf_token) = {
            let mut world = place.gitlab.world();
            world.configure_yaml(1, AS_USER).unwrap();
            let (cookie, csrf_token) = world.log_in(12);
            let header = world.set_cookie(&cookie);
            let cookie = header.split(';').next().unwrap().to_owned();
            (cookie, csrf_token)
        };
        Self {
            place,
            cookie,
            csrf_token,
        }
    }

    fn browser(&self) -> Caller {
        self.place.relay().showing("").anonymous()
    }

    /// What GitLab's page for `prod` sends.
    fn shown(&self) -> [(&str, &str); 4] {
        [
            ("cookie", &self.cookie),
            ("gitlab-agent-id", "1"),
            ("x-csrf-token", &self.csrf_token),
            ("origin", PAGE),
        ]
    }

    async fn ask(&self, path: &str, shown: &Shown<'_>) -> Answer {
        let browser = self.browser().http2().await;
        browser.answer(asking(get(path), shown)).await
    }

    fn log_out(&self) {
        let mut world = self.place.gitlab.world();
        world.user_mut(12).sessions[0].is_over = true;
    }
}

fn asking(mut request: Request<body::Body>, shown: &Shown<'_>) -> Request<body::Body> {
    for (name, value) in shown {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// All but one of them.
fn without<'a>(shown: &Shown<'a>, name: &str) -> Vec<(&'a str, &'a str)> {
    let kept = shown.iter().filter(|(one, _)| *one != name);
    kept.copied().collect()
}

#[test]
fn a_page_of_gitlabs_sees_the_cluster_as_its_user() {
    scenario(async {
        let known = Known::new("recheck: 30s", "").await;
        let answer = known.ask("/api?limit=5", &known.shown()).await;
        assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        let vary = answer.headers.get_all("vary");
        assert!(vary.iter().any(|value| value == "Origin"), "{vary:?}");
        answer.echo();
        let came = known.place.world.kube.last();
        assert_eq!(came.target, "/api?limit=5");
        assert_eq!(came.values("impersonate-user"), ["gitlab:user:dev1"]);
        let kind = came.values("impersonate-extra-agent.gitlab.com%2faccess_type");
        assert_eq!(kind, ["session_cookie"]);
        for name in ["cookie", "gitlab-agent-id", "x-csrf-token"] {
            assert_eq!(came.values(name), Vec::<String>::new(), "{name}");
        }
        // One question for all requests of the page.
        known.ask("/api", &known.shown()).await.echo();
        let asked = known.place.gitlab.calls();
        assert_eq!(asked.to(Endpoint::AuthorizeProxyUser), 1);
        known.place.stop().await;
    });
}

#[test]
fn a_websocket_names_agent_and_proof_in_its_address() {
    scenario(async {
        let known = Known::new(RECHECK, "").await;
        let proof = known.csrf_token.replace('+', "%2B");
        let query = format!("gitlab-agent-id=1&gitlab-csrf-token={proof}");
        let shown = [("cookie", known.cookie.as_str()), ("origin", PAGE)];
        known
            .ask(&format!("/api?limit=5&{query}"), &shown)
            .await
            .echo();
        assert_eq!(known.place.world.kube.last().target, "/api?limit=5");
        let fields = format!("Cookie: {}\r\nOrigin: {PAGE}\r\n{WEBSOCKET}", known.cookie);
        let path = format!("POST /upgrade?{query}");
        let mut session = known.browser().raw_asking(&path, &fields).await;
        let head = within("101", session.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(known.place.world.kube.last().target, "/upgrade");
        known.log_out();
        let (_, end) = within("the session's end", session.rest()).await;
        assert!(end.is_err(), "it must not look complete");
        known.place.stop().await;
    });
}

#[test]
fn what_a_page_must_show_is_missed() {
    scenario(async {
        let known = Known::new("recheck: 30s", "").await;
        let shown = known.shown();
        let cases = [
            ("cookie", "credential_missing"),
            ("gitlab-agent-id", "bad_session"),
            ("x-csrf-token", "bad_session"),
        ];
        for (name, reason) in cases {
            let answer = known.ask("/api", &without(&shown, name)).await;
            assert_eq!(answer.headers["gitlab-unauthorized"], "true");
            // The page may read why.
            assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
            let refused = answer.refused();
            assert_eq!(refused.told(), (401, reason, "client", None));
        }
        // GitLab has the last word.
        let wrong = |name, value| {
            let mut wrong = without(&shown, name);
            wrong.push((name, value));
            wrong
        };
        let refused = [
            wrong("x-csrf-token", "another"),
            wrong("cookie", "_gitlab_kas=garbage"),
            wrong("gitlab-agent-id", "2"),
        ];
        for shown in refused {
            let refused = known.ask("/api", &shown).await.refused();
            assert_eq!(refused.reason, "gitlab_user_not_accepted");
        }
        // Where there is a credential, the cookie counts for nothing.
        let mut both = shown.to_vec();
        both.push(("authorization", "Bearer pat:1:glpat-invented"));
        let refused = known.ask("/api", &both).await.refused();
        assert_eq!(refused.reason, "gitlab_user_not_accepted");
        known.place.stop().await;
    });
}

#[test]
fn a_page_of_another_origin_gets_nothing() {
    scenario(async {
        let known = Known::new("recheck: 30s", "").await;
        known.place.world.kube.forget();
        let (_, job) = known.place.job();
        let mut foreign = without(&known.shown(), "origin");
        foreign.push(("origin", "https://evil.test"));
        let answer = known.ask("/api", &foreign).await;
        assert!(answer.headers.get("access-control-allow-origin").is_none());
        let refused = answer.refused();
        assert_eq!(refused.told(), (403, "foreign_origin", "client", None));
        assert_eq!(known.place.world.kube.request_count(), 0);
        // A job has no origin, and needs none.
        job.get("/api").await.echo();
        known.place.stop().await;
    });
}

/// Kubernetes clients say one where they open a WebSocket, some at the API server's wish. No page can do so with a token.
#[test]
fn a_job_may_say_any_origin_and_no_page_sees_its_answer() {
    scenario(async {
        let known = Known::new("recheck: 30s", "").await;
        let (_, job) = known.place.job();
        let token = job.authorization.clone().unwrap();
        let shown = [
            ("authorization", token.as_str()),
            ("origin", "https://relay.example.com"),
        ];
        let answer = known.ask("/api", &shown).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers.get("access-control-allow-origin").is_none());
        assert_eq!(answer.echo().values("origin"), [shown[1].1]);
        known.place.stop().await;
    });
}

#[test]
fn a_preflight_is_answered_by_the_relay_alone() {
    scenario(async {
        let known = Known::new("recheck: 30s", "").await;
        known.place.world.kube.forget();
        let browser = known.browser().http2().await;
        let preflight = |origin| {
            let request = caller::request(Method::OPTIONS, "/api", body::empty());
            let shown = [
                ("origin", origin),
                ("access-control-request-method", "PATCH"),
                (
                    "access-control-request-headers",
                    "gitlab-agent-id, x-csrf-token",
                ),
            ];
            asking(request, &shown)
        };
        let answer = browser.answer(preflight(PAGE)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let told = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(told("access-control-allow-origin"), PAGE);
        assert_eq!(told("access-control-allow-credentials"), "true");
        assert_eq!(told("access-control-max-age"), "86400");
        assert!(told("access-control-allow-methods").contains("PATCH"));
        let wanted = "gitlab-agent-id, x-csrf-token";
        assert_eq!(told("access-control-allow-headers"), wanted);
        let refused = browser.answer(preflight("https://evil.test")).await;
        assert_eq!(refused.refused().reason, "foreign_origin");
        assert_eq!(known.place.world.kube.request_count(), 0);
        drop(browser);
        known.place.stop().await;
    });
}

#[test]
fn a_cluster_cannot_act_on_gitlabs_pages() {
    scenario(async {
        let kube = kube().answer("/odd", |_| async {
            let answer = Response::builder()
                .header("set-cookie", "_gitlab_session=stolen")
                .header("access-control-allow-origin", "*")
                .header("content-security-policy", "default-src *")
                .header("warning", "299 - \"old\"")
                .header("x-mine", "mine");
            answer.body(body::full("odd")).unwrap()
        });
        let more = "extra_response_headers: [x-mine]";
        let known = Known::before(kube, "recheck: 30s", more).await;
        let answer = known.ask("/odd", &known.shown()).await;
        let passed = ["warning", "x-mine"];
        assert!(passed.iter().all(|name| answer.headers.contains_key(*name)));
        assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
        for name in ["set-cookie", "content-security-policy"] {
            assert!(!answer.headers.contains_key(name), "{name}");
        }
        // Programs see what the cluster says.
        let (_, job) = known.place.job();
        let answer = job.get("/odd").await;
        assert!(answer.headers.contains_key("set-cookie"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        known.place.stop().await;
    });
}

#[test]
fn who_logs_out_is_cut() {
    scenario(async {
        let known = Known::new(RECHECK, "").await;
        let browser = known.browser().http2().await;
        let watch = browser
            .send(asking(get("/watch"), &known.shown()))
            .await
            .unwrap();
        known.log_out();
        breaks_off(watch).await;
        let refused = browser.answer(asking(get("/api"), &known.shown())).await;
        assert_eq!(refused.refused().reason, "gitlab_user_not_accepted");
        drop(browser);
        known.place.stop().await;
    });
}

#[test]
fn where_browsers_are_not_served_a_cookie_is_no_credential() {
    scenario(async {
        let place = Place::trusted("recheck: 30s").await;
        let shown = [("cookie", "_gitlab_kas=abc"), ("origin", PAGE)];
        let anybody = place.relay().showing("").anonymous().http2().await;
        let answer = anybody.answer(asking(get("/api"), &shown)).await;
        assert!(answer.headers.get("access-control-allow-origin").is_none());
        assert_eq!(answer.refused().reason, "credential_missing");
        drop(anybody);
        place.stop().await;
    });
}
