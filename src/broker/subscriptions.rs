//! The subscriptions of one session.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use super::session::Subscribed;
use crate::codec::Text;

/// Subscriptions by topic filter as it was asked for, in the order of these. Most sessions have one, and there may be very
/// many sessions.
#[derive(Debug, Default)]
pub(super) enum Subscriptions {
    #[default]
    None,
    One(Text, Subscribed),
    Many(BTreeMap<Text, Subscribed>),
}

impl Subscriptions {
    /// Puts one in, and hands back what was there under the same filter.
    pub(super) fn insert(&mut self, filter: Text, subscribed: Subscribed) -> Option<Subscribed> {
        match self {
            Subscriptions::Many(all) => return all.insert(filter, subscribed),
            Subscriptions::One(only, old) if *only == filter => return Some(mem::replace(old, subscribed)),
            Subscriptions::None | Subscriptions::One(..) => {}
        }
        *self = match mem::take(self) {
            Subscriptions::One(only, old) => Subscriptions::Many([(only, old), (filter, subscribed)].into()),
            _ => Subscriptions::One(filter, subscribed),
        };
        None
    }

    pub(super) fn remove(&mut self, filter: &Text) -> Option<Subscribed> {
        match self {
            Subscriptions::Many(all) => {
                let removed = all.remove(filter)?;
                if all.len() == 1
                    && let Some((only, subscribed)) = all.pop_first()
                {
                    *self = Subscriptions::One(only, subscribed);
                }
                Some(removed)
            }
            Subscriptions::One(only, _) if only == filter => match mem::take(self) {
                Subscriptions::One(_, subscribed) => Some(subscribed),
                Subscriptions::None | Subscriptions::Many(_) => None,
            },
            Subscriptions::None | Subscriptions::One(..) => None,
        }
    }

    pub(super) fn contains(&self, filter: &[u8]) -> bool {
        match self {
            Subscriptions::None => false,
            Subscriptions::One(only, _) => only.as_bytes() == filter,
            Subscriptions::Many(all) => all.contains_key(filter),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Subscriptions::None => 0,
            Subscriptions::One(..) => 1,
            Subscriptions::Many(all) => all.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Text, &Subscribed)> {
        self.behind(None)
    }

    /// Those whose filters come behind this one.
    pub(super) fn behind(&self, filter: Option<&[u8]>) -> impl Iterator<Item = (&Text, &Subscribed)> {
        let (one, many) = match self {
            Subscriptions::None => (None, None),
            Subscriptions::One(only, subscribed) => (Some((only, subscribed)), None),
            Subscriptions::Many(all) => {
                let from = filter.map_or(Bound::Unbounded, Bound::Excluded);
                (None, Some(all.range::<[u8], _>((from, Bound::Unbounded))))
            }
        };
        let one = one.filter(|(only, _)| filter.is_none_or(|filter| &only.as_bytes()[..] > filter));
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_and_come_in_order_however_many_there_are() {
        let subscribed = |identifier| Subscribed { identifier: Some(identifier), ..Subscribed::default() };
        let filters = |subscriptions: &Subscriptions, behind: Option<&[u8]>| -> Vec<String> {
            subscriptions.behind(behind).map(|(filter, _)| filter.to_string()).collect()
        };
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.insert(Text::literal("b"), subscribed(1)).is_none());
        assert_eq!(subscriptions.insert(Text::literal("b"), subscribed(2)).and_then(|old| old.identifier), Some(1));
        assert_eq!((filters(&subscriptions, None), filters(&subscriptions, Some(b"b"))), (vec!["b".into()], vec![]));
        assert!(subscriptions.insert(Text::literal("c"), subscribed(3)).is_none());
        assert!(subscriptions.insert(Text::literal("a"), subscribed(4)).is_none());
        assert_eq!((subscriptions.len(), subscriptions.contains(b"a"), subscriptions.contains(b"d")), (3, true, false));
        assert_eq!(
            (filters(&subscriptions, None), filters(&subscriptions, Some(b"a"))),
            (vec!["a".into(), "b".into(), "c".into()], vec!["b".into(), "c".into()])
        );
        for (filter, identifier) in [("c", 3), ("a", 4), ("b", 2)] {
            let removed = subscriptions.remove(&Text::literal(filter));
            assert_eq!(removed.and_then(|removed| removed.identifier), Some(identifier));
            assert!(subscriptions.remove(&Text::literal(filter)).is_none());
        }
        assert_eq!(subscriptions.len(), 0);
    }
}
