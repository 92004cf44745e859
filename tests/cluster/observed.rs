//! A job's request as the real API server sees it: in its audit log under the name that adit's record has for it, and in its
//! traces.

use adit_tests::{Settings, collector::Told};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    client::Client,
    cluster::MONITORED,
    harness::{Needs, trials},
    installation::{Agent, Relay, Ways},
    job::Job,
    until::{SOON, until},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane; request_is_found_again_in_the_api_servers_audit_log_and_traces]
}

/// First through an agent that is a service account, then through one of which the API server takes its word on traces.
fn request_is_found_again_in_the_api_servers_audit_log_and_traces(world: &World) {
    let traces = &world.cluster.traces;
    let sampling = |share: u8| {
        let mut settings = Settings::default();
        let endpoint = format!("http://{}", traces.address());
        settings.set("traces", "endpoint", endpoint);
        settings.set("traces", "sample", share);
        settings
    };
    let relay = Relay::set(world, sampling(1));
    let with_agent = |ways: &Ways| {
        let mut agent = Agent::set(world, &relay, ways, sampling(0));
        agent.until_connected();
        agent
    };

    let mut agent = with_agent(&Ways::default());
    let account = "system:serviceaccount:adit-agent:adit-agent";
    let (_, unseen) = asked(world, &relay, account);
    agent.process.stop(SOON);

    for role in ["adit-agent-identities", "adit-agent-everywhere"] {
        world
            .admin("create clusterrolebinding")
            .args(&format!(
                "{MONITORED}-{role} --clusterrole={role} --user={MONITORED}"
            ))
            .ok();
    }
    let _agent = with_agent(&Ways {
        user: Some(MONITORED),
        ..Ways::default()
    });
    let (id, call) = asked(world, &relay, MONITORED);
    let seen = traces.until_told("the API server's span", |told| {
        told.service == API_SERVER && told.parent == call.id
    });
    assert_eq!(seen.trace, call.trace);
    assert_eq!(seen.attributes["audit-id"], id);
    // It is later than the other one's would be.
    let of_api_server = |told: &Told| told.service == API_SERVER && told.trace == unseen.trace;
    assert!(!traces.told().iter().any(of_api_server));
}

/// A job's request, by its own name and the API server's, and the agent's span of the call: looked up in both audit logs,
/// which must say the same of it. `agent` is as whom the agent shows itself.
fn asked(world: &World, relay: &Relay, agent: &str) -> (String, Told) {
    let job = Job::of_relay(world, relay, &Client::ours(world));
    until("the agent may act for jobs", || {
        let ended = job.kubectl("get --raw").arg(CONFIGMAPS).run();
        (ended.code == Some(0)).then_some(())
    });
    let id = job.identity.job;
    let record = until("it is written down", || {
        let records = relay.recorded(&[id]).into_iter();
        // The list of agents is the relay's own.
        let is_it = |record: &Value| {
            record["status"] == 200 && record["operation"]["resource"] == "configmaps"
        };
        records.rev().find(is_it)
    });
    let audit_id = record["audit_id"].as_str().unwrap().to_owned();
    assert_eq!(record["request_id"], audit_id.as_str());

    let event = world.cluster.audited(&audit_id);
    assert_eq!(event["user"]["username"], agent, "{event}");
    let theirs = &event["impersonatedUser"];
    assert_eq!(theirs["username"], job.user());
    assert_eq!(theirs["username"], record["act_as"]["user"]);
    let groups = |of: &Value| of["groups"].as_array().unwrap().clone();
    let named = groups(theirs);
    assert!(named.contains(&"gitlab:ci_job".into()), "{event}");
    for group in groups(&record["act_as"]) {
        assert!(named.contains(&group), "{group} in {event}");
    }
    let operation = &record["operation"];
    assert_eq!(event["verb"], operation["verb"], "{event}");
    for what in ["resource", "namespace"] {
        assert_eq!(event["objectRef"][what], operation[what], "{event}");
    }
    assert_eq!(event["responseStatus"]["code"], record["status"]);

    let traces = &world.cluster.traces;
    let root = traces.until_told("the relay's span", |told| {
        told.service == "adit-relay" && told.attributes.get("adit.request.id") == Some(&audit_id)
    });
    let call = traces.until_told("the agent's call", |told| {
        told.trace == root.trace && told.service == "adit-agent" && told.name == "api_server"
    });
    (audit_id, call)
}

const CONFIGMAPS: &str = "/api/v1/namespaces/shop/configmaps?limit=1";
/// As what it sends spans.
const API_SERVER: &str = "apiserver";
