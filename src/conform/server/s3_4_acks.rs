//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use crate::conform::case::server_cases;

server_cases! {}
