"""Exercises an MQTT broker with paho-mqtt (1.6 or 2.x, whichever this Python has).

    exercise_paho.py --port 1883 --user admin --password password --version 5

One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. The broker must know the user and
let it use any topic. Client ids and topics are of this run only; sessions and retained messages are removed.

That something does not come is shown by a fence (something sent later on the same path that does come), not by waiting.
"""

import os
import queue
import random
import socket
import sys
import threading
import time
import traceback

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from checks import PATIENCE, WHOLE_RUN, Wrong, arguments, check, expect, short


def number(rc):
    return getattr(rc, "value", rc)


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def said(message, name):
    """A property of a message, None where it has none."""
    return getattr(message.properties, name, None)


class Peer:
    """A client that queues what it hears, and whose calls wait for their answers."""

    def __init__(self, args, name, clean=True, will=None, hold_acks=False, user=None, password=None, **connect):
        self.args, self.name, self.clean = args, name, clean
        self.v5 = args.version == "5"
        self.connect_properties = properties(PacketTypes.CONNECT, **connect) if self.v5 else None
        self.messages = queue.Queue()
        self.answers = {"suback": queue.Queue(), "unsuback": queue.Queue()}
        self.connack = queue.Queue()
        self.closed = queue.Queue()
        self.held = queue.Queue()
        options = dict(client_id=name, protocol=mqtt.MQTTv5 if self.v5 else mqtt.MQTTv311, reconnect_on_failure=False)
        if not self.v5:
            options["clean_session"] = clean
        if hasattr(mqtt, "CallbackAPIVersion"):
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
        if args.ws:
            options["transport"] = "websockets"
        self.client = client = mqtt.Client(**options)
        if args.ws:
            client.ws_set_options(path="/mqtt")
        if args.cafile:
            client.tls_set(ca_certs=args.cafile)
        client.username_pw_set(user or args.user, password or args.password)
        if will:
            client.will_set(will[0], will[1], qos=1, retain=False)
        client.on_message = lambda _c, _u, message: self.messages.put(message)
        client.on_connect = lambda *a: self.connack.put(a[2:])
        client.on_disconnect = lambda *_: self.closed.put(None)
        client.on_subscribe = lambda *a: self.answers["suback"].put((a[2], [number(code) for code in a[3]]))
        client.on_unsubscribe = lambda *a: self.answers["unsuback"].put((a[2], None))
        # paho-mqtt reads the reason of a DISCONNECT only where properties follow it, so it is taken from the packet.
        self.disconnect_reason = None
        handle_disconnect = client._handle_disconnect

        def on_disconnect_packet():
            packet = bytes(client._in_packet["packet"])
            self.disconnect_reason = packet[0] if packet else 0
            return handle_disconnect()

        client._handle_disconnect = on_disconnect_packet
        if hold_acks:
            # paho-mqtt 1.6 has no way to acknowledge by hand, so the PUBACK is kept back where it is made.
            self.send_puback = client._send_puback
            client._send_puback = lambda mid: self.held.put(mid) or mqtt.MQTT_ERR_SUCCESS

    def connect(self):
        """Returns (code, session present, properties) of the CONNACK."""
        options = dict(clean_start=self.clean, properties=self.connect_properties) if self.v5 else {}
        self.client.connect(self.args.host, self.args.port, 30, **options)
        self.client.loop_start()
        try:
            flags, rc, *rest = self.connack.get(timeout=PATIENCE)
        except queue.Empty:
            raise Wrong("no CONNACK") from None
        present = flags["session present"] if isinstance(flags, dict) else flags.session_present
        return number(rc), bool(present), rest[0] if rest else None

    def up(self):
        code, self.present, self.connack_properties = self.connect()
        expect("CONNACK code", code, 0)
        return self

    def _answer(self, kind, mid):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                got, codes = self.answers[kind].get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise Wrong(f"no {kind.upper()}") from None
            if got == mid:
                return codes

    def subscribe(self, topic, qos=0, granted=None, **options):
        if self.v5:
            _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos, **options))
        else:
            _, mid = self.client.subscribe(topic, qos)
        expect(f"SUBACK for {topic}", self._answer("suback", mid), [qos if granted is None else granted])
        return self

    def unsubscribe(self, topic):
        self._answer("unsuback", self.client.unsubscribe(topic)[1])

    def publish(self, topic, payload=b"", qos=0, retain=False, **values):
        """Returns when the message is acknowledged (QoS 0: written)."""
        made = properties(PacketTypes.PUBLISH, **values) if values else None
        info = self.client.publish(topic, payload, qos, retain, properties=made)
        expect("publish()", info.rc, 0)
        info.wait_for_publish(PATIENCE)
        if not info.is_published():
            raise Wrong(f"QoS {qos} message to {topic} not acknowledged")

    def next(self, what="message"):
        try:
            return self.messages.get(timeout=PATIENCE)
        except queue.Empty:
            raise Wrong(f"{what} did not come") from None

    def next_payloads(self, count):
        return [bytes(self.next(f"message {n + 1} of {count}").payload) for n in range(count)]

    def hears(self, topic, payload, qos=None, retain=None):
        """The next message is this one."""
        message = self.next(f"{short(payload)} on {topic}")
        expect("topic", message.topic, topic)
        expect(f"payload on {topic}", bytes(message.payload), payload)
        if qos is not None:
            expect(f"QoS on {topic}", message.qos, qos)
        if retain is not None:
            expect(f"retain flag on {topic}", bool(message.retain), retain)
        return message

    def hears_nothing_before(self, sender, topic, qos=0):
        """Fence: the next message that this client gets is the one that the sender sends now."""
        sender.publish(topic, b"fence", qos)
        self.hears(topic, b"fence")

    def wait_closed(self, what):
        try:
            self.closed.get(timeout=PATIENCE)
        except queue.Empty:
            raise Wrong(f"{what}: the connection stays open") from None

    def acknowledge(self):
        """The oldest PUBACK that was kept back."""
        self.send_puback(self.held.get(timeout=PATIENCE))

    def drop(self):
        """The link ends without DISCONNECT."""
        link = self.client.socket()
        # Over WebSocket paho-mqtt wraps the socket.
        getattr(link, "_socket", link).shutdown(socket.SHUT_RDWR)
        self.wait_closed("dropped by ourselves")
        self.client.loop_stop()

    def disconnect(self):
        self.client.disconnect()
        self.client.loop_stop()


class Case:
    """One check's clients and names."""

    def __init__(self, args, run, name):
        self.args, self.run, self.name = args, run, name
        self.v5 = args.version == "5"
        self.peers, self.persistent, self.retained = [], set(), set()

    def topic(self, rest=""):
        return f"peers/{self.run}/{self.name}" + (f"/{rest}" if rest else "")

    def id(self, name):
        return f"{self.run}-{self.name}-{name}"

    def peer(self, name, **options):
        """A client that is not connected."""
        peer = Peer(self.args, self.id(name), **options)
        self.peers.append(peer)
        return peer

    def up(self, name, **options):
        return self.peer(name, **options).up()

    def keeping(self, name, expiry=60, clean=False):
        """A connected client whose session stays when it goes."""
        self.persistent.add(name)
        return self.up(name, clean=clean, **({"SessionExpiryInterval": expiry} if self.v5 else {}))

    def retain(self, peer, topic, payload):
        self.retained.add(topic)
        peer.publish(topic, payload, qos=1, retain=True)

    def close(self):
        for peer in self.peers:
            try:
                peer.disconnect()
            except Exception:  # noqa: BLE001 - it may never have been connected
                pass
        for name in self.persistent:
            Peer(self.args, self.id(name)).up().disconnect()
        if self.retained:
            cleaner = Peer(self.args, self.id("cleaner")).up()
            for topic in self.retained:
                cleaner.publish(topic, b"", qos=1, retain=True)
            cleaner.disconnect()


# --- both versions ---------------------------------------------------------------------------------------------------


@check()
def connect(c):
    first = c.peer("a")
    code, present, _ = first.connect()
    expect("CONNACK code", code, 0)
    expect("session present", present, False)


def both_ways(c, qos):
    a, b = c.up("a"), c.up("b")
    a.subscribe(c.topic("to-a"), qos)
    b.subscribe(c.topic("to-b"), qos)
    for payload in ("现在天黑了".encode(), b"", bytes(range(256))):
        a.publish(c.topic("to-b"), payload, qos)
        b.hears(c.topic("to-b"), payload, qos, retain=False)
        b.publish(c.topic("to-a"), payload, qos)
        a.hears(c.topic("to-a"), payload, qos, retain=False)
    # In order, each once.
    sent = [b"%d" % n for n in range(20)]
    for payload in sent:
        a.publish(c.topic("to-b"), payload, qos)
    expect("payloads", b.next_payloads(len(sent)), sent)
    b.hears_nothing_before(a, c.topic("to-b"), qos)
    a.hears_nothing_before(b, c.topic("to-a"), qos)


@check()
def qos0(c):
    both_ways(c, 0)


@check()
def qos1(c):
    both_ways(c, 1)


@check()
def qos2(c):
    both_ways(c, 2)


@check()
def qos_is_the_lower_of_both(c):
    a, b = c.up("a"), c.up("b")
    for subscribed in (0, 1, 2):
        topic = c.topic(f"s{subscribed}")
        b.subscribe(topic, subscribed)
        for published in (0, 1, 2):
            payload = b"%d" % published
            a.publish(topic, payload, published)
            b.hears(topic, payload, min(published, subscribed))


@check()
def wildcards(c):
    a = c.up("a")
    table = [
        ("one/+", ["one/x", "one/", "one/灯"], ["one", "one/x/y", "two/x"]),
        ("mid/+/end", ["mid/x/end", "mid//end"], ["mid/end", "mid/x/y/end", "mid/x/ends"]),
        ("all/#", ["all", "all/x", "all/x/y/z", "all/"], ["al", "allx", "other/all"]),
        ("mix/+/k/#", ["mix/x/k", "mix/x/k/l"], ["mix/k/l", "mix/x/l"]),
    ]
    for n, (pattern, matching, others) in enumerate(table):
        b = c.up(f"b{n}")
        b.subscribe(c.topic(pattern))
        for topic in others + matching:
            a.publish(c.topic(topic), topic.encode())
        heard = [b.next(f"a match for {pattern}").topic for _ in matching]
        expect(pattern, sorted(heard), sorted(c.topic(topic) for topic in matching))
        b.disconnect()


@check()
def retained(c):
    a, early = c.up("a"), c.up("early")
    topic = c.topic("r")
    early.subscribe(topic, 1)
    c.retain(a, topic, b"old")
    c.retain(a, topic, b"kept")
    early.hears(topic, b"old", 1, retain=False)
    early.hears(topic, b"kept", 1, retain=False)
    late = c.up("late").subscribe(topic, 1)
    late.hears(topic, b"kept", 1, retain=True)
    wild = c.up("wild").subscribe(c.topic("#"), 0)
    wild.hears(topic, b"kept", 0, retain=True)
    a.publish(topic, b"", 1, retain=True)
    late.hears(topic, b"", 1, retain=False)
    after = c.up("after").subscribe(topic, 1)
    after.hears_nothing_before(a, topic, 1)


@check()
def will_after_drop(c):
    watcher = c.up("watcher").subscribe(c.topic("will"), 1)
    c.up("dying", will=(c.topic("will"), b"gone")).drop()
    watcher.hears(c.topic("will"), b"gone", 1, retain=False)


@check()
def no_will_after_disconnect(c):
    watcher = c.up("watcher").subscribe(c.topic("will"), 1)
    c.up("leaving", will=(c.topic("will"), b"gone")).disconnect()
    time.sleep(0.3)  # no fence reaches over to a connection that is gone
    watcher.hears_nothing_before(c.up("a"), c.topic("will"), 1)


@check()
def session_resumed(c):
    a = c.up("a")
    away = c.keeping("away")
    expect("session present at first", away.present, False)
    away.subscribe(c.topic("t"), 1)
    away.disconnect()
    sent = [b"%d" % n for n in range(10)]
    for payload in sent:
        a.publish(c.topic("t"), payload, 1)
    back = c.keeping("away")
    expect("session present on return", back.present, True)
    for payload in sent:
        back.hears(c.topic("t"), payload, 1)
    # The subscription is still there, and nothing comes twice.
    back.hears_nothing_before(a, c.topic("t"), 1)
    back.disconnect()
    fresh = c.up("away")
    expect("session present after a clean start", fresh.present, False)
    a.publish(c.topic("t"), b"missed", 1)
    fresh.subscribe(c.topic("fence"), 1)
    fresh.hears_nothing_before(a, c.topic("fence"), 1)


@check()
def one_mebibyte(c):
    payload = random.Random(c.run).randbytes(1024 * 1024)
    a, b = c.up("a"), c.up("b")
    a.subscribe(c.topic("to-a"), 1)
    b.subscribe(c.topic("to-b"), 2)
    a.publish(c.topic("to-b"), payload, 2)
    if bytes(b.next("1 MiB at QoS 2").payload) != payload:
        raise Wrong("the payload is not the same (QoS 2)")
    b.publish(c.topic("to-a"), payload[::-1], 1)
    if bytes(a.next("1 MiB at QoS 1").payload) != payload[::-1]:
        raise Wrong("the payload is not the same (QoS 1)")


@check()
def takeover(c):
    first, second = c.up("same"), c.up("same")
    first.wait_closed("first connection")
    second.subscribe(c.topic("t"), 1)
    second.hears_nothing_before(c.up("a"), c.topic("t"), 1)


@check()
def unsubscribe(c):
    a, b = c.up("a"), c.up("b")
    b.subscribe(c.topic("t"), 1).subscribe(c.topic("fence"), 1)
    a.publish(c.topic("t"), b"before", 1)
    b.hears(c.topic("t"), b"before")
    b.unsubscribe(c.topic("t"))
    a.publish(c.topic("t"), b"after", 1)
    b.hears_nothing_before(a, c.topic("fence"), 1)


@check()
def wrong_password(c):
    for user, password in ((None, "not the password"), ("nobody", None)):
        peer = c.peer("a", user=user, password=password)
        code, _, _ = peer.connect()
        # paho-mqtt 2.x gives 3.1.1's codes 4 and 5 as 5.0's 0x86 and 0x87.
        wanted = (0x86, 0x87) if c.v5 else (4, 5, 0x86, 0x87)
        if code not in wanted:
            raise Wrong(f"CONNACK code {code} for {user or 'a known user'} instead of one of {wanted}")
        peer.wait_closed("refused")


# --- 5.0 -------------------------------------------------------------------------------------------------------------


@check("5")
def publish_properties(c):
    a, b = c.up("a"), c.up("b")
    a.subscribe(c.topic("answers"), 1)
    b.subscribe(c.topic("questions"), 1)
    user = [("colour", "red"), ("colour", "blue"), ("灯", "开"), ("empty", "")]
    a.publish(
        c.topic("questions"),
        b"{}",
        1,
        UserProperty=user,
        ContentType="application/json",
        ResponseTopic=c.topic("answers"),
        CorrelationData=b"\x00\xff7",
        PayloadFormatIndicator=1,
    )
    asked = b.hears(c.topic("questions"), b"{}", 1)
    expect("user properties", [tuple(pair) for pair in said(asked, "UserProperty") or ()], user)
    expect("content type", said(asked, "ContentType"), "application/json")
    expect("response topic", said(asked, "ResponseTopic"), c.topic("answers"))
    expect("correlation data", said(asked, "CorrelationData"), b"\x00\xff7")
    expect("payload format indicator", said(asked, "PayloadFormatIndicator"), 1)
    b.publish(said(asked, "ResponseTopic"), b"yes", 1, CorrelationData=said(asked, "CorrelationData"))
    answer = a.hears(c.topic("answers"), b"yes", 1)
    expect("correlation data of the answer", said(answer, "CorrelationData"), b"\x00\xff7")


@check("5")
def message_expiry(c):
    a = c.up("a")
    c.keeping("away").subscribe(c.topic("t"), 1).disconnect()
    # Nothing orders the two connections: the broker is to see this one end before the messages come.
    time.sleep(0.3)
    a.publish(c.topic("t"), b"short", 1, MessageExpiryInterval=1)
    a.publish(c.topic("t"), b"long", 1, MessageExpiryInterval=60)
    time.sleep(2.2)
    message = c.keeping("away").hears(c.topic("t"), b"long", 1)
    left = said(message, "MessageExpiryInterval")
    if left is None or not 50 <= left <= 59:
        raise Wrong(f"message expiry interval {left} on delivery, 2 s after 60")


@check("5")
def session_expiry(c):
    leaving = c.keeping("short", expiry=1)
    leaving.subscribe(c.topic("t"), 1)
    leaving.disconnect()
    staying = c.keeping("long", expiry=60)
    staying.disconnect()
    time.sleep(2.7)
    expect("session present after its expiry", c.keeping("short", expiry=1).present, False)
    expect("session present before its expiry", c.keeping("long").present, True)


@check("5")
def topic_alias(c):
    a, b = c.up("a"), c.up("b")
    most = getattr(a.connack_properties, "TopicAliasMaximum", 0)
    if most < 1:
        raise Wrong("the broker takes no topic alias")
    b.subscribe(c.topic("#"), 1)
    a.publish(c.topic("x"), b"1", 1, TopicAlias=1)
    a.publish("", b"2", 1, TopicAlias=1)
    a.publish("", b"3", 0, TopicAlias=1)
    a.publish(c.topic("y"), b"4", 1, TopicAlias=1)
    a.publish("", b"5", 2, TopicAlias=1)
    a.publish(c.topic("z"), b"6", 1, TopicAlias=most)
    a.publish("", b"7", 1, TopicAlias=most)
    heard = sorted((bytes(m.payload), m.topic) for m in (b.next() for _ in range(7)))
    wanted = [(b"%d" % (n + 1), c.topic(letter)) for n, letter in enumerate("xxxyyzz")]
    expect("messages", heard, wanted)


@check("5")
def shared_subscription(c):
    a, b1, b2 = c.up("a"), c.up("b1"), c.up("b2")
    for b in (b1, b2):
        b.subscribe(f"$share/{c.run}/{c.topic('t')}", 1).subscribe(c.topic("fence"), 1)
    sent = [b"%02d" % n for n in range(40)]
    for payload in sent:
        a.publish(c.topic("t"), payload, 1)
    a.publish(c.topic("fence"), b"fence", 1)
    shares = []
    for b in (b1, b2):
        share = []
        while not share or share[-1] != b"fence":
            share.append(bytes(b.next("the fence behind the shared messages").payload))
        shares.append(share[:-1])
    expect("messages of both together", sorted(shares[0] + shares[1]), sent)
    if not all(shares):
        raise Wrong("one of two got all messages")


@check("5")
def assigned_client_id(c):
    given = []
    for _ in range(2):
        peer = Peer(c.args, "")
        c.peers.append(peer)
        peer.up()
        given.append(getattr(peer.connack_properties, "AssignedClientIdentifier", ""))
    if not all(given) or given[0] == given[1]:
        raise Wrong(f"assigned client identifiers {given}")


@check("5")
def no_local(c):
    a, b = c.up("a"), c.up("b")
    a.subscribe(c.topic("t"), 1, noLocal=True)
    b.subscribe(c.topic("t"), 1, noLocal=False)
    a.publish(c.topic("t"), b"own", 1)
    b.hears(c.topic("t"), b"own")
    a.hears_nothing_before(b, c.topic("t"), 1)
    b.hears(c.topic("t"), b"fence")  # without no local, one's own comes back


@check("5")
def retain_handling(c):
    a = c.up("a")
    c.retain(a, c.topic("t"), b"kept")
    never = c.up("never").subscribe(c.topic("t"), 1, retainHandling=2)
    never.hears_nothing_before(a, c.topic("t"), 1)
    new = c.up("new").subscribe(c.topic("t"), 1, retainHandling=1)
    new.hears(c.topic("t"), b"kept", 1, retain=True)
    new.subscribe(c.topic("t"), 1, retainHandling=1)
    new.hears_nothing_before(a, c.topic("t"), 1)
    never.hears(c.topic("t"), b"fence")
    never.subscribe(c.topic("t"), 1, retainHandling=0)
    never.hears(c.topic("t"), b"kept", 1, retain=True)


@check("5")
def retain_as_published(c):
    a, b = c.up("a"), c.up("b")
    b.subscribe(c.topic("t"), 1, retainAsPublished=True)
    c.retain(a, c.topic("t"), b"kept")
    b.hears(c.topic("t"), b"kept", 1, retain=True)


@check("5")
def takeover_reason(c):
    first, _ = c.up("same"), c.up("same")
    first.wait_closed("first connection")
    expect("reason of the DISCONNECT", first.disconnect_reason, 0x8E)


def two_unacknowledged(c):
    """A client of receive maximum 2, and six messages for it of which it has acknowledged none."""
    a, b = c.up("a"), c.up("b", hold_acks=True, ReceiveMaximum=2)
    b.subscribe(c.topic("t"), 1)
    sent = [b"%d" % n for n in range(6)]
    for payload in sent:
        a.publish(c.topic("t"), payload, 1)
    heard = b.next_payloads(2)
    no_more(c, b)
    return b, sent, heard


def no_more(c, b):
    b.subscribe(c.topic("fence"), 1)  # its SUBACK comes behind what was sent too early
    expect("messages beyond 2 not acknowledged", b.messages.qsize(), 0)


@check("5")
def receive_maximum(c):
    b, sent, heard = two_unacknowledged(c)
    while len(heard) < len(sent):
        b.acknowledge()
        heard += b.next_payloads(1)
    expect("payloads", heard, sent)


@check("5")
def receive_maximum_while_acknowledging(c):
    b, sent, heard = two_unacknowledged(c)
    while len(heard) < len(sent):
        b.acknowledge()
        heard += b.next_payloads(1)
        no_more(c, b)
    expect("payloads", heard, sent)


# ---------------------------------------------------------------------------------------------------------------------

# These wait for time to pass; they run beside the others.
SLOW = (message_expiry, session_expiry)


def run_one(args, run, function):
    name = function.__name__
    case = Case(args, run, name)
    why = None
    try:
        function(case)
    except Wrong as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's failure
        at = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({os.path.basename(at.filename)}:{at.lineno})"
    try:
        case.close()
    except Exception as error:  # noqa: BLE001
        why = why or f"cleaning up: {type(error).__name__}: {error}"
    with run_one.lock:
        say(f"FAIL {name}: {' '.join(why.split())}" if why else f"ok {name}")
    return not why


run_one.lock = threading.Lock()


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    sys.stdout.reconfigure(encoding="utf-8")
    args, chosen = arguments("paho-mqtt")

    def overdue():
        say(f"FAIL whole_run: not done in {WHOLE_RUN} s")
        os._exit(1)

    guard = threading.Timer(WHOLE_RUN, overdue)
    guard.daemon = True
    guard.start()
    run = f"paho{os.getpid():x}{time.time_ns() % 0xFFFFFF:06x}"
    results = []
    slow = [threading.Thread(target=lambda f=f: results.append(run_one(args, run, f))) for f in chosen if f in SLOW]
    for thread in slow:
        thread.start()
    for function in chosen:
        if function not in SLOW:
            results.append(run_one(args, run, function))
    for thread in slow:
        thread.join()
    return 0 if len(results) == len(chosen) and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
