"""Ten gateways at once: a reboot starts them in turns, and each trouble is told once, and its end once."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from openclaw_ocm.core.notify.conditions import HOLD_SECONDS

from .checkout import push_checkout
from .image import HERE
from .instances import HOME, MAIN_CONFIG, MODEL, kill_gateway, rows, wait_for, wait_until_healthy
from .telegram import Telegram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

pytestmark = pytest.mark.full
NAMES = tuple(f"w{number:02}" for number in range(1, 11))
TALKS, REFUSED, KILLED, CRASHES, UNSAVED = NAMES[:5]
BOT, USER = 47301, 4242
BOUND = 2
# One that takes longer to start keeps the others waiting no longer.
TURN_SECONDS = 60
UNITS = f"{HOME}/.config/systemd/user"
SAMPLES, TOLD, NOTICES = f"{HOME}/samples.jsonl", f"{HOME}/told.txt", f"{HOME}/.local/state/ocm/notify.json"
FILE = f"""
version = 1
[defaults]
groups = ["crowd"]
[groups.crowd]
inherit_from = "main"
autostart = true
backups = {{ every = "03:00" }}
allow = ["{MODEL}"]
config = {{ "agents.defaults.heartbeat" = {{ every = "0m" }} }}
"""
WITH_A_BOT = """
[instances.{name}]
allow = ["{place}"]
config = {{ "channels.telegram.apiRoot" = "{address}" }}
channels.telegram = {{ token = {{ file = "bot.token" }}, allow = ["{user}"] }}
"""
# Tells from the boot on, until all are ready, which have processes and do not say that they are ready. It is
# asked once it was seen who is there. argv: NAME=PORT of each.
SAMPLER = """
import glob, json, sys, time, urllib.request
ports = dict(one.split("=") for one in sys.argv[2:])
ready, ends = set(), time.monotonic() + 900

def is_there(name):
    place = f"/sys/fs/cgroup/user.slice/**/openclaw-gateway-{name}.service/cgroup.events"
    return any("populated 1" in open(one).read() for one in glob.glob(place, recursive=True))

def is_ready(port):
    try:
        return b'"ready":true' in urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).read()
    except OSError:
        return False

with open(sys.argv[1], "w", buffering=1) as out:
    while len(ready) < len(ports) and time.monotonic() < ends:
        there = [name for name in ports if name not in ready and is_there(name)]
        ready.update(name for name in there if is_ready(ports[name]))
        starting = [name for name in there if name not in ready]
        print(json.dumps([time.monotonic(), starting]), file=out)
        time.sleep(0.2)
"""
SAMPLING = """[Service]
ExecStart=/usr/bin/python3 {program} {out} {ports}
[Install]
WantedBy=default.target
"""
TELEGRAM = """[Service]
ExecStart=/usr/bin/python3 /opt/fake-telegram/fake_telegram.py
[Install]
WantedBy=multi-user.target
"""


class Crowd(NamedTuple):
    """OCM in a machine with ten gateways that run, and the Bot API that one of them polls."""

    ocm: Ocm
    telegram: Telegram

    @property
    def machine(self) -> Machine:
        return self.ocm.machine


@pytest.fixture(scope="module")
def crowd(odd: Machine) -> Iterator[Crowd]:
    """Make ten by one file, in a machine in which as many start at once as in one of two cores."""
    ocm = push_checkout(odd)
    telegram = serve_telegram(odd)
    odd.run(["mkdir", "-p", "-m", "700", f"{HOME}/.openclaw", f"{HOME}/.config/ocm"])
    odd.write(f"{HOME}/.openclaw/openclaw.json", json.dumps(MAIN_CONFIG), mode=0o600)
    odd.write(f"{HOME}/.config/ocm/settings.toml", f"jobs = {BOUND}\n", mode=0o600)
    odd.write(f"{HOME}/bot.token", f"{BOT}:{'Tk' * 20}", mode=0o600)
    bot = WITH_A_BOT.format(name=TALKS, place=telegram.place, address=telegram.address, user=USER)
    others = "".join(f"[instances.{name}]\n" for name in NAMES if name != TALKS)
    odd.write(f"{HOME}/fleet.toml", FILE + bot + others)
    made = ocm("apply", "-f", f"{HOME}/fleet.toml", "--yes", timeout=1800)
    assert made.stdout.count(": made, ready and sealed\n") == len(NAMES)
    yield Crowd(ocm, telegram)
    ocm("delete", "--all", "--force", "--yes", check=False)


def serve_telegram(machine: Machine) -> Telegram:
    """Run the fake Bot API as a service: it is there after a reboot before gateways ask for it."""
    machine.push(HERE / "fake_telegram.py", "/opt/fake-telegram/fake_telegram.py", user="root")
    machine.write("/etc/systemd/system/fake-telegram.service", TELEGRAM, user="root")
    machine.run(["systemctl", "enable", "--now", "fake-telegram.service"], user="root")
    return Telegram(machine, "http://127.0.0.1:18081")


def sample_at_boot(machine: Machine, found: dict[str, dict[str, Any]]) -> None:
    """Have it be seen at the next boot which gateways are starting at a time."""
    ports = " ".join(f"{name}={row['port']}" for name, row in found.items())
    machine.write(f"{HOME}/sampler.py", SAMPLER)
    unit = SAMPLING.format(program=f"{HOME}/sampler.py", out=SAMPLES, ports=ports)
    machine.write(f"{UNITS}/sampler.service", unit)
    machine.run(["systemctl", "--user", "enable", "sampler.service"])


def starting_at_once(machine: Machine) -> list[list[str]]:
    """Return for each moment who was starting, but for those who took so long that others need not wait."""
    samples = [json.loads(line) for line in machine.read(SAMPLES).splitlines()]
    first: dict[str, float] = {}
    found = []
    for at, starting in samples:
        found.append([name for name in starting if at - first.setdefault(name, at) < TURN_SECONDS])
    return found


def titles(machine: Machine) -> list[str]:
    """Return the titles of all messages that came, each of which an empty line follows."""
    return re.findall(r"^(.+)\n\n", machine.read(TOLD), re.MULTILINE)


def look(machine: Machine) -> list[str]:
    """Have the timer's unit run, and return the titles of all messages so far."""
    machine.run(["systemctl", "--user", "start", "ocm-notify-all.service"])
    return sorted(titles(machine))


def let_minutes_pass(machine: Machine) -> None:
    """Have what was seen to be wrong be so for as long as it has to be before that is told."""
    kept = json.loads(machine.read(NOTICES))
    for condition in kept["memory"]["conditions"]:
        condition["since"] -= HOLD_SECONDS
    machine.write(NOTICES, json.dumps(kept), mode=0o600)


def test_after_a_reboot_ten_are_back_and_started_in_turns(crowd: Crowd) -> None:
    machine, ocm = crowd.machine, crowd.ocm
    assert ocm("plan", "-f", f"{HOME}/fleet.toml").stdout == "10 instances are as the file says\n"
    machine.write(TOLD, "")
    ocm("notify", "add", "command", "--", "tee", "-a", TOLD)
    sample_at_boot(machine, rows(ocm))
    machine.reboot(deadline_seconds=900)
    for name in NAMES:
        wait_until_healthy(ocm, name)
    found = rows(ocm)
    assert {(row["state"], row["isolation"]) for row in found.values()} == {("ready", "sealed")}
    wait_for(lambda: all_ended(machine), 60, "end of the sampler")
    at_once = starting_at_once(machine)
    assert {name for starting in at_once for name in starting} == set(NAMES), "each was seen as it started"
    assert max(map(len, at_once)) == BOUND, max(at_once, key=len)
    show = ["systemctl", "--user", "show", "--property=NRestarts,Result", "openclaw-gateway-w*"]
    assert set(machine.run(show).stdout.split()) == {"NRestarts=0", "Result=success"}
    assert not re.search(r"(?i)out of memory|oom.?kill", machine.journal())
    assert look(machine) == [], "nothing was wrong"


def all_ended(machine: Machine) -> bool:
    show = ["systemctl", "--user", "is-active", "--quiet", "sampler.service"]
    return machine.run(show, check=False).returncode != 0


def test_of_each_trouble_one_message_comes_and_one_when_it_is_over(crowd: Crowd) -> None:
    machine, ocm = crowd.machine, crowd.ocm
    # The test alone says when it is looked.
    machine.run(["systemctl", "--user", "stop", "ocm-notify-all.timer"])
    assert look(machine) == []
    bot = crowd.telegram.bot(BOT)
    config = f"{HOME}/.openclaw-{REFUSED}/openclaw.json"
    before = machine.read(config)

    kill_gateway(machine, rows(ocm)[CRASHES]["port"])
    bot.refuse(refused=True)
    machine.run(["mkdir", "-p", f"{HOME}/backups"])
    machine.run(["chmod", "500", f"{HOME}/backups"])
    machine.run(["systemctl", "--user", "start", f"ocm-backup-{UNSAVED}.service"], check=False)
    machine.write(config, json.dumps({**json.loads(before), "foo": 1}), mode=0o600)
    machine.run(["systemctl", "--user", "restart", f"openclaw-gateway-{REFUSED}"])
    kill_for_good(machine, KILLED)
    wait_for(lambda: rows(ocm)[REFUSED]["state"] == "failed", 120, "failed state")
    wait_for(lambda: "telegram" in str(rows(ocm)[TALKS]["reason"]), 120, "channel that is refused")
    wait_until_healthy(ocm, CRASHES)
    at_once = [f"A backup of {UNSAVED} failed", f"{REFUSED} is down", f"{KILLED} is down"]
    assert look(machine) == sorted(at_once)
    let_minutes_pass(machine)
    problems = [*at_once, f"{TALKS} has lost telegram"]
    for _look in range(3):
        assert look(machine) == sorted(problems)
        let_minutes_pass(machine)

    bot.refuse(refused=False)
    machine.write(config, before, mode=0o600)
    machine.run(["chmod", "700", f"{HOME}/backups"])
    machine.run(["systemctl", "--user", "start", f"ocm-backup-{UNSAVED}.service"])
    ocm("start", REFUSED, KILLED)
    ocm("restart", TALKS)
    ends = (f"{REFUSED} is ready again", f"{KILLED} is ready again", f"{TALKS} has telegram again")
    for _look in range(3):
        assert look(machine) == sorted([*problems, *ends, f"{UNSAVED} is backed up again"])
        let_minutes_pass(machine)


def kill_for_good(machine: Machine, name: str) -> None:
    """Kill a gateway whenever it is there, until it is not started any more."""
    unit = f"openclaw-gateway-{name}.service"
    script = (
        f"until systemctl --user is-failed --quiet {unit};"
        f" do systemctl --user kill --signal=KILL {unit}; sleep 0.3; done"
    )
    machine.run(["bash", "-c", script], timeout=300)
