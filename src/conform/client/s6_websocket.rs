//! WebSocket as transport (section 6).

use crate::conform::case::client_cases;

client_cases! {}
