//! Shared subscriptions (5.0 section 4.8).

use crate::conform::case::server_cases;

server_cases! {}
