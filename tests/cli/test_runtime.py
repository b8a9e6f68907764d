"""What is typed about versions of OpenClaw, on a machine that has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.releases import NODE_VERSION

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("command", [("deploy", "worker1", "--openclaw"), ("runtime", "install")])
@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        ("newest", 2, "ocm: 'newest' is no version of OpenClaw\nocm: such as 2026.9.6, or latest, or beta\n"),
        ("../2026.9.6", 2, "is no version of OpenClaw\n"),
        ("2026.7.35", 1, "ocm: OpenClaw 2026.7.35 is too old: OCM needs 2026.8.2 or newer\n"),
    ],
)
def test_what_is_no_version_that_ocm_can_run_is_refused_first(
    ocm: Run, command: tuple[str, ...], version: str, code: int, said: str
) -> None:
    done = ocm(*command, version)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""


def test_of_several_each_is_told_for_itself(ocm: Run) -> None:
    done = ocm("runtime", "install", "newest", "2026.1.1", "--json")
    said = json.loads(done.stdout)
    assert [error["code"] for error in said["errors"]] == ["version_invalid", "openclaw_too_old"]
    assert done.returncode == 2


def test_where_there_is_none_the_list_is_empty_and_says_what_brings_one(ocm: Run) -> None:
    done = ocm("runtime", "list", PATH="/nowhere")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "there is no OpenClaw: ocm runtime install latest brings one\n"
    assert json.loads(ocm("runtime", "list", "--json", PATH="/nowhere").stdout)["results"] == []


def test_there_is_nothing_to_prune(ocm: Run) -> None:
    done = ocm("runtime", "prune")
    assert (done.returncode, done.stdout) == (0, "each OpenClaw that ocm installed is run by an instance\n")
    assert json.loads(ocm("runtime", "prune", "--json").stdout)["results"] == []


def test_what_ocm_did_not_install_it_does_not_remove(ocm: Run) -> None:
    done = ocm("runtime", "remove", "2026.9.6", "..")
    assert done.returncode == 1
    assert "ocm: OpenClaw 2026.9.6 is none that ocm installed\n" in done.stderr
    assert "ocm: OpenClaw .. is none that ocm installed\n" in done.stderr


def test_on_a_bare_machine_the_version_brings_its_node_and_no_other_openclaw(ocm: Run, home: Path) -> None:
    place = home / ".local/share/ocm"
    node = f"install Node {NODE_VERSION} into {place}/node-{NODE_VERSION}"
    version = f"install OpenClaw 2026.9.5 into {place}/runtimes/2026.9.5"
    asked = ("create", "worker1", "--openclaw", "2026.9.5")
    done = ocm(*asked, "--dry-run", "--backend", "supervisord", "--json")
    steps = json.loads(done.stdout)["results"][0]["steps"]
    assert [step.partition(" (")[0] for step in steps if step.startswith("install ")][-2:] == [node, version]
    done = ocm("runtime", "install", "2026.9.5", "--dry-run")
    assert f"2026.9.5: would {node}" in done.stdout
    assert version in done.stdout
    done = ocm(*asked)
    assert version in done.stderr
    assert done.stderr.endswith("ocm: --yes answers\n")
    done = ocm(*asked, "--no-install")
    assert "OpenClaw: 2026.9.5 is not installed here; ocm runtime install 2026.9.5" in done.stderr
    assert not place.exists()
