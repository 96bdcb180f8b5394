//! WebSocket as transport (section 6).

use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[];
