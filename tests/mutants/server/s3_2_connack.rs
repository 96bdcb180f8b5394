//! CONNACK (section 3.2).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
