//! What the exchanges of a bench look like, and its name, which tells all of it: `mux/streams=100/frame=16KiB/body=256KiB`.

/// So many streams at once, with a body each.
#[derive(Clone, Debug)]
pub struct Shape {
    pub streams: usize,
    /// Bytes that are written at once.
    pub frame: usize,
    /// Bytes of each stream.
    pub body: usize,
    name: String,
}

impl Shape {
    /// One stream without a byte.
    #[must_use]
    pub fn of(bench: &str) -> Self {
        Self {
            streams: 1,
            frame: 64 << 10,
            body: 0,
            name: bench.to_owned(),
        }
    }

    #[must_use]
    pub fn streams(mut self, streams: usize) -> Self {
        self.streams = streams;
        self.named("streams", streams)
    }

    #[must_use]
    pub fn frame(mut self, bytes: usize) -> Self {
        self.frame = bytes;
        self.named("frame", size(bytes))
    }

    #[must_use]
    pub fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self.named("body", size(bytes))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of all streams.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.streams * self.body) as u64
    }

    fn named(mut self, parameter: &str, value: impl ToString) -> Self {
        self.name += &format!("/{parameter}={}", value.to_string());
        self
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{}KiB", bytes >> 10),
        _ => format!("{}MiB", bytes >> 20),
    }
}
