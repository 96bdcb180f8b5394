//! Connecting again (not in the standard, but what decides whether a fleet of clients survives a bad day).

use std::time::Duration;

use super::{Backoff, Client, State, Timer};
use crate::codec::Reason;
use crate::time::Time;

/// Whether the same attempt may succeed later; after a refusal for good it is useless. A session taken over (0x8E) is none
/// for good: the other one may be gone, and 3.1.1 cannot tell the two apart. That the two do not displace each other
/// without rest is what waits are for that grow unless a connection has lasted.
pub(super) fn may_retry(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::UnsupportedProtocolVersion
            | Reason::ClientIdentifierNotValid
            | Reason::BadUserNameOrPassword
            | Reason::NotAuthorized
            | Reason::Banned
            | Reason::BadAuthenticationMethod
            | Reason::TopicNameInvalid
            | Reason::TopicFilterInvalid
            | Reason::PacketTooLarge
            | Reason::AdministrativeAction
            | Reason::PayloadFormatInvalid
            | Reason::RetainNotSupported
            | Reason::QosNotSupported
            | Reason::UseAnotherServer
            | Reason::ServerMoved
            | Reason::SharedSubscriptionsNotSupported
            | Reason::SubscriptionIdentifiersNotSupported
            | Reason::WildcardSubscriptionsNotSupported
    )
}

/// How long to wait before attempt number `attempt` (from 0), of which `chance` decides between half and all.
pub(super) fn wait(backoff: Backoff, attempt: u32, chance: u64) -> Duration {
    let doubled = backoff.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    let longest = doubled.min(backoff.most.max(backoff.first));
    let half = longest / 2;
    let nanos = u64::try_from((longest - half).as_nanos()).unwrap_or(u64::MAX);
    let part = Duration::from_nanos(chance % nanos.saturating_add(1).max(1));
    (half + part).max(Duration::from_millis(1))
}

impl Client {
    /// After a connection ended: waits to connect again, or rests.
    pub(super) fn rest_or_retry(&mut self, retry: bool, established: Option<Time>) {
        self.timers.cancel(Timer::Reconnect);
        let Some(backoff) = self.config.reconnect.filter(|_| retry) else {
            self.state = State::Resting;
            return;
        };
        // Only a connection that lasted proves that all is well: two clients with one identifier that displace each
        // other connect without fail each time, and must slow down all the same.
        if established.is_some_and(|since| self.now.since(since) >= backoff.most) {
            self.attempts = 0;
        }
        let chance = self.jitter.draw();
        self.timers.set(Timer::Reconnect, self.now + wait(backoff, self.attempts, chance));
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Waiting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_zero() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };
        let longest: Vec<_> = (0..40).map(|attempt| wait(backoff, attempt, 0) * 2).collect();
        assert_eq!(longest[..4], [1, 2, 4, 5].map(Duration::from_secs));
        assert!(longest[3..].iter().all(|wait| *wait == Duration::from_secs(5)));
        for chance in [0, 1, 12_345_678_901, u64::MAX] {
            let wait = wait(backoff, 1, chance);
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait), "{wait:?}");
        }
        let zero = Backoff { first: Duration::ZERO, most: Duration::ZERO };
        assert_eq!(wait(zero, 3, 7), Duration::from_millis(1));
    }
}
