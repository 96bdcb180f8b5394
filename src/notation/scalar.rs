//! Values that are written as one word or number, and maps that keep their order.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// Begins an error's text that is ours and not serde's.
pub(crate) const OURS: char = '\u{1e}';

/// Divides what is wrong from what to do about it within the text of an error, which is all that serde carries.
pub(crate) const HELP: char = '\u{1f}';

/// An error's text: what is wrong, and what to do about it.
pub(crate) fn with_help(what: impl fmt::Display, help: impl fmt::Display) -> String {
    format!("{OURS}{what}{HELP}{help}")
}

/// The error of a [`Scalar`], marked as ours.
fn ours<E: Error>(text: String) -> E {
    if text.starts_with(OURS) { E::custom(text) } else { E::custom(format_args!("{OURS}{text}")) }
}

/// The name nearest to a mistyped one, if any is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = wrong.to_lowercase();
    let near = right.into_iter().map(|name| {
        let distance = strsim::damerau_levenshtein(&lowered, &name.to_lowercase());
        (distance, name)
    });
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    let longest = wrong.chars().count().max(name.chars().count());
    (distance * 2 <= longest.max(2)).then_some(name)
}

/// What to do about a mistyped name: `did you mean "x"?`, or the list of what there is.
pub(crate) fn suggestion<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str> + Clone) -> String {
    const LISTED: usize = 24;
    if let Some(name) = nearest(wrong, right.clone()) {
        return format!("did you mean `{name}`?");
    }
    let names: Vec<&str> = right.into_iter().collect();
    match names.len() {
        0 => "there is none".to_owned(),
        1..=LISTED => format!("there is: {}", names.join(", ")),
        _ => format!("there is: {}, …", names[..LISTED].join(", ")),
    }
}

/// A value that is written as one word or number.
pub(crate) trait Scalar: Sized {
    /// What it is, as in "expected a duration".
    const WHAT: &'static str;

    /// Reads it from a word; the error may hold [`HELP`].
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads it from a number without a fraction, which is a word like any other where nothing else is said.
    fn from_integer(number: i128) -> Result<Self, String> {
        Self::from_text(&number.to_string())
    }

    /// Reads it from a list of words, where it may be one.
    fn from_list(_: Vec<String>) -> Result<Self, String> {
        Err(format!("a list stands where {} belongs", Self::WHAT))
    }

    /// Reads it from any other number.
    fn from_float(number: f64) -> Result<Self, String> {
        Err(format!("`{number}` is not {}", Self::WHAT))
    }
}

/// Reads one where no place is shown beside what is wrong, as on a command line.
pub(crate) fn from_word<T: Scalar>(text: &str) -> Result<T, String> {
    T::from_text(text).map_err(|said| said.trim_start_matches(OURS).replace(HELP, "; "))
}

/// What a visitor does that reads a [`Scalar`] from a word or a number.
macro_rules! visit_words_and_numbers {
    ($type:ty) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(<$type>::WHAT)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<$type, E> {
            <$type>::from_text(text).map_err(ours)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<$type, E> {
            <$type>::from_integer(number.into()).map_err(ours)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<$type, E> {
            <$type>::from_integer(number.into()).map_err(ours)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<$type, E> {
            <$type>::from_float(number).map_err(ours)
        }
    };
}

/// Reads a [`Scalar`].
pub(crate) struct ScalarVisitor<T>(pub(crate) PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    visit_words_and_numbers!(T);
}

/// Implements `Deserialize` for a [`Scalar`], and `JsonSchema` from the schema given.
macro_rules! scalar {
    ($type:ident, $schema:tt) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_any($crate::notation::scalar::ScalarVisitor(std::marker::PhantomData))
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
pub(crate) use scalar;

/// Reads a [`Scalar`], or a map of the fields of `M`.
pub(crate) struct ScalarOrMap<T, M>(pub(crate) PhantomData<(T, M)>);

impl<'de, T: Scalar + From<M>, M: Deserialize<'de>> Visitor<'de> for ScalarOrMap<T, M> {
    type Value = T;

    visit_words_and_numbers!(T);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            texts.push(text);
        }
        T::from_list(texts).map_err(ours)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

/// Implements `Deserialize` and `JsonSchema` for a [`Scalar`] that may also be a map of the fields of another type;
/// `$like` is the type whose schema the short form has.
macro_rules! scalar_or_map {
    ($type:ident, $like:ty, $map:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let visitor = $crate::notation::scalar::ScalarOrMap::<$type, $map>(std::marker::PhantomData);
                deserializer.deserialize_any(visitor)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let (short, long) = (generator.subschema_for::<$like>(), generator.subschema_for::<$map>());
                schemars::json_schema!({ "anyOf": [short, long] })
            }
        }
    };
}
pub(crate) use scalar_or_map;

/// A map in the order in which it is written, with each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T>(Vec<(String, T)>);

impl<T> Named<T> {
    /// The entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &T)> + Clone {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names in order.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// What stands under this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named(Vec::new())
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    /// The caller sees to it that no name comes twice.
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Named<T> {
        Named(entries.into_iter().collect())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named<T>, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<Name>()? {
            if !seen.insert(name.0.clone()) {
                let what = format!("`{}` stands here twice", name.0);
                return Err(A::Error::custom(with_help(what, "keep one of them, or give the other another name")));
            }
            entries.push((name.0, map.next_value()?));
        }
        Ok(Named(entries))
    }
}

/// A key: numbers are taken as they are written, so that a topic `5` needs no quotes.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
        Ok(Name(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Name, E> {
        Err(E::custom(with_help(Unexpected::Float(number), "put the name in quotes")))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
