"""A cluster by hand: python3 -m tests.cluster up|build."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from tests.machine.nspawn import MachineError

from .cluster import Cluster
from .image import ensure_file_system


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what it is made of where that is not cached")
    commands.add_parser("up", help="start it and stay until Ctrl-C")
    options = parser.parse_args(argv)
    try:
        return build() if options.command == "build" else up()
    except MachineError as error:
        print(f"ocm-test: {error}", file=sys.stderr)
        return 1


def build() -> int:
    for path in ensure_file_system():
        print(path)
    return 0


def up() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    started = time.monotonic()
    try:
        with Cluster() as cluster:
            enter = f"nsenter --target={cluster.control.leader} --all"
            print(f"{cluster.name} is ready after {time.monotonic() - started:.0f} s", flush=True)
            print(f"{enter} kubectl --kubeconfig=/run/kube/admin get nodes", flush=True)
            print(f"logs: {cluster.folder}/*/log", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
