#!/usr/bin/env bash
# Runs an adapter: start.sh paho1|paho2|mqttjs|rumqttc|mosquitto_sub. install.sh puts there what the libraries need.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
target=$(cd -- "$here/../.." && pwd)/target
export SIMRUN_PEERS=${SIMRUN_PEERS:-$target/peers}

case ${1:-} in
    paho1 | paho2) exec "$SIMRUN_PEERS/$1/bin/python" "$here/paho_mqtt.py" ;;
    mqttjs) exec node "$here/mqttjs.mjs" ;;
    rumqttc) exec "${SIMRUN_ADAPTERS:-$target/adapters}/debug/simrun-adapter-rumqttc" ;;
    mosquitto_sub) exec python3 "$here/mosquitto_sub.py" ;;
    *) echo 'usage: start.sh paho1|paho2|mqttjs|rumqttc|mosquitto_sub' >&2 && exit 2 ;;
esac
