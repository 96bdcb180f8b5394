#!/usr/bin/env python3
"""Exercises an adapter against a broker: everything README.md says of the line protocol.

    exercise.py --port 1883 --user admin --password password --version 5 -- node mqttjs.mjs

One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. With --spoil each check is run on an
adapter whose lines are falsified in one way, and must then fail.

The broker must know the user, let it use any topic, and refuse a wrong password. A broker that does not have what a
check needs is the wrong one: this is about adapters.
"""

import argparse
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time

CHECKS = []


class Wrong(Exception):
    """The adapter did something else than it should."""


def check(spoil, *versions):
    """A check: the falsification of a line which it must notice, and the versions it is for (none: all)."""

    def register(function):
        CHECKS.append((function, spoil, versions or ("3.1.1", "5")))
        return function

    return register


def changed(event, **fields):
    """A falsification: another value in the lines of one kind."""

    def spoil(line):
        return {**line, **fields} if line.get("event") == event else line

    return spoil


def dropped(event):
    return lambda line: None if line.get("event") == event else line


def doubled(event):
    return lambda line: [line, line] if line.get("event") == event else line


def killed(line):
    """A falsification that is no line: the adapter is killed where it should end."""
    return line


def expect(what, got, wanted):
    if got != wanted:
        raise Wrong(f"{what}: {got!r:.200} instead of {wanted!r:.200}")


class Adapter:
    """A running adapter: commands that wait for their answers, and the events it told."""

    def __init__(self, run, name):
        self.run, self.client_id = run, f"{run.prefix}-{name}"
        self.lines = queue.Queue()
        self.events = []  # told and not yet asked for
        self.number = 0
        self.process = subprocess.Popen(run.args.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        run.adapters.append(self)
        threading.Thread(target=self.read, daemon=True).start()
        self.ready = self.wait("ready")
        expect("protocol", self.ready["protocol"], 1)

    def read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            spoiled = self.run.spoil(line) if self.run.spoil else line
            for one in spoiled if isinstance(spoiled, list) else [spoiled]:
                if one is not None:
                    self.lines.put(one)
        self.lines.put(None)

    def next(self, until, what):
        try:
            line = self.lines.get(timeout=max(0, until - time.monotonic()))
        except queue.Empty:
            raise Wrong(f"no {what}; told instead: {self.events!r:.600}") from None
        if line is None:
            raise Wrong(f"the adapter ended instead of {what}")
        return line

    def ask(self, do, **fields):
        """Gives a command and returns the answer."""
        self.number += 1
        command = {"id": self.number, "do": do, **fields}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        until = time.monotonic() + self.run.patience
        while True:
            line = self.next(until, f"answer to {do}")
            if "re" in line:
                expect("answered", line["re"], self.number)
                return line
            if line.get("of") == self.number:
                raise Wrong(f"{line} before the answer to it")
            self.events.append(line)

    def do(self, do, **fields):
        """Gives a command that must be taken, and returns its number."""
        answer = self.ask(do, **fields)
        expect(f"answer to {do}", answer, {"re": self.number, "ok": True})
        return self.number

    def wait(self, event, **fields):
        """The next event of this kind, which must have these fields."""
        until = time.monotonic() + self.run.patience
        while True:
            for i, line in enumerate(self.events):
                if line["event"] == event:
                    for field, value in fields.items():
                        expect(f"{field} of {event}", line.get(field), value)
                    return self.events.pop(i)
            line = self.next(until, event)
            if "re" in line:
                raise Wrong(f"an answer to nothing: {line}")
            self.events.append(line)

    def none(self, event):
        """None of these was told so far: to be called after a fence."""
        expect(f"events {event}", [line for line in self.events if line["event"] == event], [])

    def connect(self, present=False, **fields):
        args = self.run.args
        options = {"host": args.host, "port": args.port, "version": args.version, "client_id": self.client_id,
                   "clean_start": True, "username": args.user, "password": args.password}
        self.do("connect", **{**options, **fields})
        self.wait("connected", session_present=present, reason=0)
        return self

    def subscribe(self, filter, qos=0, **fields):
        options = {key: fields.pop(key) for key in ("no_local", "retain_as_published", "retain_handling") if key in fields}
        number = self.do("subscribe", filters=[{"filter": filter, "qos": qos, **options}], **fields)
        self.wait("subscribed", of=number, reasons=[qos])

    def message(self, payload, **fields):
        return self.wait("message", payload_hex=payload.encode().hex(), **fields)

    def end(self):
        if self.run.spoil is killed:
            self.process.kill()
        self.process.stdin.close()
        return self.process.wait(self.run.patience)


class Server:
    """A broker by hand: one connection at a time, packets with short contents only."""

    def __init__(self, run):
        self.run = run
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(run.patience)
        self.port = self.listener.getsockname()[1]
        self.link = None

    def accept(self, present=False):
        """Takes a connection and its CONNECT, and answers with a CONNACK."""
        self.connection()
        self.send(0x20, bytes([present, 0] + [0] * self.run.v5))

    def connection(self):
        try:
            self.link, _ = self.listener.accept()
        except TimeoutError:
            raise Wrong("no connection") from None
        self.link.settimeout(self.run.patience)
        self.packet(0x10)

    def send(self, head, body):
        self.link.sendall(bytes([head, len(body)]) + body)

    def packet(self, head):
        """The body of the next packet, which must have this first byte (DUP aside: that is the library's affair)."""
        got, length = self.octets(2)
        expect("first byte of packet", hex(got & 0xF7), hex(head))
        return self.octets(length)

    def octets(self, count):
        octets = b""
        while len(octets) < count:
            try:
                more = self.link.recv(count - len(octets))
            except TimeoutError:
                raise Wrong("no packet") from None
            if not more:
                raise Wrong("the connection ended instead of a packet")
            octets += more
        return octets


class Run:
    def __init__(self, args):
        self.args = args
        self.patience = 1 if args.spoil else 5  # seconds, for whatever must come
        self.prefix = self.spoil = None
        self.adapters = []
        self.v5 = args.version == "5"

    def adapter(self, name="a"):
        return Adapter(self, name)

    def topic(self, name):
        return f"{self.prefix}/{name}"

    def lasting(self):
        """What makes a session outlive its connection."""
        return {"clean_start": False, **({"session_expiry": 60} if self.v5 else {})}

    def one(self, function, spoil=None):
        """Runs a check; what was wrong, or None."""
        self.spoil = spoil
        self.prefix = f"x{os.getpid()}-{time.monotonic_ns() % 10**9}"
        try:
            function(self)
            return None
        except Wrong as wrong:
            return str(wrong)
        finally:
            for adapter in self.adapters:
                adapter.process.kill()
                adapter.process.wait()
            self.adapters.clear()


# --- the checks --------------------------------------------------------------------------------------------------------


@check(changed("ready", versions=["4"]))
def says_what_it_is(run):
    adapter = run.adapter()
    expect("has the version", run.args.version in adapter.ready["versions"], True)
    expect("names", (bool(adapter.ready["client"]), isinstance(adapter.ready["lacks"], list)), (True, True))


@check(lambda line: {"re": line["re"], "ok": True} if "re" in line else line)
def answers_what_it_cannot(run):
    adapter = run.adapter()
    answer = adapter.ask("fly")
    expect("answer to fly", ("unsupported" in answer or "refused" in answer, "ok" in answer), (True, False))
    answer = adapter.ask("publish", topic="a", payload="b")
    expect("answer before connect", ("refused" in answer, "ok" in answer), (True, False))


@check(dropped("disconnected"))
def nobody_there(run):
    adapter = run.adapter()
    adapter.do("connect", host="127.0.0.1", port=1, version=run.args.version, client_id="a")
    adapter.wait("error")
    adapter.wait("disconnected")


@check(changed("refused", reason=0))
def refused(run):
    adapter = run.adapter()
    args = run.args
    adapter.do("connect", host=args.host, port=args.port, version=args.version, client_id=adapter.client_id,
               username=args.user, password="wrong")
    reason = adapter.wait("refused")["reason"]
    expect("reason", reason in ((134, 135) if run.v5 else (4, 5)), True)
    adapter.wait("disconnected")
    adapter.none("connected")


@check(changed("message", payload_hex="00"))
def payloads(run):
    adapter = run.adapter().connect()
    adapter.subscribe(run.topic("#"))
    adapter.do("publish", topic=run.topic("text"), payload="grüß dich")
    adapter.message("grüß dich", topic=run.topic("text"), qos=0, retain=False, dup=False, properties={})
    adapter.do("publish", topic=run.topic("bytes"), payload_hex="00ff80")
    adapter.wait("message", payload_hex="00ff80")
    adapter.do("publish", topic=run.topic("size"), payload_size=5000)
    adapter.message("x" * 5000)
    adapter.do("publish", topic=run.topic("empty"))
    adapter.message("")


@check(doubled("published"))
def all_qualities(run):
    adapter = run.adapter().connect()
    adapter.subscribe(run.topic("q"), qos=2)
    for qos in (2, 1, 0, 1, 2):
        number = adapter.do("publish", topic=run.topic("q"), payload=f"q{qos}", qos=qos)
        if qos:
            of = adapter.wait("published", of=number)
            expect("reason", of.get("reason", 0), 0)
        adapter.message(f"q{qos}", qos=qos)
    adapter.none("published")
    adapter.none("message")


@check(changed("published", of=2))
def acknowledgements_of_their_commands(run):
    adapter = run.adapter().connect()
    numbers = [adapter.do("publish", topic=run.topic("n"), payload="n", qos=1 + i % 2) for i in range(10)]
    told = sorted(adapter.wait("published")["of"] for _ in numbers)
    expect("acknowledged", told, numbers)


@check(changed("subscribed", reasons=[1, 1]))
def filters_together(run):
    adapter = run.adapter().connect()
    filters = [{"filter": run.topic(name), "qos": qos} for name, qos in (("one", 1), ("two/+", 2))]
    number = adapter.do("subscribe", filters=filters)
    adapter.wait("subscribed", of=number, reasons=[1, 2])
    adapter.do("publish", topic=run.topic("two/b"), payload="b", qos=2)
    adapter.message("b", qos=2)


@check(changed("unsubscribed", of=1))
def unsubscribe(run):
    adapter = run.adapter().connect()
    adapter.subscribe(run.topic("gone"))
    adapter.subscribe(run.topic("stays"))
    number = adapter.do("unsubscribe", filters=[run.topic("gone")])
    adapter.wait("unsubscribed", of=number, reasons=[0] if run.v5 else [])
    adapter.do("publish", topic=run.topic("gone"), payload="gone")
    adapter.do("publish", topic=run.topic("stays"), payload="stays")
    adapter.message("stays")


@check(changed("message", retain=False))
def retained(run):
    adapter = run.adapter().connect()
    adapter.do("publish", topic=run.topic("r"), payload="kept", qos=1, retain=True)
    adapter.wait("published")
    adapter.subscribe(run.topic("r"))
    adapter.message("kept", retain=True)
    adapter.do("publish", topic=run.topic("r"), payload="", qos=1, retain=True)
    adapter.wait("published")


@check(doubled("disconnected"))
def disconnect_and_connect_anew(run):
    adapter = run.adapter().connect()
    adapter.do("disconnect")
    adapter.wait("disconnected")
    adapter.connect()
    adapter.none("disconnected")


@check(changed("connected", session_present=False))
def session_resumed(run):
    adapter, peer = run.adapter().connect(**run.lasting()), run.adapter("peer").connect()
    adapter.subscribe(run.topic("s"), qos=1)
    adapter.do("disconnect")
    adapter.wait("disconnected")
    peer.do("publish", topic=run.topic("s"), payload="meanwhile", qos=1)
    peer.wait("published")
    adapter.do("reconnect")
    adapter.wait("connected", session_present=True)
    adapter.message("meanwhile", qos=1)
    adapter.do("publish", topic=run.topic("s"), payload="after", qos=1)
    adapter.message("after", qos=1)
    adapter.wait("published")
    adapter.do("disconnect")
    adapter.wait("disconnected")
    adapter.do("reconnect", clean_start=True)
    adapter.wait("connected", session_present=False)


@check(changed("published", of=1))
def unfinished_messages_resumed(run):
    server, adapter = Server(run), run.adapter()
    adapter.do("connect", host="127.0.0.1", port=server.port, version=run.args.version, client_id="a", **run.lasting())
    server.accept()
    adapter.wait("connected")
    first = adapter.do("publish", topic="a", payload="1", qos=1)
    second = adapter.do("publish", topic="b", payload="2", qos=2)
    identifiers = [server.packet(head)[3:5] for head in (0x32, 0x34)]
    server.link.close()
    adapter.wait("disconnected")
    adapter.none("published")
    adapter.do("reconnect")
    server.accept(present=True)
    adapter.wait("connected", session_present=True)
    # One at a time: MQTT.js waits for the end of each.
    expect("packet identifier", server.packet(0x32)[3:5], identifiers[0])
    server.send(0x40, identifiers[0])
    adapter.wait("published", of=first)
    expect("packet identifier", server.packet(0x34)[3:5], identifiers[1])
    server.send(0x50, identifiers[1])
    expect("PUBREL", server.packet(0x62)[:2], identifiers[1])
    server.send(0x70, identifiers[1])
    adapter.wait("published", of=second)


@check(changed("published", reason=0), "5")
def refused_messages(run):
    server, adapter = Server(run), run.adapter()
    adapter.do("connect", host="127.0.0.1", port=server.port, version="5", client_id="a")
    server.accept()
    adapter.wait("connected")
    number = adapter.do("publish", topic="a", payload="1", qos=1)
    server.send(0x40, server.packet(0x32)[3:5] + b"\x97")
    if "published.reason" in adapter.ready["lacks"]:
        adapter.wait("published", of=number, reason=0 if run.spoil else None)
        expect("falsified", bool(run.spoil), False)
    else:
        adapter.wait("published", of=number, reason=0x97)


@check(lambda line: {"re": line["re"], "unsupported": "auth"} if "re" in line else line, "5")
def authentication_in_steps(run):
    server, adapter = Server(run), run.adapter()
    if "authentication_answer" in adapter.ready["lacks"]:
        answer = adapter.ask("reauthenticate", authentication_data="01")
        return expect("answer", run.spoil is None and "unsupported" in answer, True)
    adapter.do("connect", host="127.0.0.1", port=server.port, version="5", client_id="a", authentication_method="m",
               authentication_data="01", authentication_answer="0203")
    server.connection()
    server.send(0xF0, b"\x18\x08\x15\x00\x01m\x16\x00\x01c")
    expect("AUTH", server.packet(0xF0).hex(), "1809" + "1500016d" + "1600020203")
    server.send(0x20, b"\x00\x00\x04\x15\x00\x01m")
    adapter.wait("connected")


@check(dropped("disconnected"))
def no_reconnect_of_its_own(run):
    adapter = run.adapter().connect(**run.lasting())
    rival = run.adapter("rival")
    rival.client_id = adapter.client_id
    rival.connect(present=True, **run.lasting())
    adapter.wait("disconnected")
    time.sleep(1.3)  # MQTT.js and paho-mqtt would be back after a second, if let
    rival.none("disconnected")
    adapter.do("reconnect")
    adapter.wait("connected", session_present=True)
    rival.wait("disconnected")
    adapter.do("disconnect")
    adapter.wait("disconnected")
    adapter.do("reconnect", clean_start=True)
    adapter.wait("connected")


@check(changed("message", qos=0))
def will(run):
    adapter, peer = run.adapter(), run.adapter("peer").connect()
    peer.subscribe(run.topic("w"), qos=1)
    more = {"delay": 0, "content_type": "will/type", "user_properties": [["a", "1"]]} if run.v5 else {}
    adapter.connect(will={"topic": run.topic("w"), "payload": "gone", "qos": 1, "retain": False, **more})
    adapter.end()
    told = peer.message("gone", qos=1)["properties"]
    expect("properties", told, {"content_type": "will/type", "user_properties": [["a", "1"]]} if run.v5 else {})


@check(lambda line: {**line, "properties": {}} if line.get("event") == "message" else line, "5")
def properties(run):
    adapter = run.adapter()
    adapter.connect(session_expiry=0, receive_maximum=10, maximum_packet_size=9000, topic_alias_maximum=0,
                    request_response_information=True, request_problem_information=True,
                    user_properties=[["k", "v"], ["k", "w"]])
    adapter.subscribe(run.topic("p"), subscription_identifier=7, user_properties=[["s", "t"]])
    sent = {"content_type": "text/plain", "response_topic": "answer/here", "correlation_data": "00ff",
            "message_expiry": 100, "user_properties": [["a", "1"], ["a", "2"], ["b", "3"]], "payload_is_text": True}
    adapter.do("publish", topic=run.topic("p"), payload="p", **sent)
    told = adapter.message("p")["properties"]
    expect("properties", told, {**sent, "subscription_identifiers": [7]})


@check(changed("message", topic="t"), "5")
def topic_alias_sent(run):
    adapter = run.adapter().connect()
    adapter.subscribe(run.topic("alias"))
    adapter.do("publish", topic=run.topic("alias"), payload="first", topic_alias=1)
    adapter.message("first", topic=run.topic("alias"))
    adapter.do("publish", topic="", payload="second", topic_alias=1)
    adapter.message("second", topic=run.topic("alias"))


@check(doubled("message"), "5")
def subscription_options(run):
    adapter, peer = run.adapter().connect(), run.adapter("peer").connect()
    peer.do("publish", topic=run.topic("o"), payload="old", qos=1, retain=True)
    peer.wait("published")
    adapter.subscribe(run.topic("o"), no_local=True, retain_as_published=True, retain_handling=2)
    adapter.do("publish", topic=run.topic("o"), payload="mine", qos=1)
    adapter.wait("published")
    peer.do("publish", topic=run.topic("o"), payload="", qos=1, retain=True)
    adapter.message("", retain=True)
    peer.do("publish", topic=run.topic("o"), payload="end", qos=0)
    adapter.message("end", retain=False)


@check(changed("disconnected", reason=0), "5")
def reason_of_a_disconnect(run):
    adapter, rival = run.adapter().connect(), run.adapter("rival")
    rival.client_id = adapter.client_id
    rival.connect()
    if "disconnected.reason" in adapter.ready["lacks"]:
        adapter.wait("disconnected")
    else:
        adapter.wait("disconnected", reason=0x8E)


@check(dropped("message"), "5")
def disconnect_with_will(run):
    adapter, peer = run.adapter(), run.adapter("peer").connect()
    peer.subscribe(run.topic("w"))
    adapter.connect(will={"topic": run.topic("w"), "payload": "asked for"}, session_expiry=60)
    answer = adapter.ask("disconnect", reason=4, session_expiry=0, reason_string="bye", user_properties=[["k", "v"]])
    if "disconnect.reason" in adapter.ready["lacks"]:
        expect("answer", "unsupported" in answer, True)
        adapter.end()
    else:
        adapter.wait("disconnected")
    peer.message("asked for")


@check(lambda line: None if "re" in line and line["re"] > 2 else line)
def many_at_once(run):
    adapter = run.adapter().connect()
    adapter.subscribe(run.topic("m"), qos=1)
    numbers = [adapter.do("publish", topic=run.topic("m"), payload=str(i), qos=1) for i in range(200)]
    expect("messages", [bytes.fromhex(adapter.wait("message")["payload_hex"]).decode() for _ in numbers],
           [str(i) for i in range(200)])
    expect("acknowledged", sorted(adapter.wait("published")["of"] for _ in numbers), numbers)


@check(killed)
def ends_with_its_input(run):
    adapter = run.adapter().connect()
    expect("exit code", adapter.end(), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--version", choices=("3.1.1", "5"), default="5")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--spoil", action="store_true", help="falsify the adapter's lines: each check must fail")
    parser.add_argument("command", nargs="+")
    run = Run(parser.parse_args())
    failed = False
    for function, spoil, versions in CHECKS:
        name = function.__name__
        if run.args.version not in versions or name in run.args.skip or (run.args.only and name not in run.args.only):
            continue
        wrong = run.one(function, spoil if run.args.spoil else None)
        if run.args.spoil:
            bad, said = wrong is None, f"{name}: {wrong or 'passed though its lines were falsified'}"
        else:
            bad, said = wrong is not None, name if wrong is None else f"{name}: {wrong}"
        failed |= bad
        print("FAIL" if bad else "ok", said, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
