//! What came of a conformance run, as its readers want it. All forms are made of one [`Document`], which is also what
//! `-o FILE.json` writes and the matrix reads.
//!
//! | file | what |
//! |---|---|
//! | `document` | the results, as data with a version of its own |
//! | `terminal` | for people, at the end of a run |
//! | `html` | a page that needs nothing else |
//! | `junit` | for CI |
//! | `summary` | Markdown, for the summary of a GitHub job |
//! | `matrix` | statements by targets, side by side |

mod document;
mod html;
mod junit;
mod matrix;
mod summary;
mod terminal;

pub use document::{CaseEntry, Death, Document, DocumentError, Packet, SCHEMA, StatementEntry};
pub use html::page;
pub use junit::junit;
pub use matrix::Matrix;
pub use summary::markdown;
pub use terminal::{finding, terminal};
