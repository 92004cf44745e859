//! A deserializer that leaves out the keys it is told, and says at which key it failed. All else is as the one below it has it.

use std::{cell::RefCell, collections::HashSet, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, IntoDeserializer as _, MapAccess,
    SeqAccess, Visitor,
};

use super::super::Key;

/// One reading of a text.
pub(super) struct Reading<'a> {
    left_out: &'a HashSet<Key>,
    /// The first that was told is the innermost.
    failed_at: RefCell<Option<Key>>,
}

impl<'a> Reading<'a> {
    pub(super) fn without(left_out: &'a HashSet<Key>) -> Self {
        Self {
            left_out,
            failed_at: RefCell::default(),
        }
    }

    /// Where the value stood that could not be read.
    pub(super) fn failed_at(&self) -> Key {
        self.failed_at.borrow().clone().unwrap_or_default()
    }

    fn note<T, E>(&self, at: &Key, read: Result<T, E>) -> Result<T, E> {
        if read.is_err() {
            self.failed_at
                .borrow_mut()
                .get_or_insert_with(|| at.clone());
        }
        read
    }
}

/// Something of serde's, at a key.
pub(super) struct Without<'a, T> {
    inner: T,
    at: Key,
    reading: &'a Reading<'a>,
}

impl<'a, T> Without<'a, T> {
    /// At the file itself.
    pub(super) fn of(inner: T, reading: &'a Reading<'a>) -> Self {
        Self {
            inner,
            at: Key::root(),
            reading,
        }
    }
}

macro_rules! deserialize {
    ($($method:ident($($name:ident: $of:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $of,)* visitor: V) -> Result<V::Value, D::Error> {
            let Self { inner, at, reading } = self;
            inner.$method($($name,)* Without { inner: visitor, at, reading })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Without<'_, D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($of:ty))*) => {$(
        fn $method<E: Error>(self, value: $of) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Without<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool)
        visit_i64(i64)
        visit_i128(i128)
        visit_u64(u64)
        visit_u128(u128)
        visit_f64(f64)
        visit_char(char)
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        let Self { inner, at, reading } = self;
        inner.visit_some(Without {
            inner: some,
            at,
            reading,
        })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, within: D) -> Result<V::Value, D::Error> {
        let Self { inner, at, reading } = self;
        inner.visit_newtype_struct(Without {
            inner: within,
            at,
            reading,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        let Self { inner, at, reading } = self;
        inner.visit_seq(Elements {
            list,
            at,
            reading,
            next: 0,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, section: A) -> Result<V::Value, A::Error> {
        let Self { inner, at, reading } = self;
        inner.visit_map(Entries {
            section,
            value_at: at.clone(),
            at,
            reading,
        })
    }

    /// Those of config files have no values in them.
    fn visit_enum<A: EnumAccess<'de>>(self, chosen: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(chosen)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Without<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        let Self { inner, at, reading } = self;
        inner.deserialize(Without {
            inner: value,
            at,
            reading,
        })
    }
}

struct Elements<'a, A> {
    list: A,
    at: Key,
    reading: &'a Reading<'a>,
    next: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        inner: S,
    ) -> Result<Option<S::Value>, A::Error> {
        loop {
            let at = self.at.index(self.next);
            self.next += 1;
            if !self.reading.left_out.contains(&at) {
                let reading = self.reading;
                let element = Without {
                    inner,
                    at: at.clone(),
                    reading,
                };
                return reading.note(&at, self.list.next_element_seed(element));
            }
            if self.list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
    }
}

struct Entries<'a, A> {
    section: A,
    at: Key,
    reading: &'a Reading<'a>,
    /// Where the value stands that comes next.
    value_at: Key,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        key: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.section.next_key::<String>()? {
            self.value_at = self.at.field(&name);
            if self.reading.left_out.contains(&self.value_at) {
                self.section.next_value::<IgnoredAny>()?;
            } else {
                return key.deserialize(name.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<S::Value, A::Error> {
        let reading = self.reading;
        let value = Without {
            inner,
            at: self.value_at.clone(),
            reading,
        };
        reading.note(&self.value_at, self.section.next_value_seed(value))
    }
}
