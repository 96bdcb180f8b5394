//! The broker machine under arbitrary inputs from several links, interleaved with time: it must not panic, must drain,
//! and must not keep a timer that is due.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use simrun::broker::{Broker, Config, Input, Output, Peer};
use simrun::link::{Cause, LinkId};
use simrun::store::Restored;
use simrun::time::Time;

fuzz_target!(|data: &[u8]| {
    let config = Config { durable: data.first().is_some_and(|byte| byte & 1 == 1), ..Config::default() };
    let mut broker = Broker::new(config, Restored::default(), Time::ZERO);
    let mut now = Time::ZERO;
    let mut rest = data.get(1..).unwrap_or_default();
    // Each step is two bytes, what and how much, and for received bytes as many more.
    while let [what, much, tail @ ..] = rest {
        rest = tail;
        let link = LinkId(u64::from(what >> 4 & 0b11));
        let input = match what & 0b111 {
            0 => {
                handle(&mut broker, now, Input::Closed(link, Cause::Reset));
                Input::Opened(link, Peer::default())
            }
            1 => Input::Closed(link, Cause::End),
            2 => Input::Congested(link),
            3 => Input::Drained(link),
            4 => {
                now = now + Duration::from_millis(u64::from(*much) * 100);
                Input::Timeout
            }
            _ => {
                let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*much)));
                rest = tail;
                Input::Received(link, Bytes::copy_from_slice(bytes))
            }
        };
        handle(&mut broker, now, input);
    }
});

fn handle(broker: &mut Broker, now: Time, input: Input) {
    broker.handle(now, input);
    while let Some(output) = broker.poll() {
        if let Output::Store(_, mark) = output {
            broker.handle(now, Input::Stored(mark));
        }
    }
    assert!(broker.next_timeout().is_none_or(|next| next > now));
}
