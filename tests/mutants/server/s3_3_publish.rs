//! PUBLISH (section 3.3).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
