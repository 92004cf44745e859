//! Every block between fences says what it holds, so that no command stands where the trial of the documents
//! (`tests/cluster/documents.rs`) does not look: what is to be run is `sh`. What is said of a block that is not run there is true as far as
//! a program can tell: the test that is named is there, and has the command's words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use adit_tests::documents::{Block, Mark, Proof, blocks, documents};
use serde_json::Value;

use super::{proofs, root, sources};

/// What a block may be called. `synopsis` is a command's form; `console` is commands with what they print, which a test compares.
const KINDS: [&str; 9] = [
    "console", "haproxy", "json", "nginx", "promql", "sh", "synopsis", "text", "yaml",
];
/// What commands begin with, beside what those begin with that are run.
const PROGRAMS: [&str; 8] = [
    "$",
    "adit",
    "docker",
    "glab",
    "journalctl",
    "ssh",
    "systemctl",
    "systemd-sysusers",
];
/// Where the forms of commands are told.
const OF_FORMS: &str = "docs/commands.md";

/// What is there for a block to be judged by.
pub(super) struct Judge {
    programs: BTreeSet<String>,
    /// Each test, and the file that has it.
    tests: BTreeMap<String, PathBuf>,
}

impl Judge {
    pub(super) fn new() -> Self {
        let run = all().into_iter().filter(|(_, block)| block.kind == "sh");
        let run = run.flat_map(|(_, block)| block.commands());
        let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let programs = run.map(|line| first(&line));
        let own = PROGRAMS.map(str::to_owned);
        Self {
            programs: programs.chain(own).collect(),
            tests: proofs::tests(),
        }
    }

    /// Whether somebody would type it into a shell.
    pub(super) fn is_command(&self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        let is_plain = program.starts_with(|letter: char| letter.is_ascii_lowercase())
            && program.bytes().all(is_of_a_name);
        let has_option = words.any(|word| {
            let name = word.trim_start_matches('-');
            name.len() < word.len() && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        });
        self.programs.contains(program) || (is_plain && has_option)
    }

    /// What is wrong with a block of this document.
    fn fault(&self, document: &str, block: &Block) -> Option<String> {
        if !KINDS.contains(&block.kind.as_str()) {
            return Some("it is of no known kind".to_owned());
        }
        let mark = match block.mark() {
            Ok(mark) => mark,
            Err(why) => return Some(why),
        };
        let mut lines = block.text.lines().map(str::trim);
        let fault = match (block.kind.as_str(), &mark) {
            ("sh", Mark::NotRun(Proof::Done(files))) => return lacks_words(block, files),
            ("sh", Mark::NotRun(Proof::InParts(tests))) => return self.lacks_test(tests),
            ("sh", Mark::RunBy(test)) => return self.does_not_read(test, document),
            ("sh", Mark::Compared(_)) => "nothing of it can be compared",
            ("sh", _) => return None,
            ("synopsis", _) if document != OF_FORMS => {
                "forms are told in docs/commands.md: this is sh"
            }
            ("synopsis", _) if !lines.all(is_synopsis) => "it is no form of a command of adit's",
            ("synopsis", _) => return None,
            ("console", Mark::Compared(file)) if root().join(file).is_file() => return None,
            ("console", _) => "no test compares it, named above in `<!-- compared by: ... -->`",
            ("json", _) if serde_json::from_str::<Value>(&block.text).is_err() => "it is no JSON",
            (_, Mark::None | Mark::File(_)) => {
                let command = lines.find(|line| self.is_command(line))?;
                return Some(format!(
                    "`{command}` is a command, of a block to be called sh"
                ));
            }
            (_, _) => "what is said above it is for commands",
        };
        Some(fault.to_owned())
    }

    fn lacks_test(&self, tests: &[String]) -> Option<String> {
        let missing = tests.iter().find(|test| !self.tests.contains_key(*test))?;
        Some(format!("there is no test {missing}"))
    }

    /// Who runs it must read it here, not have it written down once more.
    fn does_not_read(&self, test: &str, document: &str) -> Option<String> {
        let Some(file) = self.tests.get(test) else {
            return Some(format!("there is no test {test}"));
        };
        let text = fs::read_to_string(file).unwrap();
        let reads = text.contains(&format!("{document:?}")) && text.contains(&format!("{test:?}"));
        (!reads).then(|| format!("{} does not read it", file.display()))
    }
}

fn lacks_words(block: &Block, files: &[PathBuf]) -> Option<String> {
    let is_missing = |file: &&PathBuf| !root().join(file).exists();
    if let Some(missing) = files.iter().find(is_missing) {
        return Some(format!("there is no {}", missing.display()));
    }
    let commands = block.commands();
    let words = commands.iter().flat_map(|command| telling(command));
    lacks(words, files)
}

/// The first of these words that none of the files has.
pub(super) fn lacks<'w>(
    words: impl IntoIterator<Item = &'w str>,
    files: &[PathBuf],
) -> Option<String> {
    let text: String = files.iter().map(|file| text_of(file)).collect();
    let is_within = |letter: char| u8::try_from(letter).is_ok_and(is_of_a_name);
    let there: BTreeSet<_> = text.split(|letter| !is_within(letter)).collect();
    let missing = words.into_iter().find(|word| !there.contains(word))?;
    Some(format!("`{missing}` is nowhere in {files:?}"))
}

/// With what goes on in its next line.
fn is_synopsis(line: &str) -> bool {
    line.starts_with("adit ") || line.starts_with('[')
}

/// The words of a command that are the same wherever it is run: options and subcommands. None of one with a gap for the reader.
pub(super) fn telling(command: &str) -> Vec<&str> {
    if command.contains('<') {
        return Vec::new();
    }
    let words = command.split(' ').skip(1);
    let words = words.flat_map(|word| {
        let path = word.strip_prefix("http://").unwrap_or(word);
        let is_url = path.len() < word.len();
        let parts: Vec<_> = if is_url {
            path.split('/').collect()
        } else {
            vec![word.split('=').next().unwrap_or(word)]
        };
        parts
    });
    let is_name = |word: &str| word.len() > 1 && word.bytes().all(is_of_a_name);
    words.filter(|word| is_name(word)).collect()
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'-'
}

/// Of a file, or of a folder's programs.
fn text_of(path: &Path) -> String {
    if root().join(path).is_dir() {
        sources(path.to_str().unwrap())
    } else {
        fs::read_to_string(root().join(path)).unwrap()
    }
}

/// Each block, and where it stands.
pub(super) fn all() -> Vec<(String, Block)> {
    let within = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let root = root().canonicalize().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let blocks = blocks(&text).into_iter();
        blocks
            .map(move |block| (name.clone(), block))
            .collect::<Vec<_>>()
    };
    documents().into_iter().flat_map(within).collect()
}

#[test]
fn blocks_say_what_they_hold() {
    let (judge, blocks) = (Judge::new(), all());
    let is_read = |path: &str| blocks.iter().any(|(document, _)| document == path);
    assert!(is_read("docs/runbooks/AditNoTunnels.md") && is_read("README.md"));
    for (document, block) in blocks {
        let fault = judge.fault(&document, &block);
        assert_eq!(fault, None, "{document}:{}", block.line);
    }
}

#[test]
fn command_that_nobody_would_run_is_found() {
    let judge = Judge::new();
    let fault = |text: &str| {
        let block = blocks(text).remove(0);
        judge.fault("docs/a.md", &block).unwrap_or_default()
    };
    for (text, expected) in [
        ("```\nadit status\n```\n", "no known kind"),
        ("```bash\nadit status\n```\n", "no known kind"),
        (
            "  ```text\n  NAME  AGE\n  kubectl get pods\n  ```\n",
            "is a command",
        ),
        ("```text\n$ adit status\n```\n", "is a command"),
        ("```text\nopenssl rand 32\n```\n", "is a command"),
        ("```text\nunheard-of --of anybody\n```\n", "is a command"),
        ("```yaml\nprintf a > b\n```\n", "is a command"),
        ("```synopsis\nadit status\n```\n", "this is sh"),
        ("```console\n$ adit status\n```\n", "no test compares it"),
        (
            "<!-- compared by: tests/no.rs -->\n```console\n$ adit\n```\n",
            "no test compares it",
        ),
        ("<!-- not run -->\n```sh\nadit\n```\n", "lacks its reason"),
        (
            "<!-- not run: tests/cluster/pipelines.rs has it -->\n```sh\nadit\n```\n",
            "names a test without",
        ),
        (
            "<!-- not run: why; in parts by: no_such_test -->\n```sh\nadit\n```\n",
            "no test no_such_test",
        ),
        (
            "<!-- not run: why; done by: tests/no.rs -->\n```sh\nadit\n```\n",
            "there is no tests/no.rs",
        ),
        (
            "<!-- not run: why; done by: xtask/tests/systemd.rs -->\n```sh\nkubectl delete receiver/a\n```\n",
            "`delete` is nowhere",
        ),
        (
            "<!-- run by: no_such_test -->\n```sh\nadit\n```\n",
            "no test no_such_test",
        ),
        (
            "<!-- run by: blocks_say_what_they_hold -->\n```sh\nadit\n```\n",
            "does not read it",
        ),
        ("<!-- in a job -->\n```text\na\n```\n", "is for commands"),
    ] {
        let fault = fault(text);
        assert!(fault.contains(expected), "{text}: {fault}");
    }
    for good in [
        "```text\nNAME  AGE\n```\n",
        "```sh\nadit status\n```\n",
        "<!-- not run: changes the machine -->\n```sh\nreboot\n```\n",
        "<!-- not run: why; done by: xtask/tests/systemd.rs -->\n```sh\nsystemd-analyze verify --man a.service # --quick\n```\n",
    ] {
        assert_eq!(fault(good), "", "{good}");
    }
    let form = blocks("```synopsis\nadit cut\n         [--yes]\n```\n").remove(0);
    assert_eq!(judge.fault(OF_FORMS, &form), None);
    let other = blocks("```synopsis\nhelm install\n```\n").remove(0);
    assert!(
        judge
            .fault(OF_FORMS, &other)
            .unwrap()
            .contains("no form of a command")
    );
}
