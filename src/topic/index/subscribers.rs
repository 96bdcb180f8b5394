//! The subscribers to one filter.

use std::collections::BTreeMap;
use std::mem;

/// A map in the order of its keys, small as long as it has one entry: most filters have one subscriber.
#[expect(clippy::box_collection, reason = "a map by itself would make every node larger, though few have one")]
pub(super) enum Subscribers<K, V> {
    None,
    One(K, V),
    Many(Box<BTreeMap<K, V>>),
}

impl<K: Ord + Copy, V> Subscribers<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Subscribers::Many(all) => return all.insert(key, value),
            Subscribers::One(only, old) if *only == key => return Some(mem::replace(old, value)),
            Subscribers::None | Subscribers::One(..) => {}
        }
        *self = match mem::replace(self, Subscribers::None) {
            Subscribers::One(only, old) => Subscribers::Many(Box::new([(only, old), (key, value)].into())),
            _ => Subscribers::One(key, value),
        };
        None
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Subscribers::Many(all) => {
                let removed = all.remove(key)?;
                if all.len() == 1
                    && let Some((only, value)) = all.pop_first()
                {
                    *self = Subscribers::One(only, value);
                }
                Some(removed)
            }
            Subscribers::One(only, _) if only == key => match mem::replace(self, Subscribers::None) {
                Subscribers::One(_, value) => Some(value),
                Subscribers::None | Subscribers::Many(_) => None,
            },
            Subscribers::None | Subscribers::One(..) => None,
        }
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&K, &V)) {
        match self {
            Subscribers::None => {}
            Subscribers::One(key, value) => each(key, value),
            Subscribers::Many(all) => all.iter().for_each(|(key, value)| each(key, value)),
        }
    }
}
