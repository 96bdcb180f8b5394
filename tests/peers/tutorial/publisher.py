"""The tutorial's publisher: says that it is dark now, again and again, each time over a connection of its own.
`publisher.py [HOST] [PORT] [--count N] [--interval S]`"""

import sys
import threading
import time

sys.dont_write_bytecode = True

from common import KEEP_ALIVE, TOPIC, arguments, client_id, new_client, number, say, utf8_lines  # noqa: E402

PAYLOAD = "现在天黑了"
PATIENCE = 10  # seconds for a CONNACK, and for a PUBACK


def send_once(name, host, port):
    answered = threading.Event()
    codes = []

    def on_connect(client, userdata, flags, rc, properties=None):
        codes.append(number(rc))
        answered.set()

    client = new_client(name)
    client.on_connect = on_connect
    client.connect(host, port, KEEP_ALIVE)
    client.loop_start()
    try:
        if not answered.wait(PATIENCE):
            raise OSError("no CONNACK")
        if codes[0] != 0:
            raise OSError(f"refused: {codes[0]}")
        sent = client.publish(TOPIC, PAYLOAD, qos=1)
        sent.wait_for_publish(PATIENCE)
        if not sent.is_published():
            raise OSError("no PUBACK")
    finally:
        client.disconnect()
        client.loop_stop()


def main():
    utf8_lines()
    parser = arguments("The tutorial's publisher.")
    parser.add_argument("--count", type=int, default=20, help="messages to send (20)")
    parser.add_argument("--interval", type=float, default=2, help="seconds before each (2)")
    args = parser.parse_args()
    name = client_id(args, "publisher")
    say("消息发布!----我是一个发布者:正在给设备和传感器发布主题-----")
    for sent in range(1, args.count + 1):
        time.sleep(args.interval)
        try:
            send_once(name, args.host, args.port)
        except OSError as error:
            print(f"message {sent}: {error}", file=sys.stderr)
            return 1
        say(f"已发送{sent}条消息")
    return 0


if __name__ == "__main__":
    sys.exit(main())
