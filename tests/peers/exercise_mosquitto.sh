#!/usr/bin/env bash
# Exercises an MQTT broker with mosquitto_pub, mosquitto_sub and mosquitto_rr.
#
#     exercise_mosquitto.sh --port 1883 --user admin --password password --version 5
#
# One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. The broker must know the user and
# let it use any topic. Client ids and topics are of this run only; sessions and retained messages are removed.
#
# These tools cannot say no local, retain handling or retain as published, keep an acknowledgement back, or show the
# session present flag: see the other exercises for those.
#
# That something does not come is shown by a fence (something sent later on the same path that does come), not by
# waiting.
set -u

PATIENCE=10   # seconds, for whatever must come
WHOLE_RUN=60 # seconds, then no more is begun or waited for

usage() {
    echo 'usage: exercise_mosquitto.sh --port P --user U --password P --version 3.1.1|5 [--host H] [--cafile F] [--only NAME] [--skip NAME]' >&2
    exit 2
}

secure=()
host=127.0.0.1 port= user= password= version= only=' ' skip=' '
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --host) host=$2 ;;
    --port) port=$2 ;;
    --cafile) secure=(--cafile "$2") ;;
    --user) user=$2 ;;
    --password) password=$2 ;;
    --version) version=$2 ;;
    --only) only+="$2 " ;;
    --skip) skip+="$2 " ;;
    *) usage ;;
    esac
    shift 2
done
[ -n "$port" ] && [ -n "$user" ] && [ -n "$password" ] || usage
case $version in
3.1.1) v=311 ;;
5) v=5 ;;
*) usage ;;
esac

for tool in mosquitto_pub mosquitto_sub mosquitto_rr; do
    command -v $tool >/dev/null || { echo "FAIL whole_run: $tool is not installed" && exit 1; }
done

run=mo$$$RANDOM
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
# No settings of whoever runs this.
export XDG_CONFIG_HOME=$work HOME=$work

# --- what the checks are written with. Each check is a subshell with a folder ($dir) and a topic ($topic) of its own. ---

die() {
    printf '%s\n' "$*" >"$dir/why"
    exit 1
}

begin() {
    name=$1
    dir=$work/$name
    topic=peers/$run/$name
    mkdir -p "$dir"
    : >"$dir/pids"
    : >"$dir/sessions"
    trap end EXIT
}

# However the check ended: its subscribers, sessions and retained messages go.
end() {
    local pid client
    while read -r pid; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done <"$dir/pids"
    sort -u "$dir/sessions" | while read -r client; do tool pub -i "$client" -t "$topic/forget" -n >/dev/null 2>&1; done
    if [ -e "$dir/retained" ]; then tool pub -t "$topic" -n -r -q 1 >/dev/null 2>&1; fi
}

gone() { # the last subscriber is killed
    kill -9 $last
    wait $last 2>/dev/null
}

expect() { # expect WHAT GOT WANTED
    [ "$2" = "$3" ] || die "$1: '${2:0:200}' instead of '${3:0:200}'"
}

tool() { # tool NAME ARGUMENTS...
    local tool=$1
    shift
    timeout -k 1 $PATIENCE "mosquitto_$tool" -h "$host" -p "$port" "${secure[@]}" -u "$user" -P "$password" -V $v "$@"
}

pub() { # pub ARGUMENTS...: sends; with -q 1 and 2 it ends when that is acknowledged
    tool pub "$@" >"$dir/pub.log" 2>&1 || die "mosquitto_pub $*: exit $?: $(tail -n 1 "$dir/pub.log")"
}

send() { # send TOPIC PAYLOAD QOS ARGUMENTS...
    local to=$1 payload=$2 qos=$3
    shift 3
    if [ -z "$payload" ]; then pub -t "$to" -n -q "$qos" "$@"; else pub -t "$to" -m "$payload" -q "$qos" "$@"; fi
}

# sub NAME ARGUMENTS...: a subscriber in the background. Returns once it is subscribed. What it hears is in $dir/NAME,
# one line each: 'MSG topic qos retained payload'.
sub() {
    local who=$1
    shift
    : >"$dir/$who"
    stdbuf -oL mosquitto_sub -h "$host" -p "$port" "${secure[@]}" -u "$user" -P "$password" -V $v -d -W 30 -F 'MSG %t %q %r %p' "$@" \
        >"$dir/$who" 2>&1 </dev/null &
    last=$!
    echo $last >>"$dir/pids"
    await "$who" '^Subscribed' 1 "$who is not subscribed"
}

await() { # await NAME PATTERN COUNT WHY
    local until=$((${EPOCHREALTIME/./} + PATIENCE * 1000000))
    while [ "$(grep -a -c -- "$2" "$dir/$1")" -lt "$3" ]; do
        if [ ${EPOCHREALTIME/./} -gt $until ] || [ $SECONDS -gt $WHOLE_RUN ]; then
            die "$4: $(tail -n 1 "$dir/$1" | cut -c 1-160)"
        fi
        sleep 0.02
    done
}

heard() { # heard NAME: its messages, one line each
    grep -a '^MSG ' "$dir/$1" | cut -d ' ' -f 2-
}

hears() { # hears NAME LINE...: exactly these so far, in this order
    local who=$1
    shift
    await "$who" '^MSG ' $# "$who heard $(grep -a -c '^MSG ' "$dir/$who") of $# messages"
    expect "$who" "$(heard "$who")" "$(printf '%s\n' "$@")"
}

# park NAME ARGUMENTS...: a session that stays, its client gone again.
park() {
    local who=$1
    shift
    echo "$run-$name-$who" >>"$dir/sessions"
    tool sub -c -i "$run-$name-$who" -E "$@" >"$dir/$who.parked" 2>&1 || die "mosquitto_sub -c -E: exit $?: $(tail -n 1 "$dir/$who.parked")"
}

# forget NAME: removes that session. (At the end of a check it is done anyway.)
forget() {
    tool pub -i "$run-$name-$1" -t "$topic/forget" -n >/dev/null 2>&1
}

# --- both versions -----------------------------------------------------------------------------------------------------

both=(connect qos0 qos1 qos2 qos_is_the_lower_of_both wildcards retained will_after_drop no_will_after_disconnect
    session_resumed one_mebibyte takeover unsubscribe wrong_password)

connect() {
    tool pub -d -t "$topic" -m x >"$dir/log" 2>&1 || die "exit $?: $(tail -n 1 "$dir/log")"
    grep -q 'received CONNACK (0)' "$dir/log" || die "no CONNACK with code 0"
}

at_qos() {
    local n lines=()
    sub b -i "$run-$name-b" -t "$topic" -q "$1"
    send "$topic" '现在天黑了' "$1"
    send "$topic" '' "$1"
    for n in $(seq 20); do lines+=("$topic $1 0 $n"); done
    seq 20 | tool pub -t "$topic" -q "$1" -l >"$dir/pub.log" 2>&1 || die "mosquitto_pub -l: exit $?: $(tail -n 1 "$dir/pub.log")"
    send "$topic" fence "$1"
    hears b "$topic $1 0 现在天黑了" "$topic $1 0 " "${lines[@]}" "$topic $1 0 fence"
}

qos0() { at_qos 0; }
qos1() { at_qos 1; }
qos2() { at_qos 2; }

qos_is_the_lower_of_both() {
    local s p lines=()
    for s in 0 1 2; do sub "s$s" -t "$topic" -q $s; done
    for p in 0 1 2; do send "$topic" "$p" $p; done
    hears s0 "$topic 0 0 0" "$topic 0 0 1" "$topic 0 0 2"
    hears s1 "$topic 0 0 0" "$topic 1 0 1" "$topic 1 0 2"
    hears s2 "$topic 0 0 0" "$topic 1 0 1" "$topic 2 0 2"
}

wildcards() {
    local pattern matching others n=0 t lines
    while IFS='|' read -r pattern matching others; do
        n=$((n + 1))
        lines=()
        sub "b$n" -t "$topic/$pattern"
        for t in $others; do send "$topic/$t" no 0; done
        for t in $matching; do
            send "$topic/$t" yes 0
            lines+=("$topic/$t 0 0 yes")
        done
        await "b$n" '^MSG ' ${#lines[@]} "$pattern: not all matches came"
        expect "$pattern" "$(heard "b$n" | sort)" "$(printf '%s\n' "${lines[@]}" | sort)"
    done <<'EOF'
one/+|one/x one/ one/灯|one one/x/y two/x
mid/+/end|mid/x/end mid//end|mid/end mid/x/y/end mid/x/ends
all/#|all all/x all/x/y/z all/|al allx other/all
mix/+/k/#|mix/x/k mix/x/k/l|mix/k/l mix/x/l
EOF
}

retained() {
    : >"$dir/retained"
    sub early -t "$topic" -q 1
    send "$topic" old 1 -r
    send "$topic" kept 1 -r
    hears early "$topic 1 0 old" "$topic 1 0 kept"
    sub late -t "$topic" -q 1
    hears late "$topic 1 1 kept"
    sub wild -t "$topic/#" -q 0
    hears wild "$topic 0 1 kept"
    send "$topic" '' 1 -r
    hears late "$topic 1 1 kept" "$topic 1 0 "
    sub after -t "$topic" -q 1
    send "$topic" fence 1
    hears after "$topic 1 0 fence"
}

will_after_drop() {
    sub watcher -t "$topic/will" -q 1
    sub dying -t "$topic/other" --will-topic "$topic/will" --will-payload gone --will-qos 1
    gone
    hears watcher "$topic/will 1 0 gone"
}

no_will_after_disconnect() {
    sub watcher -t "$topic/will" -q 1
    pub -t "$topic/other" -m x --will-topic "$topic/will" --will-payload gone --will-qos 1
    sleep 0.3 # no fence reaches over to a connection that is gone
    send "$topic/will" fence 1
    hears watcher "$topic/will 1 0 fence"
}

session_resumed() {
    local n lines=()
    park away -t "$topic/t" -q 1
    for n in 1 2 3; do
        send "$topic/t" "$n" 1
        lines+=("$topic/t 1 0 $n")
    done
    # It subscribes to something else now: what comes, comes by the session's own subscription.
    sub away -c -i "$run-$name-away" -t "$topic/fence" -q 1
    hears away "${lines[@]}"
    send "$topic/t" 'still subscribed' 1
    hears away "${lines[@]}" "$topic/t 1 0 still subscribed"
    gone
    forget away
    sub fresh -c -i "$run-$name-away" -t "$topic/fence" -q 1
    send "$topic/t" missed 1
    send "$topic/fence" fence 1
    hears fresh "$topic/fence 1 0 fence"
}

one_mebibyte() {
    head -c 1048576 /dev/urandom >"$dir/sent"
    park away -t "$topic" -q 2
    pub -t "$topic" -f "$dir/sent" -q 2
    tool sub -c -i "$run-$name-away" -t "$topic" -q 2 -C 1 -N >"$dir/came" 2>"$dir/log" || die "exit $?: $(tail -n 1 "$dir/log")"
    cmp -s "$dir/sent" "$dir/came" || die "the payload is not the same: $(stat -c %s "$dir/came") bytes came"
}

# A subscriber whose client id another connection takes.
taken() {
    sub first -i "$run-$name-same" -t "$topic" -q 1
    pub -i "$run-$name-same" -t "$topic/other" -m x
    # Closed without a word, the tool connects again by itself; told to go (5.0), it goes.
    await first 'sending CONNECT\|eceived DISCONNECT' 2 'the first connection stays open'
}

takeover() { taken; }

unsubscribe() {
    # -U: the tool unsubscribes where it has just subscribed.
    sub b -t "$topic/t" -t "$topic/fence" -U "$topic/t" -q 1
    await b 'received UNSUBACK' 1 'no UNSUBACK'
    send "$topic/t" after 1
    send "$topic/fence" fence 1
    hears b "$topic/fence 1 0 fence"
}

wrong_password() {
    local wanted='4 5' code as
    [ $v = 5 ] && wanted='134 135'
    for as in "$user:not the password" "nobody-$run:$password"; do
        timeout $PATIENCE mosquitto_pub -h "$host" -p "$port" "${secure[@]}" -V $v -d -u "${as%%:*}" -P "${as#*:}" -t "$topic" -m x \
            >"$dir/log" 2>&1 && die 'mosquitto_pub ended with 0'
        code=$(sed -n 's/.*received CONNACK (\([0-9]*\)).*/\1/p' "$dir/log")
        [[ -n "$code" && " $wanted " == *" $code "* ]] || die "CONNACK code '$code' instead of one of $wanted"
    done
}

# --- 5.0 ---------------------------------------------------------------------------------------------------------------

only5=(takeover_reason publish_properties request_response message_expiry session_expiry topic_alias shared_subscription
    assigned_client_id receive_maximum)

takeover_reason() {
    taken
    grep -q 'eceived DISCONNECT (142)' "$dir/first" ||
        die "'$(grep -o 'eceived DISCONNECT.*' "$dir/first" | head -n 1)' instead of DISCONNECT with 142"
}

publish_properties() {
    sub b -t "$topic" -q 1 -F 'MSG %C|%R|%D|%P|%F|%p'
    send "$topic" '{}' 1 -D publish content-type application/json -D publish response-topic "$topic/answers" \
        -D publish correlation-data 77 -D publish payload-format-indicator 1 \
        -D publish user-property colour red -D publish user-property colour blue -D publish user-property 灯 开
    hears b "application/json|$topic/answers|77|colour:red colour:blue 灯:开|1|{}"
}

request_response() {
    sub b -t "$topic/questions" -q 1 -F 'MSG %R|%D|%p'
    stdbuf -oL mosquitto_rr -h "$host" -p "$port" "${secure[@]}" -u "$user" -P "$password" -V 5 -q 1 -t "$topic/questions" \
        -e "$topic/answers" -m ask -D publish correlation-data 77 -W $PATIENCE >"$dir/rr" 2>&1 </dev/null &
    last=$!
    echo $last >>"$dir/pids"
    hears b "$topic/answers|77|ask"
    send "$topic/answers" yes 1 -D publish correlation-data 77
    wait $last || die "mosquitto_rr: exit $?: $(tail -n 1 "$dir/rr")"
    expect answer "$(cat "$dir/rr")" yes
}

message_expiry() {
    local left
    park away -x 60 -t "$topic" -q 1
    send "$topic" short 1 -D publish message-expiry-interval 1
    send "$topic" long 1 -D publish message-expiry-interval 60
    sleep 2.2
    sub away -c -x 60 -i "$run-$name-away" -t "$topic/fence" -q 1 -F 'MSG %p|%E'
    await away '^MSG ' 1 'nothing came'
    left=$(heard away)
    [[ $left =~ ^long\|5[0-9]$ ]] || die "'$left' came, 2 s after 'short' with an expiry of 1 s and 'long' with 60 s"
}

session_expiry() {
    park short -x 1 -t "$topic/t" -q 1
    park long -x 60 -t "$topic/t" -q 1
    sleep 2.7
    send "$topic/t" x 1
    sub short -c -x 1 -i "$run-$name-short" -t "$topic/fence" -q 1
    sub long -c -x 60 -i "$run-$name-long" -t "$topic/fence" -q 1
    send "$topic/fence" fence 1
    hears short "$topic/fence 1 0 fence"
    hears long "$topic/t 1 0 x" "$topic/fence 1 0 fence"
}

topic_alias() {
    sub b -t "$topic" -q 1
    printf '1\n2\n3\n' | tool pub -d -t "$topic" -q 1 -l -D publish topic-alias 1 >"$dir/log" 2>&1 ||
        die "mosquitto_pub -l: exit $?: $(tail -n 1 "$dir/log")"
    expect 'messages sent without their topic' "$(grep -c "'(null)'" "$dir/log")" 2
    hears b "$topic 1 0 1" "$topic 1 0 2" "$topic 1 0 3"
}

shared_subscription() {
    local b
    for b in b1 b2; do sub $b -t "\$share/$run/$topic/t" -t "$topic/fence" -q 1; done
    seq 10 49 | tool pub -t "$topic/t" -q 1 -l >"$dir/pub.log" 2>&1 || die "mosquitto_pub -l: exit $?"
    send "$topic/fence" fence 1
    for b in b1 b2; do
        await $b '^MSG .* fence$' 1 "$b did not get the fence behind the shared messages"
        heard $b | grep -q "^$topic/t " || die 'one of two got all messages'
    done
    expect 'messages of both together' "$( (heard b1 && heard b2) | sed -n "s|^$topic/t 1 0 ||p" | sort | xargs)" "$(seq 10 49 | xargs)"
}

assigned_client_id() {
    local n id ids=()
    for n in 1 2; do
        # Without -i the client id is empty; from the CONNACK on, the tool calls itself what it was assigned.
        tool pub -d -t "$topic" -m x >"$dir/log" 2>&1 || die "exit $?: $(tail -n 1 "$dir/log")"
        id=$(sed -n 's/^Client \(.*\) sending PUBLISH.*/\1/p' "$dir/log")
        [ -n "$id" ] && [ "$id" != '(null)' ] || die "no assigned client identifier ('$id')"
        ids+=("$id")
    done
    [ "${ids[0]}" != "${ids[1]}" ] || die "twice the same: ${ids[0]}"
}

receive_maximum() {
    local n lines=()
    park away -x 60 -t "$topic" -q 2
    seq 30 | tool pub -t "$topic" -q 2 -l >"$dir/pub.log" 2>&1 || die "mosquitto_pub -l: exit $?"
    for n in $(seq 30); do lines+=("$topic 2 0 $n"); done
    sub away -c -x 60 -i "$run-$name-away" -D connect receive-maximum 1 -t "$topic/fence" -q 1
    hears away "${lines[@]}"
    # With a receive maximum of 1, a PUBLISH comes only after the PUBCOMP of the one before.
    expect 'order of the packets' "$(grep -a -o -E "received PUBLISH|sending PUBCOMP" "$dir/away" | cut -c 1-8 | uniq | wc -l)" 60
}

# -----------------------------------------------------------------------------------------------------------------------

# These wait for time to pass; they run beside the others.
slow=' message_expiry session_expiry '

run_one() {
    local why
    if (begin "$1" && "$1" 2>"$work/$1.err") && [ ! -s "$work/$1/why" ]; then
        echo "ok $1"
        return 0
    fi
    why=$(cat "$work/$1/why" 2>/dev/null || true)
    [ -n "$why" ] || why="the check itself failed: $(tail -n 1 "$work/$1.err" 2>/dev/null)"
    echo "FAIL $1: ${why//$'\n'/ / }"
    return 1
}

known=" ${both[*]} ${only5[*]} "
for name in $only $skip; do
    [[ $known == *" $name "* ]] || { echo "no such check: $name" >&2 && exit 2; }
done
chosen=()
available=("${both[@]}")
[ $v = 5 ] && available+=("${only5[@]}")
for name in "${available[@]}"; do
    if [[ $skip != *" $name "* ]] && { [ "$only" = ' ' ] || [[ $only == *" $name "* ]]; }; then chosen+=("$name"); fi
done
[ ${#chosen[@]} -gt 0 ] || { echo 'no check to run' >&2 && exit 2; }

failed=0
waiting=()
for name in "${chosen[@]}"; do
    if [[ $slow == *" $name "* ]]; then
        run_one "$name" &
        waiting+=($!)
    fi
done
for name in "${chosen[@]}"; do
    if [[ $slow != *" $name "* ]]; then
        if [ $SECONDS -ge $WHOLE_RUN ]; then
            echo "FAIL $name: not begun, $WHOLE_RUN s are over"
            failed=1
        else
            run_one "$name" || failed=1
        fi
    fi
done
for pid in "${waiting[@]}"; do wait "$pid" || failed=1; done
exit $failed
