//! From a topic name to the subscriptions it matches: what a broker does with every message.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem;

use foldhash::fast::FixedState;

use super::{Level, TopicFilter, TopicName};

/// Subscriptions: values under a filter and a key, the subscriber.
///
/// A trie over the levels of the filters. The nodes lie in one vector; the way from a node to its child for a literal
/// level is in one hash table for the whole trie. Levels are numbered, so that a level of a name is hashed and compared
/// as a string once, however many nodes ask for it.
///
/// Matching visits a node at most once and nothing recurses, so no set of filters makes it worse than looking at all of
/// them. It visits matches in an order that follows from the filters and keys alone: filters that end in `#` by
/// their depth, then the others; at one depth, literal levels before `+`; of one filter, by key.
pub struct Index<K, V> {
    nodes: Vec<Node<K, V>>,
    /// Nodes that are not in use.
    free: Vec<u32>,
    children: HashMap<(u32, u32), u32, FixedState>,
    levels: Numbers,
    len: usize,
}

/// A place in the trie, reached by the levels of a filter.
struct Node<K, V> {
    /// Subscribers to the filter that ends here.
    here: Subscribers<K, V>,
    /// Subscribers to the filter that continues with `#` and ends there.
    below: Subscribers<K, V>,
    /// The child for `+`; the root, which is nobody's child, if there is none.
    single: u32,
    /// How many children for literal levels there are.
    literals: u32,
}

/// Most filters have one subscriber.
enum Subscribers<K, V> {
    None,
    One(K, V),
    Many(Box<BTreeMap<K, V>>),
}

/// Numbers for levels.
struct Numbers {
    numbers: HashMap<Box<str>, Number, FixedState>,
    free: Vec<u32>,
    next: u32,
}

struct Number {
    number: u32,
    uses: u32,
}

const ROOT: u32 = 0;

impl<K: Ord + Copy, V> Index<K, V> {
    /// An empty index. The hashes are keyed by `seed`, which strangers should not know: the levels are theirs.
    pub fn new(seed: u64) -> Index<K, V> {
        let hasher = FixedState::with_seed(seed);
        Index {
            nodes: vec![Node::default()],
            free: Vec::new(),
            children: HashMap::with_hasher(hasher.clone()),
            levels: Numbers { numbers: HashMap::with_hasher(hasher), free: Vec::new(), next: 0 },
            len: 0,
        }
    }

    /// Puts `value` under `filter` and `key`, and hands back what was there.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let mut at = ROOT;
        for level in filter.levels() {
            at = match level {
                Level::Literal(level) => self.literal_or_new(at, level),
                Level::Single => self.single_or_new(at),
                Level::Multi => return counted(&mut self.len, self.nodes[at as usize].below.insert(key, value)),
            };
        }
        counted(&mut self.len, self.nodes[at as usize].here.insert(key, value))
    }

    /// Takes out what is under `filter` and `key`.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let mut path = vec![ROOT];
        let mut at = ROOT;
        let mut multi = false;
        for level in filter.levels() {
            at = match level {
                Level::Literal(level) => *self.children.get(&(at, self.levels.find(level)?))?,
                Level::Single => match self.nodes[at as usize].single {
                    ROOT => return None,
                    child => child,
                },
                Level::Multi => {
                    multi = true;
                    break;
                }
            };
            path.push(at);
        }
        let node = &mut self.nodes[at as usize];
        let removed = if multi { node.below.remove(key)? } else { node.here.remove(key)? };
        self.len -= 1;
        self.prune(filter, &path);
        Some(removed)
    }

    /// Visits each subscription that `name` matches.
    pub fn for_each_match(&self, name: &TopicName, mut each: impl FnMut(&K, &V)) {
        let mut reached = vec![ROOT];
        let mut next = Vec::new();
        let mut hidden = name.is_reserved();
        for level in name.levels() {
            let number = self.levels.find(level);
            for &at in &reached {
                let node = &self.nodes[at as usize];
                if let Some(number) = number
                    && node.literals > 0
                    && let Some(&child) = self.children.get(&(at, number))
                {
                    next.push(child);
                }
                if !hidden {
                    node.below.for_each(&mut each);
                    if node.single != ROOT {
                        next.push(node.single);
                    }
                }
            }
            hidden = false;
            mem::swap(&mut reached, &mut next);
            next.clear();
            if reached.is_empty() {
                return;
            }
        }
        for &at in &reached {
            let node = &self.nodes[at as usize];
            node.below.for_each(&mut each);
            node.here.for_each(&mut each);
        }
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Frees the nodes of `path`, which the levels of `filter` reached, from its end up as far as nothing needs them.
    fn prune(&mut self, filter: &TopicFilter, path: &[u32]) {
        let levels = filter.levels().filter(|level| *level != Level::Multi).rev();
        for (steps, level) in path.windows(2).rev().zip(levels) {
            let [parent, child] = *steps else { return };
            if !self.nodes[child as usize].is_unused() {
                return;
            }
            match level {
                Level::Literal(level) => {
                    if let Some(number) = self.levels.release(level) {
                        self.children.remove(&(parent, number));
                    }
                    self.nodes[parent as usize].literals -= 1;
                }
                Level::Single | Level::Multi => self.nodes[parent as usize].single = ROOT,
            }
            self.free.push(child);
        }
    }

    fn literal_or_new(&mut self, at: u32, level: &str) -> u32 {
        if let Some(number) = self.levels.find(level)
            && let Some(&child) = self.children.get(&(at, number))
        {
            return child;
        }
        let number = self.levels.acquire(level);
        let child = self.new_node();
        self.nodes[at as usize].literals += 1;
        self.children.insert((at, number), child);
        child
    }

    fn single_or_new(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].single == ROOT {
            let child = self.new_node();
            self.nodes[at as usize].single = child;
        }
        self.nodes[at as usize].single
    }

    fn new_node(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let id = u32::try_from(self.nodes.len()).expect("memory ends first");
            self.nodes.push(Node::default());
            id
        })
    }
}

fn counted<V>(len: &mut usize, replaced: Option<V>) -> Option<V> {
    *len += usize::from(replaced.is_none());
    replaced
}

impl<K, V> Node<K, V> {
    fn is_unused(&self) -> bool {
        let subscribed = !matches!((&self.here, &self.below), (Subscribers::None, Subscribers::None));
        !subscribed && self.single == ROOT && self.literals == 0
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Node<K, V> {
        Node { here: Subscribers::None, below: Subscribers::None, single: ROOT, literals: 0 }
    }
}

impl<K: Ord + Copy, V> Subscribers<K, V> {
    fn insert(&mut self, key: K, value: V) -> Option<V> {
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

    fn remove(&mut self, key: &K) -> Option<V> {
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

    fn for_each(&self, mut each: impl FnMut(&K, &V)) {
        match self {
            Subscribers::None => {}
            Subscribers::One(key, value) => each(key, value),
            Subscribers::Many(all) => all.iter().for_each(|(key, value)| each(key, value)),
        }
    }
}

impl Numbers {
    fn find(&self, level: &str) -> Option<u32> {
        self.numbers.get(level).map(|number| number.number)
    }

    fn acquire(&mut self, level: &str) -> u32 {
        if let Some(number) = self.numbers.get_mut(level) {
            number.uses += 1;
            return number.number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            let next = self.next;
            self.next += 1;
            next
        });
        self.numbers.insert(level.into(), Number { number, uses: 1 });
        number
    }

    fn release(&mut self, level: &str) -> Option<u32> {
        let entry = self.numbers.get_mut(level)?;
        let number = entry.number;
        entry.uses -= 1;
        if entry.uses == 0 {
            self.numbers.remove(level);
            self.free.push(number);
        }
        Some(number)
    }
}

impl<K, V> fmt::Debug for Index<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len).finish_non_exhaustive()
    }
}
