//! Topic names and topic filters (section 4.7).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
