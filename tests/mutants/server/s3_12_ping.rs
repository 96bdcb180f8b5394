//! PINGREQ and PINGRESP (sections 3.12 and 3.13).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
