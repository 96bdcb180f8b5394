//! Errors (3.1.1 section 4.8, 5.0 section 4.13).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
