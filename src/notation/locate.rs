//! Where something stands in a YAML text.
//!
//! The YAML library says where an error was raised while it reads. So a place is found by reading the text once more and
//! raising an error there; and what no type can refuse (duplicate keys, endless nesting) is refused by a reading of its
//! own that looks only at the text's shape.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::read::Genre;
use super::scalar::with_help;

/// The deepest nesting that is read. A scenario needs about eight levels.
const DEEPEST: usize = 32;
/// How many values a file may have, those reached through aliases counted each time.
const MOST_VALUES: usize = 200_000;

/// The way from a document's root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    parts: Vec<Part>,
    /// Whether the last key is meant and not its value.
    on_key: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    Item(usize),
}

impl Place {
    /// The value under this key.
    pub(crate) fn key(&self, key: impl Into<String>) -> Place {
        self.with(Part::Key(key.into()))
    }

    /// The item with this number, from 0.
    pub(crate) fn item(&self, number: usize) -> Place {
        self.with(Part::Item(number))
    }

    /// The key itself that the way ends with.
    pub(crate) fn on_key(mut self) -> Place {
        self.on_key = true;
        self
    }

    fn with(&self, part: Part) -> Place {
        let mut parts = self.parts.clone();
        parts.push(part);
        Place { parts, on_key: false }
    }

    /// Line and column, from 1, of this place in `text`; of the nearest place around it where it is not written.
    pub(crate) fn find(&self, text: &str) -> (usize, usize) {
        (0..=self.parts.len())
            .rev()
            .find_map(|length| {
                let on_key = self.on_key && length == self.parts.len();
                let seek = Seek { parts: &self.parts[..length], on_key };
                let error = seek.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
                error.to_string().contains(FOUND).then(|| error.location()).flatten()
            })
            .map_or((1, 1), |location| (location.line(), location.column()))
    }
}

/// Marks the error that is raised at the place.
const FOUND: char = '\u{1d}';

/// Walks the way and raises an error at its end.
struct Seek<'a> {
    parts: &'a [Part],
    on_key: bool,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seek<'_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        if self.parts.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.parts.split_first() else { return Err(A::Error::custom(FOUND)) };
        let mut number = 0;
        loop {
            let here = *first == Part::Item(number);
            let item = if here {
                items.next_element_seed(Seek { parts: rest, on_key: self.on_key })?
            } else {
                items.next_element::<serde::de::IgnoredAny>()?.map(|_| ())
            };
            if item.is_none() {
                return Ok(());
            }
            number += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.parts.split_first() else { return Err(A::Error::custom(FOUND)) };
        let Part::Key(wanted) = first else { return Ok(()) };
        let raise = self.on_key && rest.is_empty();
        while let Some(key) =
            map.next_key_seed(Key { check: |key: &str| (raise && key == wanted).then(|| FOUND.to_string()) })?
        {
            if key == *wanted {
                map.next_value_seed(Seek { parts: rest, on_key: self.on_key })?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A key as text; `check` may raise an error at it.
struct Key<F> {
    check: F,
}

impl<'de, F: FnMut(&str) -> Option<String>> DeserializeSeed<'de> for Key<F> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<F: FnMut(&str) -> Option<String>> Key<F> {
    fn text<E: Error>(mut self, text: &str) -> Result<String, E> {
        match (self.check)(text) {
            Some(error) => Err(E::custom(error)),
            None => Ok(text.to_owned()),
        }
    }
}

impl<F: FnMut(&str) -> Option<String>> Visitor<'_> for Key<F> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.text(text)
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        self.text("")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        self.text(&value.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        self.text(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        self.text(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
        self.text(&number.to_string())
    }
}

/// Looks at a text's shape: refuses duplicate keys, deep nesting and more values than anybody needs.
struct Shape<'a> {
    genre: &'a Genre,
    depth: usize,
    values: &'a Cell<usize>,
}

/// What a document is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Map,
    Other,
}

/// Looks at the shape of a whole text.
pub(crate) fn shape(text: &str, genre: &Genre) -> Result<Kind, serde_yaml::Error> {
    let values = Cell::new(0);
    Shape { genre, depth: 0, values: &values }.deserialize(serde_yaml::Deserializer::from_str(text))
}

impl Shape<'_> {
    fn count<E: Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MOST_VALUES {
            let what = format!("the {} has more than {MOST_VALUES} values", self.genre.noun);
            return Err(E::custom(with_help(what, self.genre.shorter)));
        }
        if self.depth > DEEPEST {
            let what = format!("nested more than {DEEPEST} levels deep");
            return Err(E::custom(with_help(what, self.genre.depth_help())));
        }
        Ok(())
    }

    fn deeper(&self) -> Shape<'_> {
        Shape { depth: self.depth + 1, ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML without tags")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        self.count().map(|()| Kind::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Kind, E> {
        self.count().map(|()| Kind::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Kind, E> {
        self.count().map(|()| Kind::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Kind, E> {
        self.count().map(|()| Kind::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Kind, E> {
        self.count().map(|()| Kind::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Kind, E> {
        self.count().map(|()| Kind::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Kind, E> {
        self.count().map(|()| Kind::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        self.count()?;
        while items.next_element_seed(self.deeper())?.is_some() {}
        Ok(Kind::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        self.count()?;
        let mut seen = BTreeSet::new();
        let check = |seen: &BTreeSet<String>, key: &str| {
            let help = "keep one of them, or give the other another name";
            seen.contains(key).then(|| with_help(format!("`{key}` stands twice in the same map"), help))
        };
        while let Some(key) = map.next_key_seed(Key { check: |key: &str| check(&seen, key) })? {
            map.next_value_seed(self.deeper())?;
            seen.insert(key);
        }
        Ok(Kind::Map)
    }
}
