//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
