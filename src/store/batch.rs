//! Changes on their way to the disk.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{Change, Key, Value};

/// Changes that become durable together: of each key the last one, and nothing of what came and went meanwhile.
#[derive(Debug, Default)]
pub struct Batch {
    changes: HashMap<Key, Waiting, FixedState>,
    /// About how many bytes of memory it holds.
    weight: usize,
}

#[derive(Debug)]
struct Waiting {
    value: Option<Value>,
    /// Nothing stands under the key on the disk.
    fresh: bool,
}

impl Batch {
    /// Adds a change, which comes after all that are there.
    pub fn push(&mut self, change: Change) {
        let Change { key, value, fresh } = change;
        self.weight += weight(&key, value.as_ref());
        match self.changes.entry(key) {
            Entry::Vacant(place) => drop(place.insert(Waiting { value, fresh })),
            Entry::Occupied(mut place) => {
                self.weight -= weight(place.key(), place.get().value.as_ref());
                if value.is_none() && place.get().fresh {
                    self.weight -= weight(place.key(), None);
                    place.remove();
                } else {
                    place.get_mut().value = value;
                }
            }
        }
    }

    /// The changes, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Option<&Value>)> {
        self.changes.iter().map(|(key, waiting)| (key, waiting.value.as_ref()))
    }

    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// About how many bytes of memory it holds.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Removes all, and keeps the room for more.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.weight = 0;
    }
}

impl Extend<Change> for Batch {
    fn extend<T: IntoIterator<Item = Change>>(&mut self, changes: T) {
        changes.into_iter().for_each(|change| self.push(change));
    }
}

impl FromIterator<Change> for Batch {
    fn from_iter<T: IntoIterator<Item = Change>>(changes: T) -> Batch {
        let mut batch = Batch::default();
        batch.extend(changes);
        batch
    }
}

/// About how many bytes of memory a change holds.
fn weight(key: &Key, value: Option<&Value>) -> usize {
    let key = match key {
        Key::Session(text) | Key::Owed(text, _) | Key::Unreleased(text, _) | Key::Retained(text) => text.len(),
        Key::Subscription(client_id, filter) => client_id.len() + filter.len(),
    };
    let value = match value {
        Some(Value::Owed(record)) => record.message.weight(),
        Some(Value::Retained(message)) => message.weight(),
        Some(Value::Session(record)) => {
            record.will.as_ref().map_or(0, |(will, _)| will.payload.len() + will.topic.len())
        }
        Some(Value::Subscription(_) | Value::Present) | None => 0,
    };
    size_of::<Change>() + key + value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Text;

    fn key(place: u64) -> Key {
        Key::Owed(Text::literal("client"), place)
    }

    fn written(key: Key, fresh: bool) -> Change {
        Change { key, value: Some(Value::Present), fresh }
    }

    #[test]
    fn of_each_key_the_last_change_counts() {
        let batch: Batch = [written(key(1), false), Change::new(key(1), None)].into_iter().collect();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(&key(1), None)]);
        let batch: Batch = [Change::new(key(1), None), written(key(1), false)].into_iter().collect();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(&key(1), Some(&Value::Present))]);
    }

    #[test]
    fn what_came_and_went_leaves_nothing() {
        let mut batch: Batch =
            [written(key(1), true), written(key(1), false), written(key(2), true)].into_iter().collect();
        batch.push(Change::new(key(1), None));
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(&key(2), Some(&Value::Present))]);
        batch.push(Change::new(key(2), None));
        assert!(batch.is_empty());
        assert_eq!(batch.weight(), 0);
    }

    /// What was written before, removed and written again may be removed again: it still stands on the disk.
    #[test]
    fn what_stands_on_the_disk_is_removed_there() {
        let changes = [Change::new(key(1), None), written(key(1), true), Change::new(key(1), None)];
        let batch: Batch = changes.into_iter().collect();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(&key(1), None)]);
    }
}
