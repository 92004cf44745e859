//! What a process is called among its like, where nobody has named it. Agents tell the relay, and both the collector of traces.

/// `POD_NAME` from the environment, else the host's name, or `role` without one, and the process id.
#[must_use]
pub fn replica_name(role: &str) -> String {
    let variable = |name| std::env::var(name).ok().and_then(named);
    let kernel = || std::fs::read_to_string(HOST_NAME).ok().and_then(named);
    let on_host = || {
        let host = variable("HOSTNAME").or_else(kernel);
        format!("{}-{}", host.as_deref().unwrap_or(role), std::process::id())
    };
    variable("POD_NAME").unwrap_or_else(on_host)
}

fn named(text: String) -> Option<String> {
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

const HOST_NAME: &str = "/proc/sys/kernel/hostname";
