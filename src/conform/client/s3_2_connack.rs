//! CONNACK (section 3.2).

use crate::conform::case::client_cases;

client_cases! {}
