//! Every block between fences says what it holds, so that no command stands where the trial of the documents
//! (`tests/cluster/documents.rs`) does not look: what is to be run is `sh`.

use std::fs;

use adit_tests::documents;

use super::root;

/// What a block may be called. `synopsis` is a command's form; `console` is commands with what they print, which a test compares.
const KINDS: [&str; 11] = [
    "console", "haproxy", "json", "mermaid", "nginx", "promql", "sh", "synopsis", "text", "toml",
    "yaml",
];
/// What commands begin with.
const PROGRAMS: [&str; 12] = [
    "$",
    "adit",
    "cargo",
    "ctr",
    "curl",
    "docker",
    "export",
    "git",
    "helm",
    "install",
    "kubectl",
    "systemctl",
];

/// Says what is wrong with the blocks of a document.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lines = text.lines().enumerate();
    let mut above = "";
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else {
            above = line;
            continue;
        };
        let within = lines.by_ref().map(|(_, line)| line.trim());
        let within: Vec<_> = within.take_while(|line| *line != "```").collect();
        let begins = |line: &&str| {
            let word = line.split(' ').next().unwrap_or_default();
            PROGRAMS.contains(&word)
        };
        let fault = match kind {
            _ if !KINDS.contains(&kind) => "it is of no known kind".to_owned(),
            "text" => match within.iter().copied().find(begins) {
                Some(command) => format!("`{command}` is a command, of a block to be called sh"),
                None => continue,
            },
            "synopsis" if !within.iter().all(|line| is_synopsis(line)) => {
                "it is no form of a command of adit's".to_owned()
            }
            "console" if !is_compared(above) => {
                "no test compares it, named above in `<!-- not run: ... compares it -->`".to_owned()
            }
            _ => continue,
        };
        faults.push(format!("line {}: {fault}", number + 1));
    }
    faults
}

/// With what goes on in its next line.
fn is_synopsis(line: &str) -> bool {
    line.starts_with("adit ") || line.starts_with('[')
}

/// By a test whose file there is.
fn is_compared(mark: &str) -> bool {
    let test = mark
        .strip_prefix("<!-- not run: ")
        .and_then(|rest| rest.strip_suffix(" compares it -->"));
    test.is_some_and(|test| root().join(test).is_file())
}

#[test]
fn blocks_say_what_they_hold() {
    let documents = documents();
    let is_read = |path: &str| documents.contains(&root().join(path).canonicalize().unwrap());
    assert!(is_read("docs/runbooks/AditNoTunnels.md") && is_read("deploy/grafana/README.md"));
    for document in documents {
        let faults = faults(&fs::read_to_string(&document).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", document.display());
    }
}

#[test]
fn command_that_nobody_would_run_is_found() {
    for (text, fault) in [
        ("```\nadit status\n```\n", "no known kind"),
        ("```bash\nadit status\n```\n", "no known kind"),
        (
            "  ```text\n  NAME  AGE\n  kubectl get pods\n  ```\n",
            "is a command",
        ),
        ("```text\n$ adit status\n```\n", "is a command"),
        ("```synopsis\nhelm install\n```\n", "no form of a command"),
        ("```console\n$ adit status\n```\n", "no test compares it"),
        (
            "<!-- not run: tests/no.rs compares it -->\n```console\n$ adit\n```\n",
            "no test compares it",
        ),
    ] {
        let faults = faults(text);
        assert!(
            faults.len() == 1 && faults[0].contains(fault),
            "{text}: {faults:?}"
        );
    }
    let good = "```text\nNAME  AGE\n```\n```synopsis\nadit cut\n         [--yes]\n```\n```sh\nadit status\n```\n";
    assert_eq!(faults(good), [""; 0]);
}
