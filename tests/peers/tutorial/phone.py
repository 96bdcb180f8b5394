"""The tutorial's phone: a subscriber that answers each message. `phone.py [HOST] [PORT] [--count N] [--timeout S]`"""

import sys

sys.dont_write_bytecode = True

from common import subscriber  # noqa: E402

if __name__ == "__main__":
    sys.exit(
        subscriber(
            "手机启动----我是一个订阅者:需要消费主题-----",
            "回调消息:收到收到!我已经接收到发布者的消息并给用户反馈手电筒已经打开",
            "phone",
        )
    )
