"""`deploy --check` and `restore --check` end with `ocm check`: what they tell, on the backend in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests import samples
from tests.core.openclaw.test_turn import SAID, answer, error
from tests.operations.test_contents import Worker, worker

from openclaw_ocm.cli.check import and_check
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.result import Outcome

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

__all__ = ["worker"]
NAME = samples.NAME
DEPLOYED = Outcome(name=NAME, operation="deploy", changed=True, message="ready and sealed", notes=("a note",))


def says(worker: Worker, printed: str) -> None:
    (worker.home / "said.json").write_text(printed)
    (worker.home / "node").write_text(f"#!/bin/sh\nexec cat {worker.home}/said.json\n")


def test_what_answers_is_told_with_what_was_done(worker: Worker) -> None:
    says(worker, answer("4f5c", "exec"))
    told = and_check(worker.context, NAME, DEPLOYED)
    assert told.message.startswith("ready and sealed; a/1 answers: main in ")
    assert ", group in " in told.message
    assert (told.changed, told.notes) == (True, ("a note",))


def test_what_does_not_answer_is_an_error_and_stays(worker: Worker) -> None:
    says(worker, error(dict(reversed(SAID["errors"]))["REFUSED"]))
    before, pid = worker.files(), worker.pid
    with pytest.raises(OcmError) as caught:
        and_check(worker.context, NAME, DEPLOYED)
    assert caught.value.message == (
        f"{NAME} is there, ready and sealed, but does not answer: main: a refuses the key"
    )
    assert (caught.value.code, caught.value.exit_code) == ("provider_refuses", 1)
    assert caught.value.details[-1] == "a note"
    assert caught.value.hint == f"ocm model {NAME} a/1 --key-stdin gives it another key"
    assert worker.pid == pid
    changed = {path for path, text in worker.files().items() if before.get(path) != text}
    assert changed <= {"said.json", "node"}


def test_what_is_not_started_cannot_be_asked(ocm: Run) -> None:
    done = ocm("restore", "gone.tar.gz", "--check", "--no-start", "--json")
    assert done.returncode == 2
    (told,) = json.loads(done.stdout)["errors"]
    assert "--check and --no-start exclude each other" in told["message"]
