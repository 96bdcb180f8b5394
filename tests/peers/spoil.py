"""Shows that the exercises' checks can fail: runs them against a good broker through a proxy that spoils one thing in the
traffic, and expects the checks that look at that thing to say FAIL (and each of them to pass without the proxy).

    spoil.py --port 1883 --user admin --password password [--exercise paho1|paho2|mqttjs|rumqttc|mosquitto] [--rule NAME]

Not part of a normal test run: every check that fails has waited for what does not come. It takes some minutes.
"""

import argparse
import asyncio
import itertools
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PEERS = pathlib.Path(os.environ.get("SIMRUN_PEERS") or HERE.parent.parent / "target/peers").resolve()
EXERCISES = {
    "paho1": [str(PEERS / "paho1/bin/python"), str(HERE / "exercise_paho.py")],
    "paho2": [str(PEERS / "paho2/bin/python"), str(HERE / "exercise_paho.py")],
    "mqttjs": ["node", str(HERE / "exercise_mqttjs.mjs")],
    "rumqttc": [str(PEERS / "rumqttc/debug/exercise-rumqttc")],
    "mosquitto": [str(HERE / "exercise_mosquitto.sh")],
}
CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK, UNSUBSCRIBE, DISCONNECT = 1, 2, 3, 8, 9, 10, 14


class Link:
    """What is known of one connection; where rules answer a client themselves."""

    def __init__(self):
        self.v5 = False
        self.number = next(Link.numbers)
        self.to_client = []

    numbers = itertools.count()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def packet(head, body):
    size, left = bytearray(), len(body)
    while True:
        left, byte = left >> 7, left & 127
        size.append(byte | (128 if left else 0))
        if not left:
            return bytes([head]) + bytes(size) + body


def without_properties(body, at):
    size, behind = varint(body, at)
    return body[:at] + b"\0" + body[behind + size :]


def topic_of(head, body):
    """(topic, where the payload's properties or payload begin) of a PUBLISH."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end], end + (2 if head & 6 else 0)


def filters(link, body, change):
    """A SUBSCRIBE with each (filter, options) changed."""
    at = 2
    if link.v5:
        size, at = varint(body, at)
        at += size
    out = body[:at]
    while at < len(body):
        size = int.from_bytes(body[at : at + 2], "big")
        name, options = change(body[at + 2 : at + 2 + size], body[at + 2 + size])
        out += len(name).to_bytes(2, "big") + name + bytes([options])
        at += size + 3
    return out


# --- the rules: (link, kind, head, body) -> list of (head, body) to pass on, or None for "as it is" ---------------------


def session_present(link, kind, head, body):
    if kind == CONNACK:
        return [(head, bytes([body[0] ^ 1]) + body[1:])]


def refused(link, kind, head, body):
    if kind == CONNACK:
        return [(head, bytes([0, 0x87 if link.v5 else 5]) + body[2:])]


def accepted(link, kind, head, body):
    if kind == CONNACK and body[1]:
        return [(head, b"\0\0" + body[2:])]


def payload(link, kind, head, body):
    if kind == PUBLISH and len(body) > topic_of(head, body)[1] + 1:
        return [(head, body[:-1] + bytes([body[-1] ^ 1]))]


def twice(link, kind, head, body):
    if kind == PUBLISH and not head & 4:
        return [(head, body), (head, body)]


def lost(link, kind, head, body):
    if kind == PUBLISH and body.endswith(b"7"):
        return []


def lower_qos(link, kind, head, body):
    if kind == PUBLISH and head & 6:
        at = topic_of(head, body)[1]
        return [(head & ~6, body[: at - 2] + body[at:])]


def retain_cleared(link, kind, head, body):
    if kind == PUBLISH:
        return [(head & ~1, body)]


def retain_set(link, kind, head, body):
    if kind == PUBLISH:
        return [(head | 1, body)]


def no_retain(link, kind, head, body):
    if kind == PUBLISH:
        return [(head & ~1, body)]


def greedy(link, kind, head, body):
    if kind == SUBSCRIBE:
        return [(head, filters(link, body, lambda f, o: (f[: f.index(b"+")] + b"#" if b"+" in f else f, o)))]


def dup_cleared(link, kind, head, body):
    if kind == PUBLISH:
        return [(head & ~8, body)]


def no_will(link, kind, head, body):
    if kind == PUBLISH and topic_of(head, body)[0].endswith(b"/will"):
        return []


def no_disconnect(link, kind, head, body):
    if kind == DISCONNECT:
        return []


def always_clean(link, kind, head, body):
    if kind == CONNECT:
        return [(head, body[:7] + bytes([body[7] | 2]) + body[8:])]


def never_clean(link, kind, head, body):
    if kind == CONNECT:
        return [(head, body[:7] + bytes([body[7] & ~2]) + body[8:])]


def other_ids(link, kind, head, body):
    if kind == CONNECT:
        at = 10
        if link.v5:
            size, at = varint(body, at)
            at += size
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        name = body[at + 2 : end] + b"-%d" % link.number
        return [(head, body[:at] + len(name).to_bytes(2, "big") + name + body[end:])]


def no_unsubscribe(link, kind, head, body):
    if kind == UNSUBSCRIBE:
        link.to_client.append(packet(0xB0, body[:2] + (b"\0\0" if link.v5 else b"")))
        return []


def granted(link, kind, head, body):
    if kind == SUBACK:
        return [(head, body[:-1] + b"\x80")]


def no_publish_properties(link, kind, head, body):
    if kind == PUBLISH and link.v5:
        return [(head, without_properties(body, topic_of(head, body)[1]))]


def no_share(link, kind, head, body):
    if kind == SUBSCRIBE:
        return [(head, filters(link, body, lambda f, o: (f.split(b"/", 2)[2] if f.startswith(b"$share/") else f, o)))]


def one_share(link, kind, head, body):
    """Each shared subscription its own: only the first of a group is made."""
    if kind == SUBSCRIBE:
        seen = one_share.seen

        def change(name, options):
            if name.startswith(b"$share/"):
                if name in seen:
                    return b"nothing/at/all", options
                seen.add(name)
            return name, options

        return [(head, filters(link, body, change))]


one_share.seen = set()


def no_subscription_options(link, kind, head, body):
    if kind == SUBSCRIBE and link.v5:
        return [(head, filters(link, body, lambda f, o: (f, o & 3)))]


def no_connect_properties(link, kind, head, body):
    if kind == CONNECT and link.v5:
        return [(head, without_properties(body, 10))]


def long_sessions(link, kind, head, body):
    if kind == CONNECT and link.v5:
        return [(head, body.replace(b"\x11\0\0\0\1", b"\x11\0\0\0\x3c"))]


def no_connack_properties(link, kind, head, body):
    if kind == CONNACK and link.v5:
        return [(head, without_properties(body, 2))]


# rule, from which side ("client" or "broker"), the checks that must fail
RULES = [
    (session_present, "broker", "connect session_resumed session_expiry"),
    (refused, "broker", "connect"),
    (accepted, "broker", "wrong_password"),
    (payload, "broker", "qos0 qos1 qos2 one_mebibyte session_resumed unsubscribe"),
    (twice, "broker", "qos0 qos1 session_resumed"),
    (lost, "broker", "qos0 qos1 qos2"),
    (lower_qos, "broker", "qos1 qos2 qos_is_the_lower_of_both will_after_drop"),
    (retain_cleared, "broker", "retained retain_as_published retain_handling"),
    (retain_set, "broker", "qos0 qos1 qos2 retained will_after_drop"),
    (dup_cleared, "broker", "resent_with_dup"),
    (no_retain, "client", "retained retain_handling retain_as_published"),
    (greedy, "client", "wildcards"),
    (no_will, "broker", "will_after_drop"),
    (no_disconnect, "client", "no_will_after_disconnect"),
    (always_clean, "client", "session_resumed message_expiry session_expiry"),
    (never_clean, "client", "session_resumed"),
    (other_ids, "client", "takeover takeover_reason session_resumed"),
    (no_unsubscribe, "client", "unsubscribe"),
    (granted, "broker", "qos0 qos1 qos2"),
    (no_publish_properties, "client", "publish_properties request_response message_expiry topic_alias"),
    (no_publish_properties, "broker", "publish_properties request_response message_expiry subscription_identifiers"),
    (no_share, "client", "shared_subscription"),
    (one_share, "client", "shared_subscription"),
    (no_subscription_options, "client", "no_local retain_handling retain_as_published"),
    (no_connect_properties, "client", "receive_maximum receive_maximum_while_acknowledging session_expiry message_expiry"),
    (long_sessions, "client", "session_expiry"),
    (no_connack_properties, "broker", "topic_alias assigned_client_id"),
]

# What a rule cannot spoil for an exercise, and why.
BLIND = {
    "mosquitto": {
        # the tools do not show the session present flag
        ("session_present", "connect"),
        ("session_present", "session_resumed"),
        ("session_present", "session_expiry"),
        # in 5.0 the session that is resumed instead of removed ends with that connection all the same
        ("never_clean", "session_resumed"),
        # mosquitto_pub does not ask whether the broker takes topic aliases
        ("no_connack_properties", "topic_alias"),
    },
}


async def pump(link, reader, writer, back, rule, spoiling):
    """Packets from reader to writer; `back` leads to where they come from."""
    data = b""
    try:
        while chunk := await reader.read(65536):
            data += chunk
            while len(data) >= 2:
                try:
                    size, at = varint(data, 1)
                except IndexError:
                    break
                if len(data) < at + size:
                    break
                head, body, data = data[0], data[at : at + size], data[at + size :]
                if head >> 4 == CONNECT:
                    link.v5 = body[6] == 5
                out = rule(link, head >> 4, head, body) if spoiling else None
                for one in [(head, body)] if out is None else out:
                    writer.write(packet(*one))
                if link.to_client:
                    back.write(b"".join(link.to_client))
                    link.to_client.clear()
            await writer.drain()
    except (OSError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def proxy(args, rule, side):
    async def serve(reader, writer):
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", args.port)
        except OSError:
            writer.close()
            return
        link = Link()
        await asyncio.gather(
            pump(link, reader, to_broker, writer, rule, side == "client"),
            pump(link, from_broker, writer, to_broker, rule, side == "broker"),
        )

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def run(args, exercise, version, port, names):
    """{name: None or why} of those checks."""
    command = EXERCISES[exercise] + ["--port", str(port), "--user", args.user, "--password", args.password]
    command += ["--version", version] + [part for name in names for part in ("--only", name)]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-3)
    out, _ = await process.communicate()
    said = {}
    for line in out.decode().splitlines():
        if line.startswith("ok "):
            said[line[3:]] = None
        elif line.startswith("FAIL "):
            name, _, why = line[5:].partition(": ")
            said[name] = why
    return said


async def checks_of(args, exercise, version):
    return await run(args, exercise, version, args.port, [])


async def main():
    parser = argparse.ArgumentParser(description="Shows that the exercises' checks can fail.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--exercise", choices=EXERCISES, action="append")
    parser.add_argument("--rule", action="append")
    args = parser.parse_args()
    bad = 0
    for exercise in args.exercise or EXERCISES:
        for version in ("3.1.1", "5"):
            plain = await checks_of(args, exercise, version)
            failing = {name for name, why in plain.items() if why is not None}
            for name in sorted(failing):
                print(f"{exercise} {version} {name} fails without a proxy: {plain[name]}")
            seen = set(failing)
            for rule, side, names in RULES:
                blind = {name for who, name in BLIND.get(exercise, ()) if who == rule.__name__}
                wanted = [n for n in names.split() if n in plain and n not in failing and n not in blind]
                if not wanted or (args.rule and rule.__name__ not in args.rule):
                    continue
                server = await proxy(args, rule, side)
                said = await run(args, exercise, version, server.sockets[0].getsockname()[1], wanted)
                server.close()
                for name in wanted:
                    why = said.get(name)
                    # A check that a run did not come to has not failed.
                    if why is None:
                        bad += 1
                        print(f"NOT CAUGHT {exercise} {version} {rule.__name__} ({side}): {name}", flush=True)
                    else:
                        seen.add(name)
                        print(f"caught {exercise} {version} {rule.__name__}: {name}: {why}", flush=True)
            never = sorted(set(plain) - seen)
            if never and not args.rule:
                bad += 1
                print(f"NEVER SEEN FAILING {exercise} {version}: {' '.join(never)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
