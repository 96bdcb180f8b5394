//! What matches what, and that the two collections answer as a plain search through all they hold does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use simrun::codec::Text;
use simrun::topic::{Index, Target, TopicError, TopicFilter, TopicName, Tree};

fn name(string: &str) -> TopicName {
    TopicName::try_from(string).unwrap()
}

fn filter(string: &str) -> TopicFilter {
    TopicFilter::try_from(string).unwrap()
}

// The standard's examples.

#[test]
fn a_filter_matches_the_names_the_standard_says() {
    for (of, to, matches) in [
        // 4.7.1.2
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/player1/#", "sport/tennis/player12", false),
        ("sport/#", "sport", true),
        ("sport/#", "sport/", true),
        ("sport/#", "sports", false),
        ("#", "sport", true),
        ("#", "/", true),
        // 4.7.1.3
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player2", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/tennis/#", "sport/tennis", true),
        ("+/tennis/#", "sport/tennis/player1", true),
        ("sport/+/player1", "sport/tennis/player1", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+/#", "finance", true),
        // 4.7.2
        ("#", "$SYS", false),
        ("#", "$SYS/monitor/Clients", false),
        ("+", "$SYS", false),
        ("+/#", "$SYS/monitor/Clients", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS", true),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/#", "a/$b", true),
        ("a/+", "a/$b", true),
        // 4.7.3
        ("ACCOUNTS", "Accounts", false),
        ("Accounts payable", "Accounts payable", true),
        ("/finance", "finance", false),
        ("finance", "finance/", false),
        ("caf\u{e9}", "cafe\u{301}", false),
    ] {
        assert_eq!(filter(of).matches(&name(to)), matches, "{of:?} and {to:?}");
        let mut index = Index::new(1);
        index.insert(&filter(of), 1, ());
        assert_eq!(matched(&index, &name(to)), if matches { vec![1] } else { vec![] }, "{of:?} in an index, {to:?}");
        let mut tree = Tree::new();
        tree.insert(name(to), 1);
        assert_eq!(found(&tree, &filter(of)).len(), usize::from(matches), "{to:?} in a tree, {of:?}");
    }
}

#[test]
fn a_name_holds_something_and_no_wildcard() {
    for good in ["a", "/", "//", "$SYS", " ", "a b/c", "\u{feff}", "$share/g/a"] {
        assert_eq!(name(good).as_str(), good);
    }
    assert_eq!(TopicName::try_from(""), Err(TopicError::Empty));
    for (bad, wildcard) in [("+", '+'), ("#", '#'), ("a/+", '+'), ("a#", '#'), ("a+b#", '+')] {
        assert_eq!(TopicName::try_from(bad), Err(TopicError::WildcardInName(wildcard)));
    }
    assert!(matches!(TopicName::try_from("a\0"), Err(TopicError::Text(_))));
}

#[test]
fn a_wildcard_fills_its_level_and_a_multi_level_one_is_the_last() {
    for good in ["+", "#", "/", "a/+", "a/#", "+/#", "+/+", "/+", "a/+/b", "+/tennis/#", "a//#"] {
        assert_eq!(filter(good).as_str(), good);
    }
    for (bad, why) in [
        ("", TopicError::Empty),
        ("sport/tennis#", TopicError::WildcardNotAlone('#')),
        ("sport/tennis/#/ranking", TopicError::MultiNotLast),
        ("#/", TopicError::MultiNotLast),
        ("#/#", TopicError::MultiNotLast),
        ("##", TopicError::WildcardNotAlone('#')),
        ("sport+", TopicError::WildcardNotAlone('+')),
        ("a/b+/c", TopicError::WildcardNotAlone('+')),
        ("+a", TopicError::WildcardNotAlone('+')),
        ("++", TopicError::WildcardNotAlone('+')),
        ("a/+#", TopicError::WildcardNotAlone('+')),
    ] {
        assert_eq!(TopicFilter::try_from(bad), Err(why), "{bad:?}");
    }
    assert_eq!((filter("a").depth(), filter("/").depth(), filter("a/+/#").depth()), (1, 2, 3));
    assert!(filter("a/+").is_wildcard() && filter("#").is_wildcard() && !filter("a/b").is_wildcard());
}

#[test]
fn a_shared_subscription_has_a_name_and_a_filter() {
    for (good, group, rest) in [
        ("$share/consumer1/sport/tennis/+", "consumer1", "sport/tennis/+"),
        ("$share/consumer2//finance", "consumer2", "/finance"),
        ("$share/consumer1//finance", "consumer1", "/finance"),
        ("$share/g/#", "g", "#"),
        ("$share/g//", "g", "/"),
        ("$share/$/$SYS/#", "$", "$SYS/#"),
        ("$share/g/$share/h/a", "g", "$share/h/a"),
        ("$share/\u{e9}/a", "\u{e9}", "a"),
    ] {
        let target = Target::try_from(good).unwrap();
        assert_eq!(target.to_string(), good);
        let Target::Shared(share) = target else { panic!("{good:?} is not shared") };
        assert_eq!((share.name().as_str(), share.filter().as_str()), (group, rest));
    }
    for own in ["$share", "$Share/g/a", "/$share/g/a", "$shared/g/a", "a"] {
        assert_eq!(Target::try_from(own), Ok(Target::Own(filter(own))));
    }
    for (bad, why) in [
        ("$share/", TopicError::ShareNameEmpty),
        ("$share//a", TopicError::ShareNameEmpty),
        ("$share/g", TopicError::ShareFilterEmpty),
        ("$share/g/", TopicError::ShareFilterEmpty),
        ("$share/+/a", TopicError::WildcardInShareName('+')),
        ("$share/#", TopicError::WildcardInShareName('#')),
        ("$share/g+/a", TopicError::WildcardNotAlone('+')),
        ("$share/g#/a", TopicError::WildcardNotAlone('#')),
        ("$share/g/a#", TopicError::WildcardNotAlone('#')),
    ] {
        assert_eq!(Target::try_from(bad), Err(why), "{bad:?}");
    }
}

// Sizes at the limit.

#[test]
fn depth_is_no_danger() {
    let slashes = "/".repeat(65_535);
    let pluses = vec!["+"; 32_768].join("/");
    let (deep, deep_plus) = (filter(&slashes), filter(&pluses));
    let half = name(&slashes[..32_767]);
    assert_eq!(deep.depth(), 65_536);
    assert!(deep.matches(&name(&slashes)) && deep_plus.matches(&half) && !deep_plus.matches(&name(&slashes)));

    let mut index = Index::new(1);
    index.insert(&deep, 1, ());
    index.insert(&deep_plus, 2, ());
    assert_eq!(matched(&index, &name(&slashes)), [1]);
    assert_eq!(matched(&index, &half), [2]);
    index.remove(&deep, &1).unwrap();
    index.remove(&deep_plus, &2).unwrap();
    assert!(index.is_empty());

    let mut tree = Tree::new();
    tree.insert(name(&slashes), 1);
    tree.insert(half.clone(), 2);
    assert_eq!(found(&tree, &deep), [(slashes.clone(), 1)]);
    assert_eq!(found(&tree, &deep_plus), [(half.to_string(), 2)]);
    assert_eq!(found(&tree, &filter("/#")).len(), 2);
    assert_eq!(tree.remove(&name(&slashes)), Some(1));
}

/// 2^16 filters whose every level may be a wildcard: a search visits each node once, not each way to each node.
#[test]
fn wildcards_at_every_level_cost_no_more_than_the_nodes_there_are() {
    let mut index = Index::new(1);
    for bits in 0..1_u32 << 16 {
        let levels: Vec<_> = (0..16).map(|level| if bits >> level & 1 == 1 { "+" } else { "a" }).collect();
        index.insert(&filter(&levels.join("/")), bits, ());
    }
    assert_eq!(matched(&index, &name(&["a"; 16].join("/"))).len(), 1 << 16);
    assert_eq!(matched(&index, &name(&["b"; 16].join("/"))), [0xffff]);
}

// Comparison with the obvious.

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "", "$s", "a!", "%"])
}

fn filter_level() -> impl Strategy<Value = &'static str> {
    prop_oneof![2 => level(), 1 => Just("+")]
}

fn any_name() -> impl Strategy<Value = TopicName> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter_map("not empty", |string| TopicName::try_from(string.as_str()).ok())
}

fn any_filter() -> impl Strategy<Value = TopicFilter> {
    (prop::collection::vec(filter_level(), 0..5), any::<bool>())
        .prop_map(|(mut levels, multi)| {
            levels.extend(multi.then_some("#"));
            levels.join("/")
        })
        .prop_filter_map("not empty", |string| TopicFilter::try_from(string.as_str()).ok())
}

/// Section 4.7, word by word.
fn naive(filter: &TopicFilter, name: &TopicName) -> bool {
    fn levels(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            ([], []) | (["#"], _) => true,
            (["+", filter @ ..], [_, name @ ..]) => levels(filter, name),
            ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && levels(filter, name),
            _ => false,
        }
    }
    let hidden = name.as_str().starts_with('$') && filter.as_str().starts_with(['+', '#']);
    let split = |string| str::split(string, '/').collect::<Vec<_>>();
    !hidden && levels(&split(filter.as_str()), &split(name.as_str()))
}

fn matched<V>(index: &Index<u32, V>, name: &TopicName) -> Vec<u32> {
    let mut keys = Vec::new();
    index.for_each_match(name, |key, _| keys.push(*key));
    keys
}

fn found(tree: &Tree<u32>, filter: &TopicFilter) -> Vec<(String, u32)> {
    let mut entries = Vec::new();
    tree.for_each_match(filter, |name, value| entries.push((name.to_string(), *value)));
    entries
}

/// `count` of them: enough that removals meet what was inserted.
fn changes<T: Clone + std::fmt::Debug + 'static>(
    what: impl Strategy<Value = T> + 'static,
    count: usize,
) -> impl Strategy<Value = Vec<(bool, T, u32)>> {
    prop::collection::vec(what, 1..12).prop_flat_map(move |pool| {
        prop::collection::vec((any::<bool>(), prop::sample::select(pool), 0..4_u32), 0..count)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn matching_is_that_of_section_4_7(filter in any_filter(), name in any_name()) {
        prop_assert_eq!(filter.matches(&name), naive(&filter, &name));
    }

    #[test]
    fn a_name_is_the_filter_that_matches_it_alone(one in any_name(), other in any_name()) {
        prop_assert_eq!(TopicFilter::from(one.clone()).matches(&other), one == other);
    }

    #[test]
    fn parsing_never_panics_and_keeps_the_string(string in "[ab$/+#\u{e9}]{0,8}", prefixed in any::<bool>()) {
        let string = if prefixed { format!("$share/{string}") } else { string };
        let text = Text::try_from(string.as_str()).unwrap();
        if let Ok(name) = TopicName::try_from(text.clone()) {
            prop_assert_eq!(name.text(), &text);
        }
        if let Ok(filter) = TopicFilter::try_from(text.clone()) {
            prop_assert_eq!(filter.text(), &text);
            if let Ok(target) = Target::try_from(filter) {
                prop_assert_eq!(target.to_string(), string);
            }
        }
    }

    #[test]
    fn an_index_finds_what_a_list_does(changes in changes(any_filter(), 60), names in prop::collection::vec(any_name(), 8)) {
        let mut index = Index::new(7);
        let mut list = BTreeMap::new();
        for (turn, (insert, filter, key)) in changes.into_iter().enumerate() {
            if insert {
                prop_assert_eq!(index.insert(&filter, key, turn), list.insert((filter, key), turn));
            } else {
                prop_assert_eq!(index.remove(&filter, &key), list.remove(&(filter, key)));
            }
            prop_assert_eq!(index.len(), list.len());
        }
        // Built anew from what is left, in another order and with other hashes, it must not look any different.
        let mut rebuilt = Index::new(8);
        for ((filter, key), turn) in list.iter().rev() {
            rebuilt.insert(filter, *key, *turn);
        }
        for name in &names {
            let mut matches = Vec::new();
            index.for_each_match(name, |key, turn| matches.push((*key, *turn)));
            let mut again = Vec::new();
            rebuilt.for_each_match(name, |key, turn| again.push((*key, *turn)));
            prop_assert_eq!(&matches, &again);
            matches.sort_unstable();
            let mut expected: Vec<_> =
                list.iter().filter(|((filter, _), _)| naive(filter, name)).map(|((_, key), turn)| (*key, *turn)).collect();
            expected.sort_unstable();
            prop_assert_eq!(matches, expected);
        }
        for ((filter, key), turn) in list {
            prop_assert_eq!(index.remove(&filter, &key), Some(turn));
        }
        prop_assert!(index.is_empty());
        for name in &names {
            prop_assert_eq!(matched(&index, name), Vec::<u32>::new());
        }
    }

    #[test]
    fn a_tree_finds_what_a_list_does(changes in changes(any_name(), 40), filters in prop::collection::vec(any_filter(), 8)) {
        let mut tree = Tree::new();
        let mut list = BTreeMap::new();
        for (insert, name, value) in changes {
            let levels: Vec<String> = name.levels().map(str::to_owned).collect();
            if insert {
                prop_assert_eq!(tree.insert(name, value), list.insert(levels, value));
            } else {
                prop_assert_eq!(tree.remove(&name), list.remove(&levels));
            }
            prop_assert_eq!(tree.len(), list.len());
        }
        for (levels, value) in &list {
            prop_assert_eq!(tree.get(&name(&levels.join("/"))), Some(value));
        }
        for filter in filters {
            let expected: Vec<_> = list
                .iter()
                .map(|(levels, value)| (levels.join("/"), *value))
                .filter(|(string, _)| naive(&filter, &name(string)))
                .collect();
            prop_assert_eq!(found(&tree, &filter), expected, "{}", filter);
        }
    }
}
