//! Quality of service, receipt and order (sections 4.3, 4.5 and 4.6).

use crate::conform::case::client_cases;

client_cases! {}
