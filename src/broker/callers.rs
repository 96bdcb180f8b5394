//! Where connections come from: how many there are from one address, and how often somebody there has failed to show who
//! they are. Only as many addresses are kept as there are connections, and a bounded number of those that failed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::link::Phase;
use super::{Broker, Peer, Timer};
use crate::codec::Connect;
use crate::link::LinkId;
use crate::time::Time;

/// How many failures are nobody's business: people mistype.
const FREE: u32 = 3;
/// How long somebody is held back after the first failure that is not free; each further one doubles it.
const FIRST_PENANCE: Duration = Duration::from_millis(250);
/// How often it doubles: to 4 s.
const DOUBLINGS: u32 = 4;
/// After so long without a failure, those before are forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// How many addresses are kept that failed.
const ADDRESSES: usize = 10_000;

/// Where connections come from. One who has an IPv6 address has 2⁶⁴ of them, so those count as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    Ip(IpAddr),
    Name(String),
}

impl Address {
    fn of(peer: &Peer) -> Address {
        match peer.0.parse::<SocketAddr>() {
            Err(_) => Address::Name(peer.0.clone()),
            Ok(address) => Address::Ip(match address.ip().to_canonical() {
                IpAddr::V6(ip) => {
                    let [a, b, c, d, ..] = ip.segments();
                    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
                }
                ip => ip,
            }),
        }
    }
}

/// What is known of addresses.
#[derive(Debug, Default)]
pub(super) struct Callers {
    connections: BTreeMap<Address, usize>,
    failures: BTreeMap<Address, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    number: u32,
    last: Time,
}

impl Callers {
    /// Counts one more connection, unless there are so many from there already.
    pub(super) fn admit(&mut self, peer: &Peer, most: usize) -> bool {
        if most == usize::MAX {
            return true;
        }
        let count = self.connections.entry(Address::of(peer)).or_default();
        let fits = *count < most;
        *count += usize::from(fits);
        fits
    }

    /// Counts one less.
    pub(super) fn left(&mut self, peer: &Peer) {
        if self.connections.is_empty() {
            return;
        }
        let address = Address::of(peer);
        if let Some(count) = self.connections.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&address);
            }
        }
    }

    fn fail(&mut self, peer: &Peer, now: Time) {
        let address = Address::of(peer);
        if self.failures.len() >= ADDRESSES && !self.failures.contains_key(&address) {
            self.failures.retain(|_, failures| now.since(failures.last) < MEMORY);
            if self.failures.len() >= ADDRESSES
                && let Some(oldest) = self.failures.iter().min_by_key(|(_, failures)| failures.last)
            {
                let oldest = oldest.0.clone();
                self.failures.remove(&oldest);
            }
        }
        let failures = self.failures.entry(address).or_insert(Failures { number: 0, last: now });
        if now.since(failures.last) >= MEMORY {
            failures.number = 0;
        }
        failures.number = failures.number.saturating_add(1);
        failures.last = now;
    }

    /// How long somebody from there is held back.
    fn penance(&self, peer: &Peer, now: Time) -> Option<Duration> {
        if self.failures.is_empty() {
            return None;
        }
        let failures = self.failures.get(&Address::of(peer))?;
        let too_many = failures.number.checked_sub(FREE).filter(|more| *more > 0)?;
        (now.since(failures.last) < MEMORY).then(|| FIRST_PENANCE * (1 << (too_many - 1).min(DOUBLINGS)))
    }
}

impl Broker {
    /// How long a client is held back before its credentials are looked at, be they right or wrong: whoever guesses waits
    /// for each answer, however many connections guess at once.
    pub(super) fn penance(&self, id: LinkId, connect: &Connect) -> Option<Duration> {
        let guesses = connect.username.is_some() || connect.properties.authentication_method().is_some();
        let link = self.links.get(&id).filter(|_| guesses)?;
        self.callers.penance(&link.peer, self.now)
    }

    pub(super) fn hold_back(&mut self, id: LinkId, connect: Box<Connect>, span: Duration) {
        if let Some(link) = self.links.get_mut(&id) {
            link.phase = Phase::HeldBack(connect);
            self.timers.set(Timer::Penance(id), self.now + span);
        }
    }

    /// Somebody has been held back for long enough.
    pub(super) fn end_penance(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match std::mem::replace(&mut link.phase, Phase::AwaitingConnect) {
            Phase::HeldBack(connect) => {
                if self.wants_names() {
                    self.introduce(id, connect.client_id.clone(), connect.username.clone());
                }
                self.enter(id, connect);
                self.resume(id);
            }
            phase => link.phase = phase,
        }
    }

    /// Somebody has failed to show who they are.
    pub(super) fn note_failure(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id) {
            self.callers.fail(&link.peer, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(text.to_owned())
    }

    #[test]
    fn ports_and_the_lower_half_of_ipv6_addresses_make_no_difference() {
        let same = |one: &str, other: &str| Address::of(&peer(one)) == Address::of(&peer(other));
        assert!(same("127.0.0.1:1", "127.0.0.1:2") && same("[::ffff:127.0.0.1]:1", "127.0.0.1:2"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:1]:2") && !same("[2001:db8::1]:1", "[2001:db9::1]:1"));
        assert!(!same("127.0.0.1:1", "127.0.0.2:1") && !same("porch", "hall"));
    }

    #[test]
    fn however_many_addresses_fail_few_are_kept() {
        let mut callers = Callers::default();
        let now = |n: usize| Time::after(Duration::from_millis(n as u64));
        for n in 0..ADDRESSES + 100 {
            callers.fail(&peer(&format!("porch-{n}")), now(n));
        }
        assert_eq!(callers.failures.len(), ADDRESSES);
        assert!(!callers.failures.contains_key(&Address::of(&peer("porch-0"))), "the oldest went");
        callers.fail(&peer("porch-x"), now(ADDRESSES + 100) + MEMORY);
        assert_eq!(callers.failures.len(), 1, "what is long ago is forgotten");
    }

    #[test]
    fn connections_are_counted_for_as_long_as_they_are_there() {
        let mut callers = Callers::default();
        assert!(callers.admit(&peer("127.0.0.1:1"), 2) && callers.admit(&peer("127.0.0.1:2"), 2));
        assert!(!callers.admit(&peer("127.0.0.1:3"), 2) && callers.admit(&peer("127.0.0.2:3"), 2));
        callers.left(&peer("127.0.0.1:1"));
        assert!(callers.admit(&peer("127.0.0.1:3"), 2));
        for left in ["127.0.0.1:2", "127.0.0.1:3", "127.0.0.2:3"] {
            callers.left(&peer(left));
        }
        assert!(callers.connections.is_empty());
    }
}
