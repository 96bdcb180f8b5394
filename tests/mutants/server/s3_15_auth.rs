//! AUTH and enhanced authentication (5.0 sections 3.15 and 4.12).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
