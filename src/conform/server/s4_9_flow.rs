//! Flow control (5.0 section 4.9).

use crate::conform::case::server_cases;

server_cases! {}
