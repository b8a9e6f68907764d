"""What is scheduled under both backends: made in time and after downtime, pruned, told of, ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.core.releases import NODE_RANGE, OPENCLAW_VERSION

from .instances import BACKENDS_IN_TURN, HOME, add_version, answer, home_files, rows, wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .checkout import Ocm
    from .machine import Machine

NAME = "worker1"
BACKUPS = f"{HOME}/backups"
TIMER = f"ocm-backup-{NAME}.timer"
PATIENCE_SECONDS = 120.0
MAKE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('create table notes (line text)')"
# The last run was three days ago.
OLD = {
    "systemd": f"touch -d '3 days ago' ~/.local/share/systemd/timers/stamp-{TIMER}",
    "supervisord": (
        "cd ~/.local/state/ocm/supervisord/timers; "
        f'echo "{{\\"last\\": $(date -d \'3 days ago\' +%s)}}" > {NAME}.new; mv {NAME}.new {NAME}.json'
    ),
}
# The same, and time is kept again as if it had not been meanwhile; supervisord looks for itself.
MISSED = {
    "systemd": f"systemctl --user stop {TIMER}; {OLD['systemd']}; systemctl --user start {TIMER}",
    "supervisord": OLD["supervisord"],
}
# What is due each minute is run now.
WRITE_METRICS = {
    "systemd": "systemctl --user start ocm-metrics-all.service",
    "supervisord": "cd ~/.local/state/ocm/supervisord/metrics-timers; "
    'echo "{\\"last\\": 0}" > all.new; mv all.new all.json',
}
# A version that never starts, and then one that does; what npm's registry says of them.
BROKEN, GOOD = "2026.9.77", "2026.9.78"
REGISTRY = f"{HOME}/registry"
SERVE = f"""
import functools, http.server
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory={REGISTRY!r})
end = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(end.server_port, flush=True)
end.serve_forever()
"""


@pytest.fixture(scope="module", params=BACKENDS_IN_TURN)
def backend(request: pytest.FixtureRequest, machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Make an instance, once for all tests here, under the care of each backend; nothing of it is left."""
    ocm("list")
    before = home_files(machine)
    ocm("create", NAME, "--backend", request.param)
    # A database is copied by Node in the sandbox, which the run of a timer opens without a login.
    database = f"{HOME}/.openclaw-{NAME}/workspace/notes"
    machine.run(["python3", "-c", MAKE, database])
    yield request.param
    ocm("delete", "--all", "--force", "--yes", "--no-backup")
    machine.run(["rm", "-rf", BACKUPS])
    assert home_files(machine) == before
    assert timers(machine) == []


@pytest.fixture
def empty(machine: Machine, ocm: Ocm, backend: str) -> str:
    """Have neither a schedule nor backups."""
    ocm("backup", NAME, "--every", "never")
    machine.run(["rm", "-rf", BACKUPS])
    return backend


def timers(machine: Machine) -> list[str]:
    """Return what is left of timers, loaded or as files, and of what is kept of them."""
    script = (
        "systemctl --user list-units --all --no-legend --plain 'ocm-backup*' 'ocm-upgrade*' 'ocm-metrics*'; "
        "find ~/.config/systemd ~/.config/ocm ~/.local/state/ocm ~/.local/share/systemd"
        f" -name '*ocm-backup*' -o -name '*ocm-upgrade*' -o -path '*/schedules/*' -o -path '*timers/*{NAME}*'"
        " -o -name 'ocm-metrics*' -o -name metrics.toml -o -path '*/metrics*/all*'"
        f" -o -path '*/backups/*{NAME}*' -o -path '*/upgrades/*'"
    )
    return machine.run(["bash", "-c", script], check=False).stdout.splitlines()


def test_metrics_are_written_by_themselves(machine: Machine, ocm: Ocm, backend: str) -> None:
    place, settings = f"{HOME}/metrics", f"{HOME}/.config/ocm/settings.toml"
    machine.run(["mkdir", place])
    machine.write(settings, f'backend = "{backend}"\n')
    said = ocm("metrics", "--textfile", place, "--every", "1m").stdout
    assert said == f"metrics: {place}/ocm.prom is written each 1m from now on\n"
    machine.run(["rm", f"{place}/ocm.prom"])
    machine.run(["bash", "-c", WRITE_METRICS[backend]])
    wait_for(lambda: "ocm.prom" in archives(machine, place), PATIENCE_SECONDS, "file of metrics")
    assert f'ocm_instance_ready{{instance="{NAME}"}} 0\n' in machine.read(f"{place}/ocm.prom")
    assert machine.run(["stat", "-c", "%a", f"{place}/ocm.prom"]).stdout == "644\n"
    assert "metrics" not in ocm("doctor", check=False).stdout
    logged = machine.run(["journalctl", "--user", "--user-unit=ocm-metrics-all.service"], check=False).stdout
    assert "Scheduled run" not in logged, "it would push out what gateways say"
    assert ocm("metrics", "--every", "never").stdout == "metrics: metrics are written by themselves no more\n"
    machine.run(["rmdir", place])
    machine.run(["rm", settings])


def archives(machine: Machine, directory: str = BACKUPS) -> list[str]:
    return machine.run(["bash", "-c", f"ls {directory} 2>/dev/null"], check=False).stdout.split()


def backups(ocm: Ocm) -> dict[str, Any]:
    """Return what status says of scheduled backups."""
    found: dict[str, Any] = answer(ocm, "status", NAME)["results"][0]["backups"]
    return found


def ended(ocm: Ocm) -> float:
    """Return when the last run ended, 0 where there was none."""
    last = backups(ocm)["last"]
    return 0.0 if last is None else float(last["ended"])


def miss(machine: Machine, ocm: Ocm, backend: str) -> None:
    """Have runs missed, and wait for the one that makes up for them."""
    before = ended(ocm)
    machine.run(["bash", "-c", MISSED[backend]])
    wait_for(lambda: ended(ocm) > before, PATIENCE_SECONDS, "run that makes up for those that were missed")


def test_a_time_that_comes_makes_a_backup(machine: Machine, ocm: Ocm, empty: str) -> None:
    del empty
    clock = machine.run(["date", "-d", "20 seconds", "+%H:%M:%S"]).stdout.strip()
    said = ocm("backup", NAME, "--every", clock).stdout
    assert f"{NAME}: backups scheduled: {clock}, next " in said
    assert archives(machine) == []
    assert backups(ocm)["problem"] is None
    wait_for(lambda: ended(ocm) > 0, PATIENCE_SECONDS, "scheduled backup")
    (archive,) = archives(machine)
    found = backups(ocm)
    assert found["last"]["archive"] == f"{BACKUPS}/{archive}"
    assert found["last"]["error"] is None
    assert found["next"] > found["last"]["ended"]
    assert "1 database" in ocm("backups", "verify", NAME).stdout
    shown = ocm("status", NAME).stdout
    assert archive in shown
    assert "drift" not in shown


def test_what_was_missed_is_made_up_for_once(machine: Machine, ocm: Ocm, empty: str) -> None:
    ocm("backup", NAME, "--every", "daily")
    miss(machine, ocm, empty)
    assert len(archives(machine)) == 1
    assert backups(ocm)["next"] > ended(ocm)


def test_a_run_keeps_what_the_schedule_says(machine: Machine, ocm: Ocm, empty: str) -> None:
    old = [f"{NAME}-2020010{day}T000000Z.tar.gz" for day in (1, 2, 3)]
    foreign = [f"{NAME}-a-20200101T000000Z.tar.gz", "notes.txt"]
    machine.run(["mkdir", "-m", "700", BACKUPS])
    machine.run(["touch", *(f"{BACKUPS}/{name}" for name in (*old, *foreign))])
    rules = ("--keep-last", "2", "--keep-daily", "0", "--keep-weekly", "0", "--keep-monthly", "0")
    ocm("backup", NAME, "--every", "daily", *rules)
    miss(machine, ocm, empty)
    (made,) = set(archives(machine)) - {*old, *foreign}
    assert sorted(archives(machine)) == sorted([made, old[-1], *foreign])


def test_a_failure_is_told_until_a_run_goes_well(machine: Machine, ocm: Ocm, empty: str) -> None:
    full = f"{HOME}/full"
    machine.run(["mkdir", "-p", full])
    machine.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "full", full], user="root")
    try:
        machine.run(["bash", "-c", f"head -c 1000000 /dev/zero > {full}/filler"], check=False)
        ocm("backup", NAME, "--every", "daily", "-o", full)
        assert ocm("health", check=False).returncode == 0
        miss(machine, ocm, empty)
        assert archives(machine, full) == ["filler"]
        assert f"there is no room in {full} for the backup" in backups(ocm)["problem"]
        assert f"there is no room in {full} for the backup" in ocm("status", NAME).stdout
        assert ocm("health", check=False).returncode == 1
        assert "the last backup failed" in rows(ocm)[NAME]["backup"]
        assert "the last backup failed" in ocm("doctor", check=False).stdout
        machine.run(["rm", f"{full}/filler"])
        miss(machine, ocm, empty)
        assert backups(ocm)["problem"] is None
        assert len(archives(machine, full)) == 1
    finally:
        ocm("backup", NAME, "--every", "never")
        machine.run(["umount", full], user="root")
        machine.run(["rmdir", full])


def test_a_directory_that_is_gone_or_closed_is_told(machine: Machine, ocm: Ocm, empty: str) -> None:
    there = f"{HOME}/disk"
    machine.run(["mkdir", there])
    ocm("backup", NAME, "--every", "daily", "-o", there)
    machine.run(["chmod", "500", there])
    miss(machine, ocm, empty)
    assert "Permission denied" in backups(ocm)["problem"]
    machine.run(["rmdir", there])
    miss(machine, ocm, empty)
    assert f"the directory {there} is not there" in backups(ocm)["problem"]


def test_an_ocm_that_is_gone_is_told(machine: Machine, ocm: Ocm, empty: str) -> None:
    ocm("backup", NAME, "--every", "daily")
    entry = f"{ocm.folder}/src/openclaw_ocm/operations/scheduled.py"
    machine.run(["mv", entry, f"{entry}.away"])
    try:
        machine.run(["bash", "-c", MISSED[empty]])
        wait_for(lambda: backups(ocm)["problem"] is not None, PATIENCE_SECONDS, "problem")
        assert "ended with exit" in backups(ocm)["problem"]
        assert ocm("health", check=False).returncode == 1
    finally:
        machine.run(["mv", f"{entry}.away", entry])
    miss(machine, ocm, empty)
    assert backups(ocm)["problem"] is None


def test_a_timer_that_is_gone_is_mended_by_doctor_and_not_by_itself(
    machine: Machine, ocm: Ocm, empty: str
) -> None:
    ocm("backup", NAME, "--every", "Mon 03:00")
    paths = {
        "systemd": f"{HOME}/.config/systemd/user/{TIMER}",
        "supervisord": f"{HOME}/.config/ocm/supervisord/schedules/{NAME}.toml",
    }
    text = machine.read(paths[empty])
    for damage in (["rm"], ["sed", "-i", "s/03:00/04:00/"]):
        machine.run([*damage, paths[empty]])
        assert paths[empty] in ocm("status", NAME).stdout
        assert "fixed:" in ocm("doctor", "--fix", "--yes", check=False).stdout
        assert machine.read(paths[empty]) == text
        assert "drift" not in ocm("status", NAME).stdout
        assert backups(ocm)["next"] is not None


def test_what_cannot_be_a_time_is_refused_and_nothing_is_written(
    ocm: Ocm, machine: Machine, empty: str
) -> None:
    for every in ("25:00", "daily%n", "daily\nExecStart=/bin/true", "2020-01-01", "", "--help"):
        refused = ocm("backup", NAME, f"--every={every}", check=False)
        assert (refused.returncode, refused.stderr.count("\n") <= 2) == (2, True), refused
    expression = ocm("backup", NAME, "--every", "Mon *-*-* 03:00 UTC", check=False)
    assert expression.returncode == (0 if empty == "systemd" else 2)
    ocm("backup", NAME, "--every", "never")
    assert timers(machine) == []


def test_openclaws_own_tools_take_no_backup_for_a_gateway(ocm: Ocm, backend: str) -> None:
    if backend == "supervisord":
        return
    ocm("create", "gateway", "backup-worker1")
    ocm("backup", "--all", "--every", "daily")
    found = json.loads(
        ocm.machine.run(
            ["openclaw", "--profile", NAME, "gateway", "status", "--deep", "--json"], check=False, timeout=120
        ).stdout
    )
    units = [service["label"] for service in found.get("extraServices", [])]
    assert not [unit for unit in units if unit.startswith("ocm-backup")], units
    ocm("delete", "gateway", "backup-worker1", "--yes")
    assert backups(ocm)["problem"] is None


def test_time_is_kept_after_a_restart_of_the_machine(machine: Machine, ocm: Ocm, empty: str) -> None:
    ocm("backup", NAME, "--every", "daily")
    machine.run(["bash", "-c", f"{OLD[empty]}; sync"])
    machine.reboot()
    if empty == "supervisord":
        # It starts with `ocm supervise` or the first instance that does.
        assert backups(ocm)["problem"] == "nothing makes the scheduled backups"
        assert ocm("health", check=False).returncode == 1
        assert "does not make the scheduled backups" in ocm("doctor", check=False).stdout
        ocm("doctor", "--fix", "--yes", check=False)
    wait_for(lambda: ended(ocm) > 0, PATIENCE_SECONDS, "run that makes up for those that were missed")
    assert len(archives(machine)) == 1
    assert backups(ocm)["problem"] is None


@pytest.fixture
def registry(machine: Machine) -> Iterator[Callable[[str], None]]:
    """Have a stand-in for npm's registry, and return what has it say which version is the newest."""
    machine.run(["mkdir", REGISTRY])
    serving = machine.popen(["python3", "-c", SERVE])
    assert serving.stdout is not None
    port = int(serving.stdout.readline())
    # A machine may have one of its own.
    machine.run(["bash", "-c", "cd; [ ! -e .npmrc ] || mv .npmrc .npmrc-before"])
    machine.write(f"{HOME}/.npmrc", f"registry=http://127.0.0.1:{port}/\n")

    def tell(newest: str) -> None:
        versions = {
            version: {"name": "openclaw", "version": version, "engines": {"node": NODE_RANGE}}
            for version in (OPENCLAW_VERSION, BROKEN, GOOD)
        }
        said = {"name": "openclaw", "dist-tags": {"latest": newest}, "versions": versions}
        machine.write(f"{REGISTRY}/openclaw", json.dumps(said))

    yield tell
    kill_group(serving)
    machine.run(["rm", "-r", REGISTRY, f"{HOME}/.npmrc", f"{HOME}/.local/state/ocm/newest"])
    machine.run(["bash", "-c", "cd; [ ! -e .npmrc-before ] || mv .npmrc-before .npmrc"])


def upgrades(ocm: Ocm) -> dict[str, Any]:
    """Return what status says of scheduled upgrades."""
    found: dict[str, Any] = answer(ocm, "status", NAME)["results"][0]["upgrades"]
    return found


def upgrade_now(machine: Machine, ocm: Ocm, backend: str) -> dict[str, Any]:
    """Have the time of an upgrade missed, and return what became of the one that makes up for it."""
    before = upgrades(ocm)["last"]
    script = MISSED[backend].replace("ocm-backup-", "ocm-upgrade-").replace("/timers;", "/upgrade-timers;")
    machine.run(["bash", "-c", script])
    wait_for(lambda: upgrades(ocm)["last"] != before, 2 * PATIENCE_SECONDS, "scheduled upgrade")
    found: dict[str, Any] = upgrades(ocm)["last"]
    return found


def test_an_upgrade_comes_by_itself_and_one_that_failed_is_not_tried_again(
    machine: Machine, ocm: Ocm, empty: str, registry: Callable[[str], None]
) -> None:
    package = f"{HOME}/.local/share/ocm/runtimes/{BROKEN}/lib/node_modules/openclaw"
    stated = {"name": "openclaw", "version": BROKEN, "engines": {"node": NODE_RANGE}}
    machine.write(f"{package}/package.json", json.dumps(stated))
    for entry in ("openclaw.mjs", "dist/index.js"):
        machine.write(f"{package}/{entry}", "throw new Error('broken');\n")
    registry(BROKEN)
    said = ocm("upgrade", NAME, "--auto", "patch", "--at", "04:30").stdout
    assert f"{NAME}: upgrades scheduled: newer ones of its month, at 04:30, next " in said
    assert upgrades(ocm)["problem"] is None
    assert not backups(ocm)
    failed = upgrade_now(machine, ocm, empty)
    assert (failed["version"], failed["refused"]) == (BROKEN, BROKEN)
    assert "does not work with a copy" in upgrades(ocm)["problem"]
    row = rows(ocm)[NAME]
    assert (row["version"], row["newest"], row["outdated"]) == (OPENCLAW_VERSION, BROKEN, True)
    assert "upgrade --scheduled" in ocm("history", NAME).stdout
    assert upgrade_now(machine, ocm, empty)["error"] == failed["error"], "it is not tried again"
    add_version(machine, GOOD)
    registry(GOOD)
    taken = upgrade_now(machine, ocm, empty)
    assert (taken["version"], taken["error"], taken["refused"]) == (GOOD, None, None)
    assert (rows(ocm)[NAME]["version"], upgrades(ocm)["problem"]) == (GOOD, None)
    assert upgrades(ocm)["next"] > taken["ended"]
    ocm("rollback", NAME, "--yes")
    ocm("upgrade", NAME, "--auto", "none")
    ocm("runtime", "prune")
    assert timers(machine) == []


def test_delete_makes_a_last_backup_and_removes_the_timer_and_its_stamp(
    machine: Machine, ocm: Ocm, empty: str
) -> None:
    ocm("backup", NAME, "--every", "daily")
    miss(machine, ocm, empty)
    machine.run(["bash", "-c", f"rm {BACKUPS}/*"])
    kept = ocm("delete", NAME, "--yes").stderr
    assert f"there is no backup of {NAME}" in kept
    assert timers(machine) == []
    ocm("create", NAME, "--backend", empty)
    asked = [("Delete worker1", "y\n"), ("last backup", "\n")]
    shown = ocm.pty("delete", NAME, answers=asked)
    assert shown.returncode == 0, shown.output
    assert len(archives(machine)) == 1
    ocm("create", NAME, "--backend", empty)
