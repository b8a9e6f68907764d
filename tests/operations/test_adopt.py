"""An OpenClaw that ran without OCM becomes an instance, as a copy or itself, and goes back."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.owned import BOT, KEY, PID, PORT, TOKEN, Owned

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Listener
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import adoption
from openclaw_ocm.operations.planning import adoption as planning
from openclaw_ocm.operations.port import move_port
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw import own_state

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from tests.operations.kept import Kept

    from openclaw_ocm.system.host import Host

WORK, COPY = parse_name("work"), parse_name("work-copy")


def config_of(state: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((state / "openclaw.json").read_text())
    return found


def test_a_copy_of_a_profile_is_an_instance_and_leaves_it_as_it_was(owned: Owned) -> None:
    before = owned.tree()
    outcome = owned.adopt("work")
    assert outcome.name == COPY
    assert outcome.message.startswith("made of a copy of the profile work, on port ")
    assert outcome.message.endswith("ready and sealed")
    assert owned.tree() == before
    paths = owned.kept.paths(COPY)
    assert Path(paths.state, "workspace/said").read_text() == "before"
    assert Path(paths.state, "workspace/link").readlink() == Path("said")
    assert not Path(paths.state, "tmp").exists()
    assert not Path(paths.state, ".env").exists()
    assert not Path(paths.state, "credentials/creds.json").exists()
    config = config_of(Path(paths.state))
    assert "channels" not in config
    assert config["cron"] == {"enabled": False}
    assert config["gateway"]["bind"] == "loopback"  # type: ignore[index]
    assert config["gateway"]["auth"]["token"] != TOKEN  # type: ignore[index]
    assert config["agents"]["defaults"]["workspace"] == str(paths.workspace)  # type: ignore[index]
    assert read_secrets(paths) == {"ENV_API_KEY": "sk-owned-dotenv-2222", "FAKE_API_KEY": KEY}
    with sqlite3.connect(f"file:{paths.state}/state/openclaw.sqlite?mode=ro", uri=True) as database:
        assert database.execute("select count(*) from cron_jobs").fetchone() == (1,)
    assert any("is a copy, without channels" in note for note in outcome.notes)
    assert "left out, for their logins may be in one place alone: telegram" in outcome.notes


def test_of_a_copy_nothing_but_the_copy_goes_back(owned: Owned) -> None:
    files = owned.kept.files()
    owned.adopt("work")
    outcome = owned.unadopt(COPY)
    assert outcome.message == "deleted, a copy: the profile work is as it was"
    assert owned.kept.files() == files


def test_a_dry_run_tells_all_and_changes_nothing(owned: Owned) -> None:
    files = owned.kept.files()
    for move in (False, True):
        outcome = owned.adopt("work", dry_run=True, move=move)
        assert not outcome.changed
        assert owned.kept.files() == files
        assert "gateway.bind" in outcome.changes[0]
    said = "\n".join((*outcome.steps, *outcome.changes, *outcome.notes))
    assert "have openclaw-gateway-work.service be stopped, disabled and set aside" in said
    assert "secrets of work: ENV_API_KEY, FAKE_API_KEY" in said
    for secret in (KEY, TOKEN, BOT, "sk-owned-dotenv-2222"):
        assert secret not in said


def test_a_profile_that_is_moved_is_the_instance_of_its_name_on_its_port(owned: Owned) -> None:
    outcome = owned.adopt("work", move=True)
    assert outcome.message == f"the profile work is work now, on port {PORT}, ready and sealed"
    paths = owned.kept.paths(WORK)
    assert (owned.runs, owned.enabled, owned.unit_file.exists()) == (False, False, False)
    record = owned.kept.record(WORK)
    assert (record.port, record.autostart) == (PORT, True)
    config = config_of(owned.state)
    assert config["channels"]["telegram"]["botToken"] == BOT  # type: ignore[index]
    assert config["gateway"]["auth"]["token"] == TOKEN  # type: ignore[index]
    assert config["agents"]["defaults"]["sandbox"]["mode"] == "non-main"  # type: ignore[index]
    assert "session" not in config, "the agent goes on to know people"
    assert read_secrets(paths)["FAKE_API_KEY"] == KEY
    assert not (owned.state / ".env").exists()
    assert not [path for path in owned.kept.home.iterdir() if "incoming" in path.name]
    assert owned.kept.row(WORK).state == "ready"


def test_it_goes_back_as_it_was_with_what_was_learned(owned: Owned) -> None:
    config, unit = (owned.state / "openclaw.json").read_bytes(), owned.unit_file.read_bytes()
    owned.adopt("work", move=True)
    (owned.state / "workspace/said").write_text("since")
    outcome = owned.unadopt(WORK)
    assert outcome.message.endswith("openclaw-gateway-work.service runs again")
    assert (owned.state / "workspace/said").read_text() == "since"
    assert (owned.state / "openclaw.json").read_bytes() == config
    assert (owned.state / ".env").read_text() == "ENV_API_KEY=sk-owned-dotenv-2222\n"
    assert owned.unit_file.read_bytes() == unit
    assert (owned.runs, owned.enabled) == (True, True)
    assert WORK not in owned.kept.world.gateways or owned.kept.process(WORK).pid is None
    ours = (".config/ocm/", ".local/share/ocm/instances/")
    left = [place for place in owned.kept.files() if place.startswith(ours)]
    assert left == [".config/ocm/settings.toml"]
    assert not [path for path in owned.kept.home.iterdir() if path.name.startswith(".ocm-")]


def test_what_was_changed_in_the_config_since_stays(owned: Owned) -> None:
    owned.adopt("work", move=True)
    config = config_of(owned.state)
    config["messages"] = {"ackReaction": "ok"}
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    owned.unadopt(WORK)
    found = config_of(owned.state)
    assert found["messages"] == {"ackReaction": "ok"}
    assert found["gateway"]["bind"] == "lan"  # type: ignore[index]
    assert "discovery" not in found


def test_main_becomes_an_instance_and_main_again(main: Owned) -> None:
    main.kept.deploy()
    config = (main.state / "openclaw.json").read_bytes()
    others = {path.name for path in main.state.iterdir() if path.is_symlink()}
    with pytest.raises(OcmError, match="main needs a name"):
        main.adopt("main", move=True)
    main.adopt("main", move=True, name=WORK)
    paths = main.kept.paths(WORK)
    assert Path(paths.state, "workspace/said").read_text() == "before"
    assert {path.name for path in main.state.iterdir()} == {*others, "openclaw-work.json"}
    assert not any(Path(paths.state).glob("openclaw-*.json"))
    assert config_of(Path(paths.state))["agents"]["defaults"]["workspace"] == str(paths.workspace)  # type: ignore[index]
    Path(paths.state, "workspace/said").write_text("since")
    main.unadopt(WORK)
    assert (main.state / "openclaw.json").read_bytes() == config
    assert (main.state / "workspace/said").read_text() == "since"
    assert not Path(paths.state).exists()
    assert {path.name for path in main.state.iterdir() if path.is_symlink()} == others
    assert (main.runs, main.enabled) == (True, True)


def test_a_start_that_fails_leaves_what_ran_running(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    before = owned.tree()
    owned.kept.unproved[WORK] = ("it is open",)
    with pytest.raises(OcmError):
        owned.adopt("work", move=True)
    assert owned.tree() == before
    assert WORK not in owned.kept.world.gateways
    assert not Path(owned.kept.paths(WORK).record).exists()
    owned.kept.unproved.clear()
    owned.adopt("work", move=True)
    state = owned.kept.files()
    monkeypatch.setattr(adoption, "_PAUSE_SECONDS", 0)
    owned.broken = True
    with pytest.raises(OcmError, match="was not ready"):
        owned.unadopt(WORK)
    assert owned.kept.files() == state
    assert (owned.runs, owned.unit_file.exists()) == (False, False)
    assert owned.kept.row(WORK).state == "ready"


def test_what_no_service_started_is_not_adopted(owned: Owned) -> None:
    owned.by_hand = True
    files = owned.kept.files()
    with pytest.raises(OcmError, match=f"is used by PID {PID}, which no service of yours started") as caught:
        owned.adopt("work", move=True)
    assert caught.value.code == "adopt_running"
    assert owned.kept.files() == files
    assert owned.adopt("work").changed, "a copy may be made"


def test_two_never_poll_one_bot(owned: Owned, kept: Kept) -> None:
    state = kept.home / ".openclaw"
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps({"channels": {"telegram": {"botToken": BOT}}}))
    files = kept.files()
    with pytest.raises(OcmError, match="main has this Telegram bot already"):
        owned.adopt("work", move=True)
    assert kept.files() == files


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nobody", "there is no profile nobody"),
        ("openclaw-gateway-none.service", "no service openclaw-gateway-none.service"),
        ("./nowhere", "there is no OpenClaw at"),
        ("what is this", "is no profile, service or directory"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(owned: Owned, wanted: str, said: str) -> None:
    with pytest.raises(OcmError, match=said) as caught:
        owned.adopt(wanted)
    assert caught.value.code == "adopt_not_found"


@pytest.mark.parametrize("wanted", ["work", "openclaw-gateway-work.service", "{state}"])
def test_it_is_found_by_its_profile_its_service_and_its_place(owned: Owned, wanted: str) -> None:
    assert owned.adopt(wanted.format(state=owned.state), dry_run=True).name == COPY


def test_an_instance_is_not_adopted_nor_what_was_none_given_back(owned: Owned) -> None:
    owned.adopt("work", move=True)
    with pytest.raises(OcmError, match="is an instance already"):
        owned.adopt("work", move=True)
    owned.kept.deploy()
    with pytest.raises(OcmError, match="was not adopted"):
        owned.unadopt(next(name for name in owned.kept.world.gateways if name != WORK))


def test_what_is_kept_for_the_way_back_follows_a_new_name(owned: Owned) -> None:
    from openclaw_ocm.operations.rename import rename

    new = parse_name("play")
    owned.adopt("work", move=True)
    rename(owned.kept.context, WORK, new, owned.kept.effort(), dry_run=False)
    adopted = read_adopted(owned.kept.paths(new))
    assert adopted is not None
    assert adopted.state == str(owned.state)
    owned.unadopt(new)
    assert (owned.state / "workspace/said").read_text() == "before"
    assert (owned.runs, owned.unit_file.exists()) == (True, True)


def test_a_workspace_outside_of_the_state_stays_there_and_is_shown(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The home of a test lies in /tmp, of which no instance is shown anything.
    monkeypatch.setattr(planning, "refuse_new", lambda *_words: None)
    outside = owned.kept.home / "claw"
    outside.mkdir()
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    config["agents"]["defaults"]["workspace"] = "~/claw"
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    copied = owned.adopt("work")
    assert (
        f"{outside} is the workspace of the profile work: work-copy begins with an empty one" in copied.notes
    )
    paths = owned.kept.paths(COPY)
    assert config_of(Path(paths.state))["agents"]["defaults"]["workspace"] == str(paths.workspace)  # type: ignore[index]
    moved = owned.adopt("work", move=True)
    assert f"work is shown its workspace {outside}, to write in it" in moved.notes
    (shown,) = owned.kept.record(WORK).mounts
    assert (shown.path, shown.at, shown.writable) == (str(outside), str(outside), True)


def test_a_workspace_that_no_instance_may_see_is_refused(owned: Owned) -> None:
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    config["agents"]["defaults"]["workspace"] = "~"
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    before = owned.tree()
    with pytest.raises(OcmError, match="cannot be shown to an instance") as caught:
        owned.adopt("work", move=True)
    assert caught.value.code == "adopt_refused"
    assert owned.tree() == before


def test_a_token_in_a_variable_is_kept_as_itself(owned: Owned) -> None:
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    del config["gateway"]["auth"]
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    text = owned.unit_file.read_text().replace(
        "[Install]", f"Environment=OPENCLAW_GATEWAY_TOKEN={TOKEN}\n[Install]"
    )
    owned.unit_file.write_text(text)
    owned.adopt("work", move=True)
    assert config_of(owned.state)["gateway"]["auth"] == {"mode": "token", "token": TOKEN}  # type: ignore[index]
    assert "OPENCLAW_GATEWAY_TOKEN" not in read_secrets(owned.kept.paths(WORK))


def test_a_port_that_it_cannot_keep_is_told(owned: Owned) -> None:
    owned.kept.strangers[PORT + 3] = Listener(pid=7, command="other")
    outcome = owned.adopt("work", move=True)
    port = owned.kept.record(WORK).port
    assert port != PORT
    assert any(note.endswith(f"work gets {port}") for note in outcome.notes)
    assert config_of(owned.state)["gateway"]["port"] == port  # type: ignore[index]


def test_what_a_newer_openclaw_wrote_is_refused(owned: Owned) -> None:
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    config["meta"] = {"lastTouchedVersion": "2027.1.1"}
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    before = owned.tree()
    with pytest.raises(OcmError, match=r"was last used by OpenClaw 2027\.1\.1") as caught:
        owned.adopt("work", move=True)
    assert caught.value.hint == "ocm runtime install 2027.1.1"
    assert owned.tree() == before


def test_no_file_holds_a_key_but_where_secrets_are(
    owned: Owned,
) -> None:
    owned.adopt("work", move=True)
    places = {place for place, text in owned.kept.files().items() if KEY in text}
    assert places == {".config/ocm/secrets/work.env"}, "what is kept for the way back is in base64"
    paths = owned.kept.paths(WORK)
    assert Path(paths.adopted).stat().st_mode & 0o077 == 0
    assert Path(paths.adopted).parent.stat().st_mode & 0o077 == 0


def test_another_port_and_who_reached_it_as_an_instance_do_not_go_back(owned: Owned) -> None:
    path = owned.state / "openclaw.json"
    path.write_text(path.read_text().replace('"lan"', '"loopback"'))
    config = path.read_bytes()
    owned.adopt("work", move=True)
    move_port(owned.kept.context, WORK, 19501, owned.kept.effort(), dry_run=False)
    now = config_of(owned.state)
    assert now["gateway"]["port"] == 19501  # type: ignore[index]
    now["gateway"]["bind"] = "lan"  # type: ignore[index]
    path.write_text(json.dumps(now))
    owned.unadopt(WORK)
    assert path.read_bytes() == config


def test_without_room_for_a_copy_nothing_begins(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb, change in (("adopt", owned.take_over), ("unadopt", owned.go_back)):
        files, runs = owned.kept.files(), owned.runs
        with monkeypatch.context() as full:
            full.setattr(f"openclaw_ocm.operations.{verb}.free_bytes", lambda _path: 0)
            with pytest.raises(OcmError, match="free beside") as caught:
                change()
        assert caught.value.code == "no_space"
        assert (owned.kept.files(), owned.runs) == (files, runs)
        change()


def test_a_copy_that_is_cut_short_leaves_all_as_it_was(main: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(_host: Host, _source: PurePosixPath, target: PurePosixPath, _left_out: object) -> None:
        Path(target, "half").write_text("x")
        raise OcmError("no space left on device", code="not_kept")

    for change in (main.take_over, main.go_back):
        files, runs = main.kept.files(), main.runs
        with monkeypatch.context() as full:
            full.setattr(own_state, "copy_cold", cut_short)
            with pytest.raises(OcmError, match="no space left"):
                change()
        assert (main.kept.files(), main.runs) == (files, runs)
        change()
