//! The scenario reader under arbitrary text: a scenario or a diagnosis, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(loaded) = simrun::scenario::parse("fuzz.yaml", data) {
        assert!(!format!("{:?}", loaded.scenario).is_empty());
    }
});
