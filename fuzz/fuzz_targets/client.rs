//! The client machine under arbitrary bytes from its server, ends of connections and time, in both versions: it must not
//! panic, must drain, and must not keep a timer that is due.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use simrun::client::{Client, Config, Input, Output};
use simrun::codec::{Publish, Qos, Text, Version};
use simrun::link::{Cause, LinkId};
use simrun::time::Time;

fuzz_target!(|data: &[u8]| {
    let version = if data.first().is_some_and(|byte| byte & 1 == 1) { Version::V5 } else { Version::V3_1_1 };
    let config = Config { version, topic_alias_maximum: 4, reconnect: Some(Default::default()), ..Config::default() };
    let mut host = Host { client: Client::new(config), now: Time::ZERO, link: None };
    host.handle(Input::Connect);
    let mut rest = data.get(1..).unwrap_or_default();
    while let [what, much, tail @ ..] = rest {
        rest = tail;
        match (what & 0b111, host.link) {
            (0, Some(link)) => host.handle(Input::Dialed(link)),
            (1, Some(link)) => host.handle(Input::Closed(link, Cause::End)),
            (2, Some(link)) => host.handle(Input::DialFailed(link, Cause::Reset)),
            (3, _) => {
                host.now = host.now + Duration::from_millis(u64::from(*much) * 100);
                host.handle(Input::Timeout);
            }
            (4, _) => {
                let qos = Qos::from_number(much % 3).unwrap_or_default();
                let publish = Publish { qos, topic: Text::literal("t"), ..Publish::default() };
                // Refused while there is no connection, for one.
                let _ = host.client.publish(host.now, publish);
                host.drain();
            }
            (_, Some(link)) => {
                let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*much)));
                rest = tail;
                host.handle(Input::Received(link, Bytes::copy_from_slice(bytes)));
            }
            _ => {}
        }
    }
});

struct Host {
    client: Client,
    now: Time,
    /// The connection it asked for last.
    link: Option<LinkId>,
}

impl Host {
    fn handle(&mut self, input: Input) {
        self.client.handle(self.now, input);
        self.drain();
        assert!(self.client.next_timeout().is_none_or(|next| next > self.now));
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            if let Output::Dial(link) = output {
                self.link = Some(link);
            }
        }
    }
}
