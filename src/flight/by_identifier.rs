//! A map from packet identifiers.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::codec::PacketIdentifier;

/// Values under packet identifiers, soon found. Their order says nothing: who needs one sorts.
///
/// The hashes are keyed by no secret: identifiers are numbers of two bytes, too few to choose bad ones from.
#[derive(Clone, Debug)]
pub(super) struct ByIdentifier<T>(HashMap<PacketIdentifier, T, FixedState>);

impl<T> Default for ByIdentifier<T> {
    fn default() -> ByIdentifier<T> {
        ByIdentifier(HashMap::with_hasher(FixedState::with_seed(0)))
    }
}

impl<T> ByIdentifier<T> {
    pub(super) fn get(&self, id: PacketIdentifier) -> Option<&T> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PacketIdentifier) -> Option<&mut T> {
        self.0.get_mut(&id)
    }

    pub(super) fn contains(&self, id: PacketIdentifier) -> bool {
        self.0.contains_key(&id)
    }

    pub(super) fn insert(&mut self, id: PacketIdentifier, value: T) {
        self.0.insert(id, value);
    }

    pub(super) fn remove(&mut self, id: PacketIdentifier) -> Option<T> {
        self.0.remove(&id)
    }

    /// Keeps what `keep` says, and gives memory back that is not needed any more.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        self.0.retain(|_, value| keep(value));
        self.0.shrink_to_fit();
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, &T)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    /// All of them, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PacketIdentifier, &mut T)> {
        self.0.iter_mut().map(|(id, value)| (*id, value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
