//! DISCONNECT (section 3.14).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
