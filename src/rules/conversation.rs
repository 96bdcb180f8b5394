//! What is known of a connection before its next packet, and of the session that it belongs to.

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Role, Side};
use crate::codec::{AckKind, ConnAck, Connect, Packet, Publish, Qos, Reason, Text, Version};
use crate::topic::{Target, TopicFilter, TopicName};

/// How far the exchange has come that a PUBLISH at QoS 1 or 2 began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The PUBLISH was sent.
    Published(Publish),
    /// PUBREC was sent for it.
    Received,
    /// PUBREL was sent.
    Released,
    /// It was answered, perhaps too late: see [`Claims`].
    Doubtful,
}

/// Exchanges by packet identifier.
pub(super) type Exchanges = BTreeMap<u16, Step>;

/// What outlives a connection: the exchanges that each side began, and what the client has ever subscribed to.
#[derive(Debug, Default)]
struct Session {
    judged: Exchanges,
    opposite: Exchanges,
    filters: Filters,
    /// With which packet identifiers the judged side is known to have begun an exchange before: a client ever, a server in a
    /// session that it denies.
    used: BTreeSet<u16>,
    /// It was begun without a clean session: in 3.1.1 it has no end.
    lasting: bool,
}

/// Topic filters that a client has asked for. What it has asked to end stays: messages may still be on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters {
    known: Vec<TopicFilter>,
    /// There are some of which nothing is known.
    and_others: bool,
}

impl Filters {
    fn add(&mut self, filter: &Text) {
        let own = TopicFilter::try_from(filter.detached());
        let shared = own.clone().and_then(Target::try_from);
        self.and_others |= own.is_err();
        for filter in own.into_iter().chain(shared.map(|target| target.filter().clone())) {
            if !self.known.contains(&filter) {
                self.known.push(filter);
            }
        }
    }

    /// Whether a message on this topic may be meant for the client.
    pub(super) fn may_match(&self, topic: &TopicName) -> bool {
        self.and_others || self.known.iter().any(|filter| filter.matches(topic))
    }
}

/// Sessions by whose they are: for a server each client identifier's, for a client its own. Connections share them, for the
/// next one may begin before both ends of the last one know that it is over.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    stored: BTreeMap<Text, Rc<RefCell<Session>>>,
    claims: Claims,
    /// The judged side has been restarted.
    pub restarted: bool,
}

/// Which connections have asked a server for which client identifier, by number, but those that it refused. From the
/// moment that the CONNECT of one arrives, what still arrives on earlier ones may come too late: the server ends them
/// (3.1.4-2, in 5.0 3.1.4-3), but the trace shows that only when they are closed, which may have to wait for a disk.
#[derive(Debug, Default)]
struct Claims {
    of: BTreeMap<Text, BTreeSet<usize>>,
    last: usize,
}

impl Claims {
    fn add(&mut self, client_id: &Text) -> usize {
        self.last += 1;
        self.of.entry(client_id.clone()).or_default().insert(self.last);
        self.last
    }

    /// The server has accepted the connection with this number, and so ended those before it, or refused it.
    fn answered(&mut self, client_id: &Text, number: usize, accepted: bool) {
        let Some(claims) = self.of.get_mut(client_id) else { return };
        match accepted {
            true => *claims = claims.split_off(&number),
            false => drop(claims.remove(&number)),
        }
    }

    fn has_later(&self, client_id: &Text, number: usize) -> bool {
        self.of.get(client_id).and_then(BTreeSet::last).is_some_and(|last| *last > number)
    }
}

impl Session {
    /// Takes in what came before it was known which session it is: perhaps one whose beginning was not seen.
    fn join(&mut self, early: Session, unseen: bool) {
        self.judged.extend(early.judged);
        self.opposite.extend(early.opposite);
        self.used.extend(early.used);
        self.filters.known.extend(early.filters.known);
        self.filters.and_others |= early.filters.and_others || unseen;
    }

    fn begun_by(&mut self, side: Side) -> &mut Exchanges {
        match side {
            Side::Judged => &mut self.judged,
            Side::Opposite => &mut self.opposite,
        }
    }
}

/// One connection so far.
#[derive(Debug)]
pub(super) struct Conversation {
    role: Role,
    version: Option<Version>,
    /// The CONNECT.
    pub connect: Option<Box<Connect>>,
    /// The CONNACK.
    pub connack: Option<ConnAck>,
    /// Its number among those that ask a judged server for client identifiers.
    claim: usize,
    /// The client, by name.
    client: Text,
    session: Rc<RefCell<Session>>,
    /// The packet identifiers of SUBSCRIBE and UNSUBSCRIBE that are not answered, with the number of their filters.
    pub requests: BTreeMap<u16, (bool, usize)>,
    /// Exchanges that the judged side has begun or repeated on this connection and that are not over.
    pub under_way: BTreeMap<u16, Qos>,
    /// Topic aliases that the judged side has set.
    pub aliases: BTreeMap<u16, Text>,
    garbled: [bool; 2],
    /// What the judged client had begun in the session before this one, which is over. Whether it may go on with that is
    /// not for every rule to say: 3.1.1 allows it where the server has lost the session (3.2.2.2).
    lost: Exchanges,
    /// The judged side has been restarted since the session began: whether a message had been sent, it cannot know.
    pub restarted: bool,
    /// Who has said DISCONNECT.
    pub said_goodbye: [bool; 2],
    /// How many packets the judged side has sent.
    pub packets: usize,
}

impl Conversation {
    /// A new connection of the client with this name.
    pub(super) fn new(role: Role, client: &str) -> Conversation {
        Conversation {
            role,
            version: None,
            connect: None,
            connack: None,
            claim: 0,
            client: Text::try_from(client.to_owned()).unwrap_or_default(),
            session: Rc::default(),
            requests: BTreeMap::new(),
            under_way: BTreeMap::new(),
            aliases: BTreeMap::new(),
            garbled: [false; 2],
            lost: Exchanges::new(),
            restarted: false,
            said_goodbye: [false; 2],
            packets: 0,
        }
    }

    /// The version of CONNECT; before it, what the trace supposes.
    pub(super) fn version(&self, supposed: Version) -> Version {
        self.version.unwrap_or(supposed)
    }

    /// Whether the server has accepted the connection.
    pub(super) fn is_accepted(&self) -> bool {
        self.connack.as_ref().is_some_and(|connack| !connack.reason.is_error())
    }

    /// What the client has ever subscribed to in its session.
    pub(super) fn filters(&self) -> Ref<'_, Filters> {
        Ref::map(self.session.borrow(), |session| &session.filters)
    }

    /// The exchanges that one side began.
    pub(super) fn exchanges(&self, side: Side) -> Ref<'_, Exchanges> {
        Ref::map(self.session.borrow(), |session| match side {
            Side::Judged => &session.judged,
            Side::Opposite => &session.opposite,
        })
    }

    /// How far the judged client had come with this packet identifier in the session before this one.
    pub(super) fn lost(&self, identifier: u16) -> Option<&Step> {
        self.lost.get(&identifier)
    }

    /// Whether the judged side is known to have begun an exchange with this packet identifier before.
    pub(super) fn has_used(&self, identifier: u16) -> bool {
        self.session.borrow().used.contains(&identifier)
    }

    /// Whether this side has sent what is no packet.
    pub(super) fn is_garbled(&self, side: Side) -> bool {
        self.garbled[side as usize]
    }

    pub(super) fn garble(&mut self, side: Side) {
        self.garbled[side as usize] = true;
    }

    /// Whose session it is.
    fn owner(&self) -> Option<Text> {
        match self.role {
            Role::Server => self.client_id(),
            Role::Client => Some(self.client.clone()),
        }
    }

    fn client_id(&self) -> Option<Text> {
        let assigned = self.connack.as_ref().and_then(|connack| connack.properties.assigned_client_identifier());
        assigned.or_else(|| self.connect.as_ref().map(|connect| connect.client_id.detached()))
    }

    /// Whether another connection has asked the judged server for the same client identifier since. Without one, each has its
    /// own.
    fn is_displaced(&self, sessions: &Sessions) -> bool {
        let has_later = |client_id: Text| !client_id.is_empty() && sessions.claims.has_later(&client_id, self.claim);
        self.role == Role::Server && self.client_id().is_some_and(has_later)
    }

    pub(super) fn take_in(&mut self, side: Side, packet: &Packet, sessions: &mut Sessions) {
        if side == Side::Judged {
            self.packets += 1;
        }
        match packet {
            Packet::Connect(connect) if self.connect.is_none() => {
                self.version = Some(connect.version);
                self.connect = Some(connect.clone());
                self.claim = sessions.claims.add(&connect.client_id.detached());
            }
            Packet::ConnAck(connack) if self.connack.is_none() => {
                self.connack = Some(connack.clone());
                if let Some(client_id) = self.client_id() {
                    sessions.claims.answered(&client_id, self.claim, !connack.reason.is_error());
                }
                if let Some(owner) = self.owner().filter(|_| !connack.reason.is_error()) {
                    self.enter(owner, connack.session_present, sessions);
                }
            }
            Packet::Publish(publish) => self.publish(side, publish),
            Packet::Ack(ack) => {
                let too_late = side == Side::Opposite && self.is_displaced(sessions);
                self.ack(side, ack.kind, ack.packet_identifier.get(), ack.reason, too_late);
            }
            Packet::Subscribe(subscribe) => {
                let mut session = self.session.borrow_mut();
                subscribe.subscriptions.iter().for_each(|asked| session.filters.add(&asked.filter));
                let count = subscribe.subscriptions.len();
                self.requests.insert(subscribe.packet_identifier.get(), (true, count));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let count = unsubscribe.filters.len();
                self.requests.insert(unsubscribe.packet_identifier.get(), (false, count));
            }
            Packet::SubAck(suback) => drop(self.requests.remove(&suback.packet_identifier.get())),
            Packet::UnsubAck(unsuback) => drop(self.requests.remove(&unsuback.packet_identifier.get())),
            Packet::Disconnect(_) => self.said_goodbye[side as usize] = true,
            _ => {}
        }
    }

    /// The server goes on with the session that it has, or begins one. What came before CONNACK belongs to it.
    fn enter(&mut self, owner: Text, session_present: bool, sessions: &mut Sessions) {
        let early = self.session.take();
        let stored = sessions.stored.get(&owner).cloned();
        self.restarted = sessions.restarted && session_present && stored.is_some();
        let unseen = session_present && stored.is_none();
        self.session = match stored {
            Some(session) if session_present => session,
            // A server of 3.1.1 that denies a session without end breaks 3.2.2-2 or 4.1.0-1, and what it still sends of that
            // session nothing else.
            Some(session) if self.is_3_1_1_to_stay() && session.borrow().lasting => {
                let before = session.borrow();
                let used = before.judged.keys().copied().collect();
                Rc::new(RefCell::new(Session { filters: before.filters.clone(), used, ..Session::default() }))
            }
            Some(session) if self.role == Role::Client => {
                let before = session.borrow();
                self.lost = before.judged.clone();
                Rc::new(RefCell::new(Session { used: before.used.clone(), ..Session::default() }))
            }
            _ => Rc::default(),
        };
        self.session.borrow_mut().join(early, unseen);
        self.session.borrow_mut().lasting = self.is_3_1_1_to_stay();
        sessions.stored.insert(owner, self.session.clone());
    }

    /// Whether a server is judged that serves 3.1.1 without a clean session.
    fn is_3_1_1_to_stay(&self) -> bool {
        let to_stay = |connect: &Connect| connect.version == Version::V3_1_1 && !connect.clean_start;
        self.role == Role::Server && self.connect.as_deref().is_some_and(to_stay)
    }

    fn publish(&mut self, side: Side, publish: &Publish) {
        if side == Side::Judged
            && let Some(alias) = publish.properties.topic_alias()
            && !publish.topic.is_empty()
        {
            self.aliases.insert(alias, publish.topic.detached());
        }
        let Some(identifier) = publish.packet_identifier.map(std::num::NonZero::get) else { return };
        if side == Side::Judged {
            self.under_way.insert(identifier, publish.qos);
        }
        let mut session = self.session.borrow_mut();
        session.begun_by(side).insert(identifier, Step::Published(publish.clone()));
        if side == Side::Judged && self.role == Role::Client {
            session.used.insert(identifier);
        }
    }

    /// PUBACK, PUBREC and PUBCOMP answer what the other side began; PUBREL goes on with one's own. One that comes perhaps too
    /// late leaves it open whether the exchange went on.
    fn ack(&mut self, side: Side, kind: AckKind, identifier: u16, reason: Reason, too_late: bool) {
        let other = if side == Side::Judged { Side::Opposite } else { Side::Judged };
        let begun_by = if kind == AckKind::PubRel { side } else { other };
        let over = match kind {
            AckKind::PubAck | AckKind::PubComp => true,
            AckKind::PubRec => reason.is_error(),
            AckKind::PubRel => false,
        };
        let mut session = self.session.borrow_mut();
        let exchanges = session.begun_by(begun_by);
        if too_late {
            exchanges.entry(identifier).and_modify(|step| *step = Step::Doubtful);
        } else if over {
            exchanges.remove(&identifier);
        } else if let Some(step) = exchanges.get_mut(&identifier) {
            *step = match (kind, &*step) {
                (AckKind::PubRel, _) | (_, Step::Released) => Step::Released,
                _ => Step::Received,
            };
        }
        drop(session);
        if begun_by == Side::Judged {
            if over {
                self.under_way.remove(&identifier);
            } else if kind == AckKind::PubRel {
                // Repeated on this connection, if it was begun on another.
                self.under_way.insert(identifier, Qos::ExactlyOnce);
            }
        }
    }

    /// The side that is judged.
    pub(super) fn role(&self) -> Role {
        self.role
    }
}
