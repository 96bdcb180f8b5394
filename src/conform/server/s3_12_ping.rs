//! PINGREQ and PINGRESP (sections 3.12 and 3.13).

use crate::conform::case::server_cases;

server_cases! {}
