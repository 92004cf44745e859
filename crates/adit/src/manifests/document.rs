//! Kubernetes objects as the files of `deploy/manifests` have them: read, changed in places, printed.
//!
//! Called by the commands. The files are built in and tested, so a place that is not there is a defect.

use adit_identity::mistakes::Key;
use anyhow::Context;
use serde_json::{Map, Value, json};

/// Objects, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Documents(Vec<Document>);

/// Under which names objects are put where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// What all names begin with in the built-in files.
    pub(super) app: &'a str,
    /// What they begin with instead.
    pub(super) name: &'a str,
    /// The namespace.
    pub(super) namespace: &'a str,
}

/// One object, or a config file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document(Value);

impl Documents {
    /// Those of built-in files.
    pub(super) fn of(files: &[&str]) -> Self {
        let texts = files.iter().flat_map(|file| file.split("\n---\n"));
        Self(texts.map(Document::built_in).collect())
    }

    /// The only one of its kind.
    pub(super) fn one(&mut self, kind: &str) -> &mut Document {
        self.0
            .iter_mut()
            .find(|document| document.text("/kind") == kind)
            .expect("the built-in manifests have one")
    }

    pub(super) fn push(&mut self, document: Value) {
        self.0.push(Document(document));
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Gives them the labels that their kustomizations would, and names and a namespace of their own.
    pub(super) fn settled(mut self, place: &Place<'_>) -> Self {
        for document in &mut self.0 {
            document.settle(place);
        }
        self
    }

    /// YAML, with a comment above.
    pub(super) fn to_yaml(&self, comment: &str) -> anyhow::Result<String> {
        let mut text = String::new();
        for line in comment.lines() {
            text += format!("# {line}").trim_end();
            text.push('\n');
        }
        for document in &self.0 {
            text += "---\n";
            text += &document.to_yaml()?;
        }
        Ok(text)
    }
}

impl Document {
    pub(super) fn built_in(text: &str) -> Self {
        Self(serde_saphyr::from_str(text).expect("a built-in file is YAML"))
    }

    /// Puts a value in the place of another.
    pub(super) fn set(&mut self, pointer: &str, value: impl Into<Value>) {
        *self.at(pointer) = value.into();
    }

    /// Puts a value under a key, whether there was one or not.
    pub(super) fn add(&mut self, pointer: &str, key: &str, value: impl Into<Value>) {
        self.at(pointer)
            .as_object_mut()
            .expect("that place is an object")
            .insert(key.to_owned(), value.into());
    }

    /// Puts a value at the end of a list.
    pub(super) fn append(&mut self, pointer: &str, value: impl Into<Value>) {
        self.at(pointer)
            .as_array_mut()
            .expect("that place is a list")
            .push(value.into());
    }

    /// Takes a key away, if it is there.
    pub(super) fn remove(&mut self, pointer: &str, key: &str) {
        let object = self.at(pointer).as_object_mut();
        object.expect("that place is an object").remove(key);
    }

    /// Takes what has this name out of a list.
    pub(super) fn remove_named(&mut self, pointer: &str, name: &str) {
        let list = self.at(pointer).as_array_mut();
        let list = list.expect("that place is a list");
        list.retain(|one| one.get("name").and_then(Value::as_str) != Some(name));
    }

    /// Puts another's values in the places of its own, object by object, but for these keys of these objects.
    pub(super) fn lay_over(&mut self, mut other: Value, except: &[(&str, &str)]) {
        for (object, key) in except {
            if let Some(object) = other.get_mut(object).and_then(Value::as_object_mut) {
                object.remove(*key);
            }
        }
        lay_over(&mut self.0, other);
    }

    /// The keys with this end whose values are texts, spelled with those above them.
    pub(super) fn keys_ending_in(&self, end: &str) -> Vec<String> {
        let mut keys = texts(&self.0, &Key::root());
        keys.retain(|key| key.ends_with(end));
        keys
    }

    pub(super) fn to_yaml(&self) -> anyhow::Result<String> {
        serde_saphyr::to_string(&self.0).context("cannot write YAML")
    }

    fn at(&mut self, pointer: &str) -> &mut Value {
        self.0
            .pointer_mut(pointer)
            .expect("the built-in file has that place")
    }

    fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn settle(&mut self, place: &Place<'_>) {
        let is_at_home = self.text("/metadata/namespace") == place.app;
        rename(&mut self.0, place);
        let mut labels = self
            .0
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .map_or_else(Map::new, Clone::clone);
        labels.insert(APP_LABEL.to_owned(), json!(place.app));
        labels.insert("app.kubernetes.io/instance".to_owned(), json!(place.name));
        self.add("/metadata", "labels", labels);
        match self.text("/kind") {
            "Namespace" => self.set("/metadata/name", place.namespace),
            "ClusterRole" => {}
            "ClusterRoleBinding" | "RoleBinding" => {
                self.set("/subjects/0/namespace", place.namespace);
                if is_at_home {
                    self.set("/metadata/namespace", place.namespace);
                }
            }
            _ => self.add("/metadata", "namespace", place.namespace),
        }
    }
}

/// Names, and references to them; not which app it is, and not content, such as a token that begins like a name.
fn rename(value: &mut Value, place: &Place<'_>) {
    match value {
        Value::String(text) => {
            let rest = text.strip_prefix(place.app).map(str::to_owned);
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('-')) {
                *text = format!("{}{rest}", place.name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, place)),
        Value::Object(keys) => {
            for (key, value) in keys {
                if ![APP_LABEL, "data", "stringData"].contains(&key.as_str()) {
                    rename(value, place);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key).or_insert(Value::Null), value);
            }
        }
        // A section of which nothing is said.
        (Value::Object(_), Value::Null) => {}
        (under, over) => *under = over,
    }
}

/// The keys of all texts in it.
fn texts(value: &Value, at: &Key) -> Vec<String> {
    match value {
        Value::String(_) => vec![at.to_string()],
        Value::Object(keys) => keys
            .iter()
            .flat_map(|(name, value)| texts(value, &at.field(name)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| texts(item, &at.index(index)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

const APP_LABEL: &str = "app.kubernetes.io/name";

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        app: "adit",
        name: "mine",
        namespace: "home",
    };

    #[test]
    fn what_is_printed_reads_back_as_what_it_was() {
        let mut documents = Documents::default();
        documents.push(json!({
            "kind": "ConfigMap",
            "metadata": { "name": "a" },
            "data": { "file": "a: \"b\"\n# c\n\nd: [x]\n", "no": "no", "number": "1", "star": "*" },
            "mode": 288,
        }));
        documents.push(json!({ "kind": "Namespace", "metadata": { "name": "b" } }));
        let documents = documents.settled(&PLACE);
        let text = documents.to_yaml("one\ntwo").unwrap();
        let rest = text.strip_prefix("# one\n# two\n---\n").unwrap();
        assert_eq!(Documents::of(&[rest]), documents, "{text}");
        assert!(text.contains("\n    a: \"b\"\n"), "{text}");
    }

    #[test]
    fn all_get_labels_names_and_a_namespace() {
        let mut documents = Documents::default();
        documents.push(
            json!({ "kind": "Namespace", "metadata": { "name": "a", "labels": { "own": "1" } } }),
        );
        documents.push(
            json!({ "kind": "RoleBinding", "metadata": {}, "subjects": [{ "namespace": "a" }] }),
        );
        documents.push(json!({
            "kind": "Deployment", "metadata": { "name": "adit" },
            "spec": { "image": "adit:1", "secret": "adit-token", "app.kubernetes.io/name": "adit" },
        }));
        documents
            .push(json!({ "kind": "Secret", "metadata": {}, "stringData": { "token": "adit-1" } }));
        let documents = documents.settled(&PLACE);
        let of = |at: usize, pointer| documents.0[at].0.pointer(pointer).cloned();
        assert_eq!(of(0, "/metadata/name"), Some(json!("home")));
        assert_eq!(of(0, "/metadata/labels/own"), Some(json!("1")));
        assert_eq!(
            of(0, "/metadata/labels/app.kubernetes.io~1name"),
            Some(json!("adit"))
        );
        assert_eq!(of(1, "/subjects/0/namespace"), Some(json!("home")));
        assert_eq!(of(1, "/metadata/namespace"), None);
        assert_eq!(of(2, "/metadata/namespace"), Some(json!("home")));
        assert_eq!(of(2, "/metadata/name"), Some(json!("mine")));
        let spec =
            json!({ "image": "adit:1", "secret": "mine-token", "app.kubernetes.io/name": "adit" });
        assert_eq!(of(2, "/spec"), Some(spec));
        assert_eq!(of(3, "/stringData/token"), Some(json!("adit-1")));
    }
}
