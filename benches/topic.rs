//! Finding the subscriptions for a topic among 100,000.
//!
//! Three sets of 100,000 filters, each with a subscriber of its own, are matched with 4,096 topics in turn:
//!
//! - `devices`: 25,000 devices at 100 sites; for each `site/S/device/D/temp`, `site/+/device/D/temp`,
//!   `site/S/device/D/+` and `site/S/device/D/#`. A topic `site/S/device/D/temp` matches exactly these four.
//! - `words, few +`: six levels, each one of ten words or, with probability 0.094, `+`. A topic of six such words
//!   matches about four on average, among many ways that lead nowhere.
//! - `words, many +`: the same with probability 0.196, and about 51 matches on average.
//!
//! The baseline is the trie one would write first: in each node a `HashMap<String, Node>` as the standard library has it
//! and a `Vec` of subscribers, searched by recursion.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // A bench reads the clock, and measures a hash map beside ours.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use simrun::topic::{Index, TopicFilter, TopicName, Tree};

const FILTERS: usize = 100_000;
const TOPICS: usize = 4_096;

fn matching(c: &mut Criterion) {
    for (set, filters, topics) in [devices(), words("words, few +", 94), words("words, many +", 196)] {
        let topics: Vec<TopicName> = topics.iter().map(|topic| TopicName::try_from(topic.as_str()).unwrap()).collect();
        let mut index = Index::new(1);
        let mut baseline = Baseline::default();
        for (key, filter) in (0..).zip(&filters) {
            index.insert(&TopicFilter::try_from(filter.as_str()).unwrap(), key, 0_u64);
            baseline.insert(filter, key);
        }
        let found = |topic: &TopicName| {
            let mut found = 0;
            index.for_each_match(topic, |_: &u32, _| found += 1);
            found
        };
        let found_by_baseline = |topic: &TopicName| {
            let mut found = 0;
            baseline.find(&topic.levels().collect::<Vec<_>>(), &mut |_| found += 1);
            found
        };
        let all: u32 = topics.iter().map(found).sum();
        assert_eq!(all, topics.iter().map(found_by_baseline).sum::<u32>());
        let mut group = c.benchmark_group(format!("{set}: {:.1} matches", f64::from(all) / topics.len() as f64));
        let mut turn = topics.iter().cycle();
        group.bench_function("index", |b| b.iter(|| found(black_box(turn.next().unwrap()))));
        group.bench_function("baseline", |b| b.iter(|| found_by_baseline(black_box(turn.next().unwrap()))));
    }
}

fn changing(c: &mut Criterion) {
    let (_, filters, _) = devices();
    let filters: Vec<TopicFilter> =
        filters.iter().map(|filter| TopicFilter::try_from(filter.as_str()).unwrap()).collect();
    let mut group = c.benchmark_group("100,000 filters");
    group.bench_function("insert one", |b| {
        b.iter_custom(|rounds| {
            let mut index = Index::new(1);
            let start = Instant::now();
            for (key, filter) in (0..rounds).zip(filters.iter().cycle()) {
                index.insert(filter, key, 0_u64);
            }
            start.elapsed()
        });
    });
    group.bench_function("remove one and insert it", |b| {
        let mut index = Index::new(1);
        for filter in &filters {
            index.insert(filter, 0, 0);
        }
        let mut turn = filters.iter().cycle();
        b.iter(|| {
            let filter = turn.next().unwrap();
            index.remove(filter, &0);
            index.insert(filter, 0, 0);
        });
    });
}

fn retained(c: &mut Criterion) {
    let mut tree = Tree::new();
    for n in 0..10_000 {
        tree.insert(TopicName::try_from(format!("site/{}/device/{n}/temp", n % 100).as_str()).unwrap(), n);
    }
    let mut group = c.benchmark_group("10,000 retained");
    for filter in ["#", "site/#", "site/7/#", "site/+/device/77/temp", "+/+/+/+/temp", "site/7/device/107/temp"] {
        let filter = TopicFilter::try_from(filter).unwrap();
        group.bench_function(filter.as_str(), |b| {
            b.iter(|| {
                let mut sum = 0;
                tree.for_each_match(black_box(&filter), |_, n| sum += n);
                sum
            });
        });
    }
}

type Set = (&'static str, Vec<String>, Vec<String>);

fn devices() -> Set {
    let mut random = Random(7);
    let mut filters = Vec::new();
    let mut topics = Vec::new();
    for device in 0..FILTERS / 4 {
        let site = random.below(100);
        filters.push(format!("site/{site}/device/{device:08}/temp"));
        filters.push(format!("site/+/device/{device:08}/temp"));
        filters.push(format!("site/{site}/device/{device:08}/+"));
        filters.push(format!("site/{site}/device/{device:08}/#"));
        topics.push(format!("site/{site}/device/{device:08}/temp"));
    }
    random.shuffle(&mut filters);
    random.shuffle(&mut topics);
    topics.truncate(TOPICS);
    ("devices", filters, topics)
}

fn words(name: &'static str, plus_per_mille: usize) -> Set {
    const WORDS: [&str; 10] =
        ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"];
    let mut random = Random(7);
    let mut levels = |plus_per_mille| {
        let level = |_| if random.below(1_000) < plus_per_mille { "+" } else { WORDS[random.below(10)] };
        (0..6).map(level).collect::<Vec<_>>().join("/")
    };
    let topics = (0..TOPICS).map(|_| levels(0)).collect();
    let filters = (0..FILTERS).map(|_| levels(plus_per_mille)).collect();
    (name, filters, topics)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[derive(Default)]
struct Baseline {
    children: HashMap<String, Baseline>,
    subscribers: Vec<u32>,
}

impl Baseline {
    fn insert(&mut self, filter: &str, key: u32) {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry(level.to_owned()).or_default();
        }
        node.subscribers.push(key);
    }

    fn find(&self, levels: &[&str], each: &mut impl FnMut(u32)) {
        if let Some(child) = self.children.get("#") {
            child.subscribers.iter().for_each(|&key| each(key));
        }
        let Some((level, rest)) = levels.split_first() else {
            self.subscribers.iter().for_each(|&key| each(key));
            return;
        };
        for level in [*level, "+"] {
            if let Some(child) = self.children.get(level) {
                child.find(rest, each);
            }
        }
    }
}

criterion_group!(benches, matching, changing, retained);
criterion_main!(benches);
