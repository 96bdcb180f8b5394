//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use crate::conform::case::server_cases;

server_cases! {}
