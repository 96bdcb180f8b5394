#!/usr/bin/env bash
# Runs the conformance suite on all foreign brokers and, with --clients, on all foreign clients, and sets the results side
# by side: matrix.sh [--clients] [-o FOLDER]. Reports and the matrix (.html, .md, .txt) go into FOLDER, by default
# target/conformance. install.sh beside this and tests/adapters/install.sh come first. One target after another; ports
# 21000 to 21090 of 127.0.0.1. What a target breaks is no failure of this script; that a target does not start is.
set -uo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd -- "$here/../.."
folder=target/conformance
clients=
while [ $# -gt 0 ]; do
    case $1 in
        --clients) clients=yes ;;
        -o) folder=$2 && shift ;;
        *) echo 'usage: matrix.sh [--clients] [-o FOLDER]' >&2 && exit 2 ;;
    esac
    shift
done
mkdir -p -- "$folder"
simrun=${SIMRUN:-${CARGO_TARGET_DIR:-target}/release/simrun}
[ -x "$simrun" ] || cargo build --release --locked || exit 2

ports=()
reports=()
stop() {
    local port
    for port in "${ports[@]}"; do "$here/restart.sh" --stop "$port"; done
    ports=()
}
trap stop EXIT

start() { # start NAME PORT
    ports+=("$2")
    "$here/restart.sh" "$1" "$2"
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && return
        sleep 0.2
    done
    echo "matrix.sh: $1 does not listen on port $2" >&2
    exit 2
}

check() { # check NAME ARGUMENT...: one report
    local name=$1 begun=$SECONDS
    shift
    "$simrun" conform "$@" -o "$folder/$name.json" -o "$folder/$name.html" >"$folder/$name.txt" 2>&1
    local code=$?
    [ -s "$folder/$name.json" ] || { echo "matrix.sh: $name: $(tail -n 3 "$folder/$name.txt")" >&2 && exit 2; }
    echo "$((SECONDS - begun)) s, exit code $code: $(tail -n 1 "$folder/$name.txt")"
    reports+=("$folder/$name.json")
}

broker() { # broker NAME PORT [OPTION...]: with the profile NAME.yaml
    check "$1" --target "mqtt://127.0.0.1:$2" --profile "$here/$1.yaml" "${@:3}"
    stop
}

start mosquitto 21000
start mosquitto-access 21010
start mosquitto-max-qos-0 21020
start mosquitto-max-qos-1 21030
start mosquitto-no-retain 21040
broker mosquitto 21000
start rumqttd 21050
check rumqttd-3.1.1 --target mqtt://127.0.0.1:21050 --profile "$here/rumqttd-3.1.1.yaml" v3.1.1
check rumqttd-5 --target mqtt://127.0.0.1:21051 --profile "$here/rumqttd-5.yaml" v5
stop
start mqtt5 21060
broker mqtt5 21060
start aedes 21070
broker aedes 21070
start amqtt 21080
# Its clients disturb each other: one case after another, so that runs say the same.
broker amqtt 21080 --side-by-side 1 --patience 2
"$simrun" conform matrix "${reports[@]}" -o "$folder/brokers.html" -o "$folder/brokers.md" -o "$folder/brokers.txt" >/dev/null

[ -n "$clients" ] || exit 0
reports=()
for client in paho1 paho2 mqttjs rumqttc mosquitto_sub; do
    check "$client" --client "tests/adapters/start.sh $client"
done
"$simrun" conform matrix "${reports[@]}" -o "$folder/clients.html" -o "$folder/clients.md" -o "$folder/clients.txt" >/dev/null
