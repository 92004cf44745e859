//! Decides with which code a process ends; `main` of the binary is the only caller.
//!
//! The numbers are an interface: scripts and `docs/commands.md` rely on them. From 64 on they are
//! those of BSD's `sysexits.h`, so that a supervisor may tell "mend the file" from "try again"; from 10
//! to 19 they are `adit doctor`'s, one for each hop.

use std::process::ExitCode;

/// Why a process ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped as asked (0).
    Done = 0,
    /// It could not be done, and no other code says why (1).
    Failed = 1,
    /// The command line is wrong (2); clap ends the process with it by itself.
    Usage = 2,
    /// `adit doctor`: what is broken is the job's own: its settings, its token, its clock (10).
    BrokenClient = 10,
    /// `adit doctor`: the way to the relay (11).
    BrokenNetwork = 11,
    /// `adit doctor`: the relay (12).
    BrokenRelay = 12,
    /// `adit doctor`: the agent (13).
    BrokenAgent = 13,
    /// `adit doctor`: the API server, or the way from the agent to it (14).
    BrokenApiServer = 14,
    /// `adit doctor`: who vouches for jobs, the issuer of their tokens or GitLab, or the way there (15).
    BrokenAuthority = 15,
    /// A config file, flag value or kubeconfig is wrong (64): starting again will not help.
    BadConfig = 64,
    /// A peer that is needed cannot be reached, or refused (69).
    Unavailable = 69,
    /// A defect in adit (70).
    Internal = 70,
    /// It did not work now, and may work in a moment (75).
    TryAgain = 75,
    /// A credential was refused (77).
    NotPermitted = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_numbers() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::BrokenClient, 10),
            (Exit::BrokenNetwork, 11),
            (Exit::BrokenRelay, 12),
            (Exit::BrokenAgent, 13),
            (Exit::BrokenApiServer, 14),
            (Exit::BrokenAuthority, 15),
            (Exit::BadConfig, 64),
            (Exit::Unavailable, 69),
            (Exit::Internal, 70),
            (Exit::TryAgain, 75),
            (Exit::NotPermitted, 77),
        ];
        for (exit, code) in codes {
            assert_eq!(ExitCode::from(exit), ExitCode::from(code));
        }
    }
}
