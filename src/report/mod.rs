//! What a reader gets to see of a run: pure functions of its results.

pub mod conform;
pub mod terminal;
