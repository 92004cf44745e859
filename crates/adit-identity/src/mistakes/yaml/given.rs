//! Finds the keys behind which nothing stands. serde takes them for absent, and what is absent has its default: a boundary that somebody
//! began to write would be none.
//!
//! Called by [`super::from_yaml`] before it reads a type. Invariant: a text that can be read has every key with a value when this finds none.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, Spanned};

use super::super::Key;

/// Those keys, in their order, and where they stand; the file itself may be empty.
pub(super) fn without_value(text: &str) -> Result<Vec<(Key, Location)>, Error> {
    let whole: Spanned<Given> = serde_saphyr::from_str(text)?;
    let mut found = Vec::new();
    whole.value.look(&Key::root(), &mut found);
    Ok(found)
}

/// What stands behind a key.
enum Given {
    Nothing,
    Value,
    List(Vec<Spanned<Self>>),
    Section(Vec<(String, Spanned<Self>)>),
}

impl Given {
    fn look(&self, at: &Key, found: &mut Vec<(Key, Location)>) {
        let mut look_below = |key: Key, below: &Spanned<Self>| {
            if matches!(below.value, Self::Nothing) {
                found.push((key, below.referenced));
            } else {
                below.value.look(&key, found);
            }
        };
        match self {
            Self::List(elements) => {
                for (place, element) in elements.iter().enumerate() {
                    look_below(at.index(place), element);
                }
            }
            Self::Section(fields) => {
                for (name, field) in fields {
                    look_below(at.field(name), field);
                }
            }
            Self::Nothing | Self::Value => {}
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

macro_rules! visit {
    ($($method:ident($of:ty))*) => {$(
        fn $method<E>(self, _: $of) -> Result<Given, E> {
            Ok(Given::Value)
        }
    )*};
}

impl<'de> Visitor<'de> for Any {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    visit! {
        visit_bool(bool)
        visit_i64(i64)
        visit_i128(i128)
        visit_u64(u64)
        visit_u128(u128)
        visit_f64(f64)
        visit_str(&str)
        visit_bytes(&[u8])
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_none<E>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<Given, D::Error> {
        Given::deserialize(some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Given::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut section: A) -> Result<Given, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = section.next_entry()? {
            fields.push(field);
        }
        Ok(Given::Section(fields))
    }
}
