//! A table of what each value puts where, and what holds it against a chart. Invariant: a row that would also hold without its value
//! fails, and so does a value without a row.

use serde_json::{Value, json};

use crate::chart::{Chart, Objects, over};

/// What comes of one value.
pub(super) struct Effect {
    /// Such as `image.tag`.
    key: &'static str,
    value: Value,
    /// Other values without which it has no effect. Those of rows that need none are all set at once.
    beside: Option<Value>,
    /// What is said of those others without it, where they are refused.
    refusal: Option<&'static str>,
    seen: Vec<Seen>,
}

/// Where something is to be seen, and what.
struct Seen {
    object: String,
    at: String,
    what: What,
}

enum What {
    /// This value and no other; null where there is nothing.
    Is(Value),
    /// This one among others in a list.
    Has(Value),
    /// This one, whether the row's value is set or not.
    Stays(Value),
    /// There is such an object.
    Made,
    /// There is no such object, or, with `*` for a name, none of this kind.
    Gone,
}

/// A row that begins with a value.
pub(super) fn value(key: &'static str, value: impl Into<Value>) -> Effect {
    Effect {
        key,
        value: value.into(),
        beside: None,
        refusal: None,
        seen: Vec::new(),
    }
}

impl Effect {
    /// Alone but for these.
    pub(super) fn beside(mut self, values: Value) -> Self {
        self.beside = Some(values);
        self
    }

    /// Without any other.
    pub(super) fn alone(self) -> Self {
        self.beside(json!({}))
    }

    /// Alone but for these, of which this is said without it.
    pub(super) fn lets_pass(mut self, values: Value, refusal: &'static str) -> Self {
        self.refusal = Some(refusal);
        self.beside(values)
    }

    /// It is there as it is given.
    pub(super) fn stands_at(self, object: &str, at: &str) -> Self {
        let value = self.value.clone();
        self.gives(object, at, value)
    }

    pub(super) fn gives(self, object: &str, at: &str, value: impl Into<Value>) -> Self {
        self.seen(object, at, What::Is(value.into()))
    }

    pub(super) fn takes_away(self, object: &str, at: &str) -> Self {
        self.seen(object, at, What::Is(Value::Null))
    }

    /// Each that is given is in the list there.
    pub(super) fn adds_to(mut self, object: &str, at: &str) -> Self {
        for one in self.value.as_array().unwrap().clone() {
            self = self.adds(object, at, one);
        }
        self
    }

    pub(super) fn adds(self, object: &str, at: &str, one: impl Into<Value>) -> Self {
        self.seen(object, at, What::Has(one.into()))
    }

    pub(super) fn leaves(self, object: &str, at: &str, value: impl Into<Value>) -> Self {
        self.seen(object, at, What::Stays(value.into()))
    }

    pub(super) fn makes(self, object: &str) -> Self {
        self.seen(object, "", What::Made)
    }

    pub(super) fn removes(self, object: &str) -> Self {
        self.seen(object, "", What::Gone)
    }

    fn seen(mut self, object: &str, at: &str, what: What) -> Self {
        let (object, at) = (object.to_owned(), at.to_owned());
        self.seen.push(Seen { object, at, what });
        self
    }

    fn values(&self) -> Value {
        let keys = self.key.rsplit('.');
        keys.fold(self.value.clone(), |below, key| json!({ key: below }))
    }

    /// Whether this row is about that value of `values.yaml`.
    fn is_about(&self, leaf: &str) -> bool {
        leaf.strip_prefix(self.key)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn holds(&self, without: &Objects, with: &Objects) {
        let Self {
            key, value, seen, ..
        } = self;
        assert!(!seen.is_empty(), "nothing is said of {key}");
        for one in seen {
            let Seen { object, at, .. } = one;
            let place = format!("{key}: {value}: {object}{at}");
            assert!(one.is_in(with), "{place}: there is {}", one.found(with));
            let is_there_already = one.is_in(without);
            let stays = matches!(one.what, What::Stays(_));
            assert_eq!(is_there_already, stays, "{place}, without it");
        }
    }
}

impl Seen {
    fn is_in(&self, objects: &Objects) -> bool {
        let found = self.found(objects);
        match &self.what {
            What::Is(value) | What::Stays(value) => found == *value,
            What::Has(one) => found.as_array().is_some_and(|list| list.contains(one)),
            What::Made => !found.is_null(),
            What::Gone => match self.object.strip_suffix('*') {
                Some(kind) => !objects.keys().any(|key| key.starts_with(kind)),
                None => found.is_null(),
            },
        }
    }

    fn found(&self, objects: &Objects) -> Value {
        let object = objects.get(&self.object);
        let found = object.and_then(|object| object.pointer(&self.at));
        found.cloned().unwrap_or_default()
    }
}

/// Each row holds, and each value has a row.
pub(super) fn all_do_what_they_say(chart: &Chart, effects: &[Effect]) {
    let mut leaves = Vec::new();
    add_leaves("", &chart.values(), &mut leaves);
    leaves.retain(|leaf| !effects.iter().any(|effect| effect.is_about(leaf)));
    assert!(leaves.is_empty(), "nobody says what comes of {leaves:?}");

    let none = chart.rendered(&json!({}));
    let is_in_company = |effect: &&Effect| effect.beside.is_none();
    let all = effects.iter().filter(is_in_company);
    let values = all.fold(json!({}), |all, effect| over(&all, &effect.values()));
    let all = chart.rendered(&values);
    for effect in effects {
        match &effect.beside {
            None => effect.holds(&none, &all),
            Some(others) if *others == json!({}) => {
                effect.holds(&none, &chart.rendered(&effect.values()));
            }
            Some(others) => {
                let without = effect.refusal.map_or_else(
                    || chart.rendered(others),
                    |refusal| {
                        let said = chart.refusal_of(others);
                        assert!(said.contains(refusal), "{}: {said}", effect.key);
                        Objects::new()
                    },
                );
                effect.holds(&without, &chart.rendered(&over(others, &effect.values())));
            }
        }
    }
}

/// What is no object, or an empty one.
fn add_leaves(key: &str, value: &Value, leaves: &mut Vec<String>) {
    match value.as_object().filter(|keys| !keys.is_empty()) {
        Some(keys) => keys.iter().for_each(|(below, value)| {
            let dot = if key.is_empty() { "" } else { "." };
            add_leaves(&format!("{key}{dot}{below}"), value, leaves);
        }),
        None => leaves.push(key.to_owned()),
    }
}
