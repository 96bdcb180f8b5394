//! From a topic name to the subscriptions it matches: what a broker does with every message.

mod slab;
mod subscribers;
mod words;

use std::fmt;
use std::hash::BuildHasher;
use std::mem;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use self::slab::Slab;
use self::subscribers::Subscribers;
use self::words::Words;
use super::{Level, TopicFilter, TopicName};

/// Subscriptions: values under a filter and a key, the subscriber.
///
/// A trie over the levels of the filters, made for caches. The nodes lie in one vector. Which child a node has for a
/// literal level stands in one hash table for the whole trie. The levels that occur are numbered, so that a level of a
/// name is hashed and compared as a string once, however many nodes are asked for it.
///
/// Matching visits a node at most once and nothing recurses, so no set of filters makes it worse than looking at all of
/// them. The order of the matches follows from the filters and keys alone: first the filters that end in `#` before the
/// name does, the shortest first; then those that last as long as the name; within these, level by level a literal
/// before a `+`; for one filter, by key.
///
/// Memory is proportional to the levels of the filters, also after there were more. A filter is to be
/// [limited](TopicFilter::depth) in depth by whoever takes it from a stranger: each level costs a node.
pub struct Index<K, V> {
    nodes: Slab<Node<K, V>>,
    /// The children that do not stand in their parents, found by parent and level.
    children: HashTable<u32>,
    levels: Words,
    hasher: FixedState,
    len: usize,
    changes: u64,
}

/// A place in the trie, reached by the levels of a filter.
///
/// A node that serves as a child is never the root, which therefore stands for none.
struct Node<K, V> {
    /// Subscribers to the filter that ends here.
    here: Subscribers<K, V>,
    /// Subscribers to the filter that has only `#` after this.
    below: Subscribers<K, V>,
    /// The child for `+`.
    single: u32,
    /// One child for a literal level, and that level: most nodes have no other.
    literal: u32,
    literal_level: u32,
    /// How many other children for literal levels there are.
    others: u32,
    parent: u32,
    /// The literal level that leads here from the parent, or [`SINGLE`].
    level: u32,
}

const ROOT: u32 = 0;
const SINGLE: u32 = u32::MAX;

impl<K: Ord + Copy, V> Index<K, V> {
    /// An empty index. Its hashes are keyed by `seed`, which strangers should not know: the levels are theirs.
    pub fn new(seed: u64) -> Index<K, V> {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        let hasher = FixedState::with_seed(seed);
        Index { nodes, children: HashTable::new(), levels: Words::new(hasher.clone()), hasher, len: 0, changes: 0 }
    }

    /// Puts `value` under `filter` and `key`, and hands back what was there.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let mut at = ROOT;
        let mut multi = false;
        for level in filter.levels() {
            match level {
                Level::Literal(word) => at = self.literal_or_new(at, word),
                Level::Single => at = self.single_or_new(at),
                Level::Multi => multi = true,
            }
        }
        let replaced = self.nodes[at].subscribers(multi).insert(key, value);
        self.len += usize::from(replaced.is_none());
        self.changes += 1;
        replaced
    }

    /// Takes out what is under `filter` and `key`.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let mut at = ROOT;
        let mut multi = false;
        for level in filter.levels() {
            match level {
                Level::Literal(word) => at = self.literal(at, self.levels.find(word)?)?,
                Level::Single => at = Some(self.nodes[at].single).filter(|&child| child != ROOT)?,
                Level::Multi => multi = true,
            }
        }
        let removed = self.nodes[at].subscribers(multi).remove(key)?;
        self.len -= 1;
        self.changes += 1;
        self.prune(at);
        Some(removed)
    }

    /// Visits each subscription that `name` matches.
    pub fn for_each_match(&self, name: &TopicName, mut each: impl FnMut(&K, &V)) {
        // All nodes that the levels so far lead to. Taking these together, not one way after the other, lets the
        // processor wait for many of them at once.
        let mut reached = vec![ROOT];
        let mut next = Vec::new();
        let mut hidden = name.is_reserved();
        for word in name.levels() {
            let level = self.levels.find(word);
            for &at in &reached {
                let node = &self.nodes[at];
                if !hidden {
                    node.below.for_each(&mut each);
                }
                if let Some(level) = level
                    && let Some(child) = self.literal(at, level)
                {
                    next.push(child);
                }
                if !hidden && node.single != ROOT {
                    next.push(node.single);
                }
            }
            if next.is_empty() {
                return;
            }
            mem::swap(&mut reached, &mut next);
            next.clear();
            hidden = false;
        }
        for &at in &reached {
            self.nodes[at].below.for_each(&mut each);
            self.nodes[at].here.for_each(&mut each);
        }
    }

    /// How often it was changed: as long as this is the same, so is what a name matches.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn literal(&self, parent: u32, level: u32) -> Option<u32> {
        let node = &self.nodes[parent];
        if node.literal_level == level && node.literal != ROOT {
            return Some(node.literal);
        }
        if node.others == 0 {
            return None;
        }
        let leads_here = |&child: &u32| self.nodes[child].parent == parent && self.nodes[child].level == level;
        self.children.find(hash_child(&self.hasher, parent, level), leads_here).copied()
    }

    fn literal_or_new(&mut self, parent: u32, word: &str) -> u32 {
        if let Some(level) = self.levels.find(word)
            && let Some(child) = self.literal(parent, level)
        {
            return child;
        }
        let level = self.levels.acquire(word);
        let child = self.nodes.insert(Node { parent, level, ..Node::default() });
        let node = &mut self.nodes[parent];
        if node.literal == ROOT {
            node.literal = child;
            node.literal_level = level;
        } else {
            node.others += 1;
            self.enter(child);
        }
        child
    }

    fn enter(&mut self, child: u32) {
        let hash = |&child: &u32| hash_child(&self.hasher, self.nodes[child].parent, self.nodes[child].level);
        self.children.insert_unique(hash(&child), child, hash);
    }

    fn single_or_new(&mut self, parent: u32) -> u32 {
        if self.nodes[parent].single == ROOT {
            self.nodes[parent].single = self.nodes.insert(Node { parent, ..Node::default() });
        }
        self.nodes[parent].single
    }

    /// Removes the node, and those above it, as far up as nothing needs them.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT && self.nodes[at].is_unused() {
            let Node { parent, level, .. } = self.nodes[at];
            let above = &mut self.nodes[parent];
            if above.single == at {
                above.single = ROOT;
            } else if above.literal == at {
                above.literal = ROOT;
            } else {
                above.others -= 1;
                let hash = hash_child(&self.hasher, parent, level);
                if let Ok(entry) = self.children.find_entry(hash, |&child| child == at) {
                    entry.remove();
                }
            }
            if level != SINGLE {
                self.levels.release(level);
            }
            self.nodes.remove(at);
            at = parent;
        }
        let free = self.nodes.free() + self.levels.free();
        // Seldom enough that it costs each removal little.
        if free > 64 && free > (self.nodes.places() + self.levels.places()) / 4 * 3 {
            self.compact();
        }
    }

    /// Gives memory back that is no longer needed: numbers all nodes and levels anew.
    fn compact(&mut self) {
        let node = self.nodes.compact();
        let level = self.levels.compact();
        for item in self.nodes.iter_mut() {
            item.parent = node[item.parent as usize];
            item.single = node[item.single as usize];
            item.literal = node[item.literal as usize];
            item.literal_level = level.get(item.literal_level as usize).copied().unwrap_or_default();
            item.level = level.get(item.level as usize).copied().unwrap_or(SINGLE);
        }
        self.children = HashTable::new();
        for child in self.nodes.ids() {
            let Node { parent, level, .. } = self.nodes[child];
            if level != SINGLE && self.nodes[parent].literal != child {
                self.enter(child);
            }
        }
    }
}

fn hash_child(hasher: &FixedState, parent: u32, level: u32) -> u64 {
    hasher.hash_one((u64::from(parent) << 32) | u64::from(level))
}

impl<K, V> Node<K, V> {
    fn subscribers(&mut self, multi: bool) -> &mut Subscribers<K, V> {
        if multi { &mut self.below } else { &mut self.here }
    }

    fn is_unused(&self) -> bool {
        let nobody = matches!((&self.here, &self.below), (Subscribers::None, Subscribers::None));
        nobody && self.single == ROOT && self.literal == ROOT && self.others == 0
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Node<K, V> {
        Node {
            here: Subscribers::None,
            below: Subscribers::None,
            single: ROOT,
            literal: ROOT,
            literal_level: 0,
            others: 0,
            parent: ROOT,
            level: SINGLE,
        }
    }
}

impl<K, V> fmt::Debug for Index<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> impl Iterator<Item = TopicFilter> {
        (0..3_000).map(|n| {
            let filter = format!("{}/a rather long level, no. {}/+/{n}/#", n % 7, n % 100);
            TopicFilter::try_from(filter.as_str()).unwrap()
        })
    }

    #[test]
    fn memory_is_given_back_and_the_rest_stays() {
        let mut index = Index::new(1);
        for (n, filter) in (0..).zip(filters()) {
            index.insert(&filter, n, ());
        }
        let most = index.nodes.places();
        for (n, filter) in (0..).zip(filters()).filter(|(n, _)| n % 50 != 0) {
            assert_eq!(index.remove(&filter, &n), Some(()));
        }
        assert!(index.nodes.places() < most / 10);
        for (n, filter) in (0..).zip(filters()) {
            let name = filter.as_str().replace('+', "x").replace('#', "y/z");
            let mut found = Vec::new();
            index.for_each_match(&TopicName::try_from(name.as_str()).unwrap(), |n, ()| found.push(*n));
            assert_eq!(found, if n % 50 == 0 { vec![n] } else { vec![] });
        }
        for (n, filter) in (0..).zip(filters()) {
            assert_eq!(index.remove(&filter, &n).is_some(), n % 50 == 0);
        }
        assert!(index.is_empty());
        assert!(index.nodes.places() + index.levels.places() < 100 && index.children.is_empty());
        assert_eq!((index.nodes.places() - index.nodes.free(), index.levels.places() - index.levels.free()), (1, 0));
    }
}
