//! From a filter to the names it matches: retained messages.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Level, TopicFilter, TopicName};

/// A map from topic names to values that can be searched with a filter.
///
/// One ordered map does it. A name is kept under its characters with U+0000, which no name contains and which sorts
/// before everything else, in the place of the slashes. So the order of bytes is the order level by level, whatever
/// lies below a name stands together right behind it, and a search leaps over what it cannot match. Nothing is nested:
/// names of any depth are all the same.
#[derive(Clone, Debug)]
pub struct Tree<V> {
    entries: BTreeMap<Box<[u8]>, Box<(TopicName, V)>>,
}

impl<V> Tree<V> {
    /// An empty tree.
    pub fn new() -> Tree<V> {
        Tree { entries: BTreeMap::new() }
    }

    /// Puts `value` under `name`, and hands back what was there.
    ///
    /// `name` is kept as it is, and so is the buffer it is part of: see [`TopicName::detached`].
    pub fn insert(&mut self, name: TopicName, value: V) -> Option<V> {
        self.entries.insert(key(name.as_str()), Box::new((name, value))).map(|entry| entry.1)
    }

    /// Takes out what is under `name`.
    pub fn remove(&mut self, name: &TopicName) -> Option<V> {
        self.entries.remove(&key(name.as_str())).map(|entry| entry.1)
    }

    /// What is under `name`.
    pub fn get(&self, name: &TopicName) -> Option<&V> {
        self.entries.get(&key(name.as_str())).map(|entry| &entry.1)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Visits each name that `filter` matches, ordered by the first level, then the second, and so on.
    pub fn for_each_match(&self, filter: &TopicFilter, mut each: impl FnMut(&TopicName, &V)) {
        self.visit(filter, None, |name, value| {
            each(name, value);
            true
        });
    }

    /// The same, from behind a name on, for as long as `each` wants more.
    pub fn visit<'a>(
        &'a self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        mut each: impl FnMut(&'a TopicName, &'a V) -> bool,
    ) {
        if !filter.is_wildcard() {
            if let (Some(entry), None) = (self.entries.get(&key(filter.as_str())), after) {
                each(&entry.0, &entry.1);
            }
            return;
        }
        let levels: Vec<_> = filter.levels().collect();
        let begins_with_wildcard = filter.begins_with_wildcard();
        let is_hidden = |key: &[u8]| begins_with_wildcard && key.starts_with(b"$");
        let after = after.map(|after| key(after.as_str()));
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        let from = |goal: &[u8]| self.entries.range::<[u8], _>((Bound::Included(goal), Bound::Unbounded));
        // No key before this one can match any more.
        let mut goal = Vec::new();
        let mut more = true;
        while more && let Some((key, entry)) = entries.next() {
            if **key < *goal {
                entries = from(&goal);
                continue;
            }
            if is_hidden(key) {
                goal = vec![b'$' + 1];
                continue;
            }
            match step(&levels, key, &mut goal) {
                Step::Match => more = each(&entry.0, &entry.1),
                Step::MatchAll(len) => {
                    // What matches stands together, and is not looked at key by key.
                    let end = end_of_all(key, len);
                    let until = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                    let others = self.entries.range::<[u8], _>((Bound::Excluded(&**key), until));
                    for entry in std::iter::once(entry).chain(others.map(|(_, entry)| entry)) {
                        if !each(&entry.0, &entry.1) {
                            return;
                        }
                    }
                    let Some(end) = end else { return };
                    goal = end;
                    entries = from(&goal);
                }
                Step::Leap => {}
                Step::Done => return,
            }
        }
    }

    /// Visits one level of the tree, the first or the one right below a name, from behind a name in it on, for as long
    /// as `each` wants more. It is told the level's own name, the whole name down to there, what is under just that, and
    /// whether there is anything below. What lies below is leapt over.
    pub fn for_each_branch(
        &self,
        below: Option<&str>,
        after: Option<&str>,
        mut each: impl FnMut(&str, &str, Option<&V>, bool) -> bool,
    ) {
        let mut above = Vec::new();
        if let Some(below) = below {
            above.extend_from_slice(&key(below));
            above.push(SEPARATOR);
        }
        let mut goal = above.clone();
        if let Some(after) = after {
            goal.extend_from_slice(&key(after));
            goal.push(SEPARATOR + 1);
        }
        let from = |goal: &[u8]| self.entries.range::<[u8], _>((Bound::Included(goal), Bound::Unbounded)).next();
        while let Some((found, entry)) = from(&goal).filter(|(found, _)| found.starts_with(&above)) {
            let start = above.len();
            let end = found[start..].iter().position(|&byte| byte == SEPARATOR).map_or(found.len(), |len| start + len);
            let whole = end == found.len();
            set(&mut goal, &found[..end]);
            goal.push(SEPARATOR);
            let more = !whole || from(&goal).is_some_and(|(next, _)| next.starts_with(&goal));
            let (name, value) = (entry.0.as_str(), &entry.1);
            if !each(&name[start..end], &name[..end], whole.then_some(value), more) {
                return;
            }
            set(&mut goal, &found[..end]);
            goal.push(SEPARATOR + 1);
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Tree<V> {
        Tree::new()
    }
}

/// What stands between the levels in a key. No name contains it.
const SEPARATOR: u8 = 0;

fn key(name: &str) -> Box<[u8]> {
    name.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
}

/// What a search does about a key.
enum Step {
    /// It matches.
    Match,
    /// It matches, and so does everything that begins with its first so many bytes.
    MatchAll(usize),
    /// It does not match, nor does any other before the goal.
    Leap,
    /// It does not match, nor does any that follows.
    Done,
}

/// Holds `key` against the levels of a filter; where it does not match, sets the `goal`, which lies behind `key`.
fn step(levels: &[Level<'_>], key: &[u8], goal: &mut Vec<u8>) -> Step {
    // Where the level begins in the key; beyond its end when there are no more.
    let mut start = 0;
    // Where the last level ends that a `+` matched: the one that has other values to offer.
    let mut variable = None;
    for (at, level) in levels.iter().enumerate() {
        if *level == Level::Multi {
            return if start > key.len() { Step::Match } else { Step::MatchAll(start) };
        }
        let Some(rest) = key.get(start..) else {
            set(goal, key);
            goal.push(SEPARATOR);
            descend(goal, &levels[at..]);
            return Step::Leap;
        };
        let end = start + rest.iter().position(|&byte| byte == SEPARATOR).unwrap_or(rest.len());
        if let Level::Literal(wanted) = level {
            match key[start..end].cmp(wanted.as_bytes()) {
                Ordering::Less => {
                    set(goal, &key[..start]);
                    descend(goal, &levels[at..]);
                    return Step::Leap;
                }
                Ordering::Equal => {}
                Ordering::Greater => return leave(key, variable, goal),
            }
        } else {
            variable = Some(end);
        }
        start = end + 1;
    }
    if start > key.len() { Step::Match } else { leave(key, variable, goal) }
}

/// Before which key all that match together with this one end, because of its first `len` bytes: at the end of what begins
/// so, and, where that is everything, at the names that begin with `$`.
fn end_of_all(key: &[u8], len: usize) -> Option<Vec<u8>> {
    match len.checked_sub(1) {
        Some(separator) => Some([&key[..separator], &[SEPARATOR + 1]].concat()),
        None => (key < &b"$"[..]).then(|| b"$".to_vec()),
    }
}

/// Extends the goal, which ends where the first of `levels` begins, by those that are known.
fn descend(goal: &mut Vec<u8>, levels: &[Level<'_>]) {
    let mut levels = levels.iter().peekable();
    while let Some(Level::Literal(literal)) = levels.next() {
        goal.extend_from_slice(literal.as_bytes());
        // `#` also matches the level above it.
        if levels.peek().is_some_and(|next| **next != Level::Multi) {
            goal.push(SEPARATOR);
        }
    }
}

/// Sets the goal behind all that has the same value in the last variable level, if there is one.
fn leave(key: &[u8], variable: Option<usize>, goal: &mut Vec<u8>) -> Step {
    let Some(end) = variable else { return Step::Done };
    set(goal, &key[..end]);
    goal.push(SEPARATOR + 1);
    Step::Leap
}

fn set(goal: &mut Vec<u8>, bytes: &[u8]) {
    goal.clear();
    goal.extend_from_slice(bytes);
}
