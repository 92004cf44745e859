//! A client in Rust: kube-client with the job's kubeconfig, over HTTP/1.1, its exec by a WebSocket library of its own.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube_client::{
    Api, Client, Config, Error,
    api::{
        AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    harness::{Needs, trials},
    job::Job,
    watches::runtime,
    world::{BENCH, World},
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials![Needs::ControlPlane; kube_rs_makes_lists_watches_and_is_refused];
    all.extend(trials![Needs::Pods; kube_rs_executes_a_command]);
    all
}

fn kube_rs_makes_lists_watches_and_is_refused(world: &World) {
    let (job, name) = (world.any_job(), world.name("kube-rs"));
    let story = async {
        let client = client(&job).await;
        let configmaps: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let version = configmaps
            .list(&params)
            .await
            .unwrap()
            .metadata
            .resource_version
            .unwrap();
        let watch = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut events = configmaps.watch(&watch, &version).await.unwrap().boxed();

        let mut made = ConfigMap {
            data: Some(BTreeMap::from([("a".into(), "1".into())])),
            ..ConfigMap::default()
        };
        made.metadata.name = Some(name.clone());
        configmaps
            .create(&PostParams::default(), &made)
            .await
            .unwrap();
        assert!(
            matches!(events.try_next().await.unwrap(), Some(WatchEvent::Added(added)) if added.data == made.data)
        );
        let patch = Patch::Merge(json!({ "data": { "a": "2" } }));
        configmaps
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
        assert!(matches!(
            events.try_next().await.unwrap(),
            Some(WatchEvent::Modified(_))
        ));
        assert_eq!(configmaps.list(&params).await.unwrap().items.len(), 1);
        configmaps
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
        assert!(matches!(
            events.try_next().await.unwrap(),
            Some(WatchEvent::Deleted(_))
        ));

        let elsewhere: Api<ConfigMap> = Api::namespaced(client, "vault");
        let Err(Error::Api(refused)) = elsewhere.list(&ListParams::default()).await else {
            panic!("a job has no such right")
        };
        assert!(
            refused.code == 403 && refused.message.contains(&job.user()),
            "{refused:?}"
        );
    };
    run(story);
}

fn kube_rs_executes_a_command(world: &World) {
    world.bench();
    let job = world.any_job();
    let story = async {
        let pods: Api<Pod> = Api::namespaced(client(&job).await, "shop");
        let params = AttachParams::default()
            .stdin(true)
            .stdout(true)
            .stderr(false);
        let mut process = pods
            .exec(
                BENCH,
                ["sh", "-c", "read line; echo heard $line; exit 4"],
                &params,
            )
            .await
            .unwrap();
        process
            .stdin()
            .unwrap()
            .write_all(b"kube-rs\n")
            .await
            .unwrap();
        let mut output = String::new();
        process
            .stdout()
            .unwrap()
            .read_to_string(&mut output)
            .await
            .unwrap();
        assert_eq!(output, "heard kube-rs\n");
        let status = process.take_status().unwrap().await.unwrap();
        let causes = status.details.unwrap().causes.unwrap();
        assert_eq!(causes[0].message.as_deref(), Some("4"), "{causes:?}");
    };
    run(story);
}

async fn client(job: &Job) -> Client {
    let kubeconfig = Kubeconfig::read_from(job.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

fn run(story: impl Future<Output = ()>) {
    let story = Box::pin(story);
    runtime().block_on(async {
        timeout(Duration::from_secs(60), story)
            .await
            .expect("it takes a minute at most")
    });
}
