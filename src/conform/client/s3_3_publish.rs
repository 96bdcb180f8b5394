//! PUBLISH (section 3.3).

use crate::conform::case::client_cases;

client_cases! {}
