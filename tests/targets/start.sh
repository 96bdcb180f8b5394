#!/usr/bin/env bash
# Runs a foreign broker in the foreground on 127.0.0.1: start.sh NAME PORT. It keeps nothing between starts and ends on
# SIGTERM. rumqttd takes 5.0 on PORT + 1 (3.1.1 on PORT); WebSocket, where there is one, is on PORT + 2.
set -euo pipefail

names='mosquitto, mosquitto-access, mosquitto-max-qos-0, mosquitto-max-qos-1, mosquitto-no-retain, rumqttd, mqtt5, aedes, amqtt'
usage() { echo "usage: start.sh NAME PORT, NAME one of $names" >&2 && exit 2; }
[ $# = 2 ] || usage
name=$1 port=$2

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
targets=${SIMRUN_TARGETS:-$(cd -- "$here/../.." && pwd)/target/targets}
export PATH=$PATH:/usr/sbin:/sbin # Debian puts mosquitto there

filled() { # filled FILE: the configuration with its blanks filled in
    sed -e "s|@PORT@|$port|; s|@SECOND@|$((port + 1))|; s|@WEBSOCKET@|$((port + 2))|" \
        -e "s|@HERE@|$here|; s|@PLUGIN@|$(echo /usr/lib/*/mosquitto_dynamic_security.so)|" "$here/$1"
}

case $name in
    mosquitto) exec mosquitto -c <(filled mosquitto/open.conf) ;;
    mosquitto-access | mosquitto-max-qos-[01] | mosquitto-no-retain)
        exec mosquitto -c <(filled "mosquitto/${name#mosquitto-}.conf")
        ;;
    rumqttd) exec "$targets/rust/release/rumqttd" < <(filled rumqttd.toml) ;;
    mqtt5) exec "$targets/rust/release/mqtt5" "$port" $((port + 2)) ;;
    aedes) exec node "$targets/aedes/broker.mjs" "$port" $((port + 2)) ;;
    amqtt) exec "$targets/amqtt/bin/amqtt" -c <(filled amqtt/amqtt.yaml) ;;
    *) usage ;;
esac
