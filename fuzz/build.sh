#!/bin/sh
# Builds the targets with what libFuzzer needs to see which code an input reaches, by a stable compiler (cargo-fuzz needs
# a nightly one, and adds the address sanitizer). Then, for ten minutes and with a corpus that is not committed:
#   target/fuzz/$(rustc --print host-tuple)/release/decode -dict=fuzz/mqtt.dict -max_total_time=600 NEW fuzz/corpus/decode
set -eu
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/fuzz}"
exec cargo build --release --manifest-path fuzz/Cargo.toml --target "$(rustc --print host-tuple)" "$@"
