//! Data representation (section 1.5).

use crate::conform::case::client_cases;

client_cases! {}
