"""Exercises an MQTT broker with aiomqtt.

    exercise_aiomqtt.py --port 1883 --user admin --password password --version 5

One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. The broker must know the user and
let it use any topic. Client ids and topics are of this run only; sessions and retained messages are removed.

That something does not come is shown by a fence (something sent later on the same path that does come), not by waiting.
"""

import asyncio
import logging
import os
import socket
import sys
import time

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from checks import PATIENCE, WHOLE_RUN, Wrong, arguments, check, expect


class Case:
    """One check's clients and names."""

    def __init__(self, args, run, name):
        self.args, self.run, self.name, self.v5 = args, run, name, args.version == "5"

    def topic(self, rest=""):
        return f"peers/{self.run}/{self.name}" + (f"/{rest}" if rest else "")

    def id(self, name):
        return f"{self.run}-{self.name}-{name}"

    def client(self, name, clean=True, will=None, password=None, expiry=0):
        args = self.args
        options = {}
        if self.v5:
            options["clean_start"] = clean
            if expiry:
                options["properties"] = Properties(PacketTypes.CONNECT)
                options["properties"].SessionExpiryInterval = expiry
        else:
            options["clean_session"] = clean
        if args.ws:
            options.update(transport="websockets", websocket_path="/mqtt")
        if args.cafile:
            options["tls_params"] = aiomqtt.TLSParameters(ca_certs=args.cafile)
        return aiomqtt.Client(
            args.host,
            args.port,
            username=args.user,
            password=password or args.password,
            identifier=self.id(name),
            protocol=aiomqtt.ProtocolVersion.V5 if self.v5 else aiomqtt.ProtocolVersion.V311,
            timeout=PATIENCE,
            will=will,
            **options,
        )


async def hears(client, topic, payload, **wanted):
    """The next message is this one."""
    try:
        message = await asyncio.wait_for(anext(client.messages), PATIENCE)
    except asyncio.TimeoutError:
        raise Wrong(f"{payload[:20]!r} on {topic} did not come") from None
    expect("topic", message.topic.value, topic)
    expect(f"payload on {topic}", message.payload, payload)
    for name, value in wanted.items():
        expect(f"{name} on {topic}", getattr(message, name), value)
    return message


def drop(client):
    """The link ends without DISCONNECT."""
    link = client._client.socket()
    getattr(link, "_socket", link).shutdown(socket.SHUT_RDWR)


async def both_ways(c, qos):
    async with c.client("a") as a, c.client("b") as b:
        expect("granted", [getattr(code, "value", code) for code in await a.subscribe(c.topic(), qos=qos)], [qos])
        for payload in (b"first", "第二".encode(), b""):
            await b.publish(c.topic(), payload, qos=qos)
            await hears(a, c.topic(), payload, qos=qos, retain=False)


@check()
async def qos0(c):
    await both_ways(c, 0)


@check()
async def qos1(c):
    await both_ways(c, 1)


@check()
async def qos2(c):
    await both_ways(c, 2)


@check()
async def wildcards(c):
    async with c.client("a") as a:
        await a.subscribe(c.topic("+/x/#"))
        await a.publish(c.topic("1/y/2"), b"not this")
        await a.publish(c.topic("1/x/2/3"), b"this")
        await hears(a, c.topic("1/x/2/3"), b"this")


@check()
async def unsubscribe(c):
    async with c.client("a") as a:
        await a.subscribe([(c.topic("x"), 0), (c.topic("y"), 0)])
        await a.unsubscribe(c.topic("x"))
        await a.publish(c.topic("x"), b"not this")
        await a.publish(c.topic("y"), b"this")
        await hears(a, c.topic("y"), b"this")


@check()
async def retained(c):
    async with c.client("a") as a, c.client("b") as b:
        await a.publish(c.topic(), b"kept", qos=1, retain=True)
        await b.subscribe(c.topic())
        await hears(b, c.topic(), b"kept", retain=True)
        await a.publish(c.topic(), b"", qos=1, retain=True)
        await hears(b, c.topic(), b"", retain=False)
        async with c.client("late") as late:
            await late.subscribe(c.topic())
            await late.publish(c.topic(), b"fence")
            await hears(late, c.topic(), b"fence", retain=False)


@check()
async def will_after_drop(c):
    async with c.client("witness") as witness:
        await witness.subscribe(c.topic())
        try:
            async with c.client("mortal", will=aiomqtt.Will(c.topic(), b"gone", 1)) as mortal:
                drop(mortal)
                await hears(witness, c.topic(), b"gone")
        except aiomqtt.MqttError:
            pass  # It cannot say goodbye any more.


@check()
async def no_will_after_disconnect(c):
    async with c.client("witness") as witness:
        await witness.subscribe(c.topic())
        async with c.client("polite", will=aiomqtt.Will(c.topic(), b"gone", 1)):
            pass
        await witness.publish(c.topic(), b"fence")
        await hears(witness, c.topic(), b"fence")


@check()
async def session_resumed(c):
    async with c.client("a", clean=False, expiry=60) as a:
        await a.subscribe(c.topic(), qos=1)
    async with c.client("b") as b:
        await b.publish(c.topic(), b"meanwhile", qos=1)
        await b.publish(c.topic(), b"meanwhile too", qos=2)
    async with c.client("a", clean=False, expiry=60) as a:
        await hears(a, c.topic(), b"meanwhile", qos=1)
        await hears(a, c.topic(), b"meanwhile too", qos=1)
    async with c.client("a") as a:
        await a.subscribe(c.topic("new"))
        await a.publish(c.topic(), b"not this")
        await a.publish(c.topic("new"), b"this")
        await hears(a, c.topic("new"), b"this")


@check()
async def one_mebibyte(c):
    payload = os.urandom(1 << 20)
    async with c.client("a") as a:
        await a.subscribe(c.topic(), qos=1)
        await a.publish(c.topic(), payload, qos=1)
        await hears(a, c.topic(), payload)


@check()
async def many_at_once(c):
    async with c.client("a") as a:
        await a.subscribe(c.topic(), qos=2)
        await asyncio.gather(*(a.publish(c.topic(), str(n), qos=2) for n in range(200)))
        heard = [await asyncio.wait_for(anext(a.messages), PATIENCE) for _ in range(200)]
        expect("messages", sorted(int(message.payload) for message in heard), list(range(200)))


@check()
async def takeover(c):
    first = c.client("same")
    await first.__aenter__()
    async with c.client("same") as second:
        try:
            await asyncio.wait_for(anext(first.messages), PATIENCE)
            raise Wrong("the first connection heard something")
        except asyncio.TimeoutError:
            raise Wrong("the first connection stays open") from None
        except aiomqtt.MqttError:
            pass
        await second.subscribe(c.topic())
        await second.publish(c.topic(), b"here")
        await hears(second, c.topic(), b"here")


@check()
async def wrong_password(c):
    try:
        async with c.client("a", password="wrong"):
            raise Wrong("it is let in")
    except aiomqtt.MqttError as error:
        if not any(word in str(error) for word in ("134", "135", "code:4", "code:5", "uthor", "user")):
            raise Wrong(f"refused with {error}") from None


@check("5")
async def shared_subscription(c):
    async with c.client("a") as a, c.client("b") as b, c.client("c") as sender:
        for one in (a, b):
            await one.subscribe(f"$share/g/{c.topic()}", qos=1)
        for n in range(20):
            await sender.publish(c.topic(), str(n), qos=1)
        heard = {}

        async def listen(one):
            async for message in one.messages:
                heard.setdefault(one, []).append(int(message.payload))

        tasks = [asyncio.create_task(listen(one)) for one in (a, b)]
        until = time.monotonic() + PATIENCE
        while sum(map(len, heard.values())) < 20 and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        expect("messages", sorted(n for some in heard.values() for n in some), list(range(20)))
        expect("how many heard some", len(heard), 2)


@check("5")
async def publish_properties(c):
    async with c.client("a") as a:
        await a.subscribe(c.topic())
        sent = Properties(PacketTypes.PUBLISH)
        sent.ContentType, sent.ResponseTopic, sent.CorrelationData = "text/plain", "back", b"\x00\xff"
        sent.UserProperty = [("a", "1"), ("a", "2")]
        await a.publish(c.topic(), b"x", properties=sent)
        message = await hears(a, c.topic(), b"x")
        got = message.properties
        expect("properties", (got.ContentType, got.ResponseTopic, got.CorrelationData), ("text/plain", "back", b"\x00\xff"))
        expect("user properties", got.UserProperty, [("a", "1"), ("a", "2")])


async def run_one(args, run, function):
    name, why = function.__name__, None
    try:
        await function(Case(args, run, name))
    except Wrong as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's failure
        why = f"{type(error).__name__}: {error}"
    print(f"FAIL {name}: {' '.join(why.split())}" if why else f"ok {name}", flush=True)
    return not why


async def run_all(args, run, chosen):
    return [await run_one(args, run, function) for function in chosen]


async def main():
    args, chosen = arguments("aiomqtt")
    logging.disable(logging.CRITICAL)
    run = f"aio{os.getpid():x}{time.time_ns() % 0xFFFFFF:06x}"
    try:
        results = await asyncio.wait_for(run_all(args, run, chosen), WHOLE_RUN)
    except asyncio.TimeoutError:
        print(f"FAIL whole_run: not done in {WHOLE_RUN} s", flush=True)
        return 1
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
