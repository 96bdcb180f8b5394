"""What the exercises in Python have in common: their checks and their command line."""

import argparse

PATIENCE = 10  # seconds, for whatever must come
WHOLE_RUN = 60  # seconds, then the run is a failure
CHECKS = []


class Wrong(Exception):
    """The broker did something else than it should."""


def expect(what, got, wanted):
    if got != wanted:
        raise Wrong(f"{what}: {short(got)} instead of {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:160]}... ({len(text)} characters)"


def check(*versions):
    """A check, and the versions of MQTT it is for (none: all)."""

    def register(function):
        CHECKS.append((function, versions or ("3.1.1", "5")))
        return function

    return register


def arguments(client):
    """The command line, and the checks that it chooses."""
    parser = argparse.ArgumentParser(description=f"Exercises an MQTT broker with {client}.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--ws", action="store_true", help="over WebSocket, at /mqtt")
    parser.add_argument("--cafile", help="over TLS; who may sign the broker's certificate (PEM)")
    parser.add_argument("--version", choices=("3.1.1", "5"), required=True)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this check (may be repeated)")
    parser.add_argument("--skip", action="append", metavar="NAME", default=[], help="not this check (may be repeated)")
    args = parser.parse_args()
    known = {function.__name__ for function, _ in CHECKS}
    for name in (args.only or []) + args.skip:
        if name not in known:
            parser.error(f"no such check: {name}")
    chosen = [
        function
        for function, versions in CHECKS
        if args.version in versions
        and function.__name__ not in args.skip
        and (not args.only or function.__name__ in args.only)
    ]
    if not chosen:
        parser.error("no check to run")
    return args, chosen
