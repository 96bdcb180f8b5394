//! DISCONNECT (section 3.14).

use crate::conform::case::server_cases;

server_cases! {}
