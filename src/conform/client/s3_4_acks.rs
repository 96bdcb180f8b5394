//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use crate::conform::case::client_cases;

client_cases! {}
