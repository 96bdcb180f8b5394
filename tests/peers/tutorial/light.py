"""The tutorial's torch: a subscriber that answers each message. `light.py [HOST] [PORT] [--count N] [--timeout S]`"""

import sys

sys.dont_write_bytecode = True

from common import subscriber  # noqa: E402

if __name__ == "__main__":
    sys.exit(
        subscriber(
            "手电筒打开----我是一个订阅者:需要消费主题-----",
            "回调消息:收到收到!我已经接收到发布者的消息,并且打开了光传感器",
            "light",
        )
    )
