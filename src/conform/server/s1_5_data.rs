//! Data representation (section 1.5).

use crate::conform::case::server_cases;

server_cases! {}
