//! CONNACK (section 3.2).

use crate::conform::case::server_cases;

server_cases! {}
