#!/usr/bin/env bash
# Installs the foreign brokers that the conformance suite is run on: install.sh [NAME...], by default all of
# mosquitto, rumqttd, mqtt5, aedes and amqtt. Into $SIMRUN_TARGETS, or <repository>/target/targets. Safe to run again.
# README.md has the versions. rumqttd and mqtt5 are built, which takes minutes.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
targets=${SIMRUN_TARGETS:-$(cd -- "$here/../.." && pwd)/target/targets}
mkdir -p -- "$targets"
targets=$(cd -- "$targets" && pwd)

# Debian's, with its clients.
install_mosquitto() { bash "$here/../peers/install.sh" | grep mosquitto; }

build() { # build NAME: the program of that name in rust/, which has the broker as a library
    (cd -- "$here/rust" && nice cargo build --locked --quiet --release --features "$1" --bin "$1" --target-dir "$targets/rust")
    (cd -- "$here/rust" && cargo tree --locked --quiet --features "$1" --depth 1 --prefix none | grep "^$1 ")
}
install_rumqttd() { build rumqttd; }
install_mqtt5() { build mqtt5; }

install_aedes() {
    mkdir -p -- "$targets/aedes"
    cp -- "$here"/aedes/{package.json,package-lock.json,.npmrc,broker.mjs} "$targets/aedes/"
    npm ci --prefix "$targets/aedes" --ignore-scripts --no-audit --no-fund --silent
    (cd -- "$targets/aedes" && node -p '"aedes " + JSON.parse(fs.readFileSync("node_modules/aedes/package.json")).version')
}

install_amqtt() {
    local python=$targets/amqtt/bin/python
    [ -x "$python" ] || python3 -m venv "$targets/amqtt"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/amqtt/requirements.txt"
    echo "amqtt $("$targets/amqtt/bin/amqtt" --version)"
}

[ $# -gt 0 ] || set -- mosquitto aedes amqtt rumqttd mqtt5
for name in "$@"; do
    declare -F "install_$name" >/dev/null || { echo "install.sh: no target '$name'" >&2 && exit 2; }
    "install_$name"
done
echo "in $targets"
