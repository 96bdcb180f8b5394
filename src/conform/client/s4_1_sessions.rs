//! Sessions, network connections, delivery retry (sections 4.1, 4.2 and 4.4).

use crate::conform::case::client_cases;

client_cases! {}
