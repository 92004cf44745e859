//! What the session protocol costs by itself: both ends of a session in one thread, without IO, tasks, or a clock of its own.
//! `README.md` says how to run it and how to compare.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench fails by panicking"
)]

use adit_benches::{pair::Pair, shape::Shape};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

criterion_main!(benches);
criterion_group!(benches, uploads);

fn uploads(criterion: &mut Criterion) {
    for streams in [1, 100] {
        for frame in [1 << 10, 16 << 10, 64 << 10] {
            let shape = Shape::of("mux")
                .streams(streams)
                .frame(frame)
                .body(256 << 10);
            let mut group = criterion.benchmark_group(shape.name());
            group.throughput(Throughput::Bytes(shape.bytes()));
            let mut pair = Pair::open();
            group.bench_function("upload", |bencher| bencher.iter(|| pair.uploads(&shape)));
        }
    }
}
