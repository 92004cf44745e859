//! A peer that sends whatever a test wants, and the one honest session that has to bear it.

use std::sync::Arc;

use adit_mux::{Budget, Config, Misbehaviour, Moment, RequestBody, Session, SessionError, Terms};
use adit_proto::tunnel::{self as proto, Frame, Frames, frame::Kind};
use bytes::{Buf, Bytes};
use prost::Message;

use super::alarm::{Alarm, ring};

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct Rogue {
    pub(crate) session: Session,
    pub(crate) budget: Arc<Budget>,
    pub(crate) now: Moment,
    driver: Alarm,
}

impl Rogue {
    /// A rogue relay before its Welcome: the session is an agent's.
    pub(crate) fn relay() -> Self {
        Self::relay_with(Config::default())
    }

    pub(crate) fn relay_with(config: Config) -> Self {
        Self::relay_of(config, Budget::new(16 << 20))
    }

    /// One whose session shares its budget with others.
    pub(crate) fn relay_of(config: Config, budget: Arc<Budget>) -> Self {
        let now = Moment::from_secs(1);
        let session = Session::acceptor(config, Arc::clone(&budget), now);
        Self::new(session, budget, now)
    }

    /// A rogue agent before its Hello: the session is a relay's.
    pub(crate) fn agent() -> Self {
        let (budget, now) = (Budget::new(16 << 20), Moment::from_secs(1));
        let id = Bytes::from_static(&[1; 16]);
        let session = Session::opener(Config::default(), id, Arc::clone(&budget), now);
        Self::new(session, budget, now)
    }

    fn new(session: Session, budget: Arc<Budget>, now: Moment) -> Self {
        Self {
            session,
            budget,
            now,
            driver: Alarm::default(),
        }
    }

    /// Does the handshake as an honest peer would.
    #[must_use]
    pub(crate) fn greeted(mut self) -> Self {
        let is_agent = self
            .heard()
            .iter()
            .any(|frame| matches!(frame.kind, Some(Kind::Hello(_))));
        self.send(0, if is_agent { welcome() } else { hello() });
        assert!(self.session.is_open());
        self.heard();
        self
    }

    /// A rogue agent that was greeted, and a stream that was opened to it.
    pub(crate) fn agent_with_stream() -> (Self, u64) {
        let mut rogue = Self::agent().greeted();
        let opened = rogue
            .session
            .open(Bytes::new(), RequestBody::Follows, Terms::default());
        rogue.heard();
        (rogue, opened.unwrap())
    }

    pub(crate) fn send(&mut self, stream: u64, kind: Kind) {
        self.send_frame(frame(stream, kind));
    }

    /// Sends a frame that ends this side's half.
    pub(crate) fn send_last(&mut self, stream: u64, kind: Kind) {
        self.send_frame(Frame {
            end: true,
            ..frame(stream, kind)
        });
    }

    pub(crate) fn send_frame(&mut self, frame: Frame) {
        let frames = Frames { frame: vec![frame] };
        self.send_bytes(frames.encode_to_vec().into());
    }

    pub(crate) fn send_bytes(&mut self, bytes: Bytes) {
        self.session.receive(bytes, self.now);
        ring(&mut self.session);
    }

    /// What the session has to say, as another implementation reads it.
    pub(crate) fn heard(&mut self) -> Vec<Frame> {
        // Whoever used the session since has woken its driver.
        ring(&mut self.session);
        let mut heard = Vec::new();
        while let std::task::Poll::Ready(mut batch) =
            self.driver.poll(&mut self.session, |session, cx| {
                session
                    .transmit::<0>(64 << 10, cx, |_| [])
                    .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
            })
        {
            let bytes = batch.copy_to_bytes(batch.remaining());
            heard.extend(Frames::decode(bytes).expect("valid protobuf").frame);
        }
        heard
    }

    pub(crate) fn advance(&mut self, by: Moment) {
        self.now += by;
        self.session.handle_timeout(self.now);
        ring(&mut self.session);
    }

    /// Whether something has woken the session's driver since it last looked.
    pub(crate) fn is_woken(&self) -> bool {
        self.driver.is_rung()
    }

    /// The rule that the session says was broken.
    pub(crate) fn rule(&self) -> Option<Misbehaviour> {
        self.session.assert_invariants();
        match self.session.end().map(|end| &**end) {
            Some(SessionError::PeerMisbehaved(rule)) => Some(*rule),
            _ => None,
        }
    }

    /// Fails unless the session ended for this rule, told its peer so, and holds nothing any more.
    pub(crate) fn assert_caught(&mut self, rule: Misbehaviour) {
        assert_eq!(self.rule(), Some(rule), "{:?}", self.session.end());
        let heard = self.heard();
        let Some(Kind::Close(close)) = &heard.last().expect("a goodbye").kind else {
            panic!("the last frame is no close: {heard:?}");
        };
        assert_eq!(close.reason(), proto::CloseReason::Protocol);
        assert_eq!(close.message, rule.to_string());
        assert_eq!(self.session.next_timeout(), None);
        // Whatever it says now is not even looked at.
        self.send(0, ping(1));
        assert!(self.heard().is_empty());
    }

    /// Fails unless the session is as well as ever.
    pub(crate) fn assert_unharmed(&self) {
        self.session.assert_invariants();
        assert!(self.session.end().is_none(), "{:?}", self.session.end());
    }
}

pub(crate) fn frame(stream: u64, kind: Kind) -> Frame {
    Frame {
        stream,
        end: false,
        kind: Some(kind),
    }
}

pub(crate) fn hello() -> Kind {
    Kind::Hello(proto::Hello {
        min_version: 1,
        max_version: 1,
        ..proto::Hello::default()
    })
}

pub(crate) fn welcome() -> Kind {
    Kind::Welcome(proto::Welcome {
        version: 1,
        ..proto::Welcome::default()
    })
}

pub(crate) fn ping(token: u64) -> Kind {
    Kind::Ping(proto::Ping { token })
}

pub(crate) fn credit(bytes: u64) -> Kind {
    Kind::Credit(proto::Credit { bytes })
}

pub(crate) fn reset(message: &str) -> Kind {
    Kind::Reset(proto::Reset {
        reason: proto::ResetReason::Cancelled.into(),
        message: message.to_owned(),
    })
}
