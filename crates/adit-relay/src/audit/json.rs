//! Writes JSON objects field by field, into a buffer that is there already: a record costs no allocation and no tree.
//! Texts and numbers are serde_json's; names of fields are ours, so nothing in them needs an escape.

/// Longest text of a record, in bytes; a caller may choose paths and names as long as a head may be.
const LONGEST: usize = 512;

/// An object being written.
#[derive(Debug)]
pub(super) struct Object<'a> {
    into: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(into: &'a mut Vec<u8>) -> Self {
        into.push(b'{');
        Self {
            into,
            is_empty: true,
        }
    }

    /// Goes on in the middle of an object: fields that are written once and used in many.
    pub(super) fn fields(into: &'a mut Vec<u8>) -> Self {
        Self {
            into,
            is_empty: true,
        }
    }

    pub(super) fn end(self) {
        self.into.push(b'}');
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        value(self.into, short(text));
    }

    /// A text, unless it is empty.
    pub(super) fn some_text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    pub(super) fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) {
        self.name(name);
        self.into.push(b'[');
        for (at, text) in texts.into_iter().enumerate() {
            if at > 0 {
                self.into.push(b',');
            }
            value(self.into, short(text));
        }
        self.into.push(b']');
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        value(self.into, &number);
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.into
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        let mut object = Object::begin(self.into);
        fill(&mut object);
        object.end();
    }

    /// A value that `write` writes, JSON already.
    pub(super) fn raw(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.into);
    }

    /// What [`Object::fields`] wrote.
    pub(super) fn more(&mut self, fields: &[u8]) {
        if !fields.is_empty() {
            self.comma();
            self.into.extend_from_slice(fields);
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.into.push(b'"');
        self.into.extend_from_slice(name.as_bytes());
        self.into.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.into.push(b',');
        }
    }
}

fn value(into: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(into, value)
        .expect("texts and numbers always serialise, and a vector grows");
}

/// The beginning of a text that is too long.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST))
        .unwrap_or(text)
}
