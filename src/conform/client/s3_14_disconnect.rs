//! DISCONNECT (section 3.14).

use crate::conform::case::client_cases;

client_cases! {}
