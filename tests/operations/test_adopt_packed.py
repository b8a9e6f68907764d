"""An archive of an OpenClaw, or an environment of the official manager, becomes an instance; both stay."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import hosts
from tests.operations.owned import BOT, Owned, make_owned
from tests.system.foreign.test_archive import REAL, STATE, database, exported, member, packed, state_of

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction
from openclaw_ocm.operations.adopt import adopt
from openclaw_ocm.operations.planning import adoption
from openclaw_ocm.operations.planning.adoption import Request
from openclaw_ocm.operations.unadopt import unadopt
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.operations.kept import Kept

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

MINE = parse_name("mine")


@pytest.fixture(autouse=True)
def _main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "read_main_port", lambda _host: 18789)


def adopted(kept: Kept, wanted: object, *, dry_run: bool = False, **request: object) -> Outcome:
    asked = replace(Request(name=MINE), **request)  # type: ignore[arg-type]
    return adopt(kept.context, str(wanted), asked, kept.effort(), dry_run=dry_run)


def refused(kept: Kept, wanted: object, **request: object) -> OcmError:
    files = kept.files()
    with pytest.raises(OcmError) as error:
        adopted(kept, wanted, dry_run=False, **request)
    assert kept.files() == files
    return error.value


def config_of(kept: Kept) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(kept.paths(MINE).config).read_text())
    return found


def test_what_its_databases_say_of_a_workspace_follows_too(kept: Kept) -> None:
    archive = REAL["2026.7.35"]
    before, files = archive.read_bytes(), kept.files()
    done = adopted(kept, archive)
    paths = kept.paths(MINE)
    assert config_of(kept)["agents"]["defaults"]["workspace"] == f"{paths.state}/workspace-ws"
    moves = [step for step in done.steps if "/home/ann" in step]
    assert [step.partition("/home/ann")[2].split()[0] for step in moves] == ["/.openclaw", "/projects/ws"]
    assert any("made by OpenClaw 2026.7.35" in note for note in done.notes)
    assert "/home/ann/projects/ws lies in its state now, as workspace-ws" in done.notes
    unadopt(kept.context, MINE, kept.effort(), dry_run=False)
    assert (archive.read_bytes(), kept.files()) == (before, files)


def test_of_a_workspace_that_is_not_packed_nothing_is_remembered(kept: Kept, tmp_path: Path) -> None:
    agents = {"entries": {"main": {}, "b": {}, "c": {"workspace": "/srv/c"}, "d": {"workspace": "own/d"}}}
    has = member(f"{STATE}/workspace-b/x")
    archive = packed(tmp_path / "a.tgz", *state_of(config={"agents": agents}), has)
    done = adopted(kept, archive)
    state = kept.paths(MINE).state
    forgotten = [step for step in done.steps if "not-packed" in step]
    named = [step.partition("/home/ann/.openclaw/")[2].split()[0] for step in forgotten]
    assert named == ["own/d", "workspace"]
    # They come before all else follows, and what lay elsewhere and is not there does not follow at all.
    order = [step for step in done.steps if "/home/ann/.openclaw" in step]
    assert order[:2] == forgotten
    assert not [step for step in done.steps if "/srv/c" in step]
    assert "workspace of its state is not in it: the agent begins with an empty one" in done.notes
    assert config_of(kept)["agents"]["entries"]["c"]["workspace"] == f"{state}/workspace-c"


def test_its_keys_and_bots_are_those_of_its_dotenv(kept: Kept, tmp_path: Path) -> None:
    config = {
        "gateway": {"port": 19555, "auth": {"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"}},
        "channels": {"telegram": {"enabled": True, "botToken": "${TELEGRAM_BOT_TOKEN}"}},
        "models": {"key": "${LOST_API_KEY}"},
    }
    dotenv = f"TELEGRAM_BOT_TOKEN={BOT}\nOPENCLAW_GATEWAY_TOKEN=of-the-archive\n".encode()
    archive = packed(
        tmp_path / "a.tgz",
        *state_of(config=config),
        member(f"{STATE}/.env", dotenv),
        member(f"{STATE}/credentials/creds.json", b"{}"),
        member(f"{STATE}/state/openclaw.sqlite", database(tmp_path, "/home/ann/.openclaw/cron/jobs.json")),
        member(f"{STATE}/workspace/pipe", kind=tarfile.FIFOTYPE),
    )
    done = adopted(kept, archive)
    paths = kept.paths(MINE)
    assert config_of(kept)["gateway"]["port"] == 19555
    assert config_of(kept)["gateway"]["auth"]["token"] == "of-the-archive"
    assert "telegram" in config_of(kept)["channels"]
    assert Path(paths.state, "credentials/creds.json").exists()
    assert read_secrets(paths) == {"TELEGRAM_BOT_TOKEN": BOT}
    assert "its config refers to what is not in it: LOST_API_KEY; ocm secret set gives it" in done.notes
    assert "left out: 1 of sockets, pipes and devices" in done.notes
    kept_of = read_adopted(paths)
    assert kept_of is not None
    assert not kept_of.moved
    # Another instance polls with the same token by now.
    assert refused(kept, archive, name=parse_name("other")).code == "bot_taken"


def test_a_newer_one_than_is_installed_is_refused(kept: Kept, tmp_path: Path) -> None:
    config = {"meta": {"lastTouchedVersion": "2031.1.1"}}
    error = refused(kept, packed(tmp_path / "a.tgz", *state_of(config=config)))
    assert error.hint == "ocm runtime install 2031.1.1"


def test_one_that_is_not_there_is_told_as_an_archive(kept: Kept, tmp_path: Path) -> None:
    assert refused(kept, tmp_path / "none.tar.gz").code == "archive_missing"


def test_one_that_is_exchanged_for_another_meanwhile_leaves_nothing(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "a.tgz", *state_of())
    real = transaction.Transaction.staging

    def staging(self: transaction.Transaction) -> AbstractContextManager[None]:
        packed(archive, member("other", b""))
        return real(self)

    monkeypatch.setattr(transaction.Transaction, "staging", staging)
    assert "it changed while it was read" in refused(kept, archive).message


def test_a_failure_at_any_step_leaves_nothing(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "a.tgz", *state_of())
    real = apply.apply_step
    count = len(adopted(kept, archive, dry_run=True).steps)
    for failing in range(1, count - 5):
        seen = [0]

        def step(context: Context, one: Step, seen: list[int] = seen, failing: int = failing) -> None:
            seen[0] += 1
            if seen[0] == failing:
                raise OcmError("told", code="failed")
            real(context, one)

        monkeypatch.setattr(transaction, "apply_step", step)
        refused(kept, archive)


def environment(kept: Kept, name: str = "mira") -> Path:
    home = Path(kept.home, ".ocm")
    state = home / "envs" / name / ".openclaw"
    (state / "workspace").mkdir(parents=True)
    (state / "workspace" / "said").write_text("before")
    (state / "openclaw.json").write_text('{"gateway": {"mode": "local"}}')
    env = {
        "kind": "ocm-env",
        "name": name,
        "root": str(state.parent),
        "gatewayPort": 18900,
        "protected": False,
    }
    (home / "envs.json").write_text(json.dumps({"kind": "ocm-env-registry", "envs": [env]}))
    return state.parent


@pytest.mark.parametrize("move", [False, True])
def test_an_environment_of_the_official_manager_is_never_written(kept: Kept, *, move: bool) -> None:
    root = environment(kept)
    before = hosts.contents(root.parents[1])
    done = adopted(kept, root, move=move, name=None)
    assert done.name == "mira"
    name = parse_name("mira")
    assert Path(kept.paths(name).state, "workspace/said").read_text() == "before"
    assert hosts.contents(root.parents[1]) == before
    config = json.loads(Path(kept.paths(name).config).read_text())
    assert (config["gateway"]["port"] == 18900) == move
    said = unadopt(kept.context, name, kept.effort(), dry_run=False).message
    assert said == "deleted, a copy: the environment mira of the official OpenClaw manager is as it was"
    assert hosts.contents(root.parents[1]) == before


def test_all_environments_at_once_are_not_one(kept: Kept) -> None:
    root = environment(kept)
    error = refused(kept, root.parents[1])
    assert error.message == (
        f"{root.parents[1]} holds environments of the official OpenClaw manager, and one is wanted"
    )
    assert error.hint == f"ocm adopt {root.parents[1]}/envs/NAME: mira"
    (root.parents[1] / "envs.json").write_text("{")
    assert "cannot be used" in refused(kept, root).message


def test_an_export_of_the_official_manager_becomes_an_instance(kept: Kept, tmp_path: Path) -> None:
    done = adopted(kept, exported(tmp_path / "mira.ocm-env.tar"), name=None)
    assert done.name == "mira"
    assert Path(kept.paths(parse_name(done.name)).state, "agents/main/note").exists()


def test_a_state_is_found_below_its_home(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    owned: Owned = make_owned(kept, monkeypatch, "elsewhere/.openclaw")
    assert adopted(kept, owned.state.parent, dry_run=True).name == MINE
