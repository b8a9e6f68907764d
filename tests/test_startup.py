"""What a start imports: by name and not by time, for a busy machine must not decide it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
HEAVY = {
    *("asyncio", "http", "importlib.metadata", "msgspec", "psutil", "pyjson5", "rich", "ssl", "tarfile"),
    *("backports", "compression", "curses", "pyrage", "sqlite3", "textual"),
    *("tomli", "tomli_w", "tomllib", "urllib3", "zipfile"),
}
SCRIPT = (
    "import sys; from openclaw_ocm.cli.main import main\n"
    "try:\n"
    "    status = main(sys.argv[1:])\n"
    "except SystemExit as ended:\n"
    "    status = ended.code\n"
    "print(status, *sorted(sys.modules), file=sys.stderr)"
)


def modules(tmp_path: Path, *arguments: str, **environ: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path), **environ},
    )
    status, *found = done.stderr.split()
    assert status == "0", done.stderr[:1000]
    assert done.stdout, "it answered"
    return set(found)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("completion", "zsh")], ids=" ".join)
def test_what_only_prints_text_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert modules(tmp_path, *arguments) & HEAVY == set()


@pytest.mark.parametrize(
    "command",
    [
        "create",
        "deploy",
        "expose",
        "list",
        "logs",
        "use",
        "edit",
        "update-models",
        "backup",
        "metrics",
        "top",
    ],
)
def test_the_help_of_a_command_imports_nothing_heavy(tmp_path: Path, command: str) -> None:
    assert modules(tmp_path, command, "--help") & HEAVY == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("line", ["ocm st", "ocm status w", "ocm delete --f"])
def test_completion_imports_nothing_heavy(tmp_path: Path, shell: str, line: str) -> None:
    records = tmp_path / ".config/ocm/instances"
    records.mkdir(parents=True)
    (records / "worker1.toml").touch()
    words = line.split()
    at = words[-1] if shell == "fish" else str(len(words) - 1)
    found = modules(tmp_path, _OCM_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=at)
    assert found & HEAVY == set()


def test_the_help_imports_no_command(tmp_path: Path) -> None:
    found = {name for name in modules(tmp_path, "--help") if name.startswith("openclaw_ocm")}
    assert found == {"openclaw_ocm", "openclaw_ocm.cli", "openclaw_ocm.cli.main", "openclaw_ocm.errors"}


def test_the_list_imports_nothing_to_talk_with_where_nobody_is_asked(tmp_path: Path) -> None:
    assert modules(tmp_path, "list", "--json") & {"ctypes", "xmlrpc", "urllib3"} == set()


@pytest.mark.parametrize("arguments", [("metrics",), ("notify", "check")], ids=" ".join)
def test_what_runs_every_few_minutes_imports_no_library_that_the_list_and_a_stop_do_not(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    records = tmp_path / ".config/ocm/instances"
    records.mkdir(parents=True)
    (records / "worker1.toml").write_text(
        'name = "worker1"\nport = 19001\nbackend = "supervisord"\n[runtime]\nnode = "/n"\nopenclaw = "/o"\n'
    )
    # What takes a lock may bring what a change does.
    others = modules(tmp_path, "list") | modules(tmp_path, "stop", "worker1", "--dry-run")
    there = {name.partition(".")[0] for name in others}
    assert {name.partition(".")[0] for name in modules(tmp_path, *arguments)} - there == set()


def test_the_list_imports_nothing_that_only_changes_need(tmp_path: Path) -> None:
    records = tmp_path / ".config/ocm/instances"
    records.mkdir(parents=True)
    (records / "worker1.toml").write_text(
        'name = "worker1"\nport = 19001\nbackend = "supervisord"\n[runtime]\nnode = "/n"\nopenclaw = "/o"\n'
    )
    own = {name for name in modules(tmp_path, "list") if name.startswith("openclaw_ocm.")}
    above = {name for name in own if name.startswith("openclaw_ocm.operations.planning.")}
    assert "openclaw_ocm.operations.status" in own
    for needed in ("instances.apply", "instances.transaction", "system.archive.reader"):
        assert f"openclaw_ocm.{needed}" not in own
    for needed in ("able", "adoption", "change", "drift", "repair"):
        assert f"openclaw_ocm.operations.planning.{needed}" not in above


def test_the_list_of_what_does_not_run_asks_nobody(tmp_path: Path) -> None:
    assert modules(tmp_path, "list", "--json") & {"http.client", "ssl"} == set()


def test_the_check_sees_what_a_command_imports(tmp_path: Path) -> None:
    assert {"msgspec", "openclaw_ocm.system.kept.records"} <= modules(tmp_path, "list", "--json")
