//! What readers are given: `README.md`, and the pages of `docs/` and `deploy/`, in the folders below those too; and the blocks between fences
//! in them, with what is said of each in a comment above it that readers do not see. Who runs them reads them here, and so does who sees to
//! it that each is run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use xtask::workspace;

/// Sorted by path.
///
/// # Panics
///
/// When a folder cannot be read.
#[must_use]
pub fn documents() -> Vec<PathBuf> {
    let root = workspace::root();
    let mut found = vec![root.join("README.md")];
    for folder in ["docs", "deploy"] {
        add(&root.join(folder), &mut found);
    }
    found.sort();
    found
}

fn add(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}

/// A text between fences.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line of the document, from 1.
    pub line: usize,
    /// What it is said to hold: `sh` is commands that are run.
    pub kind: String,
    pub text: String,
    above: String,
}

/// What is said of a block above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    None,
    /// `not run: why`: it cannot be run here. A test that is named does the same all the same.
    NotRun(Proof),
    /// `run by: test`: this one reads and runs it, and the trial of the documents does not.
    RunBy(String),
    /// `compared by: file`: the test in this file has what it prints.
    Compared(PathBuf),
    /// `fails: text`: it fails, and says this.
    Fails(String),
    /// `another cluster`: nothing of what was installed before is there.
    AnotherCluster,
    /// `in a job`: whoever else the document is for.
    InAJob,
    /// `file: path`, of a block of any kind: the reader has a file with this content.
    File(PathBuf),
}

/// Tests instead of the one that runs documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    None,
    /// `; done by: files`: these do what the commands say, in the same words. Folders, too.
    Done(Vec<PathBuf>),
    /// `; in parts by: tests`: these.
    InParts(Vec<String>),
}

impl Block {
    /// # Errors
    ///
    /// The comment above is none that anybody knows.
    pub fn mark(&self) -> Result<Mark, String> {
        Mark::read(&self.above)
    }

    /// Its lines without what stands behind a `#`, each with those that go on with it.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let text = self.text.replace("\\\n", " ");
        let lines = text.lines().map(|line| {
            let (command, _comment) = line.split_once(" #").unwrap_or((line, ""));
            command.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        lines.filter(|line| !line.is_empty()).collect()
    }
}

impl Mark {
    fn read(line: &str) -> Result<Self, String> {
        let comment = line.trim().strip_prefix("<!-- ");
        let Some(comment) = comment.and_then(|rest| rest.strip_suffix(" -->")) else {
            return Ok(Self::None);
        };
        let (word, rest) = comment.split_once(':').unwrap_or((comment, ""));
        let rest = rest.trim();
        match (word, rest) {
            ("another cluster", "") => Ok(Self::AnotherCluster),
            ("in a job", "") => Ok(Self::InAJob),
            (_, "") => Err(format!("`{comment}` is no mark, or lacks its reason")),
            ("not run", _) => Proof::read(rest).map(Self::NotRun),
            ("run by", _) => Ok(Self::RunBy(rest.to_owned())),
            ("compared by", _) => Ok(Self::Compared(rest.into())),
            ("fails", _) => Ok(Self::Fails(rest.to_owned())),
            ("file", _) => Ok(Self::File(rest.into())),
            _ => Err(format!("there is no mark `{word}`")),
        }
    }
}

impl Proof {
    fn read(text: &str) -> Result<Self, String> {
        let Some((_why, proof)) = text.split_once("; ") else {
            // Said of a test it would be believed, and nobody could check it.
            let names_test = text.contains(".rs") || text.contains("tests/") || text.contains('_');
            return if names_test {
                Err("it names a test without `; done by: ` or `; in parts by: `".to_owned())
            } else {
                Ok(Self::None)
            };
        };
        let names = |names: &str| names.split(", ").map(str::to_owned).collect::<Vec<_>>();
        if let Some(files) = proof.strip_prefix("done by: ") {
            Ok(Self::Done(
                names(files).into_iter().map(Into::into).collect(),
            ))
        } else if let Some(tests) = proof.strip_prefix("in parts by: ") {
            Ok(Self::InParts(names(tests)))
        } else {
            Err(format!("there is no proof `{proof}`"))
        }
    }
}

/// The blocks of a document's text.
///
/// # Panics
///
/// When a fence does not begin its line.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let mut lines = text.lines().enumerate();
    let (mut blocks, mut above) = (Vec::new(), "");
    while let Some((number, line)) = lines.next() {
        let Some((indent, kind)) = line.split_once("```") else {
            above = line;
            continue;
        };
        let number = number + 1;
        assert_eq!(indent.trim(), "", "{number}: a fence begins its line");
        let within = lines.by_ref().map(|(_, line)| line);
        let within = within.take_while(|line| line.trim() != "```");
        let within = within.map(|line| line.strip_prefix(indent).unwrap_or(line));
        blocks.push(Block {
            line: number,
            kind: kind.to_owned(),
            text: within.map(|line| format!("{line}\n")).collect(),
            above: above.to_owned(),
        });
        above = "";
    }
    blocks
}

/// The same of the block that this test is said to run.
///
/// # Panics
///
/// When no block of the document, or more than one, is marked so.
#[must_use]
pub fn commands_run_by(document: &str, test: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace::root().join(document)).unwrap();
    let mark = Ok(Mark::RunBy(test.to_owned()));
    let mut marked = blocks(&text)
        .into_iter()
        .filter(|block| block.mark() == mark);
    let block = marked.next().expect("a block is marked so");
    assert!(marked.next().is_none(), "{document} has more than one");
    block.commands()
}
