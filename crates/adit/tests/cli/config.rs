//! `adit config`: whether a configuration is right, before it is used.

use crate::process::{adit, stderr};

#[test]
fn missing_config_file_ends_with_64() {
    let ended = adit(&["config", "check", "/nowhere/relay.yaml"])
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(
        stderr(&ended).starts_with("error: cannot read /nowhere/relay.yaml\n  because: "),
        "{}",
        stderr(&ended)
    );
}
