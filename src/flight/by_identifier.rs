//! A map from packet identifiers.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::codec::PacketIdentifier;

/// Values under packet identifiers, soon found. Their order says nothing: who needs one sorts. Most sessions have none,
/// and there may be very many.
///
/// The hashes are keyed by no secret: identifiers are numbers of two bytes, too few to choose bad ones from.
#[derive(Clone, Debug)]
pub(super) struct ByIdentifier<T>(Option<Box<HashMap<PacketIdentifier, T, FixedState>>>);

impl<T> Default for ByIdentifier<T> {
    fn default() -> ByIdentifier<T> {
        ByIdentifier(None)
    }
}

impl<T> ByIdentifier<T> {
    pub(super) fn get(&self, id: PacketIdentifier) -> Option<&T> {
        self.0.as_ref()?.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PacketIdentifier) -> Option<&mut T> {
        self.0.as_mut()?.get_mut(&id)
    }

    pub(super) fn contains(&self, id: PacketIdentifier) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn insert(&mut self, id: PacketIdentifier, value: T) {
        let made = || Box::new(HashMap::with_hasher(FixedState::with_seed(0)));
        self.0.get_or_insert_with(made).insert(id, value);
    }

    pub(super) fn remove(&mut self, id: PacketIdentifier) -> Option<T> {
        self.0.as_mut()?.remove(&id)
    }

    /// Keeps what `keep` says, and gives memory back that is not needed any more.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let Some(values) = &mut self.0 else { return };
        values.retain(|_, value| keep(value));
        if values.is_empty() {
            self.0 = None;
        }
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, &T)> {
        self.0.iter().flat_map(|values| values.iter()).map(|(id, value)| (*id, value))
    }

    /// All of them, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PacketIdentifier, &mut T)> {
        self.0.iter_mut().flat_map(|values| values.iter_mut()).map(|(id, value)| (*id, value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |values| values.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
