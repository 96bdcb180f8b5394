//! Conformance (3.1.1 section 7).

use crate::conform::case::server_cases;

server_cases! {}
