use adit_identity::mistakes::{Key, Mistakes};

use super::*;

fn mistakes_in(yaml: &str) -> Vec<String> {
    let raw: RawCiAccess = serde_saphyr::from_str(yaml).unwrap();
    let mut mistakes = Mistakes::new();
    let checked = CiAccess::check(
        raw,
        &AccessAs::CiJob,
        &Key::root().field("ci_access"),
        &mut mistakes,
    );
    assert_eq!(checked.is_none(), !mistakes.as_slice().is_empty());
    mistakes
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn gitlabs_own_form_is_read() {
    let yaml = "
projects:
  - id: path/to/project
    default_namespace: app
    environments: [staging, review/*]
    protected_branches_only: true
    access_as:
      impersonate:
        username: robot
        groups: [deployers]
        extra:
          - key: example.com/team
            val: [a, b]
groups:
  - id: path/to/group
    access_as:
      agent: {}
instance: {}
";
    assert_eq!(mistakes_in(yaml), <[String; 0]>::default());
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let yaml = "
projects:
  - id: /leading/slash
    default_namespace: Upper
    environments: ['']
  - id: a/b
    environments: []
    access_as: {}
  - id: c/d
  - id: C/D
  - id: alone
groups:
  - id: ''
    access_as: {agent: {}, ci_job: {}}
  - id: e
    access_as: {impersonate: {username: '', groups: [a]}}
instance:
  access_as: {impersonate: {username: a, extra: [{key: Upper, val: [b]}]}}
";
    let told = mistakes_in(yaml);
    let keys: Vec<_> = told
        .iter()
        .map(|told| told.split(": ").next().unwrap())
        .collect();
    let expected = [
        "ci_access.projects[0].id",
        "ci_access.projects[0].default_namespace",
        "ci_access.projects[0].environments[0]",
        "ci_access.projects[1].environments",
        "ci_access.projects[1].access_as",
        "ci_access.projects[3].id",
        "ci_access.projects[4].id",
        "ci_access.groups[0].id",
        "ci_access.groups[0].access_as",
        "ci_access.groups[1].access_as.impersonate",
        "ci_access.instance.access_as.impersonate",
    ];
    assert_eq!(keys, expected, "{told:#?}");
}

#[test]
fn what_adit_does_not_do_is_refused_by_name() {
    for (yaml, key) in [
        (
            "projects: [{id: a/b, resource_management: {enabled: true}}]",
            "resource_management",
        ),
        ("projects: [{id: a/b, access_as: {ci_user: {}}}]", "ci_user"),
        ("instance: {access_as: {agent: {as: root}}}", "as"),
        ("project: []", "project"),
    ] {
        let error = serde_saphyr::from_str::<RawCiAccess>(yaml)
            .unwrap_err()
            .to_string();
        assert!(error.contains(key), "{error}");
    }
}
