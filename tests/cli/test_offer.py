"""`ocm deploy` without a model: on a terminal it offers to choose one, elsewhere it says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from tests.operations.kept import NAME, OTHER, keep

from openclaw_ocm.cli import frame, lifecycle, main, model
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.model import without_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operations.kept import Kept

LINE = f"ocm: {NAME} has no model: ocm model {NAME} PROVIDER/MODEL gives it one\n"


class Deployments:
    """Runs `ocm deploy` on the backend in memory, and keeps which models were chosen."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.chosen: list[tuple[str, str]] = []

    def deploy(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        obj = {"verbose": False, "debug": False}
        arguments = [*words, "--no-inherit"]
        # As below `ocm`: a command keeps the names of its option for help from its first run on.
        done = CliRunner().invoke(
            lifecycle.deploy, arguments, input=typed, obj=obj, **main.ocm.context_settings
        )
        return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployments:
    kept = keep(tmp_path, monkeypatch)
    made = Deployments(kept)

    def chosen(_ctx: object, name: InstanceName, reference: str, **_options: Any) -> int:  # noqa: ANN401 - as it has them
        made.chosen.append((name, reference))
        return 0

    monkeypatch.setattr(frame, "this_host", lambda _ctx: kept.host)
    monkeypatch.setattr(frame, "streams_are_terminals", lambda: True)
    monkeypatch.setattr(model, "_set", chosen)
    return made


def test_without_a_terminal_the_last_line_names_the_command(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "streams_are_terminals", lambda: False)
    code, out, err = deployments.deploy(NAME)
    assert (code, out) == (0, f"{NAME}: ready and sealed\n")
    assert err.endswith(LINE)
    assert deployments.chosen == []
    assert deployments.deploy(NAME)[2].endswith(LINE), "it still has none"


@pytest.mark.parametrize("words", [("--json",), ("--dry-run",)])
def test_neither_is_said_where_it_would_be_no_answer(
    deployments: Deployments, words: tuple[str, ...]
) -> None:
    code, _out, err = deployments.deploy(NAME, *words)
    assert code == 0
    assert "has no model" not in err


def test_with_a_model_nothing_is_offered(deployments: Deployments) -> None:
    code, _out, err = deployments.deploy(NAME, "--model", "openrouter/m")
    assert (code, "model" in err) == (0, False), err


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "y\n\n"])
def test_on_a_terminal_who_does_not_choose_is_told_how_to(deployments: Deployments, typed: str) -> None:
    code, _out, err = deployments.deploy(NAME, typed=typed)
    assert code == 0
    assert "Choose one now? [y/N]" in err
    assert err.endswith(LINE)
    assert deployments.chosen == []


def test_who_chooses_gets_it_after_any_number_of_slips(deployments: Deployments) -> None:
    code, _out, err = deployments.deploy(NAME, typed="y\nno model\nopenrouter/m-1\n")
    assert code == 0
    assert "'no model' is no model" in err
    assert deployments.chosen == [(NAME, "openrouter/m-1")]
    assert LINE not in err


@pytest.mark.parametrize(
    "error", [OcmError("no such provider"), click.UsageError("an empty key"), click.Abort()]
)
def test_a_choice_that_fails_does_not_make_a_failure_of_the_deploy(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_arguments: object, **_options: object) -> int:
        raise error

    monkeypatch.setattr(model, "_set", fails)
    code, _out, err = deployments.deploy(NAME, typed="y\nopenrouter/m-1\n")
    assert code == 0
    assert isinstance(error, click.Abort) or f"ocm: {error}" in err or f": {error}" in err
    assert err.endswith(LINE)


def test_yes_is_no_answer_to_that(deployments: Deployments) -> None:
    code, _out, err = deployments.deploy(NAME, "--yes")
    assert (code, "Choose one" in err) == (0, False)
    assert err.endswith(LINE)


def test_of_one_that_cannot_be_read_nothing_is_said(deployments: Deployments) -> None:
    kept = deployments.kept
    kept.create()
    kept.create(OTHER, model="openrouter/m")
    assert without_model(kept.host, (NAME, OTHER, InstanceName("nobody"))) == (NAME,)


def test_each_that_was_deployed_is_asked_after_the_offers_whatever_became_of_the_others(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    third, asked = InstanceName("third"), list[InstanceName]()

    def prepare(_context: object, name: InstanceName) -> None:
        asked.append(name)
        raise OcmError(f"nobody can ask {name}")

    monkeypatch.setattr("openclaw_ocm.operations.check.prepare", prepare)
    deployments.kept.world.refused.add(OTHER)
    _code, _out, err = deployments.deploy(NAME, OTHER, third, "--check", "--jobs", "1", typed="n\nn\n")
    assert asked == [NAME, third]
    assert all(f"nobody can ask {name}" in err for name in asked)
    assert err.index("Choose one now?") < err.index("nobody can ask")
    assert f"{OTHER} could not be started" in err
