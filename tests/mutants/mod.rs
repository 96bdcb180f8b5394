//! Brokers and clients with one thing wrong about them: ours, behind a wire that is tampered with in one way, or with a
//! setting that takes one behaviour away. One file a section of the standard.

mod client;
mod server;
pub mod tools;

use simrun::broker::Config;
use simrun::conform::relay::Tamper;
use simrun::rules::Role;

/// A peer with one thing wrong about it.
pub struct Mutant {
    /// What is wrong, in words.
    pub name: &'static str,
    /// The statements that it breaks. Where one wrong necessarily breaks several, all are listed.
    pub breaks: &'static [&'static str],
    /// The cases that bring it out, where it is not those that claim the statements (a rule catches it).
    pub via: &'static [&'static str],
    /// How it is made.
    pub kind: Kind,
}

/// How a mutant is made.
#[derive(Clone, Copy)]
#[allow(dead_code)] // Until all sections have their mutants.
pub enum Kind {
    /// Our broker behind a tampered wire.
    Broker(fn() -> Box<dyn Tamper>),
    /// Our broker with other settings.
    BrokerSettings(fn(&mut Config)),
    /// Our client behind a tampered wire.
    Client(fn() -> Box<dyn Tamper>),
}

impl Mutant {
    /// Which side is wrong.
    pub fn role(&self) -> Role {
        match self.kind {
            Kind::Broker(_) | Kind::BrokerSettings(_) => Role::Server,
            Kind::Client(_) => Role::Client,
        }
    }
}

/// Claims that no mutant can break, with the test that sees them failing instead.
pub const NOT_MUTABLE: &[(Role, &str, &str)] = &[
    (Role::Server, "v3.1.1/MQTT-4.7.3-3", "tests/codec/encoder.rs: a text that is too long is refused"),
    (Role::Server, "v5/MQTT-4.7.3-3", "tests/codec/encoder.rs: a text that is too long is refused"),
];

/// All mutants.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    server::ALL.iter().chain(client::ALL).copied().flatten()
}
