//! Groups that share a subscription (5.0 section 4.8.2): each message goes to one member, in turn.

use std::collections::BTreeMap;

use super::session::SessionKey;
use super::{Broker, Wanted};
use crate::topic::{Share, TopicName};

/// Names a group within one broker. Never used twice.
pub(super) type GroupKey = u64;

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_share: BTreeMap<Share, GroupKey>,
    groups: BTreeMap<GroupKey, Group>,
    next_key: GroupKey,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<SessionKey, Wanted>,
    /// Who got the last message.
    last: Option<SessionKey>,
}

impl Groups {
    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Adds a member, or changes what it wants; the group's key, and whether the group is new.
    pub(super) fn join(&mut self, share: &Share, member: SessionKey, wanted: Wanted) -> (GroupKey, bool) {
        let known = self.by_share.get(share).copied();
        let key = known.unwrap_or_else(|| {
            self.next_key += 1;
            self.by_share.insert(share.clone(), self.next_key);
            self.next_key
        });
        self.groups.entry(key).or_default().members.insert(member, wanted);
        (key, known.is_none())
    }

    /// Takes a member out; the group's key if it was the last one.
    pub(super) fn leave(&mut self, share: &Share, member: SessionKey) -> Option<GroupKey> {
        let key = *self.by_share.get(share)?;
        let group = self.groups.get_mut(&key)?;
        group.members.remove(&member);
        if !group.members.is_empty() {
            return None;
        }
        self.groups.remove(&key);
        self.by_share.remove(share);
        Some(key)
    }
}

impl Broker {
    /// The member whose turn it is among those who may get the message: the next after the last one that is connected,
    /// else the next one.
    pub(super) fn choose_member(&mut self, key: GroupKey, topic: &TopicName) -> Option<(SessionKey, Wanted)> {
        let group = self.groups.groups.get(&key)?;
        let after = group.last.map_or(0, |last| last + 1);
        let turn = group.members.range(after..).chain(group.members.range(..after));
        let mut turn = turn.filter(|(session, _)| self.may_hear(**session, topic));
        let connected = turn.clone().find(|(session, _)| self.sessions[**session].link.is_some());
        let (&session, &wanted) = connected.or_else(|| turn.next())?;
        self.groups.groups.get_mut(&key)?.last = Some(session);
        Some((session, wanted))
    }
}
