//! The double as a program: the example's world, and orders from outside.

use std::{path::Path, sync::Arc};

use adit_tests::{
    Caller, Endpoint, JobStatus, Raw, gitlab,
    gitlab::{Seed, control},
    scenario,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{ALLOWED_AGENTS, ask};

fn example() -> Seed {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gitlab-world.yaml");
    Seed::read(&file).unwrap()
}

#[test]
fn the_examples_world_is_made() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let facts = gitlab.seed(&example()).unwrap();
        assert_eq!(facts["agents"][0]["id"], 41);
        assert_eq!(facts["users"][0]["id"], 12);
        for (job, id) in [(0, 9001), (1, 9002)] {
            let job = &facts["jobs"][job];
            assert_eq!(job["id"], id);
            let kubeconfig = job["kubeconfig"].as_str().unwrap();
            let context = "name: my-group/optional-subgroup/my-repository:testing";
            assert!(kubeconfig.contains(context), "{kubeconfig}");
            let headers = [("job-token", job["token"].as_str().unwrap())];
            let answer = ask(&gitlab, ALLOWED_AGENTS, &headers).await;
            assert_eq!(answer.json()["allowed_agents"][0]["id"], 41);
        }
        let file = "my-group%2Foptional-subgroup%2Fmy-repository/repository/files/.gitlab%2Fagents%2Ftesting%2Fconfig.yaml/raw";
        let token = facts["users"][0]["tokens"][1].as_str().unwrap();
        let path = format!("/api/v4/projects/{file}");
        let answer = ask(&gitlab, &path, &[("private-token", token)]).await;
        assert!(answer.text().starts_with("ci_access:"));
    });
}

async fn order(at: &Caller, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: double\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Raw::new(TcpStream::connect(at.address).await.unwrap());
    connection.write(head).await.unwrap();
    let (status, _, body) = connection.answer().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn it_takes_orders() {
    scenario(async {
        let gitlab = Arc::new(gitlab().start().await);
        gitlab.seed(&example()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = Caller {
            address: listener.local_addr().unwrap(),
            ..gitlab.caller()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(control(listener, Arc::clone(&gitlab)));

        let job = json!({ "project": "my-group/app", "environment": "production" });
        let (status, job) = order(&at, "POST", "/jobs", &job).await;
        assert_eq!(status, 200, "{job}");
        let headers = [("job-token", job["token"].as_str().unwrap())];

        let fault = json!({ "endpoint": "allowed_agents", "fault": { "status": 503 } });
        assert_eq!(order(&at, "POST", "/faults", &fault).await.0, 200);
        assert_eq!(ask(&gitlab, ALLOWED_AGENTS, &headers).await.status, 503);
        order(&at, "DELETE", "/faults", &json!({})).await;
        assert_eq!(ask(&gitlab, ALLOWED_AGENTS, &headers).await.status, 200);
        assert_eq!(gitlab.calls().to(Endpoint::AllowedAgents), 2);
        let (_, calls) = order(&at, "GET", "/calls", &json!({})).await;
        assert_eq!(calls["total"], 2);

        let files = json!({ "README.md": "new", "gone": null });
        let commit = json!({ "project": "my-group/app", "files": files });
        let (status, commit) = order(&at, "POST", "/commits", &commit).await;
        assert_eq!(status, 200, "{commit}");
        let id = gitlab.world().find_project("my-group/app").unwrap().id;
        let head = gitlab.world().repository(id).resolve("main").unwrap();
        assert_eq!(commit["commit"], head);

        let end = format!("/jobs/{}/status", job["id"]);
        order(&at, "POST", &end, &json!({ "status": "canceled" })).await;
        let id = job["id"].as_u64().unwrap();
        let status = gitlab.world().job_of(id).status;
        assert_eq!(status, JobStatus::Canceled);
        assert_eq!(ask(&gitlab, ALLOWED_AGENTS, &headers).await.status, 401);

        let (status, answer) = order(&at, "POST", "/jobs", &json!({ "what": 1 })).await;
        assert_eq!(status, 400, "{answer}");
        let stray = json!({ "project": "my-group/none" });
        assert_eq!(order(&at, "POST", "/jobs", &stray).await.0, 400);

        // It has the ids of whatever else is made with it given elsewhere.
        let next = json!({ "project": "my-group/app", "environment": "new", "id": id + 1 });
        let (status, job) = order(&at, "POST", "/jobs", &next).await;
        assert_eq!((status, &job["id"]), (200, &json!(id + 1)), "{job}");
        let (status, answer) = order(&at, "POST", "/jobs", &next).await;
        assert_eq!(status, 409);
        let told = answer["message"].as_str().unwrap();
        assert!(told.contains("is taken"), "{told}");
    });
}
