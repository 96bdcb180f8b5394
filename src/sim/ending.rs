//! When a run is over: the timeline has passed, the programs have ended, and all is quiet.

use std::time::Duration;

use crate::codec::PacketType;
use crate::scenario::{Scenario, setup};
use crate::time::Time;
use crate::trace::{Event, What};

/// So long nothing must have happened.
const QUIET: Duration = Duration::from_secs(1);
/// So long a program may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// So long after the timeline clients may keep trying in vain to connect.
const RESTLESS: Duration = Duration::from_secs(600);

/// Watches a run for its end.
#[derive(Debug)]
pub(crate) struct Ending {
    fixed: Option<Time>,
    timeline: Time,
    last_event: Time,
    restless: Duration,
}

impl Ending {
    /// Of a run of this scenario.
    pub(crate) fn of(scenario: &Scenario) -> Ending {
        let timeline = setup::timeline_end(scenario);
        let fixed = scenario.ends.map(|ends| Time::after(ends.0));
        Ending { fixed, timeline, last_event: Time::ZERO, restless: RESTLESS }
    }

    /// Of a run that does not go on for longer than this after its timeline, however little it rests.
    pub(crate) fn within(self, restless: Duration) -> Ending {
        Ending { restless, ..self }
    }

    /// The timeline goes on until `now` at least, for so long programs were busy.
    pub(crate) fn goes_on(&mut self, now: Time) {
        self.timeline = self.timeline.max(now);
    }

    /// Something happened; keep alive does not count.
    pub(crate) fn saw(&mut self, event: &Event) {
        let ping = match &event.what {
            What::Left(transfer) | What::Arrived(transfer) => {
                let kind = transfer.bytes.first().and_then(|first| PacketType::from_number(first >> 4));
                matches!(kind, Some(PacketType::PingReq | PacketType::PingResp))
            }
            _ => false,
        };
        if !ping {
            self.last_event = event.time;
        }
    }

    /// When the run ends if nothing more happens: `busy` while an application has something to do by itself, `waiting`
    /// while one waits for an answer.
    pub(crate) fn moment(&self, busy: bool, waiting: bool) -> Option<Time> {
        if self.fixed.is_some() {
            return self.fixed;
        }
        if busy {
            return None;
        }
        let grace = if waiting { PATIENCE } else { QUIET };
        Some((self.last_event + grace).clamp(self.timeline, self.timeline + self.restless))
    }
}
