//! A project's git repository: a real, bare one, kept by the git program.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A repository on disk.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
    default_branch: String,
}

/// What stands in a folder of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeItem {
    pub mode: u32,
    pub kind: TreeKind,
    pub id: String,
    /// Bytes of a blob; 0 of anything else.
    pub size: u64,
    pub path: String,
}

/// What a [`TreeItem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// A file.
    Blob,
    /// A folder.
    Tree,
    /// Another repository.
    Commit,
}

impl Repository {
    pub(super) fn at(folder: &Path, default_branch: &str) -> Self {
        let this = Self {
            folder: folder.to_owned(),
            default_branch: default_branch.to_owned(),
        };
        if !folder.exists() {
            fs::create_dir_all(folder).unwrap();
            this.git(&[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch",
                default_branch,
            ])
            .expect("git makes a repository");
        }
        this
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a commit to the default branch that gives these files these contents: the commit's id.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        let changes: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, Some(*text)))
            .collect();
        self.commit_to(&self.default_branch, &changes)
    }

    /// The same on any branch; files without content are removed.
    ///
    /// # Panics
    ///
    /// When git refuses.
    pub fn commit_to(&self, branch: &str, changes: &[(&str, Option<&str>)]) -> String {
        let name = format!("refs/heads/{branch}");
        let mut stream = format!("commit {name}\ncommitter Double <double@gitlab.test> now\n");
        stream.push_str("data 6\nchange\n");
        if self.resolve(&name).is_some() {
            writeln!(stream, "from {name}^0").unwrap();
        }
        for (path, text) in changes {
            match text {
                Some(text) => {
                    write!(
                        stream,
                        "M 100644 inline {path}\ndata {}\n{text}\n",
                        text.len()
                    )
                }
                None => writeln!(stream, "D {path}"),
            }
            .unwrap();
        }
        let arguments = ["fast-import", "--quiet", "--date-format=now"];
        self.git_fed(&arguments, stream.as_bytes())
            .expect("git takes the commit");
        self.resolve(&name).expect("the branch is there now")
    }

    /// The commit that a revision stands for: an id, a branch, a tag, or `HEAD`.
    #[must_use]
    pub fn resolve(&self, revision: &str) -> Option<String> {
        if revision.starts_with('-') {
            return None;
        }
        let revision = format!("{revision}^{{commit}}");
        let id = self.git(&["rev-parse", "--quiet", "--verify", &revision])?;
        Some(String::from_utf8(id).ok()?.trim().to_owned())
    }

    /// What stands at a path of a commit.
    #[must_use]
    pub fn item(&self, commit: &str, path: &str) -> Option<TreeItem> {
        let path = path.trim_end_matches('/');
        self.list(&["--full-tree", commit, "--", path])
            .into_iter()
            .find(|item| item.path == path)
    }

    /// What stands below a folder; the root is the empty path. `None` when there is no such folder.
    #[must_use]
    pub fn tree(&self, commit: &str, path: &str, is_recursive: bool) -> Option<Vec<TreeItem>> {
        let path = path.trim_matches('/');
        if !path.is_empty() && self.item(commit, path)?.kind != TreeKind::Tree {
            return None;
        }
        let treeish = format!("{commit}:{path}");
        let depth: &[&str] = if is_recursive { &["-r", "-t"] } else { &[] };
        let mut items = self.list(&[depth, &[treeish.as_str()]].concat());
        if !path.is_empty() {
            for item in &mut items {
                item.path = format!("{path}/{}", item.path);
            }
        }
        Some(items)
    }

    /// A blob's bytes.
    #[must_use]
    pub fn blob(&self, id: &str) -> Vec<u8> {
        self.git(&["cat-file", "blob", id]).unwrap_or_default()
    }

    /// The last commit that changed a path, seen from a commit.
    #[must_use]
    pub fn last_change(&self, commit: &str, path: &str) -> Option<String> {
        let id = self.git(&["log", "-1", "--format=%H", commit, "--", path])?;
        Some(String::from_utf8(id).ok()?.trim().to_owned())
    }

    /// Git's smart HTTP ref advertisement: what `upload-pack` writes, after a line that names the service.
    #[must_use]
    pub fn advertisement(&self) -> Vec<u8> {
        let mut refs = b"001e# service=git-upload-pack\n0000".to_vec();
        refs.extend(self.upload_pack(&["--http-backend-info-refs"], &[]));
        refs
    }

    /// What git's `upload-pack` answers to a request of the smart HTTP protocol.
    #[must_use]
    pub fn upload_pack(&self, options: &[&str], request: &[u8]) -> Vec<u8> {
        let arguments = [&["upload-pack", "--stateless-rpc"], options, &["."]].concat();
        self.git_fed(&arguments, request).unwrap_or_default()
    }

    fn list(&self, arguments: &[&str]) -> Vec<TreeItem> {
        let arguments = [&["ls-tree", "-z", "--long"], arguments].concat();
        let listed = self.git(&arguments).unwrap_or_default();
        String::from_utf8_lossy(&listed)
            .split_terminator('\0')
            .filter_map(TreeItem::parse)
            .collect()
    }

    fn git(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        self.git_fed(arguments, &[])
    }

    /// What git prints; `None` when it fails.
    fn git_fed(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new("git")
            .arg("--git-dir=.")
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is installed");
        let mut stdin = child.stdin.take().expect("it is piped");
        // Git may end before it has read all: that it failed, its status says.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        output.status.success().then_some(output.stdout)
    }
}

impl TreeItem {
    /// `<mode> <kind> <id> <size>\t<path>`
    fn parse(line: &str) -> Option<Self> {
        let (facts, path) = line.split_once('\t')?;
        let mut facts = facts.split_ascii_whitespace();
        Some(Self {
            mode: u32::from_str_radix(facts.next()?, 8).ok()?,
            kind: TreeKind::parse(facts.next()?)?,
            id: facts.next()?.to_owned(),
            size: facts.next()?.parse().unwrap_or(0),
            path: path.to_owned(),
        })
    }
}

impl TreeKind {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "blob" => Some(Self::Blob),
            "tree" => Some(Self::Tree),
            "commit" => Some(Self::Commit),
            _ => None,
        }
    }
}
