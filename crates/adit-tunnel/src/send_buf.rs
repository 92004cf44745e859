//! What an HTTP/2 connection sends that carries tunnels and ordinary answers alike.

use std::io::IoSlice;

use adit_mux::Batch;
use bytes::{Buf, Bytes};

/// Plain bytes, or a batch of frames.
#[derive(Debug)]
pub struct SendBuf(Inner);

#[derive(Debug)]
enum Inner {
    Bytes(Bytes),
    // Boxed, so that an ordinary answer's DATA frame stays small.
    Batch(Box<Batch>),
}

impl From<Bytes> for SendBuf {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Bytes(bytes))
    }
}

impl From<Batch> for SendBuf {
    fn from(batch: Batch) -> Self {
        Self(Inner::Batch(Box::new(batch)))
    }
}

impl Default for SendBuf {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl Buf for SendBuf {
    fn remaining(&self) -> usize {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.remaining(),
            Inner::Batch(batch) => batch.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.chunk(),
            Inner::Batch(batch) => batch.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        match &mut self.0 {
            Inner::Bytes(bytes) => bytes.advance(count),
            Inner::Batch(batch) => batch.advance(count),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.chunks_vectored(slices),
            Inner::Batch(batch) => batch.chunks_vectored(slices),
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match &mut self.0 {
            Inner::Bytes(bytes) => bytes.copy_to_bytes(count),
            Inner::Batch(batch) => batch.copy_to_bytes(count),
        }
    }
}
