#!/usr/bin/env bash
# Builds every fuzz target with the stable compiler and replays its corpus: each input once, no fuzzing.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --locked
for target in fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    count=$(find "corpus/$name" -type f | wc -l)
    [ "$count" -gt 0 ] || { echo "$name: its corpus is empty" >&2; exit 1; }
    find "corpus/$name" -type f -print0 | xargs -0 "${CARGO_TARGET_DIR:-target}/release/$name" >replay.log 2>&1 ||
        { cat replay.log >&2; echo "$name: FAILED" >&2; exit 1; }
    echo "$name: $count inputs replayed"
done
rm -f replay.log
