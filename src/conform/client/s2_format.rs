//! The format of packets (section 2).

use crate::conform::case::client_cases;

client_cases! {}
