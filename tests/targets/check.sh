#!/usr/bin/env bash
# Shows that the targets work as start.sh promises: check.sh [NAME...], by default all. Each is started, a message of each
# QoS goes through it from mosquitto_pub to mosquitto_sub in the versions it speaks, a retained message is forgotten by the
# next start, and it ends on SIGTERM. One line per target; exit code 0 if all are well.
set -uo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
port=${PORT:-18900}
scratch=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null; rm -rf -- "$scratch"' EXIT

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
    "$here/start.sh" "$1" "$port" >"$scratch/log" 2>&1 &
    broker=$!
    for _ in $(seq 100); do
        listening "$last" && return
        kill -0 "$broker" 2>/dev/null || break
        sleep 0.1
    done
    wrong "does not listen: $(tail -n 3 "$scratch/log")"
}

stop() {
    kill -TERM "$broker"
    for _ in $(seq 50); do
        kill -0 "$broker" 2>/dev/null || { broker='' && return; }
        sleep 0.1
    done
    kill -KILL "$broker"
    wrong 'does not end on SIGTERM'
}

wrong() { problems+=("$1"); }

# received VERSION PORT TOPIC QOS [OPTION...]: what a subscriber gets within a second
received() {
    mosquitto_sub -h 127.0.0.1 -V "$1" -p "$2" -t "$3" -q "$4" -C 1 -W 2 "${@:5}" 2>&1
}

published() { # published VERSION PORT TOPIC QOS TEXT [OPTION...]
    timeout 4 mosquitto_pub -h 127.0.0.1 -V "$1" -p "$2" -t "$3" -q "$4" -m "$5" "${@:6}" 2>&1
}

# passes VERSION PORT TOPIC QOS [OPTION...]: whether a message goes from a publisher to a subscriber
passes() {
    local text=m$RANDOM sub
    received "$1" "$2" "$3" "$4" "${@:5}" >"$scratch/got" &
    sub=$!
    sleep 0.3
    published "$1" "$2" "$3" "$4" "$text" "${@:5}" >"$scratch/said"
    wait $sub
    [ "$(cat "$scratch/got")" = "$text" ]
}

check() {
    local name=$1 versions=(mqttv311 mqttv5) greatest=2 login=() retain=yes version at last=$port
    case $name in
        mosquitto-access) login=(-u admin -P password) ;;
        mosquitto-max-qos-?) greatest=${name##*-} ;;
        mosquitto-no-retain) retain= ;;
        rumqttd) last=$((port + 1)) ;;
        aedes | amqtt) versions=(mqttv311) ;;
    esac
    problems=()
    start "$name"
    for version in "${versions[@]}"; do
        [ "$version" = mqttv5 ] && at=$last || at=$port
        for qos in $(seq 0 "$greatest"); do
            passes "$version" "$at" "check/$qos" "$qos" "${login[@]}" || wrong "no QoS $qos in $version: $(cat "$scratch/got" "$scratch/said")"
        done
        published "$version" "$at" check/kept 0 kept -r "${login[@]}" >"$scratch/said"
        got=$(received "$version" "$at" check/kept 0 "${login[@]}")
        if [ -n "$retain" ]; then
            [ "$got" = kept ] || wrong "does not retain in $version: $got"
        else
            [ "$got" != kept ] || wrong "retains in $version"
        fi
    done
    if [ "$name" = mosquitto-access ]; then
        limited=(-u limited -P password)
        passes mqttv5 "$port" simrun/x 1 "${limited[@]}" || wrong 'limited may not do what it may'
        passes mqttv5 "$port" x 1 -u nobody -P password && wrong 'a user nobody knows is taken'
        for topic in forbidden/x no-subscribe/x; do
            received mqttv5 "$port" $topic 1 "${limited[@]}" | grep -q 'denied' || wrong "limited may subscribe to $topic"
        done
        for topic in forbidden/x no-publish/x; do
            published mqttv5 "$port" $topic 1 no "${limited[@]}" | grep -q 'Not authorized' || wrong "limited may publish to $topic"
        done
        ! published mqttv5 "$port" x 1 x -u limited -P wrong >"$scratch/said" || wrong 'a wrong password is taken'
        ! published mqttv5 "$port" x 1 x >"$scratch/said" || wrong 'anonymous is taken'
    fi
    listening $((port + 2)) && websocket=', WebSocket' || websocket=
    stop
    start "$name"
    for version in "${versions[@]}"; do
        [ "$version" = mqttv5 ] && at=$last || at=$port
        got=$(received "$version" "$at" check/kept 0 "${login[@]}")
        [ "$got" != kept ] || wrong "remembers from the start before in $version"
    done
    stop
    if [ ${#problems[@]} = 0 ]; then
        echo "ok $name: ${versions[*]}$websocket"
    else
        printf "FAIL $name: %s\n" "${problems[@]}"
        return 1
    fi
}

[ $# -gt 0 ] || set -- mosquitto mosquitto-access mosquitto-max-qos-0 mosquitto-max-qos-1 mosquitto-no-retain rumqttd mqtt5 aedes amqtt
failed=0
for name in "$@"; do
    listening "$port" && echo "check.sh: port $port is taken; say PORT=…" >&2 && exit 2
    check "$name" || failed=1
done
exit $failed
