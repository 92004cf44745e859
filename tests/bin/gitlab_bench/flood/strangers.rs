//! Strangers with tokens that they invent.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use adit_tests::{Answer, Caller, Refused, caller::Http2, caller::get};
use anyhow::Result;
use futures_util::future::join_all;
use http::{HeaderValue, header::AUTHORIZATION};
use tokio::{
    runtime::Builder,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, interval},
};

/// In a second: 100,000 in a minute.
const TOKENS: u32 = 1667;
/// Connections that they share.
const CONNECTIONS: u32 = 200;
/// How often they send some.
const BEAT: Duration = Duration::from_millis(10);

/// Where they are.
#[derive(Clone, Copy)]
pub(super) enum Crowd {
    Absent,
    AtOneAddress,
    AtManyAddresses,
}

/// How often they were told what.
#[derive(Default)]
pub(super) struct Told(BTreeMap<String, u64>);

impl Crowd {
    pub(super) const ALL: [Self; 3] = [Self::Absent, Self::AtOneAddress, Self::AtManyAddresses];

    /// From where their connections come.
    fn addresses(self) -> Vec<Ipv4Addr> {
        let many = (1..=CONNECTIONS).map(|number| Ipv4Addr::from_bits(0x7f03_0000 + number));
        match self {
            Self::Absent => Vec::new(),
            Self::AtOneAddress => many.map(|_| Ipv4Addr::new(127, 2, 0, 1)).collect(),
            Self::AtManyAddresses => many.collect(),
        }
    }
}

/// Invents tokens until then, others in each turn, on a thread of its own, so that the times of jobs are not those of this program.
pub(super) async fn invent(
    crowd: Crowd,
    turn: u32,
    relay: SocketAddr,
    until: Instant,
) -> Result<Told> {
    let (tell, told) = oneshot::channel();
    let thread = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let told = runtime.map(|runtime| runtime.block_on(strangers(crowd, turn, relay, until)));
        // Whoever wanted to know has failed.
        let _ = tell.send(told);
    });
    // GitLab is on this thread, and they wait for it.
    let told = told.await??;
    thread.join().expect("it has told, which is its end");
    Ok(told)
}

async fn strangers(crowd: Crowd, turn: u32, relay: SocketAddr, until: Instant) -> Told {
    let address = Caller::new(relay, "");
    let connections = crowd.addresses().into_iter().map(|from| {
        let stranger = address.coming_from(&from.to_string(), b"");
        async move { stranger.http2().await }
    });
    let connections = join_all(connections).await;
    let (mut told, mut requests) = (Told::default(), JoinSet::new());
    let began = Instant::now();
    let mut by_turns = connections.iter().cycle();
    let mut beats = interval(BEAT);
    let mut sent = 0;
    while Instant::now() < until {
        beats.tick().await;
        let due = began.elapsed().as_secs_f64() * f64::from(TOKENS);
        while f64::from(sent) < due
            && let Some(connection) = by_turns.next()
        {
            let token = format!("glcbt-65_invented{turn}-{sent:06}");
            requests.spawn(show(connection.clone(), token));
            sent += 1;
        }
        while let Some(answer) = requests.try_join_next() {
            told.note(answer.expect("no request panicked"));
        }
    }
    while let Some(answer) = requests.join_next().await {
        told.note(answer.expect("no request panicked"));
    }
    told
}

async fn show(connection: Http2, token: String) -> hyper::Result<Refused> {
    let token = HeaderValue::try_from(format!("Bearer ci:1:{token}"));
    let mut request = get("/api");
    let token = token.expect("a header's value");
    request.headers_mut().insert(AUTHORIZATION, token);
    let response = connection.send(request).await?;
    Ok(Answer::of(response).await?.refused())
}

impl Told {
    fn note(&mut self, answer: hyper::Result<Refused>) {
        let answer = match answer {
            Ok(refused) => format!("{} {}", refused.status, refused.reason),
            Err(_) => "nothing".to_owned(),
        };
        *self.0.entry(answer).or_default() += 1;
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (answer, count) in &self.0 {
            write!(f, "{count} x {answer}, ")?;
        }
        Ok(())
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no strangers"),
            Self::AtOneAddress => f.write_str("strangers at one address"),
            Self::AtManyAddresses => write!(f, "strangers at {CONNECTIONS} addresses"),
        }
    }
}
