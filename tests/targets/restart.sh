#!/usr/bin/env bash
# Starts a foreign broker in the background, and ends the one that this started before on the same port: restart.sh NAME
# PORT. For `restart:` in a profile; restart.sh --stop PORT ends it. Its process is noted in $SIMRUN_TARGETS/PORT.pid.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
targets=${SIMRUN_TARGETS:-$(cd -- "$here/../.." && pwd)/target/targets}
[ $# = 2 ] || { echo 'usage: restart.sh NAME PORT, or --stop PORT' >&2 && exit 2; }
note=$targets/$2.pid

if [ -s "$note" ]; then
    id=$(cat "$note")
    kill "$id" 2>/dev/null || true
    for _ in $(seq 20); do
        kill -0 "$id" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$id" 2>/dev/null || true
    rm -f -- "$note"
fi
[ "$1" != --stop ] || exit 0
setsid "$here/start.sh" "$1" "$2" </dev/null >"$targets/$2.log" 2>&1 &
echo $! >"$note"
