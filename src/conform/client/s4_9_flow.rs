//! Flow control (5.0 section 4.9).

use crate::conform::case::client_cases;

client_cases! {}
