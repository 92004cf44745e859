//! One HTTP request and its answer over one tunnel stream, both ends side by side; upgrades.
//!
//! ```text
//!           relay: ask.rs                                              agent: answer.rs
//!  request ──▶ Question ──put──▶ open: RequestHead, identity ──▶ Asked::read ──▶ request
//!     body ──▶ pour ───────────▶ data, trailers ───────────────▶ RequestBody ──▶ body
//! response ◀── AnswerBody ◀──── head: ResponseHead, 1xx first ◀── answer ◀────── response
//!     body ◀─────────────────── data, trailers ◀──────────────── pour ◀───────── body
//!              Upgraded  ◀═════ data, both ways, after a 101 ═══▶ Upgraded
//! ```
//!
//! Invariants:
//! - Every byte of a target and of a field's value crosses as it was; lines of one name keep their order (`head`).
//! - The agent acts as whom the relay said, or not at all. What a caller says about that itself is refused at both ends.
//! - Credentials and what belongs to one hop never cross (`hop`).
//! - Request and answer are independent: either may begin and end while the other still flows.
//! - What ends by accident ends as an error of the body, so that the next hop cuts it off too. Nothing that was cut off looks
//!   complete, and no empty frame is passed on.
//! - Whoever drops an unfinished half cancels the exchange, at both ends.
//!
//! Absent on purpose: connections, retries and deadlines of HTTP (the fronts' and the agent's), and checks of `Content-Length`
//! against what flows (the same).

mod answer;
mod ask;
mod body;
mod head;
mod hop;
mod identity;
mod names;
mod pour;
mod upgraded;
mod wire;

pub use crate::{
    answer::{AnswerError, Asked, answer, informational, switch},
    ask::{Ask, AskError, BadRequest, Question, ask},
    body::{AnswerBody, RequestBody},
    head::{BadHead, HeadLimits, HeadTooLarge},
    hop::upgrade_asked,
    identity::{BadIdentity, read as read_identity},
    upgraded::Upgraded,
};
