//! What stands in front of a Service where the cluster has nothing for it: passes each connection to an endpoint, to each in turn, as
//! TCP. The endpoints are those that Kubernetes' own controller knows. As real ones do, it goes on for a while with those that are
//! about to end: it learns late of what changes.

use std::{
    io::{BufReader, copy},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Deserializer, Value};

use crate::{until::until, world::World};

/// How long after an endpoint was told to end connections are still passed to it. Less than the charts' `preStopSeconds`, by what the
/// controller and kubectl take to tell.
const LATE: Duration = Duration::from_secs(2);

pub struct Balancer {
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    following: Option<JoinHandle<()>>,
    slices: Child,
    endpoints: Arc<Mutex<Vec<Endpoint>>>,
}

/// An endpoint that serves, as far as is known.
#[derive(Clone, Copy)]
struct Endpoint {
    at: SocketAddr,
    /// It is to end, which was told then.
    ends_since: Option<Instant>,
}

impl Balancer {
    /// In front of this Service's first port.
    pub fn start(world: &World, at: IpAddr, namespace: &str, service: &str) -> Self {
        let mut told = world
            .admin("get endpointslices --watch --output=json --namespace")
            .arg(namespace)
            .args("--selector")
            .arg(format!("kubernetes.io/service-name={service}"))
            .command();
        let mut slices = told
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let endpoints = Arc::<Mutex<Vec<Endpoint>>>::default();
        let following = thread::spawn({
            let (endpoints, told) = (Arc::clone(&endpoints), slices.stdout.take().unwrap());
            move || follow(told, &endpoints)
        });
        let listener = TcpListener::bind(SocketAddr::new(at, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let accepting = thread::spawn({
            let (endpoints, is_over) = (Arc::clone(&endpoints), Arc::clone(&is_over));
            move || {
                for (turn, client) in listener.incoming().flatten().enumerate() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let endpoint = one_of(&endpoints.lock().unwrap(), turn);
                    // Nobody there: the connection is refused by its end.
                    if let Some(server) = endpoint.and_then(|to| TcpStream::connect(to).ok()) {
                        pass(client, server);
                    }
                }
            }
        });
        Self {
            address,
            is_over,
            accepting: Some(accepting),
            following: Some(following),
            slices,
            endpoints,
        }
    }

    /// Waits until something is behind it.
    pub fn until_ready(&self) {
        until("an endpoint is ready", || {
            one_of(&self.endpoints.lock().unwrap(), 0)
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        let _ = self.slices.kill();
        let _ = self.slices.wait();
        let _ = self.following.take().map(JoinHandle::join);
    }
}

/// Keeps what is told, until nothing is.
fn follow(told: ChildStdout, endpoints: &Mutex<Vec<Endpoint>>) {
    let slices = Deserializer::from_reader(BufReader::new(told)).into_iter::<Value>();
    for slice in slices.map_while(Result::ok) {
        let mut known = endpoints.lock().unwrap();
        *known = serving(&slice, &known);
    }
}

/// Those of a slice that serve, whether or not they are to end.
fn serving(slice: &Value, known: &[Endpoint]) -> Vec<Endpoint> {
    let Some(port) = slice["ports"][0]["port"].as_u64() else {
        return Vec::new();
    };
    let endpoint = |told: &Value| {
        let conditions = &told["conditions"];
        let address = told["addresses"][0].as_str()?;
        let at = SocketAddr::new(address.parse().ok()?, port as u16);
        if conditions["serving"] != true {
            return None;
        }
        let before = known.iter().find(|endpoint| endpoint.at == at);
        let ends_since = (conditions["terminating"] == true).then(|| {
            let before = before.and_then(|endpoint| endpoint.ends_since);
            before.unwrap_or_else(Instant::now)
        });
        Some(Endpoint { at, ends_since })
    };
    let all = slice["endpoints"].as_array().into_iter().flatten();
    all.filter_map(endpoint).collect()
}

fn one_of(endpoints: &[Endpoint], turn: usize) -> Option<SocketAddr> {
    let is_used = |endpoint: &&Endpoint| {
        endpoint
            .ends_since
            .is_none_or(|since| since.elapsed() < LATE)
    };
    let used: Vec<_> = endpoints.iter().filter(is_used).collect();
    let endpoint = used.get(turn.checked_rem(used.len())?)?;
    Some(endpoint.at)
}

/// Both ways, each until its end.
fn pass(client: TcpStream, server: TcpStream) {
    let (client, server) = (Arc::new(client), Arc::new(server));
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        thread::spawn(move || {
            // A connection that breaks is the peers' to notice.
            let _ = copy(&mut &*from, &mut &*to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
