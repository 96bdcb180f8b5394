//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use crate::conform::case::server_cases;

server_cases! {}
