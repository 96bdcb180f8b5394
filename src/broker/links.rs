//! The connections there are.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::link::Link;
use crate::link::LinkId;

/// Connections by their names, soon found. The names are the host's, so nobody can choose bad ones.
#[derive(Debug)]
pub(super) struct Links(HashMap<LinkId, Box<Link>, FixedState>);

impl Links {
    pub(super) fn new() -> Links {
        Links(HashMap::with_hasher(FixedState::with_seed(0)))
    }

    pub(super) fn get(&self, id: &LinkId) -> Option<&Link> {
        self.0.get(id).map(|link| &**link)
    }

    pub(super) fn get_mut(&mut self, id: &LinkId) -> Option<&mut Link> {
        self.0.get_mut(id).map(|link| &mut **link)
    }

    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        self.0.insert(id, Box::new(link));
    }

    pub(super) fn remove(&mut self, id: &LinkId) -> Option<Link> {
        self.0.remove(id).map(|link| *link)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, link)| (*id, &**link)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter()
    }
}
