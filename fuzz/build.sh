#!/bin/sh
# Builds the targets with what libFuzzer needs to see which code a file reaches, by a stable compiler (cargo-fuzz needs
# a nightly one, and adds the address sanitizer). Then, for ten minutes: fuzz/run.sh decode 600
set -eu
cd "$(dirname "$0")"
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host" "$@"
