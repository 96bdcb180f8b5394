//! Items under small numbers.

use std::mem;
use std::ops::{Index, IndexMut};

/// A vector in which the places of removed items are used again.
pub(super) struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    pub(super) const fn new() -> Slab<T> {
        Slab { items: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self[id] = item;
            return id;
        }
        let id = u32::try_from(self.items.len()).expect("memory ends before the numbers do");
        self.items.push(item);
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        mem::take(&mut self[id]);
        self.free.push(id);
    }

    /// How many places there are, used or free.
    pub(super) fn places(&self) -> usize {
        self.items.len()
    }

    /// How many places are free.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// The numbers of all items; there must be no free place.
    pub(super) fn ids(&self) -> std::ops::Range<u32> {
        debug_assert!(self.free.is_empty());
        0..u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    /// Moves the items together, in their order, and gives the memory behind them back.
    /// Returns the new number for every old one.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let mut used = vec![true; self.items.len()];
        for id in mem::take(&mut self.free) {
            used[id as usize] = false;
        }
        let mut kept = used.iter();
        self.items.retain(|_| kept.next().copied().unwrap_or_default());
        self.items.shrink_to_fit();
        let mut next = 0;
        let renumber = |used| {
            let number = next;
            next += u32::from(used);
            number
        };
        used.into_iter().map(renumber).collect()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.items[id as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.items[id as usize]
    }
}
