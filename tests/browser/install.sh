#!/usr/bin/env bash
# Installs what the browser tests need: Chromium (Debian's) with a font for Chinese, playwright-core and MQTT.js. Into
# $SIMRUN_PEERS/browser, or <repository>/target/peers/browser.
#
# Safe to run again: a complete installation is recognised at once. Exits 0 only when everything is there. Needs Debian or
# Ubuntu (apt-get) for what is missing, and root or sudo.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
peers=${SIMRUN_PEERS:-$(cd -- "$here/../.." && pwd)/target/peers}/browser
mkdir -p -- "$peers"
wanted=$(cat -- "$here/install.sh" "$here/package.json" "$here/package-lock.json" | sha256sum)

complete() {
    [ "$(cat -- "$peers/complete" 2>/dev/null || true)" = "$wanted" ] && command -v chromium node >/dev/null
}

if complete; then exit 0; fi
# Two test programs may ask at once: the second waits and then finds all done.
exec 9>"$peers/lock"
flock -w 600 9
if complete; then exit 0; fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

missing=()
command -v chromium >/dev/null || missing+=(chromium fonts-noto-cjk)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "install.sh: no apt-get here; install by hand: ${missing[*]}" >&2 && exit 1; }
    echo "... installing ${missing[*]} (apt-get)"
    as_root apt-get update -q >"$peers/install.log" 2>&1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >>"$peers/install.log" 2>&1
fi

echo '... installing playwright-core and MQTT.js (npm ci)'
cp -- "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$peers/"
npm ci --prefix "$peers" --ignore-scripts --no-audit --no-fund
printf '%s\n' "$wanted" >"$peers/complete"
