"""The adapter for paho-mqtt 1.6 and 2.x (whichever this Python has); README.md beside it has the line protocol.

One thread drives stdin and paho's own loop functions, so a callback cannot overtake the call it belongs to.
"""

import json
import os
import select
import sys

import paho.mqtt
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

try:
    from paho.mqtt.reasoncodes import ReasonCode
except ImportError:
    from paho.mqtt.reasoncodes import ReasonCodes as ReasonCode

PAHO_2 = hasattr(mqtt, "CallbackAPIVersion")
LACKS = ["ping", "authentication_answer", "reauthenticate", "websocket"] + ([] if PAHO_2 else ["published.reason"])

# Our field → paho's property, and how its value is made and read.
PLAIN = (lambda value: value, lambda value: value)
NUMBER = (int, int)
BOOLEAN = (int, bool)
HEX = (bytes.fromhex, bytes.hex)
PAIRS = (lambda pairs: [tuple(pair) for pair in pairs], lambda pairs: [list(pair) for pair in pairs])
PROPERTIES = {
    "session_expiry": ("SessionExpiryInterval", NUMBER),
    "receive_maximum": ("ReceiveMaximum", NUMBER),
    "maximum_packet_size": ("MaximumPacketSize", NUMBER),
    "topic_alias_maximum": ("TopicAliasMaximum", NUMBER),
    "request_response_information": ("RequestResponseInformation", BOOLEAN),
    "request_problem_information": ("RequestProblemInformation", BOOLEAN),
    "user_properties": ("UserProperty", PAIRS),
    "authentication_method": ("AuthenticationMethod", PLAIN),
    "authentication_data": ("AuthenticationData", HEX),
    "delay": ("WillDelayInterval", NUMBER),
    "message_expiry": ("MessageExpiryInterval", NUMBER),
    "content_type": ("ContentType", PLAIN),
    "response_topic": ("ResponseTopic", PLAIN),
    "correlation_data": ("CorrelationData", HEX),
    "payload_is_text": ("PayloadFormatIndicator", BOOLEAN),
    "topic_alias": ("TopicAlias", NUMBER),
    "subscription_identifier": ("SubscriptionIdentifier", NUMBER),
    "subscription_identifiers": ("SubscriptionIdentifier", (list, list)),
    "reason_string": ("ReasonString", PLAIN),
}

# paho-mqtt 2 turns the return codes of 3.1.1 into reason codes of 5.0; this turns them back.
RETURN_CODES = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}


class Unsupported(Exception):
    """The library has no way to do this."""


class Misuse(Exception):
    """The library does not take this."""


def made(packet, fields):
    """The properties among the fields of a command, or None."""
    properties = Properties(packet)
    for field, value in fields.items():
        if field in PROPERTIES:
            name, (make, _) = PROPERTIES[field]
            setattr(properties, name, make(value))
    return None if properties.isEmpty() else properties


def read(properties):
    """The properties of a message as the protocol's fields."""
    fields = {}
    for field in ("content_type", "response_topic", "correlation_data", "message_expiry", "user_properties",
                  "subscription_identifiers", "payload_is_text"):
        name, (_, get) = PROPERTIES[field]
        value = getattr(properties, name, None)
        if value is not None:
            fields[field] = get(value)
    return fields


def number(code):
    return getattr(code, "value", code)


def payload(fields):
    if "payload_size" in fields:
        return b"x" * fields["payload_size"]
    if "payload_hex" in fields:
        return bytes.fromhex(fields["payload_hex"])
    return fields.get("payload", "").encode()


class Adapter:
    def __init__(self):
        self.client = None
        self.options = {}
        self.commands = {}  # paho's message identifier → our command
        self.events = []  # held until the command at hand is answered
        self.broken = False  # paho raised an exception: its network thread would be dead now

    def run(self):
        say({"event": "ready", "protocol": 1, "client": f"paho-mqtt {paho.mqtt.__version__}",
             "versions": ["3.1.1", "5"], "lacks": LACKS})
        unread = b""
        while True:
            socket = self.client and not self.broken and self.client.socket()
            readers = [0, socket] if socket else [0]
            writers = [socket] if socket and self.client.want_write() else []
            readable, writable, _ = select.select(readers, writers, [], 0.2)
            if socket:
                self.turn(socket in readable, bool(writable))
            if 0 in readable:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))

    def turn(self, readable, writable):
        """Lets paho read, write and keep alive."""
        try:
            for due, step in ((readable, self.client.loop_read), (writable, self.client.loop_write),
                              (True, self.client.loop_misc)):
                failed = due and self.client.socket() and step()
                if failed:
                    self.event("error", what=mqtt.error_string(failed))
        except Exception as error:  # whatever a packet made the library stumble over
            self.broken = True
            self.event("error", what=f"{type(error).__name__}: {error}")
        self.flush()

    def obey(self, command):
        answer = {"re": command["id"]}
        try:
            act = getattr(self, "do_" + command["do"], None)
            if act is None:
                raise Unsupported(command["do"])
            if self.client is None and command["do"] != "connect":
                raise Misuse("no client yet")
            act(command)
            answer["ok"] = True
        except Unsupported as error:
            answer["unsupported"] = str(error)
        except Exception as error:  # paho raises many kinds for misuse
            answer["refused"] = f"{type(error).__name__}: {error}"
        say(answer)
        self.flush()

    def event(self, name, **fields):
        self.events.append({"event": name, **{key: value for key, value in fields.items() if value is not None}})

    def flush(self):
        for event in self.events:
            say(event)
        self.events.clear()

    # --- commands -----------------------------------------------------------------------------------------------------

    def do_connect(self, command):
        if "password" in command and "username" not in command:
            raise Unsupported("password without username")
        self.options = command
        self.commands.clear()
        self.v5 = command["version"] == "5"
        settings = {"client_id": command.get("client_id", ""), "protocol": mqtt.MQTTv5 if self.v5 else mqtt.MQTTv311}
        settings["reconnect_on_failure"] = False
        if not self.v5:
            settings["clean_session"] = command.get("clean_start")
        if PAHO_2:
            settings["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
        self.client = client = mqtt.Client(**settings)
        if "username" in command:
            client.username_pw_set(command["username"], command.get("password"))
        if "will" in command:
            will = command["will"]
            client.will_set(will["topic"], payload(will), will.get("qos", 0), will.get("retain", False),
                            made(PacketTypes.WILLMESSAGE, will) if self.v5 else None)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_publish = self.on_publish
        client.on_subscribe = self.on_subscribe
        client.on_unsubscribe = self.on_unsubscribe
        client.on_message = self.on_message
        self.dial(command.get("clean_start"))

    def do_reconnect(self, command):
        if self.client.socket() and not self.broken:
            raise Misuse("still connected")
        clean = command.get("clean_start", False)
        if not self.v5:
            self.client._clean_session = clean  # chosen once for all in paho's own interface
        self.dial(clean)

    def dial(self, clean):
        """Connects; what fails here is the network's doing, not misuse."""
        self.broken = False
        extra = {"properties": made(PacketTypes.CONNECT, self.options)} if self.v5 else {}
        if self.v5 and clean is not None:
            extra["clean_start"] = clean
        try:
            self.client.connect(self.options["host"], self.options["port"], self.options.get("keep_alive", 60), **extra)
        except OSError as error:
            self.event("error", what=str(error))
            self.event("disconnected")

    def do_publish(self, command):
        info = self.client.publish(command["topic"], payload(command), command.get("qos", 0),
                                   command.get("retain", False),
                                   made(PacketTypes.PUBLISH, command) if self.v5 else None)
        # Without a connection paho keeps QoS 1 and 2 for the next one.
        if info.rc != mqtt.MQTT_ERR_SUCCESS and not (info.rc == mqtt.MQTT_ERR_NO_CONN and command.get("qos")):
            raise Misuse(mqtt.error_string(info.rc))
        if command.get("qos"):
            self.commands[info.mid] = command["id"]

    def do_subscribe(self, command):
        filters = [(item["filter"], self.subscribe_options(item)) for item in command["filters"]]
        properties = made(PacketTypes.SUBSCRIBE, command) if self.v5 else None
        self.noted(command, *self.client.subscribe(filters, properties=properties))

    def subscribe_options(self, item):
        if not self.v5:
            return item.get("qos", 0)
        return SubscribeOptions(qos=item.get("qos", 0), noLocal=item.get("no_local", False),
                                retainAsPublished=item.get("retain_as_published", False),
                                retainHandling=item.get("retain_handling", 0))

    def do_unsubscribe(self, command):
        properties = made(PacketTypes.UNSUBSCRIBE, command) if self.v5 else None
        self.noted(command, *self.client.unsubscribe(command["filters"], properties))

    def noted(self, command, failed, mid):
        if failed:
            raise Misuse(mqtt.error_string(failed))
        self.commands[mid] = command["id"]

    def do_disconnect(self, command):
        properties, reason = None, None
        if self.v5:
            properties = made(PacketTypes.DISCONNECT, command)
            if command.get("reason"):
                reason = ReasonCode(PacketTypes.DISCONNECT, identifier=command["reason"])
        failed = self.client.disconnect(reason, properties)
        if failed:
            raise Misuse(mqtt.error_string(failed))

    # --- callbacks; paho's differ in version of library and protocol -------------------------------------------------------

    def on_connect(self, _client, _data, flags, reason, *_):
        reason = number(reason)
        if reason:
            self.event("refused", reason=reason if self.v5 else RETURN_CODES.get(reason, reason))
        else:
            present = flags["session present"] if isinstance(flags, dict) else flags.session_present
            self.event("connected", session_present=bool(present), reason=0)

    def on_disconnect(self, _client, _data, *rest):
        if PAHO_2:
            flags, reason, _ = rest
            known = flags.is_disconnect_packet_from_server
        else:
            reason = rest[0]
            known = hasattr(reason, "value")
        self.event("disconnected", reason=number(reason) if known else None)

    def on_publish(self, _client, _data, mid, *rest):
        if mid in self.commands:  # QoS 0 is not: it is only sent
            self.event("published", of=self.commands.pop(mid), reason=number(rest[0]) if rest else None)

    def on_subscribe(self, _client, _data, mid, reasons, *_):
        self.event("subscribed", of=self.commands.pop(mid, None), reasons=[number(reason) for reason in reasons])

    def on_unsubscribe(self, _client, _data, mid, *rest):
        reasons = []
        if self.v5:
            reasons = rest[0] if PAHO_2 else rest[1]
            reasons = reasons if isinstance(reasons, list) else [reasons]
        self.event("unsubscribed", of=self.commands.pop(mid, None), reasons=[number(reason) for reason in reasons])

    def on_message(self, _client, _data, message):
        self.event("message", topic=message.topic, payload_hex=message.payload.hex(), qos=message.qos,
                   retain=bool(message.retain), dup=bool(message.dup),
                   properties=read(message.properties) if self.v5 else {})


def say(line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    Adapter().run()
