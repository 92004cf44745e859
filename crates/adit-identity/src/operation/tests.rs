use proptest::prelude::*;

use super::*;

/// `verb group/version namespace resource/subresource name`, with `-` for what is empty; or `verb path`.
fn read(method: &str, target: &str) -> String {
    let target = Target::new(target);
    let operation = target.operation(method);
    let verb = operation.verb.as_str();
    let Object::Resource(resource) = operation.object else {
        return format!("{verb} {}", target.path);
    };
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let all = [
        &format!("{}/{}", resource.group, resource.version),
        resource.namespace,
        &format!("{}/{}", resource.resource, resource.subresource),
        &resource.name,
    ]
    .map(or_dash);
    format!("{verb} {}", all.join(" "))
}

#[test]
fn methods_on_resources_are_rbac_verbs() {
    let cases = [
        ("GET", "/api/v1/namespaces/a/pods/p", "get /v1 a pods/ p"),
        ("HEAD", "/api/v1/namespaces/a/pods/p", "get /v1 a pods/ p"),
        ("GET", "/api/v1/namespaces/a/pods", "list /v1 a pods/ -"),
        ("HEAD", "/api/v1/pods", "list /v1 - pods/ -"),
        (
            "POST",
            "/apis/apps/v1/namespaces/a/deployments",
            "create apps/v1 a deployments/ -",
        ),
        (
            "PUT",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "update apps/v1 a deployments/scale d",
        ),
        (
            "PATCH",
            "/api/v1/nodes/n/status",
            "patch /v1 - nodes/status n",
        ),
        ("DELETE", "/api/v1/nodes/n", "delete /v1 - nodes/ n"),
        ("DELETE", "/api/v1/nodes", "deletecollection /v1 - nodes/ -"),
        ("OPTIONS", "/api/v1/nodes", "other /v1 - nodes/ -"),
    ];
    for (method, target, expected) in cases {
        assert_eq!(read(method, target), expected, "{method} {target}");
    }
}

#[test]
fn a_list_with_watch_is_a_watch() {
    let watches = [
        "watch",
        "watch=",
        "watch=1",
        "watch=true",
        "watch=no",
        "limit=1&watch=1",
        "w%61tch=1",
    ];
    for query in watches {
        assert_eq!(
            read("GET", &format!("/api/v1/pods?{query}")),
            "watch /v1 - pods/ -",
            "{query}"
        );
    }
    for query in [
        "",
        "watch=0",
        "watch=false",
        "watch=False",
        "xwatch=1",
        "watch=1;x",
        "watch=0&watch=1",
    ] {
        assert_eq!(
            read("GET", &format!("/api/v1/pods?{query}")),
            "list /v1 - pods/ -",
            "{query}"
        );
    }
    assert_eq!(read("GET", "/api/v1/nodes/n?watch=1"), "get /v1 - nodes/ n");
    assert_eq!(
        read("DELETE", "/api/v1/nodes?watch=1"),
        "deletecollection /v1 - nodes/ -"
    );
}

#[test]
fn a_field_selector_may_name_the_object() {
    let list = |selector: &str| read("GET", &format!("/api/v1/nodes?fieldSelector={selector}"));
    for selector in [
        "metadata.name=n",
        "metadata.name%3Dn",
        "metadata.name==n",
        "spec.x=y,metadata.name=n",
    ] {
        assert_eq!(list(selector), "list /v1 - nodes/ n", "{selector}");
    }
    for selector in [
        "metadata.name!=n",
        "metadata.namespace=n",
        "metadata.name=a/b",
        "metadata.name=..",
        "metadata.name=a\\,b",
    ] {
        assert_eq!(list(selector), "list /v1 - nodes/ -", "{selector}");
    }
    assert_eq!(
        read("GET", "/api/v1/nodes?watch=1&fieldSelector=metadata.name=n"),
        "watch /v1 - nodes/ n"
    );
}

#[test]
fn a_namespace_is_an_object_and_a_place() {
    let cases = [
        ("/api/v1/namespaces", "list /v1 - namespaces/ -"),
        ("/api/v1/namespaces/a", "get /v1 a namespaces/ a"),
        (
            "/api/v1/namespaces/a/status",
            "get /v1 a namespaces/status a",
        ),
        (
            "/api/v1/namespaces/a/finalize",
            "get /v1 a namespaces/finalize a",
        ),
        ("/api/v1/namespaces/a/pods/p/log", "get /v1 a pods/log p"),
        (
            "/apis/x.io/v1/namespaces/a/status/s",
            "get x.io/v1 a namespaces/status a",
        ),
    ];
    for (target, expected) in cases {
        assert_eq!(read("GET", target), expected, "{target}");
    }
}

#[test]
fn verbs_in_old_paths_are_read() {
    assert_eq!(
        read("GET", "/api/v1/watch/namespaces/a/pods"),
        "watch /v1 a pods/ -"
    );
    assert_eq!(
        read("GET", "/api/v1/proxy/nodes/n/logs"),
        "proxy /v1 - nodes/ n"
    );
    assert_eq!(read("GET", "/api/v1/watch"), "watch /v1 - / -");
}

#[test]
fn paths_are_decoded_before_they_are_split() {
    assert_eq!(
        read("GET", "/api/v1/namespaces/a%2Fpods/p"),
        "get /v1 a pods/ p"
    );
    assert_eq!(read("GET", "/%61pi/v1/nodes/n%20n"), "get /v1 - nodes/ n n");
    assert_eq!(read("GET", "//api/v1/nodes//"), "list /v1 - nodes/ -");
    assert_eq!(read("GET", "/api//v1/nodes"), "get / - v1/ nodes");
}

#[test]
fn other_paths_have_the_method_for_a_verb() {
    let cases = [
        ("GET", "/version?timeout=32s", "get /version"),
        ("HEAD", "/api", "head /api"),
        ("GET", "/api/v1", "get /api/v1"),
        ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
        ("POST", "/", "post /"),
        ("PUT", "/x", "put /x"),
        ("OPTIONS", "*", "options *"),
        ("BREW", "/x", "other /x"),
    ];
    for (method, target, expected) in cases {
        assert_eq!(read(method, target), expected, "{method} {target}");
    }
}

#[test]
fn what_lasts_is_told_from_what_is_short() {
    let cases = [
        ("/api/v1/pods", Kind::Short, true),
        ("/api/v1/pods?watch=1", Kind::Watch, true),
        ("/api/v1/namespaces/a/pods/p/log", Kind::Short, true),
        (
            "/api/v1/namespaces/a/pods/p/log?follow=true",
            Kind::Log,
            true,
        ),
        (
            "/api/v1/namespaces/a/pods/p/exec?command=sh",
            Kind::Exec,
            false,
        ),
        ("/api/v1/namespaces/a/pods/p/attach", Kind::Exec, false),
        (
            "/api/v1/namespaces/a/pods/p/portforward",
            Kind::PortForward,
            false,
        ),
        (
            "/api/v1/namespaces/a/services/s/proxy/x",
            Kind::Short,
            false,
        ),
        ("/version", Kind::Short, true),
    ];
    for (target, kind, is_read) in cases {
        let target = Target::new(target);
        let operation = target.operation("GET");
        assert_eq!(
            (operation.kind, operation.is_read()),
            (kind, is_read),
            "{target:?}"
        );
        assert!(!target.operation("POST").is_read(), "{target:?}");
    }
}

#[test]
fn what_others_could_read_differently_is_not_plain() {
    let plain = |method: &str, target: &str| Target::new(target).plain_operation(method).is_some();
    for target in [
        "/",
        "/version",
        "/version/",
        "/api/v1",
        "/apis/apps/v1/",
        "/openapi/v3/apis/apps/v1?hash=0A%2F",
        "/api/v1/namespaces",
        "/api/v1/namespaces/a/pods?watch=1",
        "/api/v1/watch/namespaces/a/pods",
        "/api/v1/namespaces/a/pods/p/exec?command=a%2F..%2Fb&command=%00",
        "/api/v1/namespaces/a/services/http:s:80/proxy",
        "/api/v1/namespaces/a/services/http%3As%3A80/proxy/",
        "/api/v1/namespaces/a/services/s/proxy//x%2Fy;z/%25",
        "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/portforward/80/tcp",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
    ] {
        assert!(plain("GET", target), "{target}");
    }
    let long = format!("/api/v1/namespaces/{}/pods", "a".repeat(254));
    for target in [
        "",
        "*",
        "api/v1/pods",
        "//api/v1/namespaces/a/pods",
        "/api//v1/namespaces/a/pods",
        "/api/v1//namespaces/a/pods",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces//",
        "/api/v1/namespaces/a//pods",
        "/api/v1/namespaces/a/pods//p",
        "/api/v1/namespaces/a/pods//",
        "/api/v1/namespaces/a/pods/p//exec",
        "/api/v1/namespaces/a/secrets?watch=%zz",
        "/api/v1/namespaces/a/secrets?watch=1&a=%",
        "/api/v1/namespaces/a/secrets?watch=1&%a",
        "/api/v1/namespaces/a%2Fpods/p",
        "/api/v1/namespaces/a%2fpods",
        "/api/v1/namespaces/a%5Cpods",
        "/api/v1/namespaces/a\\b/pods",
        "/api/v1/namespaces/a%252Fpods/p",
        "/api/v1/namespaces/a%/pods",
        "/api/v1/namespaces/a%zz/pods",
        "/api/v1/namespaces/a%3Fx/pods",
        "/api/v1/namespaces/a%23/pods",
        "/api/v1/namespaces/a;b/pods",
        "/api/v1/namespaces/a%00/pods",
        "/api/v1/namespaces/a%20/pods",
        "/api/v1/namespaces/a%FF/pods",
        "/api/v1/namespaces/\u{e9}/pods",
        "/api/v1/namespaces/a/../b/pods",
        "/api/v1/namespaces/a/./pods",
        "/api/v1/namespaces/../pods",
        "/api/v1/namespaces/%2e%2e/pods",
        "/api/v1/namespaces/a%2f..%2fb/pods",
        "/api/v1/namespaces/a/services/s/proxy/../x",
        "/api/v1/namespaces/a/services/s/proxy/%2E%2E%2Fx",
        "/%2Fapi/v1/namespaces/a/pods",
        "/api/v1/namespaces/a/pods%2F",
        "/API/v1/namespaces/a/pods",
        "/Apis/apps/v1/namespaces/a/deployments",
        "/api/v1/watch",
        "/api/v1/watch/",
        "/api/v1/proxy/namespaces/a/pods/p",
        "/apis/apps/v1/proxy/x",
        "/version//",
        "/openapi//v3",
        &long,
    ] {
        assert!(!plain("GET", target), "{target}");
    }
    let pods = "/api/v1/namespaces/a/pods";
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        assert!(plain(method, pods), "{method}");
    }
    for method in ["OPTIONS", "CONNECT", "get", "post", "BREW", ""] {
        assert!(!plain(method, pods), "{method}");
    }
    let watch = "/api/v1/watch/namespaces/a/pods";
    assert!(!plain("POST", watch) && !plain("DELETE", watch));
    assert!(plain("OPTIONS", "/version") && !plain("BREW", "/version"));
}

proptest! {
    // Whoever splits before decoding, or resolves dots, or takes slashes together, finds the same names in the same places.
    #[test]
    fn what_is_plain_is_read_alike_by_all(target in "(/|//|/[.]/)(api/v1|apis/a/v1)(/(watch|namespaces|a|b|pods|exec|proxy|[.]{1,2}|%2[efEF]|a%2[fF]b|%61|a%25|a;b|)){1,6}") {
        let target = Target::new(&target);
        let Some(operation) = target.plain_operation("GET") else {
            return Ok(());
        };
        let Object::Resource(found) = operation.object else {
            return Ok(());
        };
        let mut names: Vec<String> = Vec::new();
        for segment in target.raw.split('/') {
            match percent_decode_str(segment).decode_utf8().unwrap().as_ref() {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name.to_owned()),
            }
        }
        let normal = format!("/{}", names.join("/"));
        let normal = Target::new(&normal);
        let Object::Resource(resource) = normal.operation("GET").object else {
            panic!("{normal:?}");
        };
        prop_assert_eq!(found, resource);
    }

    #[test]
    fn any_target_is_plain_or_not(method in "[A-Z]{0,6}", target in ".*") {
        let target = Target::new(&target);
        if let Some(plain) = target.plain_operation(&method) {
            prop_assert_eq!(plain, target.operation(&method));
        }
    }

    #[test]
    fn any_target_is_read(method in "[A-Z]{0,6}", target in ".*") {
        let _ = read(&method, &target);
    }

    // The definition, said with a vector of segments.
    #[test]
    fn segments_find_their_places(group in "(|[a-z]{1,3}\\.io)", namespace in "(|[a-z]{1,3})", segments in prop::collection::vec("[b-z]{1,3}", 1..5)) {
        let mut path = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
        if !namespace.is_empty() {
            path = format!("{path}/namespaces/{namespace}");
        }
        path = format!("{path}/{}", segments.join("/"));
        let target = Target::new(&path);
        let Object::Resource(resource) = target.operation("GET").object else {
            panic!("{path} is a resource");
        };
        let part = |at: usize| segments.get(at).map_or("", String::as_str);
        prop_assert_eq!(resource, Resource {
            group: &group,
            version: "v1",
            namespace: &namespace,
            resource: part(0),
            subresource: part(2),
            name: part(1).into(),
        });
    }
}
