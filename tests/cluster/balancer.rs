//! What stands in front of a Service where the cluster has nothing for it: passes each connection to an endpoint that is ready at
//! that moment, as TCP. The endpoints are those that Kubernetes' own controller knows.

use std::{
    io::copy,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use serde_json::{Deserializer, Value};

use crate::{running::Running, until::until, world::World};

pub struct Balancer {
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    slices: Arc<Mutex<Running>>,
}

impl Balancer {
    /// In front of this Service's port of this number.
    pub fn start(world: &World, at: IpAddr, namespace: &str, service: &str) -> Self {
        let slices = world
            .admin("get endpointslices --watch --output=json --namespace")
            .arg(namespace)
            .args("--selector")
            .arg(format!("kubernetes.io/service-name={service}"))
            .start();
        let slices = Arc::new(Mutex::new(slices));
        let listener = TcpListener::bind(SocketAddr::new(at, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let accepting = thread::spawn({
            let (slices, is_over) = (Arc::clone(&slices), Arc::clone(&is_over));
            move || {
                for client in listener.incoming().flatten() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let endpoint = ready(&slices.lock().unwrap().stdout());
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
            slices,
        }
    }

    /// Waits until something is behind it.
    pub fn until_ready(&self) {
        until("an endpoint is ready", || {
            ready(&self.slices.lock().unwrap().stdout())
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// Of the last state that was told, the endpoint that became ready last.
fn ready(told: &str) -> Option<SocketAddr> {
    let slices = Deserializer::from_str(told).into_iter::<Value>();
    // The last one may not be whole yet.
    let slice = slices.map_while(Result::ok).last()?;
    let port = u16::try_from(slice["ports"][0]["port"].as_u64()?).ok()?;
    let endpoints = slice["endpoints"].as_array()?;
    let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] == true;
    let address = endpoints.iter().rfind(is_ready)?["addresses"][0].as_str()?;
    Some(SocketAddr::new(address.parse().ok()?, port))
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
