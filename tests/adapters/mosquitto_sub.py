#!/usr/bin/env python3
"""The adapter for mosquitto_sub, which has a command line and nothing else; README.md beside it has the line protocol.

mosquitto_sub connects and subscribes in one go. So `connect` starts it with a subscription to everything, and the first
order to subscribe to everything finds that done; whatever else a command line cannot say is not supported. It connects
again by itself: it is given a port of this adapter's, which passes bytes on as they are, knows when a connection has
ended, and keeps the next one waiting until `reconnect`.
"""

import asyncio
import json
import signal
import sys

LACKS = ["websocket", "publish", "unsubscribe", "ping", "reauthenticate", "authentication_method", "authentication_answer",
         "topic_alias", "no_local", "response_topic", "content_type", "message_expiry", "disconnect.reason",
         "disconnect.reason_string", "disconnect.user_properties", "clean_start.reconnect"]
EVERYTHING = {"filter": "#", "qos": 2}
MESSAGE = "message "


class Unsupported(Exception):
    """The command line has no way to say this."""


def say(words):
    print(json.dumps(words), flush=True)


class Adapter:
    def __init__(self):
        self.process = None
        self.server = None
        self.links = set()
        self.may_pass = asyncio.Event()
        self.subscribe = None  # the order to subscribe, once it has come
        self.granted = None  # what SUBACK said, once it has come

    async def run(self):
        version = (await output("mosquitto_sub", "--help")).split("version ")[1].split(" ")[0]
        say({"event": "ready", "protocol": 1, "client": f"mosquitto_sub {version}", "versions": ["3.1.1", "5"],
             "lacks": LACKS})
        lines = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            command = json.loads(line)
            try:
                act = getattr(self, "do_" + command["do"], None)
                if act is None:
                    raise Unsupported(command["do"])
                await act(command)
                say({"re": command["id"], "ok": True})
            except Unsupported as error:
                say({"re": command["id"], "unsupported": str(error)})
            self.tell_of_suback()
        await self.stop()

    # --- commands -----------------------------------------------------------------------------------------------------

    async def do_connect(self, command):
        arguments = self.arguments(command)
        await self.stop()
        self.subscribe = self.granted = None
        self.suite = (command["host"], command["port"])
        self.server = await asyncio.start_server(self.passed, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.may_pass.set()
        self.process = await asyncio.create_subprocess_exec(
            "stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(port), *arguments,
            stdout=asyncio.subprocess.PIPE)
        asyncio.ensure_future(self.listen(self.process.stdout))

    def arguments(self, command):
        v5 = command["version"] == "5"
        given = ["-V", "mqttv5" if v5 else "mqttv311", "-t", "#", "-q", "2", "-F", MESSAGE + "%q %r %x %t",
                 "-i", command.get("client_id", ""), "-k", str(command.get("keep_alive", 60))]
        if not command.get("client_id"):
            raise Unsupported("an empty client_id")
        if command.get("keep_alive", 60) < 5:
            raise Unsupported("keep_alive below 5")
        if not command.get("clean_start", True):
            given.append("-c")
        for field, option in (("username", "-u"), ("password", "-P"), ("session_expiry", "-x")):
            if field in command:
                given += [option, str(command[field])]
        for field, name in (("receive_maximum", "receive-maximum"), ("maximum_packet_size", "maximum-packet-size"),
                            ("topic_alias_maximum", "topic-alias-maximum")):
            if field in command:
                given += ["-D", "connect", name, str(command[field])]
        for name, value in command.get("user_properties", []):
            given += ["-D", "connect", "user-property", name, value]
        will = command.get("will")
        if will:
            given += ["--will-topic", will["topic"], "--will-payload", will["payload"], "--will-qos", str(will["qos"])]
            given += ["--will-retain"] if will.get("retain") else []
        return given

    async def do_reconnect(self, command):
        if command.get("clean_start"):
            raise Unsupported("clean_start in reconnect")
        self.may_pass.set()

    async def do_subscribe(self, command):
        filters = [{"filter": f["filter"], "qos": f["qos"]} for f in command["filters"]]
        if filters != [EVERYTHING] or self.subscribe:
            raise Unsupported("subscribe to anything but everything")
        self.subscribe = command["id"]

    async def do_disconnect(self, command):
        if len(command) > 2:
            raise Unsupported("disconnect with anything")
        self.process.send_signal(signal.SIGINT)

    # --- what happens -------------------------------------------------------------------------------------------------

    async def listen(self, stdout):
        """Reads what mosquitto_sub prints: messages, and with -d what it does."""
        async for line in stdout:
            words = line.decode(errors="replace").rstrip("\n")
            if words.startswith(MESSAGE):
                qos, retain, payload, topic = words[len(MESSAGE):].split(" ", 3)
                say({"event": "message", "topic": topic, "payload_hex": payload, "qos": int(qos),
                     "retain": retain == "1", "dup": False, "properties": {}})
            elif "received CONNACK (" in words:
                code = int(words.split("(")[1].rstrip(")"))
                # Whether a session is present it does not say.
                say({"event": "refused", "reason": code} if code else
                    {"event": "connected", "session_present": False, "reason": 0})
            elif words.startswith("Subscribed (mid:"):
                self.granted = [int(code) for code in words.split(": ")[2].split(", ")]
                self.tell_of_suback()
            elif "Error" in words:
                say({"event": "error", "what": words})

    def tell_of_suback(self):
        if self.subscribe and self.granted is not None:
            say({"event": "subscribed", "of": self.subscribe, "reasons": self.granted})
            self.granted = None

    async def passed(self, from_client, to_client):
        """Passes one connection on, until either side ends it."""
        await self.may_pass.wait()
        self.may_pass.clear()
        task = asyncio.current_task()
        self.links.add(task)
        from_suite, to_suite = await asyncio.open_connection(*self.suite)
        ways = [asyncio.ensure_future(carry(from_client, to_suite)), asyncio.ensure_future(carry(from_suite, to_client))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # The other side has heard of the end, and may still have something to say.
            await asyncio.wait(ways, timeout=0.2)
        finally:
            for way in ways:
                way.cancel()
            to_suite.close()
            to_client.close()
            self.links.discard(task)
        say({"event": "disconnected"})

    async def stop(self):
        if self.server:
            self.server.close()
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        for link in list(self.links):
            link.cancel()


async def carry(reader, writer):
    """Bytes as they come, then the end."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):
        writer.close()  # it had ended that way already


async def output(*command):
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


asyncio.run(Adapter().run())
