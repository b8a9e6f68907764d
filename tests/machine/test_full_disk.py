"""On a disk that is full at some point of it, a backup or a restore is refused and nothing is left of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS

from .instances import HOME, add_version, answer
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

SMALL = "/mnt/small"
# A home of its own on a small disk; what OCM installs once is in the place where it is anyway.
ENVIRONMENT = {"HOME": SMALL, "XDG_DATA_HOME": f"{HOME}/.local/share"}
KILOBYTES = (0, 8, 64, 512, 2_000, 4_000)
NAME = "cramped"
NEWER = "2026.9.77"
# Where it is told that the upgrade failed.
HISTORY = "history.jsonl"


@pytest.fixture(scope="module")
def archive(machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Give a backup of an instance with more than the databases that a new one has."""
    ocm("deploy", "worker1", "--no-inherit")
    ocm("stop", "worker1")
    # What cannot be compressed is as large in the archive.
    state = f"{HOME}/.openclaw-worker1"
    machine.run(["dd", "if=/dev/urandom", f"of={state}/workspace/large", "bs=1M", "count=4", "status=none"])
    path = str(answer(ocm, "backup", "worker1")["results"][0]["path"])
    ocm("delete", "worker1", "--yes")
    yield path
    machine.run(["rm", "-rf", f"{HOME}/backups"])


@pytest.fixture(scope="module")
def small(machine: Machine, ocm: Ocm, archive: str) -> Iterator[str]:
    """Mount a disk of 48 MB as somebody's home, who takes supervisord: systemd knows one home only."""
    machine.run(["mkdir", "-p", SMALL], user="root")
    machine.run(["mount", "-t", "tmpfs", "-o", "size=48m,uid=1000,mode=700", "small", SMALL], user="root")
    machine.write(f"{SMALL}/.config/ocm/settings.toml", 'backend = "supervisord"\n')
    yield archive
    ocm("delete", NAME, "--force", "--yes", env=ENVIRONMENT, check=False)
    machine.run(["umount", "--lazy", SMALL], user="root")


def with_free(machine: Machine, ocm: Ocm, kilobytes: int, *arguments: str) -> Result:
    """Run ocm while so much is free on the small disk.

    A gateway that cannot write may fail to close, and then sits its time out: one of 90 did (2026.9.6).
    """
    script = (
        f"cd {SMALL}; free=$(df --output=avail -k . | tail -1);"
        f" [ $free -lt {kilobytes} ] || head -c $(((free - {kilobytes}) * 1024)) /dev/zero > filler || true"
    )
    machine.run(["bash", "-c", script])
    try:
        return ocm(*arguments, env=ENVIRONMENT, check=False, timeout=STOP_TIMEOUT_SECONDS + 120)
    finally:
        machine.run(["rm", f"{SMALL}/filler"])


def files(machine: Machine, *passed: str) -> str:
    """Return every file there with its hash, and every link; what lives shorter is no matter."""
    matters = (f"! -name '{name}'" for name in ("*-shm", "*-wal", *passed))
    kept = f"-type f ! -path '*/ocm/locks/*' ! -path '*/ocm/tmp/*' ! -path '*/cache/*' {' '.join(matters)}"
    script = f"cd {SMALL}; find . {kept} -exec sha256sum {{}} + | sort -k 2; find . -type l | sort"
    return machine.run(["bash", "-c", script]).stdout


def refused(done: Result) -> None:
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in ("No space", "there is no room in", "free on the disk")), (
        done.stderr
    )


def test_a_restore_that_has_too_little_leaves_nothing(machine: Machine, ocm: Ocm, small: str) -> None:
    before = files(machine)
    for kilobytes in KILOBYTES:
        refused(with_free(machine, ocm, kilobytes, "restore", small, "--as", NAME, "--no-start"))
        assert files(machine) == before, kilobytes
    done = ocm("restore", small, "--as", NAME, "--no-start", env=ENVIRONMENT)
    assert "restored, not started" in done.stdout


def test_a_backup_that_has_too_little_leaves_nothing(machine: Machine, ocm: Ocm, small: str) -> None:
    del small
    before = files(machine)
    for kilobytes in KILOBYTES:
        refused(with_free(machine, ocm, kilobytes, "backup", NAME))
        assert files(machine) == before, kilobytes


def test_what_was_to_be_replaced_is_still_there(machine: Machine, ocm: Ocm, small: str) -> None:
    machine.write(f"{SMALL}/.openclaw-{NAME}/workspace/note", "old")
    before = files(machine)
    arguments = ("restore", small, "--as", NAME, "--replace", "--no-start")
    for kilobytes in KILOBYTES:
        refused(with_free(machine, ocm, kilobytes, *arguments))
        assert files(machine) == before, kilobytes
    # Enough for what is staged and not for the backup of what is there now.
    refused(with_free(machine, ocm, 9_000, *arguments))
    assert files(machine) == before


def test_an_upgrade_that_has_too_little_changes_nothing(machine: Machine, ocm: Ocm, small: str) -> None:
    del small
    add_version(machine, NEWER)
    before = files(machine)
    for kilobytes in (*KILOBYTES, 9_000):
        refused(with_free(machine, ocm, kilobytes, "upgrade", NAME, "--to", NEWER, "--yes"))
        assert files(machine) == before, kilobytes
    # The only one that does not lie on the small disk.
    ocm("runtime", "remove", NEWER, env=ENVIRONMENT)


def test_a_disk_that_fills_up_within_an_upgrade_is_no_loss(machine: Machine, ocm: Ocm, small: str) -> None:
    del small
    add_version(machine, NEWER)
    before = files(machine, HISTORY)
    # As soon as the record has the new version, the copy of the state is there and nothing is migrated yet.
    script = f"until grep -rqs {NEWER} {SMALL}/.config/ocm; do :; done; cat /dev/zero > {SMALL}/filler"
    filling = machine.popen(["bash", "-c", script])
    try:
        done = ocm(
            *("upgrade", NAME, "--to", NEWER, "--no-rehearsal", "--yes"),
            env=ENVIRONMENT,
            check=False,
            timeout=STOP_TIMEOUT_SECONDS + 120,
        )
        assert filling.wait(timeout=60), "no space left"
    finally:
        kill_group(filling)
        machine.run(["rm", "-f", f"{SMALL}/filler"])
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done
    assert files(machine, HISTORY) == before
    assert NEWER not in ocm("status", NAME, env=ENVIRONMENT).stdout
    ocm("runtime", "remove", NEWER, env=ENVIRONMENT)


def test_what_fills_the_disk_is_stopped(machine: Machine, ocm: Ocm, small: str) -> None:
    del small
    for which in (NAME, "--all"):
        ocm("start", NAME, env=ENVIRONMENT)
        done = with_free(machine, ocm, 0, "stop", which)
        assert (done.returncode, done.stdout) == (0, f"{NAME}: stopped\n"), done
        (row,) = json.loads(ocm("list", "--json", env=ENVIRONMENT).stdout)["results"]
        assert row["state"] == "stopped"


def test_what_fills_the_disk_is_deleted(machine: Machine, ocm: Ocm, small: str) -> None:
    del small
    ocm("start", NAME, env=ENVIRONMENT)
    done = with_free(machine, ocm, 0, "delete", NAME, "--force", "--yes")
    assert (done.returncode, done.stdout) == (0, f"{NAME}: deleted\n"), done
    assert json.loads(ocm("list", "--json", env=ENVIRONMENT).stdout)["results"] == []
