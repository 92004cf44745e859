use std::collections::BTreeMap;

use super::{
    super::{Agent, First, History, Problem, REASONS, Replica, Stream},
    *,
};

/// What breaks out of a text, an attribute, a comment, a script; and what turns the direction of writing.
const HOSTILE: &str = "<script>alert(1)</script>\"'>&<!--\u{202e}\u{0}";

fn hostile() -> Report {
    let text = || HOSTILE.to_owned();
    Report {
        version: text(),
        since: text(),
        draining: true,
        requests: 1,
        connected: Some(1),
        agents: First {
            count: 2,
            shown: vec![Agent {
                id: 7,
                name: Some(text()),
                replicas: vec![Replica {
                    replica: text(),
                    version: text(),
                    kubernetes: text(),
                    tunnel: text(),
                    since: text(),
                    round_trip_ms: None,
                    streams: 1,
                    draining: true,
                }],
                offline_since: Some(text()),
            }],
        },
        streams: First {
            count: 1,
            shown: vec![Stream {
                request_id: text(),
                agent: 7,
                agent_name: text(),
                job: Some(9001),
                project: text(),
                login: text(),
                verb: text(),
                resource: text(),
                namespace: text(),
                name: text(),
                kind: text(),
                age: 75,
                request_bytes: 5,
                answer_bytes: 20_480,
            }],
        },
        refusals: BTreeMap::from([(text(), 4)]),
        problems: vec![Problem {
            about: text(),
            message: text(),
        }],
        history: History::default(),
    }
}

/// The one script that the page has, and none besides.
fn assert_tame(page: &str) {
    let own = "<script src=\"/page.js\" defer></script>";
    let rest = page.replacen(own, "", 1);
    for broken_out in ["<script", "alert(1)</", "\"'>", "<!--"] {
        assert!(!rest.contains(broken_out), "{broken_out} is in\n{rest}");
    }
}

#[test]
fn names_that_agents_and_callers_chose_stay_text() {
    let page = Page::of(&hostile()).render().unwrap();
    assert_tame(&page);
    assert!(page.contains("and 1 more"), "{page}");
    for (column, told) in [("For", "1m15s"), ("In", "5 B"), ("Out", "20 KiB")] {
        let cell = format!("<td data-label=\"{column}\" class=\"number\">{told}</td>");
        assert!(page.contains(&cell), "{cell} is not in\n{page}");
    }
    assert!(page.contains("<td data-label=\"Who\">job 9001"), "{page}");
    let confirm = Confirm {
        kind: "stream",
        what: HOSTILE.to_owned(),
        id: HOSTILE,
        facts: vec![("Who", HOSTILE.to_owned())],
        follows: "x",
    };
    assert_tame(&confirm.render().unwrap());
    let message = HOSTILE.to_owned();
    assert_tame(&Notice { message }.render().unwrap());
}

#[test]
fn page_of_the_same_has_the_same_tag() {
    let page = Page::of(&hostile()).render().unwrap();
    assert_eq!(tag(&page), tag(&page));
    assert_ne!(tag(&page), tag("another"));
}

#[test]
fn each_reason_is_told_with_what_it_means_in_plain_words() {
    let mut report = hostile();
    let counts = REASONS.iter().map(|reason| (reason.name.to_owned(), 1));
    report.refusals = counts.collect();
    let page = Page::of(&report);
    for row in &page.refusals {
        let RefusalRow { reason, means, .. } = row;
        assert!(means.ends_with(['.', ')']), "{reason}: {means}");
        assert!(!means.contains(['`', '[', ']']), "{reason}: {means}");
    }
    let page = page.render().unwrap();
    for told in [
        "<td data-label=\"Means\">Bearer without a token: a CI variable that is not set, most likely.</td>",
        "may have dropped Upgrade and Connection: networks.</td>",
    ] {
        assert!(page.contains(told), "{told} is not in\n{page}");
    }
    // Another version's, say.
    report.refusals = BTreeMap::from([("unheard_of".to_owned(), 1)]);
    let page = Page::of(&report).render().unwrap();
    assert!(page.contains("<td data-label=\"Means\"></td>"), "{page}");
}
