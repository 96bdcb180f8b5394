//! Topic names and topic filters (section 4.7).

use crate::conform::case::client_cases;

client_cases! {}
