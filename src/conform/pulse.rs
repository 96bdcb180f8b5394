//! Whether the machine lets the suite run in time. On one that does not, an answer may be late because its question was, and
//! a case that went wrong tells nothing about its target: it runs again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often it beats.
const BEAT: Duration = Duration::from_millis(50);
/// A beat that is later than this says that the suite was not let run. No case needs to be more exact.
const LATE: Duration = Duration::from_millis(400);
/// How often a case is tried at most.
const ATTEMPTS: usize = 2;

/// Beats for as long as somebody has it.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    last_late: Rc<Cell<Option<Instant>>>,
}

impl Pulse {
    /// Begins to beat, as a task of the local set that this is called in.
    pub fn start() -> Pulse {
        let pulse = Pulse { last_late: Rc::default() };
        let weak = Rc::downgrade(&pulse.last_late);
        tokio::task::spawn_local(async move {
            loop {
                let due = now() + BEAT;
                sleep_until(due).await;
                let Some(last_late) = weak.upgrade() else { return };
                if now() > due + LATE {
                    last_late.set(Some(now()));
                }
            }
        });
        pulse
    }

    /// Does this, and again if it went wrong while the suite was not let run. It is told how often it was tried before.
    pub async fn unless_starved<T>(&self, act: impl AsyncFn(usize) -> T, wrong: impl Fn(&T) -> bool) -> T {
        for attempt in 0..ATTEMPTS - 1 {
            let begin = now();
            let result = act(attempt).await;
            if !wrong(&result) || !self.last_late.get().is_some_and(|late| late >= begin) {
                return result;
            }
        }
        act(ATTEMPTS - 1).await
    }
}

#[allow(clippy::disallowed_methods)] // The real clock is what this is about.
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often something that always goes wrong, and does this meanwhile, is done.
    fn tries(meanwhile: fn()) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (pulse, tries) = (Pulse::start(), Cell::new(0));
            let act = async |attempt| {
                assert_eq!(attempt, tries.get());
                tries.set(attempt + 1);
                tokio::time::sleep(BEAT / 2).await;
                meanwhile();
                tokio::time::sleep(BEAT).await;
            };
            pulse.unless_starved(act, |()| true).await;
            tries.get()
        })
    }

    #[test]
    fn what_went_wrong_is_tried_again_only_where_the_suite_was_held_up() {
        assert_eq!(tries(|| std::thread::sleep(LATE + 2 * BEAT)), ATTEMPTS);
        assert_eq!(tries(|| {}), 1);
    }
}
