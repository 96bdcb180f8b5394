//! Topic names and topic filters (section 4.7).

use crate::conform::case::server_cases;

server_cases! {}
