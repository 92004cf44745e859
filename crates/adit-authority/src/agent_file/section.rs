//! Takes an agent's file apart: each value is asked for by its key and as what it should be. What is wrong is noted where it stands,
//! and what nobody asked for, too.
//! Invariant: no value that is given out is of another type than was asked for; a null is as good as no value, as for GitLab.

use std::{fmt, str::FromStr};

use adit_identity::mistakes::Key;

use super::{
    Findings, Place,
    yaml::{Name, Node, Value},
};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) key: Key,
    pub(super) node: &'a Node,
}

/// A map, of whose keys some were asked for.
#[derive(Debug)]
pub(super) struct Section<'a> {
    key: Key,
    left: Vec<&'a (Name, Node)>,
    known: Vec<&'static str>,
}

impl<'a> At<'a> {
    pub(super) fn place(&self) -> Place {
        self.node.place
    }

    pub(super) fn text(&self, findings: &mut Findings) -> Option<&'a str> {
        let what = match &self.node.value {
            Value::Text(text) => return Some(text),
            Value::Flag(_) | Value::Number(_) => "must be a text: put it into quotes",
            Value::Null | Value::List(_) | Value::Map(_) => "must be a text",
        };
        self.wrong(what, findings)
    }

    /// A text in a form of its own.
    pub(super) fn parsed<T>(&self, findings: &mut Findings) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.text(findings)?.parse() {
            Ok(value) => Some(value),
            Err(why) => self.wrong(why, findings),
        }
    }

    pub(super) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        let Value::Flag(flag) = self.node.value else {
            return self.wrong("must be `true` or `false`", findings);
        };
        Some(flag)
    }

    /// The values of a list.
    pub(super) fn list(&self, findings: &mut Findings) -> Option<Vec<Self>> {
        let Value::List(nodes) = &self.node.value else {
            return self.wrong("must be a list", findings);
        };
        let at = |(at, node)| Self {
            key: self.key.index(at),
            node,
        };
        Some(nodes.iter().enumerate().map(at).collect())
    }

    /// The texts of a list.
    pub(super) fn texts(&self, findings: &mut Findings) -> Option<Vec<&'a str>> {
        let list = self.list(findings)?;
        let texts: Vec<_> = list.iter().map(|at| at.text(findings)).collect();
        texts.into_iter().collect()
    }

    pub(super) fn section(&self, findings: &mut Findings) -> Option<Section<'a>> {
        let Value::Map(fields) = &self.node.value else {
            return self.wrong("must be a map of keys to values", findings);
        };
        Some(Section {
            key: self.key.clone(),
            left: fields.iter().collect(),
            known: Vec::new(),
        })
    }

    /// Notes a mistake.
    pub(super) fn wrong<T>(&self, what: impl fmt::Display, findings: &mut Findings) -> Option<T> {
        findings.mistake(self.place(), &self.key, what);
        None
    }
}

impl<'a> Section<'a> {
    /// The value of a key.
    pub(super) fn take(&mut self, name: &'static str) -> Option<At<'a>> {
        self.take_with_null(name)
            .filter(|at| !matches!(at.node.value, Value::Null))
    }

    /// The same of a key whose absence lets in more; with nothing behind it, GitLab takes it for absent, and that is told.
    pub(super) fn take_with_warning(
        &mut self,
        name: &'static str,
        meaning: &'static str,
        findings: &mut Findings,
    ) -> Option<At<'a>> {
        let at = self.take_with_null(name)?;
        if matches!(at.node.value, Value::Null) {
            let what = format_args!("there is no value, and GitLab passes over the key: {meaning}");
            findings.warning(at.place(), &at.key, what);
            return None;
        }
        Some(at)
    }

    /// The same where it matters that the key is there, be it with nothing behind it.
    pub(super) fn take_with_null(&mut self, name: &'static str) -> Option<At<'a>> {
        self.known.push(name);
        let at = self.left.iter().position(|(key, _)| key.text == name)?;
        let (_, node) = self.left.swap_remove(at);
        Some(At {
            key: self.key.field(name),
            node,
        })
    }

    /// Warns of what is left: GitLab passes over it.
    pub(super) fn end(self, findings: &mut Findings) {
        let known = self.known();
        for (name, _) in self.in_order() {
            findings.warning(
                name.place,
                &self.key_of(name),
                format_args!("GitLab knows no such key here and passes over it; it knows {known}"),
            );
        }
    }

    /// Refuses what is left.
    pub(super) fn end_strictly(self, what: &'static str, findings: &mut Findings) {
        for (name, _) in self.in_order() {
            findings.mistake(name.place, &self.key_of(name), what);
        }
    }

    /// Whether there is a key that was not asked for.
    pub(super) fn has_others(&self) -> bool {
        !self.left.is_empty()
    }

    /// An unknown key may hold anything, and is shown on terminals.
    fn key_of(&self, name: &Name) -> Key {
        self.key.field(&name.text.escape_debug().to_string())
    }

    fn in_order(&self) -> Vec<&'a (Name, Node)> {
        let mut left = self.left.clone();
        left.sort_by_key(|(name, _)| name.place);
        left
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.known.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}
