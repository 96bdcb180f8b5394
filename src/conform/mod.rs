//! Conformance: every numbered statement, both versions, both roles.
//!
//! | file | what |
//! |---|---|
//! | `case` | a case: what it claims, what it needs, what it does |
//! | `server/` | the cases for brokers, one file a section |
//! | `client/` | the cases for clients, one file a section |
//! | `suite` | all of them, and how some are chosen |
//! | `lab` | what a case for brokers works with |
//! | `bench` | what a case for clients works with |
//! | `wire` | the suite's end of one connection |
//! | `websocket` | the suite's end of a WebSocket, frame by frame |
//! | `raw` | a CONNECT put together by hand, to be broken |
//! | `verdict` | how a case ends |
//! | `setup` | what a case needs of its target |
//! | `target/` | what is checked: our broker in simulated time, an address |
//! | `steered/` | clients that are checked: ours, a command; the line protocol |
//! | `relay` | something between the ends of a connection that may change what passes |
//! | `abilities` | what a broker says that it can do |
//! | `pulse` | tells whether the machine lets the suite run in time |
//! | `run` | runs cases, side by side where there is real time |
//! | `result` | what came of a run, by case and by statement |
//! | `coverage` | which statement is claimed by what, or excused why |
//!
//! Cases never sleep to show that nothing came: they fence. The same case runs in simulated and in real time.

pub mod abilities;
pub mod bench;
pub mod case;
pub mod client;
pub mod coverage;
pub mod lab;
mod pulse;
pub mod raw;
pub mod relay;
pub mod result;
pub mod run;
pub mod server;
pub mod setup;
pub mod steered;
pub mod suite;
pub mod target;
pub mod verdict;
pub mod websocket;
pub mod wire;

pub use case::{Case, Run};
pub use setup::Setup;
pub use target::Target;
pub use verdict::{Failure, Outcome, Stop};
