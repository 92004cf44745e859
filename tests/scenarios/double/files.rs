//! The repository files API, and git over HTTP.

use std::process::Command;

use adit_tests::{GitLab, Role, gitlab, gitlab::Visibility, scenario};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::ask;

const FILE: &str = ".gitlab/agents/prod/config.yaml";
const TEXT: &str = "ci_access: {}\n# ä\n";

async fn start() -> GitLab {
    let gitlab = gitlab().start().await;
    {
        let mut world = gitlab.world();
        let project = world.project("group/app");
        world.member("dev1", "group", Role::Reporter);
        world.user("stranger");
        world.repository(project).commit(&[(FILE, TEXT)]);
    }
    gitlab
}

fn path(tail: &str) -> String {
    let file = FILE.replace('/', "%2F");
    format!("/api/v4/projects/group%2Fapp/repository/files/{file}{tail}")
}

fn token(gitlab: &GitLab, login: &str, scopes: &[&str]) -> String {
    let mut world = gitlab.world();
    let user = world.user(login);
    world.personal_token(user, scopes)
}

#[test]
fn a_file_is_read_with_a_token() {
    scenario(async {
        let gitlab = start().await;
        let token = token(&gitlab, "dev1", &["read_repository"]);
        let headers = [("private-token", token.as_str())];
        for query in ["/raw", "/raw?ref=main", "/raw?ref=HEAD"] {
            let answer = ask(&gitlab, &path(query), &headers).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.text(), TEXT);
            assert_eq!(answer.headers["x-gitlab-file-path"], FILE);
            let commit = &answer.headers["x-gitlab-commit-id"];
            assert_eq!(commit, &answer.headers["x-gitlab-last-commit-id"]);
        }
        let answer = ask(&gitlab, &path("?ref=main"), &headers).await.json();
        assert_eq!(answer["file_name"], "config.yaml");
        assert_eq!(answer["size"], TEXT.len());
        assert_eq!(answer["content"], STANDARD.encode(TEXT));
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(ask(&gitlab, &path("/raw"), &headers).await.status, 200);
    });
}

#[test]
fn what_is_not_there_is_named() {
    scenario(async {
        let gitlab = start().await;
        let token = token(&gitlab, "dev1", &["read_api"]);
        let headers = [("private-token", token.as_str())];
        for (asked, status, says) in [
            (path("/raw?ref=gone"), 404, "404 Commit Not Found"),
            (
                path("/raw").replace("config", "other"),
                404,
                "404 File Not Found",
            ),
            (
                path("/raw").replace("app", "gone"),
                404,
                "404 Project Not Found",
            ),
        ] {
            let answer = ask(&gitlab, &asked, &headers).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.json()["message"], says);
        }
        let answer = ask(&gitlab, &path(""), &headers).await;
        assert_eq!(answer.status, 400);
    });
}

#[test]
fn a_private_project_is_not_found_by_those_who_may_not_read_it() {
    scenario(async {
        let gitlab = start().await;
        let stranger = token(&gitlab, "stranger", &["read_repository"]);
        let unfit = token(&gitlab, "dev1", &["k8s_proxy"]);
        let raw = path("/raw");
        let status = async |headers: &[(&str, &str)]| ask(&gitlab, &raw, headers).await.status;
        assert_eq!(status(&[]).await, 404);
        assert_eq!(status(&[("private-token", &stranger)]).await, 404);
        assert_eq!(status(&[("private-token", &unfit)]).await, 403);
        assert_eq!(status(&[("private-token", "glpat-invented")]).await, 401);
        gitlab.world().project_mut("group/app").visibility = Visibility::Public;
        assert_eq!(status(&[]).await, 200);
    });
}

#[test]
fn a_repository_can_be_cloned() {
    scenario(async {
        let gitlab = gitlab().plain().start().await;
        {
            let mut world = gitlab.world();
            let project = world.project("group/app");
            world.member("dev1", "group", Role::Developer);
            world.repository(project).commit(&[(FILE, TEXT)]);
        }
        let token = token(&gitlab, "dev1", &["read_repository"]);
        let folder = tempfile::tempdir().unwrap();
        let clone = async |credential: &str, into: &str| {
            let url = format!("http://{credential}{}/group/app.git", gitlab.address());
            let mut command = Command::new("git");
            command
                .args(["clone", "--quiet", &url, into])
                .current_dir(folder.path())
                .env("GIT_TERMINAL_PROMPT", "0")
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            let mut command = tokio::process::Command::from(command);
            command.output().await.unwrap().status.success()
        };
        assert!(!clone("", "anonymous").await);
        assert!(clone(&format!("dev1:{token}@"), "clone").await);
        let text = std::fs::read_to_string(folder.path().join("clone").join(FILE));
        assert_eq!(text.unwrap(), TEXT);
    });
}
