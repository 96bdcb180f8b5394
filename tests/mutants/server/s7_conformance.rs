//! Conformance (3.1.1 section 7).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
