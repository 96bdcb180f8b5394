//! PUBLISH (section 3.3).

use crate::conform::case::server_cases;

server_cases! {}
