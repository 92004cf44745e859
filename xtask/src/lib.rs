//! The project's commands as a library, so that the tests can start the same cluster.
