"""Which backends there are, and which one an instance gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from tests import hosts

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.cli.lifecycle import COMMANDS
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.context import make_context

if TYPE_CHECKING:
    from openclaw_ocm.system.host import Host

SOURCE = Path(__file__).parents[2] / "src"
# Of these an instance's objects are made and read, and nobody can choose it yet.
UNFINISHED = {"kubernetes"}
FOLDERS = {path.parent.name for path in (SOURCE / "openclaw_ocm" / "backends").glob("*/__init__.py")}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return hosts.context(tmp_path).host


def settings(host: Host, text: str) -> None:
    path = Path(host.paths.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_every_folder_is_a_backend_that_goes_by_its_name(host: Host) -> None:
    assert set(registry.BACKENDS) == FOLDERS - UNFINISHED
    for name, backend in registry.Backends(host).items():
        assert backend.name == name
        assert type(backend).__module__.startswith(f"openclaw_ocm.backends.{name}.")


def test_the_command_line_offers_every_backend() -> None:
    for command in ("create", "deploy"):
        (option,) = (option for option in COMMANDS[command].params if option.name == "backend")
        assert isinstance(option.type, click.Choice)
        assert list(option.type.choices) == list(registry.BACKENDS)


def test_a_backend_is_imported_when_it_is_asked_for() -> None:
    script = (
        "import sys; from pathlib import PurePosixPath; from types import SimpleNamespace\n"
        "from openclaw_ocm.backends.registry import Backends\n"
        "backends = Backends(SimpleNamespace())\n"
        "assert len(list(backends)) == len(backends) > 1 and 'systemd' in backends\n"
        "print(*sorted(name for name in sys.modules if name.startswith('openclaw_ocm.backends.')))\n"
        "backends['systemd']\n"
        "print(*sorted(name for name in sys.modules if name.startswith('openclaw_ocm.backends.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)},
    )
    before, after = done.stdout.splitlines()
    assert before.split() == ["openclaw_ocm.backends.registry"]
    assert "openclaw_ocm.backends.systemd.manager" in after.split()
    assert "supervisord" not in after


def test_one_host_has_one_of_each(host: Host) -> None:
    backends = registry.Backends(host)
    assert backends["supervisord"] is backends["supervisord"]


@pytest.mark.parametrize("answers", [True, False])
def test_the_choice_is_the_users_then_that_of_the_settings_then_by_the_user_manager(
    host: Host, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    monkeypatch.setattr(Systemd, "answers", lambda _self: answers)
    assert registry.chosen(host, None) == ("systemd" if answers else "supervisord")
    settings(host, 'backend = "supervisord"')
    assert registry.chosen(host, None) == "supervisord"
    assert registry.chosen(host, "systemd") == "systemd"
    context = make_context(host, lambda _phase: None, wanted="systemd")
    assert (context.backend.name, context.wanted_backend) == ("systemd", "systemd")
    context = make_context(host, lambda _phase: None)
    assert (context.backend.name, context.wanted_backend) == ("supervisord", None)


def test_a_backend_that_there_is_not_is_refused_with_what_there_is(host: Host) -> None:
    with pytest.raises(OcmError, match=r"^there is no backend upstart$") as caught:
        registry.load("upstart", host)
    assert (caught.value.code, caught.value.hint) == ("unknown_backend", "this ocm has systemd, supervisord")
    with pytest.raises(OcmError, match="there is no backend system") as caught:
        registry.Backends(host)["system"]
    assert caught.value.hint == "did you mean systemd?"
    settings(host, 'backend = "upstart"')
    with pytest.raises(OcmError, match=rf"^there is no backend upstart, which {host.paths.settings} names$"):
        assert make_context(host, lambda _phase: None).backend
