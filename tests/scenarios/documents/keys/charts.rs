//! What each chart has for `config` beside the program's keys: what it decides itself, and the forms of texts and the rules among keys, with
//! some texts that each form takes and refuses.

use super::{
    networks::NETWORK,
    schema::{Chart, Form, Is, Rule},
};

pub(super) const RELAY: Chart = Chart {
    name: "adit-relay",
    decides: &[
        (
            "listen.address",
            "it is 0.0.0.0:8150 in the pod, and the port that others dial is the value service.port",
        ),
        ("listen.certificate", SECRET),
        ("listen.key", SECRET),
        ("admin.address", "it is 0.0.0.0:8151 in the pod"),
        (
            "gitlab_api.address",
            "it is 0.0.0.0:8153 in the pod, and the port that GitLab calls is the value gitlabService.port",
        ),
    ],
    forms: &[
        Form {
            keys: &["agents[].tokens"],
            pattern: "^sha256:[0-9A-Fa-f]{64}$",
            words: "the hash of a token, sha256:<64 hexadecimal digits>, as `adit token new` prints it, and never the token",
            taken: &["sha256:00000000000000000000000000000000AAAAAAAAAAAAAAAAffffffffffffffff"],
            refused: &["abc", "sha256:abc", "adit-agent-abc"],
        },
        Form {
            keys: &["agents[].name"],
            pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            words: "lower-case letters, digits and dashes, such as demo",
            taken: &["a", "a-1"],
            refused: &["Demo", "a-", "-a", "a.b", "a_b", ""],
        },
        Form {
            keys: &["agents[].project"],
            pattern: "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$",
            words: "the path of a project, such as group/app",
            taken: &["group/app", "Group/sub-group/app_1.2"],
            refused: &[
                "app",
                "/app",
                "group/",
                "group//app",
                "group/an app",
                "150",
                "",
            ],
        },
        Form {
            keys: &["authorities.oidc.issuers[].url"],
            pattern: r"^[A-Za-z][A-Za-z0-9+.-]*://[^/\s]\S*$",
            words: "a URL, such as https://gitlab.example.com",
            taken: &["https://gitlab.example.com/sub", "https://127.0.0.1:8443"],
            refused: &["gitlab", "gitlab.example.com", "https://"],
        },
        Form {
            keys: &[
                "authorities.oidc.issuers[].jwks_url",
                "authorities.gitlab.url",
            ],
            pattern: r"^(https://[^/\s]|http://(127\.0\.0\.1|\[::1\]|localhost)([:/]|$))\S*$",
            words: "a URL with https, such as https://gitlab.example.com",
            taken: &[
                "https://gitlab.example.com:8443/a",
                "http://127.0.0.1:8080",
                "http://localhost",
            ],
            refused: &[
                "gitlab",
                "gitlab.example.com",
                "http://gitlab.example.com",
                "https://",
            ],
        },
        Form {
            keys: &["listen.proxy_protocol_from", "listen.forwarded_for_from"],
            pattern: NETWORK,
            words: "a network such as 10.0.0.0/8, or an address",
            taken: &[
                "0.0.0.0/0",
                "10.0.7.0/28",
                "10.0.7.9/08",
                "255.99.100.1",
                "::/0",
                "::1",
                "2001:DB8::/128",
                "1:2:3:4:5:6:7:8/99",
                "1:2:3:4:5:6:7::",
                "1::3:4:5:6:7:8",
                "fe80::",
                "::",
                "64:ff9b::10.0.0.1/104",
                "1:2:3:4:5:6:10.0.0.1",
                "1:2:3:4:5::10.0.0.1",
                "1::3:4:5:6:10.0.0.1",
            ],
            refused: &[
                "10.0.0.0/33",
                "10.0.0.256",
                "10.0.0",
                "010.0.0.0",
                "10.0.0.0/",
                "10.0.0.0/8 ",
                "2001:db8::/129",
                "2001:db8",
                "12345::",
                ":::",
                "1:2:3",
                "1::2::3",
                ":1::2",
                "1:2:3:4:5:6:7:8:9",
                "1:2:3:4:5:6:7:8::",
                "1:2:3:4:5:6:7:10.0.0.1",
                "1::2:3:4:5:6:10.0.0.1",
                "::10.0.0",
                "::10.0.0.1:1",
                "balancer.example.com",
                "",
            ],
        },
        Form {
            keys: &["traces.endpoint", "audit.otlp.endpoint"],
            ..COLLECTOR
        },
    ],
    together: &[
        (
            "admin",
            &[
                ("certificate", "key"),
                ("key", "certificate"),
                ("client_ca_file", "certificate"),
            ],
        ),
        (
            "gitlab_api",
            &[("certificate", "key"), ("key", "certificate")],
        ),
    ],
    keeps: &[
        "limits",
        "limits.connections",
        "limits.connections_per_address",
        "tunnel",
        "tunnel.max_buffered",
        "tunnel.max_buffered_in_all",
        "tunnel.max_queued",
    ],
    rules: &[
        Rule {
            key: "listen.tls_ended_before",
            when: &[
                ("listen.tls_ended_before", Is::True),
                ("listen.proxy_protocol_from", Is::Missing),
                ("listen.forwarded_for_from", Is::Missing),
            ],
            words: "left out, unless proxy_protocol_from or forwarded_for_from has the addresses of what ends TLS",
        },
        Rule {
            key: "listen.proxy_protocol_from",
            when: &[
                ("listen.tls_ended_before", Is::True),
                ("listen.proxy_protocol_from", Is::OneLike(TOO_WIDE)),
            ],
            words: NOT_EVERYBODY,
        },
        Rule {
            key: "listen.forwarded_for_from",
            when: &[
                ("listen.tls_ended_before", Is::True),
                ("listen.forwarded_for_from", Is::OneLike(TOO_WIDE)),
            ],
            words: NOT_EVERYBODY,
        },
        Rule {
            key: "listen.proxy_protocol_from",
            when: &[("listen.proxy_protocol_from", Is::OneLike(MAPPED))],
            words: NOT_MAPPED,
        },
        Rule {
            key: "listen.forwarded_for_from",
            when: &[("listen.forwarded_for_from", Is::OneLike(MAPPED))],
            words: NOT_MAPPED,
        },
        Rule {
            key: "tunnel.client_ca_file",
            when: &[
                ("listen.tls_ended_before", Is::True),
                ("tunnel.client_ca_file", Is::Given),
            ],
            words: "left out: where TLS ends before the relay, it does not see what an agent shows",
        },
        Rule {
            key: "audit.to",
            when: &[("audit.to", Is::Text("file")), ("audit.file", Is::Missing)],
            words: "another, unless audit.file says which file",
        },
        Rule {
            key: "audit.file",
            when: &[
                ("audit.file", Is::Given),
                ("audit.to", Is::OtherThan("file")),
            ],
            words: "left out, unless audit.to is file",
        },
        Rule {
            key: "audit.to",
            when: &[
                ("audit.to", Is::Text("otlp")),
                ("audit.otlp.endpoint", Is::Missing),
            ],
            words: "another, unless audit.otlp.endpoint says which collector",
        },
        Rule {
            key: "audit.otlp",
            when: &[
                ("audit.otlp", Is::Given),
                ("audit.to", Is::OtherThan("otlp")),
            ],
            words: "left out, unless audit.to is otlp",
        },
        Rule {
            key: "gitlab_api",
            when: &[
                ("gitlab_api", Is::Given),
                ("authorities.gitlab", Is::Missing),
            ],
            words: "left out, unless authorities.gitlab says which GitLab calls",
        },
        Rule {
            key: "gitlab_api",
            when: &[
                ("gitlab_api", Is::Given),
                ("authorities.gitlab", Is::Given),
                ("authorities.gitlab.api_secret_file", Is::Missing),
                ("gitlab_api.secret_file", Is::Missing),
            ],
            words: "left out, unless authorities.gitlab.api_secret_file or gitlab_api.secret_file has the secret by which GitLab is known",
        },
    ],
};

/// Than any network of one's own, 10.0.0.0/8 and fc00::/7.
const TOO_WIDE: &str = r"(^[0-9.]+/0*[0-7]|:.*/0*[0-6])$";
const NOT_EVERYBODY: &str = "the addresses of what ends TLS, and not everybody or more than 10.0.0.0/8 or fc00::/7, who could then send tokens in clear";
/// Addresses of IPv4, written as those of IPv6 that they are mapped to.
const MAPPED: &str =
    r"^[0:]+:[fF]{4}:(:|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}|[0-9.]+)(/0?(9[6-9]|1[0-2][0-9]))?$";
const NOT_MAPPED: &str =
    "what is of IPv4 as such: 10.0.0.0/8, and not ::ffff:10.0.0.0/104, which never matches";

/// Its network policy lets it out to `relay.url` of the values.
pub(super) const AGENT: Chart = Chart {
    name: "adit-agent",
    decides: &[
        ("relay.url", "the value relay.url names the relay"),
        ("ceiling.agent", "the value ceiling.agent says it"),
        ("ceiling.users", "the value ceiling.users says it"),
        ("ceiling.groups", "the value ceiling.groups says it"),
        ("ceiling.namespaces", "the value ceiling.namespaces says it"),
        (
            "ceiling.cluster_scope",
            "the value ceiling.clusterScope says it",
        ),
        ("ceiling.verbs", "the value ceiling.verbs says it"),
        (
            "ceiling.subresources",
            "the value ceiling.subresources says it",
        ),
        (
            "flux",
            "the values flux.gitlabUrl, flux.namespaces and flux.webhookReceiverUrl say it, and give the roles that it needs",
        ),
        ("admin.address", "it is 0.0.0.0:8152 in the pod"),
    ],
    forms: &[
        Form {
            keys: &["ceiling.namespaces"],
            pattern: r"^([a-z0-9-]+|[a-z0-9-]*\*)$",
            words: "a namespace, or the beginning of some and `*`, such as shop or review-*",
            taken: &["shop", "review-*", "*"],
            refused: &["Shop", "a.b", "a*b", ""],
        },
        Form {
            keys: &["ceiling.verbs"],
            pattern: r"^(get|list|watch|create|update|patch|delete|deletecollection|head|options|post|put|(g(et?)?|l(i(st?)?)?|w(a(t(ch?)?)?)?|c(r(e(a(te?)?)?)?)?|u(p(d(a(te?)?)?)?)?|p(a(t(ch?)?)?|o(st?)?|ut?)?|d(e(l(e(t(e(c(o(l(l(e(c(t(i(on?)?)?)?)?)?)?)?)?)?)?)?)?)?)?|h(e(ad?)?)?|o(p(t(i(o(ns?)?)?)?)?)?)?\*)$",
            words: "get, list, watch, create, update, patch, delete, deletecollection, or for paths head, options, post, put; or `*`",
            taken: &[
                "get",
                "deletecollection",
                "delete*",
                "deletec*",
                "po*",
                "put*",
                "*",
                "options",
            ],
            refused: &[
                "read", "read*", "gets*", "deletes*", "Get", "exec", "g*t", "",
            ],
        },
        Form {
            keys: &["ceiling.subresources"],
            pattern: r"^([a-z0-9._-]+|[a-z0-9._-]*\*)$",
            words: "a subresource alone, such as exec for pods/exec",
            taken: &["exec", "http_requests", "*"],
            refused: &["pods/exec", "Exec", ""],
        },
        Form {
            keys: &["traces.endpoint"],
            ..COLLECTOR
        },
    ],
    together: &[(
        "relay",
        &[
            ("client_certificate", "client_key"),
            ("client_key", "client_certificate"),
        ],
    )],
    keeps: &[],
    rules: &[],
};

const SECRET: &str = "the certificate and its key are in the Secret of the value tls.secretName";

/// Of no key.
const COLLECTOR: Form = Form {
    keys: &[],
    pattern: r"^(https://[^/?#@\s]+|http://(127\.[0-9.]+|\[::1\]|localhost)(:[0-9]+)?)/?$",
    words: "https:// with a host, such as https://collector.example.com:4317",
    taken: &[
        "https://collector.example.com",
        "https://[2001:db8::1]:443/",
        "http://127.0.0.1:4317",
    ],
    refused: &[
        "collector:4317",
        "http://collector.example.com",
        "https://collector/v1/traces",
    ],
};
