#!/usr/bin/env bash
# Installs the foreign MQTT clients that simrun's broker is tested with: mosquitto and its clients (Debian's),
# paho-mqtt 1.6 and 2.x and aiomqtt (one venv each), MQTT.js and rumqttc. Into $SIMRUN_PEERS, or <repository>/target/peers.
#
# Safe to run again: what is there and right is left alone, and a complete installation is recognised at once.
# Exits 0 only when everything is there. Needs Debian or Ubuntu (apt-get) for what is missing, and root or sudo.
set -euo pipefail

PAHO1=1.6.1
PAHO2=2.1.0
AIOMQTT=2.5.1
# MQTT.js: see package.json and package-lock.json; rumqttc: see rumqttc/Cargo.toml and its Cargo.lock.

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
peers=${SIMRUN_PEERS:-$(cd -- "$here/../.." && pwd)/target/peers}
mkdir -p -- "$peers"
peers=$(cd -- "$peers" && pwd)
log=$peers/install.log
export PATH=$PATH:/usr/sbin:/sbin # Debian puts the broker there

step='starting'
trap 'rc=$?; if [ $rc -ne 0 ]; then echo "install.sh: FAILED while $step (exit $rc); log: $log" >&2; fi' EXIT

run() { # run WHAT COMMAND...: the output goes to the log, and is shown where the command fails
    step=$1
    shift
    echo "... $step"
    printf '\n== %s: %s\n' "$step" "$*" >>"$log"
    local from rc=0
    from=$(wc -l <"$log")
    "$@" >>"$log" 2>&1 </dev/null || rc=$?
    if [ $rc -ne 0 ]; then
        tail -n "+$((from + 1))" "$log" | tail -n 30 >&2
        exit $rc
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

wanted=$(cat -- "$here/install.sh" "$here/package.json" "$here/package-lock.json" "$here/.npmrc" \
    "$here"/rumqttc/Cargo.* "$here"/rumqttc/src/* | sha256sum)

complete() {
    [ "$(cat -- "$peers/complete" 2>/dev/null || true)" = "$wanted $peers" ] &&
        [ -x "$peers/paho1/bin/python" ] && [ -x "$peers/paho2/bin/python" ] &&
        [ -x "$peers/aiomqtt/bin/python" ] &&
        [ -f "$peers/js/node_modules/mqtt/package.json" ] && [ -x "$peers/rumqttc/debug/exercise-rumqttc" ] &&
        [ -s "$peers/versions" ] &&
        command -v mosquitto mosquitto_pub mosquitto_sub mosquitto_passwd node >/dev/null
}

finish() {
    cat -- "$peers/versions"
    echo "in $peers"
    exit 0
}

if complete; then finish; fi

# Two test programs may ask at once: the second waits and then finds all done.
exec 9>"$peers/lock"
step='waiting for another install.sh'
flock -w 600 9
if complete; then finish; fi
rm -f -- "$peers/complete"
: >"$log"

# --- Debian's packages -----------------------------------------------------------------------------------------------

missing=()
for tool in mosquitto mosquitto_passwd; do
    command -v $tool >/dev/null || { missing+=(mosquitto) && break; }
done
for tool in mosquitto_pub mosquitto_sub; do
    command -v $tool >/dev/null || { missing+=(mosquitto-clients) && break; }
done
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

# The broker's package starts its service; a policy of "not allowed" (101) keeps it from that.
policy=/usr/sbin/policy-rc.d
apt_install() {
    local made= rc=0
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy && made=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || rc=$?
    if [ -n "$made" ]; then as_root rm -f $policy; fi
    return $rc
}

if [ ${#missing[@]} -gt 0 ]; then
    step="looking for apt-get (wanted: ${missing[*]})"
    command -v apt-get >/dev/null || { echo "install.sh: no apt-get here; install by hand: ${missing[*]}" >&2 && exit 1; }
    run 'reading the list of packages (apt-get update)' as_root apt-get update
    run "installing ${missing[*]} (apt-get install)" apt_install "${missing[@]}"
    # Where an init system would start the broker at the next boot: not on our account.
    if [[ " ${missing[*]} " == *' mosquitto '* ]] && [ -d /run/systemd/system ]; then
        run "turning mosquitto's service off" as_root systemctl disable --now mosquitto.service
    fi
fi

# --- Python ----------------------------------------------------------------------------------------------------------

python=
for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>>"$log"; then
        python=$candidate
        break
    fi
done
step='looking for a Python of at least 3.10 with venv and ensurepip'
[ -n "$python" ] || { echo 'install.sh: none found' >&2 && exit 1; }

version() { # version VENV PACKAGE
    "$1/bin/python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$2" 2>/dev/null
}

venv() { # venv NAME PACKAGE VERSION
    local dir=$peers/$1
    if [ "$(version "$dir" "$2" || true)" = "$3" ]; then return; fi
    rm -rf -- "$dir"
    run "making the venv $1" "$python" -m venv "$dir"
    run "installing $2 $3 (pip)" "$dir/bin/python" -m pip install --disable-pip-version-check "$2==$3"
    step="checking $2 $3"
    [ "$(version "$dir" "$2")" = "$3" ]
}

venv paho1 paho-mqtt $PAHO1
venv paho2 paho-mqtt $PAHO2
venv aiomqtt aiomqtt $AIOMQTT

# --- MQTT.js ---------------------------------------------------------------------------------------------------------

mkdir -p -- "$peers/js"
cp -- "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$peers/js/"
run 'installing MQTT.js (npm ci)' npm ci --prefix "$peers/js" --ignore-scripts --no-audit --no-fund
step='checking MQTT.js'
mqttjs=$(cd -- "$peers/js" && node -p 'require("mqtt/package.json").version')

# --- rumqttc ---------------------------------------------------------------------------------------------------------

run 'building the exercise with rumqttc (cargo build)' env -u RUSTFLAGS -u CARGO_BUILD_TARGET "${CARGO:-cargo}" build \
    --locked --manifest-path "$here/rumqttc/Cargo.toml" --target-dir "$peers/rumqttc"
step='asking for the version of rumqttc'
rumqttc=$(sed -n '/^name = "rumqttc"$/{n;s/version = "\(.*\)"/\1/p}' "$here/rumqttc/Cargo.lock")

# --- done ------------------------------------------------------------------------------------------------------------

step='asking for versions'
mosquitto=$({ mosquitto -h 2>/dev/null || true; } | sed -n "1s/mosquitto version //p")
clients=$({ mosquitto_pub --help 2>/dev/null || true; } | sed -n "s/^mosquitto_pub version \\([^ ]*\\).*/\\1/p")
[ -n "$mosquitto" ] && [ -n "$clients" ] && [ -n "$mqttjs" ] && [ -n "$rumqttc" ]
cat >"$peers/versions" <<EOF
mosquitto $mosquitto
mosquitto_pub, mosquitto_sub $clients
paho-mqtt $(version "$peers/paho1" paho-mqtt) ($("$peers/paho1/bin/python" --version))
paho-mqtt $(version "$peers/paho2" paho-mqtt) ($("$peers/paho2/bin/python" --version))
aiomqtt $(version "$peers/aiomqtt" aiomqtt) (paho-mqtt $(version "$peers/aiomqtt" paho-mqtt))
MQTT.js $mqttjs (node $(node --version))
rumqttc $rumqttc
EOF
echo "$wanted $peers" >"$peers/complete"
finish
