//! What the relay does for the authority `gitlab`: carries its questions to GitLab and to Gitaly, takes its events, answers what its pages
//! ask, and cuts what runs under a job's token when GitLab takes its word back. What is asked, how often, and what an answer means is
//! `adit-authority`'s.

mod api;
mod client;
mod cuts;
mod events;
mod gitaly;
mod pushes;

pub(crate) use api::{Api, Calls};
pub(crate) use client::Client;
pub(crate) use cuts::Cuts;
pub(crate) use events::Events;
pub(crate) use gitaly::GitalyClient;
pub(crate) use pushes::{Push, Pushes, read_files};
