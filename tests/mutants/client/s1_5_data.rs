//! Data representation (section 1.5).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
