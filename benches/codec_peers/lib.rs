//! Nothing: the benchmark is `codec.rs`.
