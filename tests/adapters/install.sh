#!/usr/bin/env bash
# Installs what the adapters need: the foreign clients (tests/peers/install.sh, into $SIMRUN_PEERS) and the adapter for
# rumqttc, built into $SIMRUN_ADAPTERS, or <repository>/target/adapters. Safe to run again.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
adapters=${SIMRUN_ADAPTERS:-$(cd -- "$here/../.." && pwd)/target/adapters}

bash "$here/../peers/install.sh"
# cargo finds rust-toolchain and configuration from where it is started, not from the manifest.
cd -- "$here/rumqttc"
cargo build --locked --quiet --target-dir "$adapters"
echo "rumqttc's adapter in $adapters"
