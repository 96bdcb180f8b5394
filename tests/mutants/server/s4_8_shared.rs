//! Shared subscriptions (5.0 section 4.8).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
