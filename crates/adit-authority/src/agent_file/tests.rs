use super::*;

fn read(text: &str) -> (Option<AgentFile>, Findings) {
    let mut findings = Findings::default();
    let file = AgentFile::read(text, &mut findings);
    assert_eq!(file.is_none(), !findings.mistakes.is_empty());
    (file, findings)
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// `line:column: key` of each.
fn places(findings: &[Finding]) -> Vec<String> {
    let place = |finding: &Finding| format!("{}: {}", finding.place, finding.key);
    findings.iter().map(place).collect()
}

#[test]
fn all_that_gitlab_documents_is_taken_without_a_word() {
    let text = "
ci_access:
  projects:
    - id: group/app
      default_namespace: web
      environments: [production, review/*]
      protected_branches_only: true
      access_as: {ci_job: {}}
      resource_management: {enabled: true}
    - id: group/tool
      access_as:
        impersonate:
          username: robot
          uid: u-1
          groups: [deployers]
          extra: [{key: example.com/team, val: [a, b]}]
  groups:
    - id: group
    - id: group/sub
      access_as: {ci_user: {}}
  instance: {}
user_access:
  access_as: {user: {}}
  projects: [{id: group/app}]
  groups: [{id: group}]
observability: {logging: {level: debug, grpc_level: warn}}
flux: {webhook_receiver_url: 'https://receiver.example.com'}
container_scanning: {vulnerability_report: {namespaces: [a]}}
remote_development: {enabled: true}
";
    let (file, findings) = read(text);
    assert_eq!(findings, Findings::default());
    let file = file.unwrap();
    let home = Home {
        project: Some("group/agents".parse().unwrap()),
        has_instance_authorization: true,
        ..Home::default()
    };
    let entries = file.for_jobs(&home).into_iter();
    let shown: Vec<_> = entries
        .chain(file.for_users(&home))
        .map(|(entry, dropped)| {
            assert_eq!(dropped, None, "{entry}");
            format!("{}: {entry}", entry.place.unwrap())
        })
        .collect();
    let expected = [
        "4:7: project group/app, as `ci_job`, in environment production or review/*, on protected branches and tags",
        "10:7: project group/tool, as `impersonate`",
        "18:7: group group, as `agent`",
        "19:7: group group/sub, as `ci_user`",
        "21:13: all projects of the instance, as `agent`",
        "24:14: project group/app, as `user`",
        "25:12: group group, as `user`",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn nothing_in_it_is_no_mistake() {
    for text in ["", "# nobody yet\n", "{}", "ci_access:\n", "ci_access: {}"] {
        let (file, findings) = read(text);
        assert_eq!(findings, Findings::default(), "{text:?}");
        let file = file.unwrap();
        assert!(file.for_jobs(&Home::default()).is_empty());
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_key() {
    let text = "
ci_access:
  projects:
    - id: /group/app
      default_namespace: Web
      environments: ['', 7, 're(view/*']
      protected_branches_only: always
    - name: group/app
    - id: 12
      access_as: {}
    - id: group/a
      access_as: {agent: {}, ci_job: {}}
    - id: group/b
      access_as: {ci_job: }
    - id: group/c
      access_as: {root: {}}
    - id: group/d
      access_as: {agent: {as: root}}
    - just a text
  groups:
    id: group
  instance:
user_access:
  access_as: {ci_job: {}}
observability: {logging: {level: loud}}
flux: here
";
    let (_, findings) = read(text);
    let expected = [
        "4:11: ci_access.projects[0].id",
        "5:26: ci_access.projects[0].default_namespace",
        "6:22: ci_access.projects[0].environments[0]",
        "6:26: ci_access.projects[0].environments[1]",
        "6:29: ci_access.projects[0].environments[2]",
        "7:32: ci_access.projects[0].protected_branches_only",
        "8:7: ci_access.projects[1]",
        "9:11: ci_access.projects[2].id",
        "10:18: ci_access.projects[2].access_as",
        "12:18: ci_access.projects[3].access_as",
        "14:25: ci_access.projects[4].access_as.ci_job",
        "16:19: ci_access.projects[5].access_as.root",
        "18:27: ci_access.projects[6].access_as.agent.as",
        "19:7: ci_access.projects[7]",
        "21:5: ci_access.groups",
        "22:11: ci_access.instance",
        "24:15: user_access.access_as.ci_job",
        "25:34: observability.logging.level",
        "26:7: flux",
    ];
    assert_eq!(places(&findings.mistakes), expected, "{findings:#?}");
}

#[test]
fn a_user_whom_the_relay_would_not_act_as_is_a_mistake() {
    let user = |user: &str| {
        let text = format!("ci_access: {{instance: {{access_as: {{impersonate: {user}}}}}}}");
        told(&read(&text).1.mistakes)
    };
    assert_eq!(user("{username: robot}"), Vec::<String>::new());
    for (written, told) in [
        ("{}", "has no `username`"),
        ("{username: ''}", "user is empty"),
        ("{username: a, group: [b]}", "no part of a user"),
        ("{username: a, groups: b}", "must be a list"),
        ("{username: a, groups: [1]}", "must be a text"),
        (
            "{username: a, extra: [{key: K, val: [b]}]}",
            "not lower case",
        ),
        ("{username: a, extra: [{key: k}]}", "needs `key` and `val`"),
        ("{username: a, extra: [{key: k, val: []}]}", "has no value"),
        (
            "{username: a, extra: [{key: k, val: [b], x: 1}]}",
            "no part of an extra",
        ),
    ] {
        let found = user(written);
        assert!(
            found.iter().any(|found| found.contains(told)),
            "{written}: {found:?}"
        );
    }
}

#[test]
fn unknown_keys_are_warned_of_and_no_mistakes() {
    let text = "
ci_access:
  projects:
    - id: group/app
      enviroments: [production]
    - id: group/tool
      environments: []
  project: []
gitops: {}
\"odd\\nkey\": 1
";
    let (file, findings) = read(text);
    assert!(file.is_some());
    let expected = [
        "5:7: ci_access.projects[0].enviroments",
        "7:21: ci_access.projects[1].environments",
        "8:3: ci_access.project",
        "9:9: gitops",
        "10:1: odd\\nkey",
    ];
    assert_eq!(places(&findings.warnings), expected, "{findings:#?}");
    let first = &findings.warnings[0].what;
    assert!(first.contains("`environments`, "), "{first}");
}

#[test]
fn limit_without_a_value_is_none_at_gitlab_and_told() {
    let text = "
ci_access:
  projects:
    - id: group/app
      environments:
      protected_branches_only:
      access_as:
      default_namespace:
user_access:
  access_as:
  projects:
";
    let (file, findings) = read(text);
    assert!(file.is_some());
    let keys: Vec<_> = findings
        .warnings
        .iter()
        .map(|found| found.key.to_string())
        .collect();
    let entry = "ci_access.projects[0]";
    let expected = [
        format!("{entry}.environments"),
        format!("{entry}.protected_branches_only"),
        format!("{entry}.access_as"),
        "user_access.access_as".to_owned(),
    ];
    assert_eq!(keys, expected, "{findings:#?}");
    let first = &findings.warnings[0].what;
    assert!(first.contains("jobs of any environment pass"), "{first}");
}

#[test]
fn what_is_no_yaml_is_one_mistake_with_its_place() {
    let (_, findings) = read("ci_access:\n  projects: [\n");
    assert_eq!(findings.mistakes.len(), 1, "{findings:?}");
    assert!(findings.mistakes[0].place.line >= 2, "{findings:?}");
    let (_, findings) = read(&"#".repeat(MAX_BYTES + 1));
    assert_eq!(places(&findings.mistakes), ["1:1: (file)"]);
    assert_eq!(read(&"#".repeat(MAX_BYTES)).1, Findings::default());
}

/// Why each entry of `ci_access` is dropped.
fn dropped(text: &str, home: &Home) -> Vec<Option<Dropped>> {
    let file = read(text).0.unwrap();
    let judged = file.for_jobs(home).into_iter();
    judged.map(|(_, dropped)| dropped).collect()
}

fn home(project: &str) -> Home {
    Home {
        project: Some(project.parse().unwrap()),
        ..Home::default()
    }
}

#[test]
fn what_gitlab_drops_without_a_word_is_told() {
    let text = "ci_access: {projects: [{id: other/app}, {id: GROUP/app}], groups: [{id: group}, {id: groups}], instance: {}}";
    let elsewhere = || {
        Some(Dropped::Elsewhere {
            root: "group".parse().unwrap(),
        })
    };
    let home = home("group/sub/agents");
    let expected = [
        elsewhere(),
        None,
        None,
        elsewhere(),
        Some(Dropped::NoInstanceAuthorization),
    ];
    assert_eq!(dropped(text, &home), expected);
    let home = Home {
        has_instance_authorization: true,
        ..home
    };
    assert_eq!(dropped(text, &home), [None, None, None, None, None]);
}

#[test]
fn a_users_namespace_is_no_group() {
    let text = "ci_access: {projects: [{id: alice/tool}], groups: [{id: alice}]}";
    let home = Home {
        is_personal: true,
        ..home("alice/agents")
    };
    let no_group = Some(Dropped::NoGroup("alice".parse().unwrap()));
    assert_eq!(dropped(text, &home), [None, no_group.clone()]);
    let home = Home {
        has_instance_authorization: true,
        ..home
    };
    assert_eq!(dropped(text, &home), [None, no_group]);
}

#[test]
fn of_entries_for_one_path_the_last_counts() {
    let text = "ci_access:\n  projects:\n  - id: a/b\n  - id: a/c\n  - id: A/B\n";
    let repeated = Dropped::Repeated(Place { line: 5, column: 5 });
    assert_eq!(
        dropped(text, &home("a/agents")),
        [Some(repeated), None, None]
    );
}

#[test]
fn the_first_five_hundred_count() {
    let mut text = String::from("ci_access:\n  groups:\n");
    for number in 0..500 {
        text += &format!("  - id: a/g{number}\n");
    }
    text += "  - id: a/g0\n";
    let dropped = dropped(&text, &home("a/agents"));
    assert_eq!(dropped[0], None, "what is not read repeats nothing");
    assert_eq!(dropped[499], None);
    assert_eq!(dropped[500], Some(Dropped::PastTheFirst500));
}
