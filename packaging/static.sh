#!/usr/bin/env bash
# Builds one file that needs nothing of the machine it runs on, and checks that it does not.
#
#     packaging/static.sh [OUTPUT]      # default: target/static/simrun
#
# With musl where its target is installed (`rustup target add x86_64-unknown-linux-musl`, and musl-gcc from musl-tools for
# the C parts of ring); otherwise with the C library of this machine, linked in. The latter looks up host names through
# what the machine has of that library at run time; a broker, and clients that dial addresses, need none of it.
#
# With musl the file has 22 MB, and the broker serves about a tenth less at QoS 1 and a fifth less at QoS 0.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

output=${1:-target/static/simrun}
machine=$(uname -m)
libdir=$(rustc --print sysroot)/lib/rustlib
if [ -d "$libdir/$machine-unknown-linux-musl" ] && command -v musl-gcc >/dev/null; then
    target=$machine-unknown-linux-musl
    export CC_${machine}_unknown_linux_musl=musl-gcc
else
    target=$machine-unknown-linux-gnu
fi
echo "building for $target"
# With --target the flag is for the program alone, not for build scripts and procedural macros.
# Without what only a debugger reads: that is nine tenths of it.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    cargo build --release --locked --bin simrun --target "$target" --target-dir target/static
mkdir -p -- "$(dirname -- "$output")"
install -m 755 -- "target/static/$target/release/simrun" "$output"

if ldd "$output" 2>/dev/null | grep -q '=>'; then
    echo "static.sh: $output needs libraries:" >&2
    ldd "$output" >&2
    exit 1
fi
"$output" --version
ls -l -- "$output"
