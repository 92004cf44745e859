//! GitLab's runner, with the shell executor: gitlab-ci-local runs one job of a `.gitlab-ci.yml` in a repository, with the variables that
//! GitLab gives to that job.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use adit_tests::JobStatus;
use serde_json::{Map, Value, json};
use xtask::{command, tools::CiLocal};

use super::place::{Job, Place, files};
use crate::{job::Call, running::Ended, world::World};

/// A repository with a pipeline, on a branch.
pub struct Runner<'a> {
    place: &'a Place,
    tool: CiLocal,
    project: &'static str,
    branch: &'static str,
    repository: PathBuf,
    /// Of the project, beside those of each job.
    variables: Map<String, Value>,
}

impl<'a> Runner<'a> {
    /// With this pipeline of `tests/pipelines`.
    pub fn new(
        world: &World,
        place: &'a Place,
        (project, branch): (&'static str, &'static str),
        pipeline: &str,
    ) -> Self {
        let folder = world.new_folder("runner");
        let repository = folder.join("repository");
        let programs = folder.join("bin");
        fs::create_dir_all(&repository).unwrap();
        fs::create_dir_all(&programs).unwrap();
        for (name, program) in [
            ("adit", &world.adit),
            ("kubectl", &world.cluster.kubectl),
            ("helm", &world.cluster.helm),
        ] {
            symlink(program, programs.join(name)).unwrap();
        }
        let file = files().join(format!("{pipeline}.gitlab-ci.yml"));
        fs::copy(file, repository.join(".gitlab-ci.yml")).unwrap();
        let runner = Self {
            place,
            tool: CiLocal::ready().unwrap(),
            project,
            branch,
            repository,
            variables: Map::new(),
        };
        runner.check_out();
        runner
    }

    pub fn variable(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// With one more program in its path.
    pub fn program(self, name: &str, program: &Path) -> Self {
        symlink(program, self.programs().join(name)).unwrap();
        self
    }

    /// With a folder of that name, as another one is.
    pub fn folder(self, name: &str, like: &Path) -> Self {
        let mut copy = Command::new("cp");
        copy.arg("--recursive")
            .args([like, &self.repository.join(name)]);
        command::text(&mut copy).unwrap();
        self.git("add --all").ok();
        self
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        self.put(name, content);
        self.git("add --all").ok();
        self
    }

    /// While a job runs.
    pub fn put(&self, name: &str, content: &str) {
        fs::write(self.repository.join(name), content).unwrap();
    }

    /// Runs a job to its end, which ends its life at GitLab, too.
    pub fn run(&self, name: &str, environment: Option<&str>) -> (u64, Ended) {
        let (job, call) = self.job(name, environment);
        let ended = call.run();
        let status = match ended.code {
            Some(0) => JobStatus::Success,
            _ => JobStatus::Failed,
        };
        self.place.end(job, status);
        (job, ended)
    }

    /// Runs a job that succeeds: its id, and what it wrote.
    pub fn succeeds(&self, name: &str, environment: Option<&str>) -> (u64, String) {
        let (job, ended) = self.run(name, environment);
        let said = said(&ended);
        assert_eq!(ended.code, Some(0), "{said}");
        (job, said)
    }

    /// Runs a job that fails: its id, and what it wrote.
    pub fn fails(&self, name: &str, environment: Option<&str>) -> (u64, String) {
        let (job, ended) = self.run(name, environment);
        let said = said(&ended);
        assert_ne!(ended.code, Some(0), "{said}");
        (job, said)
    }

    /// A job about to run: its id, and what runs it.
    pub fn job(&self, name: &str, environment: Option<&str>) -> (u64, Call) {
        let job = self.place.job(self.project, self.branch, environment);
        let variables = self.repository.with_file_name(format!("{}.json", job.id));
        fs::write(&variables, self.variables_of(&job).to_string()).unwrap();
        let mut command = self.tool.command();
        command
            .env_clear()
            .env("HOME", folder(&self.repository))
            // It leaves variables that are files there.
            .env("TMPDIR", folder(&self.repository))
            .env("PATH", self.path())
            // As the certificates of a runner's image.
            .env("SSL_CERT_FILE", &self.place.relay.ca)
            .current_dir(&self.repository)
            .args(["--force-shell-executor", "--json-schema-validation=false"])
            .args(["--no-color", "--state-dir"])
            .arg(format!("../state-{}", job.id))
            .arg("--variables-file")
            .arg(&variables);
        (job.id, Call::new(command, name))
    }

    /// JSON is YAML.
    fn variables_of(&self, job: &Job) -> Value {
        let mut all = self.variables.clone();
        all.insert("CI_JOB_TOKEN".to_owned(), job.token.clone().into());
        if let Some(kubeconfig) = &job.kubeconfig {
            let file = json!({ "type": "file", "values": { "*": kubeconfig } });
            all.insert("KUBECONFIG".to_owned(), file);
        }
        Value::Object(all)
    }

    fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.programs().display())
    }

    fn programs(&self) -> PathBuf {
        self.repository.with_file_name("bin")
    }

    /// gitlab-ci-local takes the project's path and the branch from the clone.
    fn check_out(&self) {
        self.git("init --quiet --initial-branch")
            .arg(self.branch)
            .ok();
        for (name, value) in [("user.name", "Dev"), ("user.email", "dev1@gitlab.test")] {
            self.git("config").args(name).args(value).ok();
        }
        let origin = format!("https://gitlab.test/{}.git", self.project);
        self.git("remote add origin").arg(origin).ok();
        self.git("add --all").ok();
        self.git("commit --quiet --message pipeline").ok();
        self.git("update-ref refs/remotes/origin/main HEAD").ok();
        self.git("remote set-head origin main").ok();
    }

    fn git(&self, line: &str) -> Call {
        let mut git = Command::new("git");
        git.env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder(&self.repository))
            .current_dir(&self.repository);
        Call::new(git, line)
    }
}

fn folder(repository: &Path) -> &Path {
    repository.parent().expect("it lies in the runner's folder")
}

/// A job's log has both.
pub fn said(ended: &Ended) -> String {
    format!("{}{}", ended.text(), ended.stderr)
}
