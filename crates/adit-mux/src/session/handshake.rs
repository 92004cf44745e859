//! How a session begins: the acceptor says Hello, the opener Welcome, each with what it is and what it takes. Before that nothing else
//! may come.

use adit_proto::tunnel as proto;
use bytes::Bytes;

use crate::{
    Session,
    config::Limits,
    decode::field,
    encode,
    error::{Misbehaviour, SessionError},
    flood::Tolerance,
    session::{Peer, Phase, clip_to},
};

impl Session {
    pub(super) fn say_hello(&mut self) {
        let hello = proto::Hello {
            min_version: VERSION,
            max_version: VERSION,
            features: FEATURES,
            limits: Some(self.config.limits.to_proto()),
            about: Some(self.config.about.clone()),
        };
        self.control(|out| encode::message(out, 0, field::HELLO, &hello));
    }

    /// The acceptor's Hello came.
    pub(super) fn hello(&mut self, hello: proto::Hello) -> Result<(), SessionError> {
        let (min, max) = (hello.min_version, hello.max_version);
        if !(min..=max).contains(&VERSION) {
            return Err(SessionError::Version { min, max });
        }
        let welcome = proto::Welcome {
            version: VERSION,
            features: hello.features & FEATURES,
            limits: Some(self.config.limits.to_proto()),
            session_id: self.peer.session_id.clone(),
            about: Some(self.config.about.clone()),
        };
        self.control(|out| encode::message(out, 0, field::WELCOME, &welcome));
        self.begin(self.peer.session_id.clone(), hello.limits, hello.about);
        Ok(())
    }

    /// The opener's Welcome came.
    pub(super) fn welcome(&mut self, welcome: proto::Welcome) -> Result<(), SessionError> {
        if welcome.version != VERSION {
            return Err(SessionError::Version {
                min: welcome.version,
                max: welcome.version,
            });
        }
        if welcome.features & !FEATURES != 0 {
            return Err(Misbehaviour::Unexpected("feature that the hello did not name").into());
        }
        self.begin(welcome.session_id, welcome.limits, welcome.about);
        Ok(())
    }

    fn begin(
        &mut self,
        session_id: Bytes,
        limits: Option<proto::Limits>,
        about: Option<proto::About>,
    ) {
        self.limits = Limits::from_peer(limits);
        self.cancels = Tolerance::of_opener(self.limits.max_streams, self.now);
        let about = about.unwrap_or_default();
        self.peer = Peer {
            session_id: Bytes::copy_from_slice(
                session_id
                    .get(..MAX_SESSION_ID_BYTES)
                    .unwrap_or(&session_id),
            ),
            version: VERSION,
            about: proto::About {
                version: clip_to(MAX_ABOUT_BYTES, &about.version),
                replica: clip_to(MAX_ABOUT_BYTES, &about.replica),
                kubernetes_version: clip_to(MAX_ABOUT_BYTES, &about.kubernetes_version),
                agent: clip_to(MAX_AGENT_BYTES, &about.agent),
            },
        };
        self.phase = Phase::Open;
        self.wake_watchers();
        // The first stream's window should find a round trip to be judged by.
        self.measure_if_stale();
    }
}

/// The version of the protocol this crate speaks.
const VERSION: u32 = 1;

/// The features it can use, see `Hello.features`: none is defined in this version.
const FEATURES: u64 = 0;

/// Bytes of each word in `About`, of an agent's name, and of a session's id, which has 16 in this version.
const MAX_ABOUT_BYTES: usize = 253;
const MAX_AGENT_BYTES: usize = 512;
const MAX_SESSION_ID_BYTES: usize = 64;
