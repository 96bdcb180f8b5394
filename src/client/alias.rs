//! Topic aliases of one connection, in both directions (5.0 section 3.3.2.3.4). They end with it [MQTT-3.3.2-7].

use std::collections::BTreeMap;

use crate::codec::{Reason, Text};

/// What aliases stand for on one connection.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// What the server set.
    theirs: BTreeMap<u16, Text>,
    /// What we set, as it went out.
    ours: BTreeMap<u16, Text>,
    /// The same by topic.
    numbers: BTreeMap<Text, u16>,
    /// What the owner set: ahead of what went out by what still waits.
    asked: BTreeMap<u16, Text>,
}

/// How to send a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) alias: Option<u16>,
    /// The alias is known: the topic itself stays out.
    pub(super) short: bool,
}

impl Aliases {
    /// The topic of a message that came with this topic and alias; `most` is our Topic Alias Maximum.
    pub(super) fn received(&mut self, topic: Text, alias: Option<u16>, most: u16) -> Result<Text, Reason> {
        match alias {
            None => Ok(topic),
            Some(alias) if alias == 0 || alias > most => Err(Reason::TopicAliasInvalid),
            Some(alias) if topic.is_empty() => self.theirs.get(&alias).cloned().ok_or(Reason::ProtocolError),
            Some(alias) => {
                self.theirs.insert(alias, topic.detached());
                Ok(topic)
            }
        }
    }

    /// The owner gives an alias to a topic, or asks with no topic what the alias stands for.
    pub(super) fn asked(&mut self, topic: &Text, alias: u16) -> Option<Text> {
        if topic.is_empty() {
            return self.asked.get(&alias).cloned();
        }
        self.asked.insert(alias, topic.clone());
        Some(topic.clone())
    }

    /// How to send a topic for which the owner wants this alias, and the short form if `short`.
    pub(super) fn wanted(&self, topic: &Text, alias: u16, short: bool, most: u16) -> Spelling {
        let alias = (alias <= most).then_some(alias);
        Spelling { alias, short: short && alias.is_some_and(|alias| self.ours.get(&alias) == Some(topic)) }
    }

    /// How to send a topic, with an alias of our own choice while there is one: first come, first served.
    pub(super) fn chosen(&self, topic: &Text, most: u16) -> Spelling {
        if let Some(&number) = self.numbers.get(topic) {
            return Spelling { alias: Some(number), short: true };
        }
        let next = self.ours.last_key_value().map_or(0, |(&number, _)| number).saturating_add(1);
        Spelling { alias: (next <= most).then_some(next), short: false }
    }

    /// The topic went out with this alias, which stands for it from now on.
    pub(super) fn sent(&mut self, topic: &Text, alias: u16) {
        if let Some(before) = self.ours.insert(alias, topic.clone())
            && self.numbers.get(&before) == Some(&alias)
        {
            self.numbers.remove(&before);
        }
        self.numbers.insert(topic.clone(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Text = Text::literal("a");
    const B: Text = Text::literal("b");

    #[test]
    fn what_the_server_sets() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.received(Text::EMPTY, Some(1), 2), Err(Reason::ProtocolError));
        assert_eq!(aliases.received(A, Some(1), 2), Ok(A));
        assert_eq!(aliases.received(Text::EMPTY, Some(1), 2), Ok(A));
        assert_eq!(aliases.received(B, Some(1), 2), Ok(B));
        assert_eq!(aliases.received(Text::EMPTY, Some(1), 2), Ok(B));
        assert_eq!(aliases.received(A, Some(3), 2), Err(Reason::TopicAliasInvalid));
    }

    #[test]
    fn an_alias_is_short_once_it_went_out_and_until_it_stands_for_another() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.chosen(&A, 1), Spelling { alias: Some(1), short: false });
        aliases.sent(&A, 1);
        assert_eq!(aliases.chosen(&A, 1), Spelling { alias: Some(1), short: true });
        assert_eq!(aliases.chosen(&B, 1), Spelling { alias: None, short: false });
        assert_eq!(aliases.wanted(&A, 1, true, 1), Spelling { alias: Some(1), short: true });
        aliases.sent(&B, 1);
        assert_eq!(aliases.wanted(&A, 1, true, 1), Spelling { alias: Some(1), short: false });
        assert_eq!(aliases.chosen(&A, 1), Spelling { alias: None, short: false });
        assert_eq!(aliases.wanted(&A, 2, false, 1), Spelling { alias: None, short: false });
    }
}
