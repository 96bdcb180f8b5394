//! How long sessions last, who is displaced, how connections end (3.1.2.4, 3.1.2.10, 3.1.2.11.2, 3.1.4, 4.1).

use std::time::Duration;

use super::{Key, Ledger, Names, SLACK, Session, TICK};
use crate::codec::{AckKind, Connect, Packet, PacketType, Qos, Reason, Text, Version};
use crate::link::{Cause, LinkId};
use crate::time::Time;

const SESSION_OVER: Names = ["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-4.1.0-2"];
const SESSION_KEPT: Names = ["v3.1.1/MQTT-3.1.2-4", "v5/MQTT-3.1.2-5"];
const DISPLACED: Names = ["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"];
const KEEP_ALIVE: Names = ["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"];
const REPEAT_ANSWERED: Names = ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"];
const PUBREL_ANSWERED: Names = ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-11"];
const WITHIN_RECEIVE_MAXIMUM: Names = ["", "v5/MQTT-3.3.4-7"];

impl Ledger<'_> {
    /// Time has passed: sessions have ended, wills are due.
    pub(super) fn pass_time(&mut self) {
        if self.now < self.due {
            return;
        }
        self.wills_in_time();
        let over: Vec<Text> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.alive && session.is_over(self.now, Duration::ZERO))
            .filter(|(client_id, _)| !self.is_returning(client_id))
            .map(|(client_id, _)| client_id.clone())
            .collect();
        over.iter().for_each(|client_id| self.session_ended(client_id, self.place));
        self.due = self.sessions.values().filter_map(Session::next_due).min().unwrap_or(NEVER);
    }

    /// A session is over, as what happened at `since` had it. Its will does not wait any longer.
    pub(super) fn session_ended(&mut self, client_id: &Text, since: usize) {
        self.will_at_once(client_id, since);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.alive = false;
        session.clear();
        self.forget(client_id);
    }

    /// Nothing is owed to this session any more.
    pub(super) fn forget(&mut self, client_id: &Text) {
        self.wills.forget(client_id);
        self.at_most_once.retain(|(whose, _): &(Text, Key), _| whose != client_id);
        self.lesser.retain(|(whose, _), _| whose != client_id);
    }

    /// The broker let a client in.
    pub(super) fn accepted(&mut self, link: LinkId, present: bool, expiry_granted: Option<u32>) {
        let Some(line) = self.links.get_mut(&link) else { return };
        let (Some(connect), Some(client_id)) = (line.connect.clone(), line.client_id.clone()) else { return };
        let (asked, begun) = line.asked;
        let begun_at = self.now;
        line.accepted = true;
        self.judge_presence(link, &client_id, present, asked);
        self.displace(link, &client_id);
        if self.sessions.get(&client_id).is_some_and(|session| session.alive) && !present {
            self.session_ended(&client_id, begun);
        }
        self.will_of_one_who_is_back(&client_id);
        let (version, limited) = (connect.version, connect.properties.maximum_packet_size().is_some());
        if limited {
            // A will that was due on an earlier connection may be too large for this one.
            self.wills.forget(&client_id);
        }
        let session = self.sessions.entry(client_id).or_insert_with(|| Session::new(version));
        if !present {
            session.clear();
            (session.begun, session.begun_on, session.doubtful) = (begun, Some(link), false);
        }
        session.version = version;
        session.alive = true;
        session.taken_up = begun_at;
        session.link = Some(link);
        session.left = None;
        session.expiry = lifetime(&connect, expiry_granted);
        session.limited = limited;
        session.will = connect.will.as_ref().map(super::wills::Will::new);
        if let Some(will) = &session.will {
            self.wills.known(will, version);
        }
    }

    /// Session Present tells of a session that can be there, and of each that must be.
    fn judge_presence(&mut self, link: LinkId, client_id: &Text, present: bool, asked: Time) {
        let Some(session) = self.sessions.get(client_id) else { return };
        if present && session.is_over(asked, TICK) && session.left.is_some() {
            let why = "a session is resumed that was over".to_owned();
            return self.note(&SESSION_OVER, link, Some(why));
        }
        let new = self.links.get(&link).is_some_and(super::Line::asks_for_new_session);
        let kept = session.alive && !session.doubtful && !session.could_be_over(asked);
        if !new && kept {
            let why = (!present).then(|| "a session is not there that was to last".to_owned());
            self.note(&SESSION_KEPT, link, why);
        }
    }

    /// Other connections with this client identifier must be closed.
    fn displace(&mut self, link: LinkId, client_id: &Text) {
        let older = self.links.iter_mut().filter(|(id, line)| {
            **id != link && line.open[0] && line.accepted && line.client_id.as_ref() == Some(client_id)
        });
        older.for_each(|(_, line)| line.displaced = true);
    }

    /// The broker sends on a connection whose session another one has.
    pub(super) fn goes_on(&mut self, link: LinkId) {
        self.note(&DISPLACED, link, Some("a connection goes on that another one has displaced".to_owned()));
    }

    pub(super) fn closed_by_broker(&mut self, link: LinkId, cause: &Cause) {
        let now = self.now;
        let Some(line) = self.links.get_mut(&link) else { return };
        line.open[0] = false;
        let Some(client_id) = line.client_id.clone() else { return };
        if !line.accepted {
            return self.perhaps_taken_up(link, client_id);
        }
        let waited = now.since(line.heard);
        let keep_alive = line.keep_alive;
        match cause {
            Cause::TakenOver => {
                let v5 = line.connect.as_ref().is_some_and(|connect| connect.version == Version::V5);
                let limited = self.sessions.get(&client_id).is_some_and(|session| session.limited);
                let silent = v5 && !limited && line.told != Some(Reason::SessionTakenOver);
                let why = silent.then(|| "a connection was displaced without DISCONNECT 0x8E".to_owned());
                self.note(&DISPLACED, link, why);
            }
            Cause::KeepAlive => {
                let early = waited + Duration::from_millis(50) < keep_alive * 3 / 2;
                let late = waited > keep_alive * 3 / 2 + SLACK;
                let words = || format!("a keep alive of {keep_alive:?} ended the connection after {waited:?}");
                self.note(&KEEP_ALIVE, link, (early || late).then(words));
            }
            Cause::Protocol(reason, words) => self.judge_close_by_broker(link, &client_id, *reason, words),
            _ => {}
        }
        if self.sessions.get(&client_id).is_some_and(|session| session.link == Some(link)) {
            self.left(link, &client_id, cause);
        }
    }

    /// Unless a CONNACK refused it: whether the broker took up a session for a connection that ended before it was answered,
    /// nobody knows.
    fn perhaps_taken_up(&mut self, link: LinkId, client_id: Text) {
        let Some(line) = self.links.get(&link).filter(|line| !line.refused) else { return };
        let Some(connect) = &line.connect else { return };
        let session = self.sessions.entry(client_id).or_insert_with(|| Session::new(connect.version));
        (session.doubtful, session.left) = (true, None);
        let wills = session.will.take().into_iter().chain(connect.will.as_ref().map(super::wills::Will::new));
        wills.for_each(|will| self.wills.perhaps_due(&will, connect.version));
    }

    /// Was there a reason to close a connection for what its client sent?
    fn judge_close_by_broker(&mut self, link: LinkId, client_id: &Text, reason: Reason, words: &str) {
        let Some(line) = self.links.get(&link) else { return };
        let got = self.sessions.get(client_id).map_or(0, |session| session.got.len());
        match &line.last[0] {
            Some(Packet::Publish(publish)) if reason == Reason::ReceiveMaximumExceeded => {
                let most = self.receive_maximum(link);
                let why = format!("the connection was closed for {got} unfinished messages, {most} are allowed");
                let alone = publish.qos > Qos::AtMostOnce && got <= usize::from(most);
                self.note(&WITHIN_RECEIVE_MAXIMUM, link, alone.then_some(why));
            }
            Some(Packet::Publish(publish)) if publish.qos == Qos::ExactlyOnce && line.repeats && publish.dup => {
                let why = format!("the connection was closed for a repeated message: {words}");
                self.note(&REPEAT_ANSWERED, link, Some(why));
            }
            Some(Packet::Ack(ack)) if ack.kind == AckKind::PubRel => {
                self.note(&PUBREL_ANSWERED, link, Some(format!("the connection was closed for a PUBREL: {words}")));
            }
            _ => {}
        }
    }

    /// What the broker's CONNACK allows; without it, all that there is.
    fn receive_maximum(&self, link: LinkId) -> u16 {
        self.links.get(&link).and_then(|line| line.receive_maximum).unwrap_or(u16::MAX)
    }

    pub(super) fn closed_by_client(&mut self, link: LinkId, cause: &Cause) {
        let Some(line) = self.links.get_mut(&link) else { return };
        line.open[1] = false;
        let last = line.last[1].as_ref().map(Packet::packet_type);
        if let (Cause::Protocol(_, words), Some(PacketType::PubRel)) = (cause, last) {
            self.note_of_client(
                &PUBREL_ANSWERED,
                link,
                Some(format!("the connection was closed for a PUBREL: {words}")),
            );
        }
    }

    /// The connection of a session ended.
    fn left(&mut self, link: LinkId, client_id: &Text, cause: &Cause) {
        let now = self.now;
        let goodbye = self.links.get(&link).and_then(|line| line.goodbye.clone());
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.link = None;
        session.left = Some((now, now));
        self.due = now;
        if let Some(goodbye) = goodbye {
            if let Some(expiry) = goodbye.properties.session_expiry_interval()
                && session.expiry != Some(Duration::ZERO)
            {
                session.expiry = seconds(expiry);
            }
            if goodbye.reason == Reason::Success {
                session.will = None;
            }
        }
        self.will_after_a_connection(client_id, *cause == Cause::TakenOver);
        let over = |session: &Session| session.expiry == Some(Duration::ZERO);
        if self.sessions.get(client_id).is_some_and(over) {
            self.session_ended(client_id, self.place);
        }
    }

    /// The broker's process is gone. With a disk it will have its sessions again.
    pub(super) fn broker_died(&mut self) {
        let (now, disk) = (self.now, self.circumstances.disk);
        self.wills.in_doubt();
        self.at_most_once.clear();
        self.lesser.clear();
        // What was not acknowledged was not promised: at QoS 1 it may have been sent all the same.
        let unconfirmed = |key: &Key| self.messages.get(key).map_or(self.wills.is_known(key), |said| !said.confirmed);
        for session in self.sessions.values_mut() {
            session.sent.retain(|_, exchange| !exchange.at_least_once.as_ref().is_some_and(unconfirmed));
        }
        self.messages.clear();
        for line in self.links.values_mut() {
            line.open[0] = false;
        }
        for session in self.sessions.values_mut() {
            session.will = None;
            session.link = None;
            session.got.clear();
            // Its time goes on if the disk knows when its connection ended, else it begins when the broker is back.
            let unstored = session.left.is_none_or(|(_, latest)| now.since(latest) < SLACK);
            let (earliest, latest) = session.left.unwrap_or((now, now));
            session.left = Some((earliest, if unstored { NEVER } else { latest }));
            let lasting = session.expiry != Some(Duration::ZERO);
            if !disk || !lasting {
                session.alive = false;
                // A session that ended for another reason than its time may not be resumed either, but that is not told apart.
                session.left = None;
                session.clear();
            }
            // A promise that had not reached the disk was none.
            session.doubtful |= now.since(session.taken_up) < SLACK;
            session.retained.iter_mut().for_each(|(_, sent)| sent.clear());
        }
    }

    pub(super) fn broker_is_back(&mut self) {
        self.due = self.now;
        for session in self.sessions.values_mut() {
            if let Some((_, latest)) = &mut session.left
                && *latest == NEVER
            {
                *latest = self.now;
            }
        }
    }
}

impl Session {
    /// Whether its time is over for sure, with this much to spare.
    fn is_over(&self, now: Time, spare: Duration) -> bool {
        match (self.left, self.expiry) {
            (Some((_, latest)), Some(expiry)) => now.since(latest) > expiry + spare,
            _ => false,
        }
    }

    /// When its time is over, or its will is due, whatever is first.
    fn next_due(&self) -> Option<Time> {
        let end = self.left.zip(self.expiry).filter(|_| self.alive).map(|((_, latest), expiry)| latest + expiry);
        end.into_iter().chain(self.will.as_ref().and_then(super::wills::Will::due)).min()
    }

    /// Whether its time may be over.
    fn could_be_over(&self, now: Time) -> bool {
        match (self.left, self.expiry) {
            (Some((earliest, _)), Some(expiry)) => now.since(earliest) + SLACK > expiry,
            (None, Some(expiry)) => expiry.is_zero(),
            _ => false,
        }
    }
}

/// A moment that does not come.
const NEVER: Time = Time::after(Duration::MAX);

/// How long a session outlives its connection.
fn lifetime(connect: &Connect, granted: Option<u32>) -> Option<Duration> {
    match connect.version {
        Version::V3_1_1 if connect.clean_start => Some(Duration::ZERO),
        Version::V3_1_1 => None,
        Version::V5 => seconds(granted.or_else(|| connect.properties.session_expiry_interval()).unwrap_or(0)),
    }
}

/// A session expiry interval: the largest means for ever (3.1.2.11.2).
fn seconds(expiry: u32) -> Option<Duration> {
    (expiry != u32::MAX).then(|| Duration::from_secs(expiry.into()))
}
