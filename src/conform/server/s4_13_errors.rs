//! Errors (3.1.1 section 4.8, 5.0 section 4.13).

use crate::conform::case::server_cases;

server_cases! {}
