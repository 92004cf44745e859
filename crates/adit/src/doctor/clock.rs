//! Check `clock`: does this machine's differ from the clock of whoever answers? By the field `Date`, which is of whole seconds.

use std::time::{Duration, SystemTime};

use adit_process::how_long;
use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, Request};
use http_body_util::Full;

use super::finding::{Check, Report};
use super::network::Way;
use crate::exchange::exchange;

/// Asks for this URL, over HTTP/1.1: the relay tells the time there alone. What it answers otherwise is of no interest.
pub(super) async fn check(check: Check, way: &Way, url: &str, report: &mut Report) {
    let request = Request::get(url).body(Full::<Bytes>::default());
    let answer = exchange(&way.http1, request.expect("a checked URL")).await;
    let told = answer.ok().and_then(|answer| time(&answer.headers));
    let Some(there) = told else {
        report.not_run(check, "no answer tells the time");
        return;
    };
    let (apart, way) = match SystemTime::now().duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let what = format!("this machine's is {} {way} the relay's", how_long(apart));
    let advice = "set this machine's clock by NTP: certificates and tokens are judged by the time";
    if apart > FAR_APART {
        report.failed(check, what, advice);
    } else if apart > APART {
        report.warning(check, what, advice);
    } else {
        report.ok(check, what);
    }
}

fn time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// What a relay forgives a token's issuer by default (`leeway`).
const APART: Duration = Duration::from_secs(10);
/// What nothing forgives.
const FAR_APART: Duration = Duration::from_mins(1);
