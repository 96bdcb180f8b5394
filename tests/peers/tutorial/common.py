"""What the tutorial's three programs share: arguments, output, and one way to make a client in paho-mqtt 1.6 and 2.x."""

import argparse
import os
import sys
import time

import paho.mqtt.client as mqtt

USER = "admin"
PASSWORD = "password"
TOPIC = "lightChange"
KEEP_ALIVE = 60


def utf8_lines():
    """The output is UTF-8 whatever the locale, and leaves line by line."""
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    sys.stderr.reconfigure(encoding="utf-8", line_buffering=True)


def say(line):
    """One line in one write: programs that share an output do not mix their lines."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def arguments(what):
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", type=int, default=61613)
    parser.add_argument("--client-id", help="default: made from the time, as in the tutorial")
    return parser


def client_id(args, role):
    # The time alone would give programs that start in one second the same client id.
    return args.client_id or f"{time.strftime('%Y%m%d%H%M%S')}-{role}-{os.getpid()}"


def new_client(name):
    """paho-mqtt 2.x wants to know the shape of the callbacks. Written as `on_connect(client, userdata, flags, rc,
    properties=None)` and `on_message(client, userdata, message)`, they are right for both."""
    if hasattr(mqtt, "CallbackAPIVersion"):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
    else:
        client = mqtt.Client(client_id=name)
    client.username_pw_set(USER, PASSWORD)
    return client


def number(rc):
    """A return code is a number in 1.6 and an object in 2.x."""
    return getattr(rc, "value", rc)


def subscriber(opening, answer, role):
    """light.py and phone.py: subscribe, and answer each message with a line."""
    utf8_lines()
    parser = arguments(f"The tutorial's {role}: a subscriber of {TOPIC}.")
    parser.add_argument("--count", type=int, default=0, help="leave after this many messages (0: never)")
    parser.add_argument("--timeout", type=float, default=0, help="leave after this many seconds (0: never)")
    args = parser.parse_args()
    seen = 0
    refused = None

    def on_connect(client, userdata, flags, rc, properties=None):
        nonlocal refused
        say(f"Connected with result code {number(rc)}")
        if number(rc) == 0:
            client.subscribe(TOPIC)
        else:
            refused = number(rc)

    def on_message(client, userdata, message):
        nonlocal seen
        say(f"{message.topic} {message.payload.decode('utf-8')},{answer}")
        seen += 1

    say(opening)
    client = new_client(client_id(args, role))
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect(args.host, args.port, KEEP_ALIVE)
    deadline = time.monotonic() + args.timeout if args.timeout else float("inf")
    while (not args.count or seen < args.count) and time.monotonic() < deadline and refused is None:
        if client.loop(timeout=0.1) != mqtt.MQTT_ERR_SUCCESS and refused is None:
            print("connection lost", file=sys.stderr)
            return 1
    client.disconnect()
    if refused is not None:
        return 1
    if args.count and seen < args.count:
        print(f"{seen} of {args.count} messages came in {args.timeout:g} s", file=sys.stderr)
        return 1
    return 0
