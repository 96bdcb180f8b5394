//! The properties of one packet: kept in the form they have on the wire.

use std::fmt;

use bytes::Bytes;

use super::fault::Malformed;
use super::property::{Place, Property, Value};
use super::property_wire::{Cursor, WRONG, check, data_without_method, fitting, put_property, survey};
use super::wire::read_variable;

/// The properties of a packet, in the form they have on the wire: cheap to receive, to keep and to pass on.
///
/// Whatever is in here can be told apart; where it may stand is checked on the way in and out.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Properties(
    /// Never empty: most packets have none, and nothing is to be done for them. Messages are moved a great deal, and are small
    /// without it.
    Option<Box<Held>>,
);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Held {
    wire: Bytes,
    /// What is in `wire`: the bit of each property that is there, and what [`survey`] adds.
    present: u64,
}

/// The properties of a packet, as they lie in the buffer that they came in or in [`Properties`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PropertiesRef<'a> {
    wire: &'a [u8],
    present: u64,
}

/// Stands where a property could not be written; the standard has no property 0.
const UNWRITABLE: u8 = 0;

impl Properties {
    /// No properties.
    pub const fn new() -> Properties {
        Properties(None)
    }

    /// The same, borrowed.
    #[inline]
    pub fn borrowed(&self) -> PropertiesRef<'_> {
        self.0.as_ref().map_or(PropertiesRef { wire: &[], present: 0 }, |held| PropertiesRef {
            wire: &held.wire,
            present: held.present,
        })
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many bytes they take on the wire, without the length before them.
    #[inline]
    pub fn len(&self) -> usize {
        self.borrowed().len()
    }

    /// These and one more: see [`Properties::push`].
    #[must_use]
    pub fn with(mut self, property: Property, value: impl Into<Value>) -> Properties {
        self.push(property, value);
        self
    }

    /// Adds one behind the others. If the value cannot be written (it is of another type than the property's, or too
    /// long), the encoder refuses any packet with these properties.
    pub fn push(&mut self, property: Property, value: impl Into<Value>) {
        let mut wire = Vec::with_capacity(self.len() + 16);
        wire.extend_from_slice(self.borrowed().wire);
        if !put_property(&mut wire, property, &value.into()) {
            wire.push(UNWRITABLE);
        }
        *self = Properties::of(wire);
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Property, Value)> + '_ {
        self.borrowed().values(|start, end| self.slice(start, end))
    }

    /// A copy in a buffer of its own, for keeping.
    #[must_use]
    pub fn detached(&self) -> Properties {
        self.borrowed().detached()
    }

    #[inline]
    pub(super) fn find(&self, wanted: Property) -> Option<Value> {
        self.borrowed().find_with(wanted, |start, end| self.slice(start, end))
    }

    fn slice(&self, start: usize, end: usize) -> Bytes {
        self.0.as_ref().map_or_else(Bytes::new, |held| held.wire.slice(start..end))
    }

    /// Properties that were put together, right or wrong.
    fn of(wire: Vec<u8>) -> Properties {
        if wire.is_empty() {
            return Properties::new();
        }
        let present = survey(&wire).unwrap_or(WRONG);
        Properties(Some(Box::new(Held { wire: wire.into(), present })))
    }
}

impl<'a> PropertiesRef<'a> {
    /// Properties as they came from the wire, checked for what may stand in this place.
    #[inline]
    pub(crate) fn parse(wire: &'a [u8], place: Place) -> Result<PropertiesRef<'a>, Malformed> {
        let present = check::<true>(wire, place)?;
        Ok(PropertiesRef { wire, present })
    }

    /// Properties that have been checked, behind their length.
    pub(super) fn checked(wire: &'a [u8], place: Place) -> PropertiesRef<'a> {
        let Ok(Some((len, length))) = read_variable(wire) else { return PropertiesRef::default() };
        let wire = wire.get(length..length + len as usize).unwrap_or_default();
        PropertiesRef::parse(wire, place).unwrap_or_default()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.wire.is_empty()
    }

    /// How many bytes they take on the wire, without the length before them.
    #[inline]
    pub fn len(self) -> usize {
        self.wire.len()
    }

    #[inline]
    pub(crate) fn as_wire(self) -> &'a [u8] {
        self.wire
    }

    /// All of them, in order; strings and binary data are copies.
    pub fn iter(self) -> impl Iterator<Item = (Property, Value)> + 'a {
        self.values(move |start, end| Bytes::copy_from_slice(&self.wire[start..end]))
    }

    /// A copy in a buffer of its own, for keeping.
    pub fn detached(self) -> Properties {
        self.owned(&Bytes::copy_from_slice)
    }

    /// The same in what `keep` makes of their bytes.
    #[inline]
    pub(super) fn owned(self, keep: &impl Fn(&[u8]) -> Bytes) -> Properties {
        let held = || Box::new(Held { wire: keep(self.wire), present: self.present });
        Properties((!self.is_empty()).then(held))
    }

    /// A copy of all but these, in order.
    #[must_use]
    pub fn without(self, left_out: &[Property]) -> Properties {
        let mut cursor = Cursor { wire: self.wire, at: 0 };
        let mut kept = Vec::new();
        loop {
            let start = cursor.at;
            match cursor.next_span() {
                Ok(Some((property, _))) if left_out.contains(&property) => {}
                Ok(Some(_)) => kept.extend_from_slice(&self.wire[start..cursor.at]),
                Ok(None) => break,
                Err(_) => {
                    // What cannot be written stays so.
                    kept.extend_from_slice(&self.wire[start..]);
                    break;
                }
            }
        }
        if kept.len() == self.len() { self.detached() } else { Properties::of(kept) }
    }

    #[inline]
    pub(super) fn find(self, wanted: Property) -> Option<Value> {
        self.find_with(wanted, |start, end| Bytes::copy_from_slice(&self.wire[start..end]))
    }

    #[inline]
    fn find_with(self, wanted: Property, keep: impl Fn(usize, usize) -> Bytes) -> Option<Value> {
        // What could not be surveyed has to be searched.
        if self.present & (wanted.bit() | WRONG) == 0 {
            return None;
        }
        self.search(wanted, keep)
    }

    fn search(self, wanted: Property, keep: impl Fn(usize, usize) -> Bytes) -> Option<Value> {
        let mut cursor = Cursor { wire: self.wire, at: 0 };
        while let Ok(Some((property, span))) = cursor.next_span() {
            if property == wanted {
                return Some(span.value(keep));
            }
        }
        None
    }

    fn values(self, keep: impl Fn(usize, usize) -> Bytes) -> impl Iterator<Item = (Property, Value)> {
        let mut cursor = Cursor { wire: self.wire, at: 0 };
        std::iter::from_fn(move || {
            let (property, span) = cursor.next_span().ok()??;
            Some((property, span.value(&keep)))
        })
    }

    /// Whether all of them may stand there.
    #[inline]
    pub(super) fn fit(self, place: Place) -> Result<(), Malformed> {
        if self.present & !fitting(place) == 0 && !data_without_method(self.present) {
            Ok(())
        } else {
            check::<false>(self.wire, place).map(|_| ())
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

impl fmt::Debug for PropertiesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(property, value)| (property.name(), value))).finish()
    }
}
