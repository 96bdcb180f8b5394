//! The format of packets (section 2).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
