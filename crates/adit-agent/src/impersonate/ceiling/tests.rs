use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn as_user(user: &str, groups: &[&str]) -> Impersonation {
    let groups = groups.iter().map(|&group| group.into()).collect();
    Impersonation::new(user.into(), None, groups, vec![]).unwrap()
}

#[test]
fn default_covers_jobs_and_nothing_of_the_system() {
    let ceiling = Ceiling::default();
    assert_eq!(ceiling.check_agent(), Ok(()));
    assert_eq!(
        ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job", "admins"])),
        Ok(())
    );
    for user in [
        "system:admin",
        "system:serviceaccount:kube-system:default",
        "system:node:a",
    ] {
        assert_eq!(
            ceiling.check(&as_user(user, &[])),
            Err(Beyond::User(user.into()))
        );
    }
    for group in ["system:masters", "system:nodes"] {
        let beyond = ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job", group]));
        assert_eq!(beyond, Err(Beyond::Group(group.into())));
    }
}

#[test]
fn masters_must_be_named_in_full() {
    let groups = |texts: &[&str]| Ceiling {
        groups: patterns(texts),
        ..Ceiling::default()
    };
    let masters = as_user("a", &["system:masters"]);
    assert!(
        groups(&["*", "system:*", "system:m*"])
            .check(&masters)
            .is_err()
    );
    assert_eq!(groups(&["system:masters"]).check(&masters), Ok(()));
    assert_eq!(
        groups(&["system:*"]).check(&as_user("a", &["system:nodes"])),
        Ok(())
    );
}

#[test]
fn what_is_listed_is_all_that_is_covered() {
    let ceiling = Ceiling {
        agent: false,
        users: patterns(&["gitlab:*"]),
        groups: patterns(&["gitlab:ci_job"]),
        ..Ceiling::default()
    };
    assert_eq!(ceiling.check_agent(), Err(Beyond::Agent));
    assert_eq!(
        ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job"])),
        Ok(())
    );
    assert!(ceiling.check(&as_user("root", &[])).is_err());
    assert!(
        ceiling
            .check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job:2"]))
            .is_err()
    );
    let nobody = Ceiling {
        users: vec![],
        ..Ceiling::default()
    };
    assert!(nobody.check(&as_user("a", &[])).is_err());
}

#[test]
fn a_star_stands_only_at_the_end() {
    assert_eq!("gitlab:*:1".parse::<Pattern>(), Err(BadPattern::Star));
    assert_eq!("**".parse::<Pattern>(), Err(BadPattern::Star));
    assert_eq!("".parse::<Pattern>(), Err(BadPattern::Empty));
}
fn refused(ceiling: &Ceiling, method: &str, target: &str) -> Option<String> {
    let checked = ceiling.check_deed(&Deed::of(method, target));
    checked.err().map(|beyond| beyond.to_string())
}

/// That it is refused, by this key.
fn assert_refused(ceiling: &Ceiling, key: &str, requests: &[(&str, &str)]) {
    for (method, target) in requests {
        let why = refused(ceiling, method, target).unwrap_or_default();
        assert!(
            why.contains(&format!("`ceiling.{key}")),
            "{method} {target}: {why}"
        );
    }
}

fn assert_allowed(ceiling: &Ceiling, requests: &[(&str, &str)]) {
    for (method, target) in requests {
        assert_eq!(refused(ceiling, method, target), None, "{method} {target}");
    }
}

const POD: &str = "/api/v1/namespaces/shop/pods/p";
const EXEC: &str = "/api/v1/namespaces/shop/pods/p/exec?command=sh";
const FIRST: [(&str, &str); 3] = [
    ("GET", "/apis/apps/v1"),
    ("GET", "/version"),
    (
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ),
];

#[test]
fn what_is_not_limited_may_be_anything() {
    let requests = [
        ("GET", "/api/v1/secrets"),
        ("BREW", "//api/../%2F"),
        ("GET", EXEC),
        ("GET", "/metrics"),
    ];
    assert_allowed(&Ceiling::default(), &requests);
}

#[test]
fn namespaces_are_all_that_it_acts_in() {
    let mut ceiling = Ceiling {
        namespaces: patterns(&["shop", "review-*"]),
        cluster_scope: false,
        ..Ceiling::default()
    };
    assert_allowed(&ceiling, &FIRST);
    assert_allowed(
        &ceiling,
        &[
            ("GET", EXEC),
            ("DELETE", "/api/v1/namespaces/shop"),
            (
                "GET",
                "/apis/apps/v1/namespaces/review-1/deployments?watch=1",
            ),
            ("GET", "/api/v1/watch/namespaces/shop/pods"),
        ],
    );
    assert_refused(
        &ceiling,
        "namespaces",
        &[
            ("GET", "/api/v1/namespaces/kube-system/secrets"),
            ("GET", "/api/v1/namespaces/shops/pods"),
            ("GET", "/api/v1/namespaces/SHOP/pods"),
            ("PATCH", "/api/v1/namespaces/review"),
            ("GET", "/api/v1/watch/namespaces/default/pods"),
            ("GET", "/api/v1/namespaces/shop/../default/pods"),
            ("GET", "/api/v1/namespaces/shop%2f..%2fdefault/pods"),
            ("GET", "/api/v1/namespaces//pods"),
            ("GET", "/api/v1/proxy/namespaces/default/pods/p"),
            ("GET", "/API/v1/namespaces/default/pods"),
        ],
    );
    let of_the_cluster = [
        ("GET", "/api/v1/secrets"),
        (
            "GET",
            "/api/v1/pods?fieldSelector=metadata.namespace%3Dshop",
        ),
        ("GET", "/api/v1/watch/pods"),
        ("GET", "/api/v1/nodes/n/proxy/exec"),
        ("POST", "/api/v1/namespaces"),
        ("GET", "/metrics"),
    ];
    assert_refused(&ceiling, "cluster_scope", &of_the_cluster);
    ceiling.cluster_scope = true;
    assert_allowed(&ceiling, &of_the_cluster);
    assert_refused(
        &ceiling,
        "namespaces",
        &[("GET", "/api/v1/namespaces/default/pods")],
    );
}

#[test]
fn verbs_are_all_that_it_does() {
    let ceiling = Ceiling {
        verbs: patterns(&["get", "list", "watch"]),
        ..Ceiling::default()
    };
    assert_allowed(&ceiling, &FIRST);
    assert_allowed(
        &ceiling,
        &[
            ("GET", POD),
            ("HEAD", POD),
            ("GET", "/api/v1/pods?watch=1"),
            ("GET", "/metrics"),
        ],
    );
    assert_refused(
        &ceiling,
        "verbs",
        &[
            ("POST", "/api/v1/namespaces/shop/pods"),
            ("PUT", POD),
            ("PATCH", POD),
            ("DELETE", POD),
            ("DELETE", "/api/v1/namespaces/shop/pods?watch=1"),
            ("POST", EXEC),
            // A WebSocket.
            ("GET", EXEC),
            ("GET", "/api/v1/namespaces/shop/services/s/proxy/"),
            ("GET", "/api/v1/nodes/n/proxy/run"),
            ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            ("DELETE", "/api/v1/watch/namespaces/shop/pods/p"),
            ("post", "/api/v1/namespaces/shop/pods"),
        ],
    );
    let no_list = Ceiling {
        verbs: patterns(&["get", "watch"]),
        ..Ceiling::default()
    };
    let pods = "/api/v1/namespaces/shop/pods";
    for query in [
        "",
        "?watch=0",
        "?watch=false",
        "?fieldSelector=metadata.name=p",
        "?watch=1;x",
    ] {
        assert_refused(&no_list, "verbs", &[("GET", &format!("{pods}{query}"))]);
    }
    for query in ["?watch=1", "?watch=true", "?watch"] {
        assert_allowed(&no_list, &[("GET", &format!("{pods}{query}"))]);
    }
    let no_watch = Ceiling {
        verbs: patterns(&["get", "list"]),
        ..Ceiling::default()
    };
    for target in [
        "/api/v1/pods?watch=true",
        "/api/v1/pods?w%61tch=1",
        "/api/v1/pods?watch=yes",
        "/api/v1/watch/pods",
    ] {
        assert_refused(&no_watch, "verbs", &[("GET", target)]);
    }
}

#[test]
fn subresources_are_all_that_it_touches_of_an_object_apart() {
    let ceiling = Ceiling {
        subresources: patterns(&["log", "s*"]),
        ..Ceiling::default()
    };
    assert_allowed(&ceiling, &FIRST);
    assert_allowed(
        &ceiling,
        &[
            ("GET", "/api/v1/secrets"),
            ("DELETE", POD),
            ("GET", "/api/v1/namespaces/shop/pods/p/log?follow=true"),
            ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/d/scale"),
            ("PUT", "/api/v1/namespaces/shop/status"),
        ],
    );
    assert_refused(
        &ceiling,
        "subresources",
        &[
            ("POST", EXEC),
            ("GET", EXEC),
            ("GET", "/api/v1/namespaces/shop/pods/p/EXEC"),
            ("GET", "/api/v1/namespaces/shop/pods/p/exec/"),
            ("GET", "/api/v1/namespaces/shop/pods/p/%65xec"),
            ("GET", "/api/v1/namespaces/shop/pods/p%2Fexec"),
            ("GET", "/api/v1/namespaces/shop/pods//p/exec"),
            ("GET", "/api/v1/proxy/namespaces/shop/pods/p"),
            ("POST", "/api/v1/namespaces/shop/pods/p/attach"),
            ("POST", "/api/v1/namespaces/shop/pods/p/portforward"),
            (
                "PATCH",
                "/api/v1/namespaces/shop/pods/p/ephemeralcontainers",
            ),
            ("POST", "/api/v1/namespaces/shop/pods/p/eviction"),
            ("POST", "/api/v1/namespaces/shop/serviceaccounts/a/token"),
            ("PUT", "/api/v1/namespaces/shop/finalize"),
            ("GET", "/api/v1/nodes/n/proxy/run"),
        ],
    );
    let whole_objects = Ceiling {
        subresources: vec![],
        ..Ceiling::default()
    };
    assert_allowed(&whole_objects, &[("DELETE", POD)]);
    assert_refused(
        &whole_objects,
        "subresources",
        &[("GET", "/api/v1/namespaces/shop/pods/p/log")],
    );
}

#[test]
fn patterns_that_would_cover_nothing_are_mistakes() {
    assert!(Pattern::of_namespaces("review-*").is_ok());
    for odd in ["Shop", "a/b", "kube_system", "system:*"] {
        assert_eq!(
            Pattern::of_namespaces(odd),
            Err(BadPattern::Namespace),
            "{odd}"
        );
    }
    assert!(Pattern::of_verbs("delete*").is_ok());
    for odd in ["exec", "Get", "read*", "impersonate", "proxy"] {
        assert_eq!(Pattern::of_verbs(odd), Err(BadPattern::Verb), "{odd}");
    }
    for subresource in ["exec", "http_requests"] {
        assert!(Pattern::of_subresources(subresource).is_ok());
    }
    for odd in ["pods/exec", "pods/*", "Exec"] {
        assert_eq!(
            Pattern::of_subresources(odd),
            Err(BadPattern::Subresource),
            "{odd}"
        );
    }
}
