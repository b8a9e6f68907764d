"""Test machines by hand: python3 -m tests.machine build|up|shell|run|push|down|list|clean."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time

from .image import KINDS, RELEASES, ensure_image, image_layers, layers_beside
from .lifetime import running_machines, sweep
from .machine import Machine
from .nspawn import MachineError, cache_dir
from .processes import wait_for


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    try:
        return int(COMMANDS[options.command](options))
    except MachineError as error:
        print(f"ocm-test: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python3 -m tests.machine", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, *positional: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        for argument in positional:
            added.add_argument(argument, choices=RELEASES if argument == "release" else None)
        return added

    build = command("build", "build the image where it is not cached", "release")
    up = command("up", "boot a machine and stay until Ctrl-C or `down`", "release")
    for made in (build, up):
        made.add_argument("--kind", default="ready", choices=KINDS, help="what is in it (default: ready)")
    up.add_argument("--name", help="default: the release")
    up.add_argument("--snapshot", help="start from these files")
    up.add_argument("--network", choices=("machine", "host"), help="default: its own if it is ready")
    up.add_argument("--no-user-namespaces", action="store_true", help="forbid them, as many containers do")
    shell = command("shell", "an interactive login", "name")
    run = command("run", "run one command: run NAME -- argv...", "name")
    run.add_argument("argv", nargs="+")
    push = command("push", "copy a file or a directory in", "name", "source", "destination")
    for entered in (shell, run, push):
        entered.add_argument("--user", choices=("debian", "root"), help="default: whoever works there")
    for entered in (shell, run):
        entered.add_argument("--network", default="machine", choices=("machine", "host"))
    command("journal", "print the journals", "name")
    command("down", "remove a machine", "name")
    command("list", "name the running machines")
    command("clean", "remove images and snapshots that the present sources do not use")
    return top


def build(options: argparse.Namespace) -> int:
    for path in ensure_image(options.release, options.kind).lower:
        print(path)
    return 0


def up(options: argparse.Namespace) -> int:
    # `down` and a closed terminal: leave the with-block as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    started = time.monotonic()
    name = options.name or options.release
    try:
        with Machine.boot(
            options.release,
            kind=options.kind,
            network=options.network or ("machine" if options.kind in ("ready", "older") else "host"),
            user_namespaces=not options.no_user_namespaces,
            name=name,
            snapshot=options.snapshot,
        ) as machine:
            print(f"{machine.name} is up after {time.monotonic() - started:.1f} s", flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def shell(options: argparse.Namespace) -> int:
    # `script` gives the login a terminal of the machine's own /dev/pts.
    argv = ["script", "--quiet", "--return", "--command", "bash --login", "/dev/null"]
    return enter(options, argv, {"TERM": os.environ.get("TERM", "dumb")})


def run(options: argparse.Namespace) -> int:
    return enter(options, options.argv, {})


def enter(options: argparse.Namespace, argv: list[str], env: dict[str, str]) -> int:
    machine = Machine.attach(options.name)
    entering = machine.entering(argv, user=options.user, network=options.network, env=env)
    return subprocess.run(entering, check=False).returncode


def push(options: argparse.Namespace) -> int:
    machine = Machine.attach(options.name)
    machine.push(options.source, options.destination, user=options.user)
    return 0


def journal(options: argparse.Namespace) -> int:
    print(Machine.attach(options.name).journal())
    return 0


def down(options: argparse.Namespace) -> int:
    running = Machine.attach(options.name).running
    running.owner.kill(signal.SIGTERM)
    wait_for(lambda: not running.owner.is_alive(), 30, f"the end of {options.name}")
    running.leader.kill()
    sweep()
    return 0


def list_machines(_: argparse.Namespace) -> int:
    for running in running_machines():
        print(f"{running.name}\t{running.spec.release}\t{running.spec.kind}\towner {running.owner.pid}")
    return 0


def clean(_: argparse.Namespace) -> int:
    sweep()
    if any(running_machines()):
        raise MachineError("machines are running: their images must stay")
    made = [(release, kind) for release in RELEASES for kind in KINDS]
    tops = [image_layers(*one) for one in made]
    layers = [
        *(layer for top in tops for layer in top.stack),
        *(one for each in made for one in layers_beside(*each)),
    ]
    used = {layer.path.name for layer in layers} | {top.key for top in tops}
    for kind in ("layers", "snapshots"):
        for folder in (cache_dir() / kind).glob("*"):
            if folder.name not in used:
                shutil.rmtree(folder)
    return 0


COMMANDS = {
    "build": build,
    "up": up,
    "shell": shell,
    "run": run,
    "push": push,
    "journal": journal,
    "down": down,
    "list": list_machines,
    "clean": clean,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
