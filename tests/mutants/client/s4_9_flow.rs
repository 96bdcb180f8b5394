//! Flow control (5.0 section 4.9).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
