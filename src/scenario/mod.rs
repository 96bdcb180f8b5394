//! The YAML notation of scenarios: reading it, judging it before anything runs, and holding a trace against it.
//!
//! ```text
//! text ──read──▶ Scenario ──check──▶ Scenario ──sim──▶ trace ──expect──▶ verdicts
//! ```

pub mod actor;
mod application;
mod check;
mod expect;
mod model;
mod pattern;
mod program;
mod read;
mod schema;
pub mod setup;
mod steps;
mod words;

use crate::notation::{diagnosis, locate, scalar, units};

pub use application::{DisconnectStep, Do, ProgramStep};
pub use diagnosis::{Diagnosis, Spot};
pub use expect::{Verdict, judge, judge_with_grace};
pub use model::{Broker, Client, Network, On, Profile, Reconnect, Scenario, Will};
pub use pattern::{Count, Pattern};
pub use read::{Loaded, parse, read};
pub use scalar::Named;
pub use schema::schema;
pub use steps::{
    Action, Names, PublishStep, SendStep, Step, SubscribeOptions, SubscribeStep, TimelineDisconnect, TimelinePublish,
    TimelineSubscribe, TimelineUnsubscribe, Way,
};
pub use units::{Expiry, Seconds, Span, SpanRange};
pub use words::{CauseWord, EventWord, Hex, PacketWord, QosWord, ReasonWord, VersionWord};
