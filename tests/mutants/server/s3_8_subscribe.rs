//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
