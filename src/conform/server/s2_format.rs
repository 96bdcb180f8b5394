//! The format of packets (section 2).

use crate::conform::case::server_cases;

server_cases! {}
