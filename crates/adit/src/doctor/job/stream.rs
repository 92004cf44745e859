//! Checks `upgrade` and `idle`: does a connection that kubectl upgrades, for exec, attach, cp and port-forward, open and live?
//!
//! It is tried on a watch over WebSocket, the one upgrade for which nothing need be there, of pods that there are none of. The API
//! server answers a ping with a pong, so it is known that bytes get through after a silence. RFC 6455. For `idle` a plain watch is silent
//! beside it.

use std::time::{Duration, SystemTime};

use adit_agent::dial::DialError;
use adit_process::{chain, how_long};
use bytes::Bytes;
use http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE as UPGRADE_FIELD,
};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::access::Access;
use super::cluster::{at, below, is_json};
use super::grant::REFUSED;
use super::token;
use super::watch::{Held, NoWatch, hold, lasting_seconds};
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::when::from;
use crate::exchange::{Answer, NoAnswer, beside, in_origin_form, in_time, whole};
use crate::kubeconfig::Reachable;
use crate::kubernetes_status::Status;

pub(super) const UPGRADE: Check = Check::new("upgrade", Hop::Network);
pub(super) const IDLE: Check = Check::new("idle", Hop::Network);

/// What came of asking for an upgrade.
enum Tried {
    /// Another answer than 101.
    Answered(Answer),
    /// A watch without upgrade.
    Watch,
    Upgraded(Lived),
}

/// How far an upgraded connection came.
enum Lived {
    /// It carried nothing.
    Never,
    /// It carried something, and no silence is tried, for this reason.
    Shortly(String),
    Silent(Silence),
}

/// What came of a silence.
struct Silence {
    asked: Duration,
    socket: Held,
    watch: Result<Held, NoWatch>,
}

/// A silence that is asked for, and the plain watch that is to outlive it.
type Quiet = (Duration, Request<Empty<Bytes>>);

pub(super) async fn check(
    access: &Access,
    agent: &Reachable,
    idle: Option<Duration>,
    report: &mut Report,
) {
    let namespace = access
        .namespace
        .as_ref()
        .or(agent.default_namespace.as_ref());
    let namespace = namespace.map_or("default", String::as_str);
    let lasts = idle.unwrap_or_default().saturating_add(SPARE).as_secs();
    let Some(request) = upgrade(access, agent, namespace, lasts) else {
        report.not_run(UPGRADE, format!("`{namespace}` is no namespace"));
        return;
    };
    let quiet = quiet(access, agent, namespace, idle);
    match attempt(access, request, quiet).await {
        Ok(Tried::Upgraded(lived)) => upgraded(lived, namespace, report),
        Ok(Tried::Watch) => {
            let what = "the API server was not asked to upgrade: something on the way takes the field Upgrade out of requests";
            report.failed(UPGRADE, what, LET_PASS);
        }
        Ok(Tried::Answered(answer)) => refused(UPGRADE, &answer, namespace, report),
        Err(error) => report.failed(UPGRADE, chain(&error), LET_PASS),
    }
}

/// The silence to try, or why none is tried.
fn quiet(
    access: &Access,
    agent: &Reachable,
    namespace: &str,
    idle: Option<Duration>,
) -> Result<Quiet, String> {
    let idle = idle.ok_or_else(|| "not asked for: --idle 75s".to_owned())?;
    let lasts = lasting_seconds(idle);
    let (now, end) = (SystemTime::now(), token::end(&access.token));
    let needed = Duration::from_secs(lasts).saturating_add(PATIENCE);
    if let Some(end) = end
        && end.duration_since(now).unwrap_or_default() < needed
    {
        return Err(format!(
            "the token ends {}, and the relay then ends what runs under it, so {} of silence would say nothing of the network: name less by --idle, or try it early in a job with a longer timeout",
            from(now, end),
            how_long(idle),
        ));
    }
    let watch = watch(access, agent, namespace, lasts);
    let watch = watch.and_then(|watch| watch.body(Empty::new()).ok());
    let watch = watch.ok_or_else(|| format!("`{namespace}` is no namespace"))?;
    Ok((idle, in_origin_form(watch)))
}

fn upgraded(lived: Lived, namespace: &str, report: &mut Report) {
    let carries = "a WebSocket to the API server carries bytes both ways";
    match lived {
        Lived::Never => {
            let what = "a WebSocket to the API server opens, and carries nothing";
            report.failed(UPGRADE, what, LET_PASS);
        }
        Lived::Shortly(why) => {
            report.ok(UPGRADE, carries);
            report.not_run(IDLE, why);
        }
        Lived::Silent(silence) => {
            report.ok(UPGRADE, carries);
            silent(silence, namespace, report);
        }
    }
}

fn silent(silence: Silence, namespace: &str, report: &mut Report) {
    let mut dead = Vec::new();
    match &silence.watch {
        Ok(Held::Until(after)) => {
            dead.push(format!(
                "a silent watch was dead after {}",
                how_long(*after)
            ));
        }
        Ok(Held::Through) | Err(_) => {}
    }
    if let Held::Until(after) = silence.socket {
        dead.push(format!(
            "a silent WebSocket was dead after {}",
            how_long(after)
        ));
    }
    let is_alive = dead.is_empty();
    if !is_alive {
        report.failed(IDLE, dead.join("; "), RAISE);
    }
    match silence.watch {
        Ok(_) if is_alive => {
            let asked = how_long(silence.asked);
            let what = format!("a watch and a WebSocket live through {asked} of silence");
            report.ok(IDLE, what);
        }
        Ok(_) => {}
        Err(NoWatch::Refused(answer)) => refused(IDLE, &answer, namespace, report),
        Err(NoWatch::Unanswered(error)) => {
            let advice = match &error {
                NoAnswer::Dial(error) => DialError::advice(error),
                NoAnswer::Http(_) | NoAnswer::Late | NoAnswer::Body(_) => GO_ON,
            };
            let what = format!("{}{}", before(IDLE), chain(&error));
            report.failed(IDLE, what, advice);
        }
    }
}

/// Tells by whom that was refused on which a check is tried.
fn refused(check: Check, answer: &Answer, namespace: &str, report: &mut Report) {
    let said = Status::read(&answer.body);
    let what = format!("{}{} {}", before(check), answer.status, said.message);
    if let Some(hop) = said.hop {
        let hop = Hop::named(&hop).unwrap_or(Hop::Relay);
        if hop == Hop::Agent && answer.status == StatusCode::FORBIDDEN {
            let why = format!(
                "tried by a watch of pods in `{namespace}`: {what}; name a namespace where it is allowed by --namespace"
            );
            report.not_run(check, why);
            return;
        }
        report.failed(at(check, hop), what, REFUSED);
    } else if !is_json(answer) {
        let advice = if check == UPGRADE { LET_PASS } else { GO_ON };
        report.failed(check, format!("{what}, by something in between"), advice);
    } else if answer.status == StatusCode::FORBIDDEN {
        let why = format!(
            "tried by a watch of pods, which is not allowed in `{namespace}`: name a namespace where it is by --namespace"
        );
        report.not_run(check, why);
    } else {
        report.not_run(
            check,
            format!("the API server refuses the watch it is tried by: {what}"),
        );
    }
}

/// Says what did not open: of an upgrade its check says it.
fn before(check: Check) -> &'static str {
    if check == IDLE {
        "a watch did not open: "
    } else {
        ""
    }
}

/// A watch of no pods that lasts so long. `None`: the namespace is none.
fn watch(
    access: &Access,
    agent: &Reachable,
    namespace: &str,
    seconds: u64,
) -> Option<http::request::Builder> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if namespace.is_empty() || !namespace.bytes().all(is_plain) {
        return None;
    }
    let target = format!(
        "/api/v1/namespaces/{namespace}/pods?watch=true&labelSelector=adit-doctor%3Dnobody&timeoutSeconds={seconds}"
    );
    Some(below(access, agent, &target))
}

/// The same over WebSocket.
fn upgrade(
    access: &Access,
    agent: &Reachable,
    namespace: &str,
    seconds: u64,
) -> Option<Request<Empty<Bytes>>> {
    let request = watch(access, agent, namespace, seconds)?
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE_FIELD, "websocket")
        // The API server's watch over WebSocket asks for one, though no page does.
        .header(ORIGIN, access.relay.to_string())
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, KEY)
        .body(Empty::new());
    request.ok().map(in_origin_form)
}

async fn attempt(
    access: &Access,
    request: Request<Empty<Bytes>>,
    quiet: Result<Quiet, String>,
) -> Result<Tried, NoAnswer> {
    let dialled = access.way.http1.dial().await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(dialled.wire)).await?;
    let trying = async {
        let response = in_time(async { Ok(sender.send_request(request).await?) }).await?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                let io = TokioIo::new(hyper::upgrade::on(response).await?);
                Ok(Tried::Upgraded(live(io, access, quiet).await))
            }
            StatusCode::OK => Ok(Tried::Watch),
            _ => Ok(Tried::Answered(in_time(whole(response)).await?)),
        }
    };
    beside(driver.with_upgrades(), trying).await
}

async fn live(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    access: &Access,
    quiet: Result<Quiet, String>,
) -> Lived {
    if !answers(&mut io).await {
        return Lived::Never;
    }
    let (asked, watch) = match quiet {
        Ok(quiet) => quiet,
        Err(why) => return Lived::Shortly(why),
    };
    // Boxed: a connection's whole state is in it.
    let watching = Box::pin(hold(access, watch, asked));
    let (socket, watch) = tokio::join!(outlives(io, asked), watching);
    Lived::Silent(Silence {
        asked,
        socket,
        watch,
    })
}

async fn outlives(mut io: impl AsyncRead + AsyncWrite + Unpin, silence: Duration) -> Held {
    let began = Instant::now();
    // Nothing comes unless it breaks off.
    let broke_off = timeout(silence, io.read_u8()).await.is_ok();
    if broke_off || !answers(&mut io).await {
        return Held::Until(began.elapsed());
    }
    Held::Through
}

/// Whether a ping is answered.
async fn answers(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let asking = async {
        io.write_all(&PING).await?;
        io.flush().await?;
        while frame(io).await? != PONG {}
        std::io::Result::Ok(())
    };
    matches!(timeout(PATIENCE, asking).await, Ok(Ok(())))
}

/// Reads a frame that a server sends, and gives its first byte: how it ends a message, and its kind. RFC 6455 section 5.2.
async fn frame(io: &mut (impl AsyncRead + Unpin)) -> std::io::Result<u8> {
    let kind = io.read_u8().await?;
    let length = match io.read_u8().await? & 0x7f {
        126 => u64::from(io.read_u16().await?),
        127 => io.read_u64().await?,
        length => u64::from(length),
    };
    let mut payload = io.take(length);
    tokio::io::copy(&mut payload, &mut tokio::io::sink()).await?;
    Ok(kind)
}

const RAISE: &str = "raise the idle timeout of what stands between the job and the relay, such as a balancer's; upgraded connections often have one of their own, as HAProxy's `timeout tunnel` beside `timeout server`";
const LET_PASS: &str = "let what stands between the job and the relay pass upgrades: HTTP/1.1, with the fields Connection and Upgrade, and bytes both ways at once";
const GO_ON: &str = "what came by the same way a moment before got through: try again, and look into the log of what stands between the job and the relay, whose limits may be small, and into the relay's";
/// Sixteen bytes that need not be a secret: they keep caches from answering.
const KEY: &str = "YWRpdC1kb2N0b3ItMDAwMA==";
/// An empty ping, with the mask that a client must have.
const PING: [u8; 6] = [0x89, 0x80, 0x61, 0x64, 0x69, 0x74];
const PONG: u8 = 0x8a;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the watch may last beyond the silence.
const SPARE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pong_is_found_behind_other_frames() {
        let (mut here, mut there) = tokio::io::duplex(1 << 10);
        let long = [0x81, 126, 0, 200].into_iter().chain([b'x'; 200]);
        let frames: Vec<u8> = long.chain([0x8a, 0]).collect();
        there.write_all(&frames).await.unwrap();
        assert!(answers(&mut here).await);
        let mut asked = [0; 6];
        there.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, PING);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_that_nothing_outlives_is_told() {
        let (here, there) = tokio::io::duplex(64);
        let silence = Duration::from_secs(75);
        let ending = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(there);
        };
        let (held, ()) = tokio::join!(outlives(here, silence), ending);
        assert_eq!(held, Held::Until(Duration::from_secs(60)));
    }
}
