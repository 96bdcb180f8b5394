//! WebSocket as transport (section 6).

use crate::conform::case::server_cases;

server_cases! {}
