//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use crate::conform::case::client_cases;

client_cases! {}
