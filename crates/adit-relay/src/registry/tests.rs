use std::sync::atomic::AtomicBool;

use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(5);
/// What an agent, and a tunnel, may have here.
const TUNNELS: usize = 3;
const STREAMS: u32 = 2;

#[derive(Clone, Debug, Default)]
struct Line {
    draining: Arc<AtomicBool>,
}

impl TakesStreams for Line {
    fn takes_streams(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

fn agent() -> AgentId {
    "7".parse().unwrap()
}

fn registry() -> Registry<Line> {
    Registry::new()
}

#[test]
fn agent_that_never_came_is_told_apart_from_one_that_left() {
    let registry = registry();
    let presence = registry.presence(agent());
    assert_eq!(
        presence.pick(None, STREAMS).unwrap_err(),
        Absent::NeverConnected
    );
    drop(
        registry
            .register(agent(), "a", Line::default(), TUNNELS)
            .unwrap(),
    );
    assert!(matches!(
        presence.pick(None, STREAMS).unwrap_err(),
        Absent::Offline { .. }
    ));
}

#[test]
fn late_goodbye_does_not_evict_the_successor() {
    let registry = registry();
    let first = registry
        .register(agent(), "a", Line::default(), TUNNELS)
        .unwrap();
    let _second = registry
        .register(agent(), "b", Line::default(), TUNNELS)
        .unwrap();
    drop(first);
    assert_eq!(
        registry
            .presence(agent())
            .pick(None, STREAMS)
            .unwrap()
            .session(),
        "b"
    );
}

#[test]
fn replicas_share_the_load() {
    let registry = registry();
    let _a = registry
        .register(agent(), "a", Line::default(), TUNNELS)
        .unwrap();
    let _b = registry
        .register(agent(), "b", Line::default(), TUNNELS)
        .unwrap();
    let presence = registry.presence(agent());
    let places: Vec<_> = (0..4)
        .map(|_| presence.pick(None, STREAMS).unwrap())
        .collect();
    let on_a = places.iter().filter(|place| place.session() == "a").count();
    assert_eq!(on_a, 2);
    assert_eq!(presence.pick(None, STREAMS).unwrap_err(), Absent::Full);
}

#[test]
fn dropped_place_is_free_again() {
    let registry = registry();
    let _a = registry
        .register(agent(), "a", Line::default(), TUNNELS)
        .unwrap();
    let presence = registry.presence(agent());
    let places = [
        presence.pick(None, STREAMS).unwrap(),
        presence.pick(None, STREAMS).unwrap(),
    ];
    assert_eq!(presence.pick(None, STREAMS).unwrap_err(), Absent::Full);
    drop(places);
    assert!(presence.pick(None, STREAMS).is_ok());
}

#[test]
fn draining_tunnel_is_not_picked() {
    let registry = registry();
    let line = Line::default();
    let _a = registry
        .register(agent(), "a", line.clone(), TUNNELS)
        .unwrap();
    line.draining.store(true, Ordering::Relaxed);
    let presence = registry.presence(agent());
    assert_eq!(presence.pick(None, STREAMS).unwrap_err(), Absent::Draining);
    let _b = registry
        .register(agent(), "b", Line::default(), TUNNELS)
        .unwrap();
    assert_eq!(presence.pick(None, STREAMS).unwrap().session(), "b");
}

#[test]
fn second_try_avoids_the_first_tunnel() {
    let registry = registry();
    let _a = registry
        .register(agent(), "a", Line::default(), TUNNELS)
        .unwrap();
    let _b = registry
        .register(agent(), "b", Line::default(), TUNNELS)
        .unwrap();
    let presence = registry.presence(agent());
    for _ in 0..4 {
        assert_eq!(presence.pick(Some("a"), STREAMS).unwrap().session(), "b");
    }
}

#[test]
fn tunnels_of_one_agent_are_limited() {
    let registry = registry();
    let held: Vec<_> = ["a", "b", "c"]
        .map(|s| {
            registry
                .register(agent(), s, Line::default(), TUNNELS)
                .unwrap()
        })
        .into();
    assert_eq!(
        registry
            .register(agent(), "d", Line::default(), TUNNELS)
            .unwrap_err(),
        TooManyTunnels { most: 3 }
    );
    drop(held);
    assert_eq!(registry.presence(agent()).tunnels(), 0);
}

#[tokio::test]
async fn waiting_caller_gets_the_tunnel_that_arrives() {
    let registry = Arc::new(registry());
    let presence = registry.presence(agent());
    let waiter = presence.arrival(None, STREAMS);
    let arrival = async {
        tokio::task::yield_now().await;
        registry
            .register(agent(), "a", Line::default(), TUNNELS)
            .unwrap()
    };
    let (place, _registration) = timeout(SOON, async { tokio::join!(waiter, arrival) })
        .await
        .unwrap();
    assert_eq!(place.session(), "a");
}
