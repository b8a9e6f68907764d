"""Renames, restores and clones of real files, of instances that are not sealed and have a stand-in for Node.

What Node does to databases is tried out in the machine; the stand-in keeps what it was asked for.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import archives, hosts, samples
from tests.operations.cutting import cut_at
from tests.operations.test_backup import NAME, Instance
from tests.programs.boxed import is_alive, wait_for

from openclaw_ocm.backends.supervisord import supervisor as supervisord
from openclaw_ocm.core.backup.layout import Plugin
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.record import Schedule
from openclaw_ocm.core.sandbox.mounts import Mounted
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction
from openclaw_ocm.instances import follow as moving
from openclaw_ocm.operations import restore
from openclaw_ocm.operations.planning import twins
from openclaw_ocm.operations.planning.change import locked, recover_all
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.system import processes, runner, ufw
from openclaw_ocm.system.archive.reader import extract
from openclaw_ocm.system.files import write_file
from openclaw_ocm.system.kept.inherited import Inherited, read_inherited, write_inherited
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.volume import Directory
from openclaw_ocm.system.workspaces import copy_workspaces, survey_workspaces

if TYPE_CHECKING:
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

# One name begins with the other.
NEW, HEIR = parse_name(f"{NAME}0"), parse_name(f"heir-{os.getpid()}")
EFFORT = Effort(timeout_seconds=1)
# The steps of a rename after its commit point.
REMOVING = 8


class Killed(BaseException):
    """What stands for SIGKILL: no step is undone, and the journal stays."""


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Make an instance with files everywhere, from which another inherits; no firewall is asked."""
    monkeypatch.setattr(ufw, "observe", lambda _host: Firewall(installed=False))
    monkeypatch.setattr(supervisord.Supervisord, "check", lambda _self, **_options: None)
    made = Instance(tmp_path_factory.mktemp("home"))  # a short path: it is to hold a supervisord's socket
    made.create()
    state = str(made.paths.state)
    config = {"logging": {"file": f"{state}/log"}, "a": f"{state}00"}
    made.write("openclaw.json", format_config(config).decode())
    made.write("workspace/NOTES.md", "remember")
    Path(made.paths.scratch, "tmp", "file").write_text("temporary")
    write_inherited(made.paths, Inherited(source="main", config={}, secrets=()))
    Path(made.paths.config_link).parent.mkdir()
    Path(made.paths.config_link).symlink_to(made.paths.config)
    record = Path(made.paths.record).read_text()
    other = made.context.host.instance(HEIR)
    Path(other.record).write_text(record.replace(NAME, HEIR).replace("19001", "19021"))
    write_inherited(other, Inherited(source=NAME, config={}, secrets=()))
    made.node("")
    Path(made.home, "node").write_text(
        f"#!/bin/sh\ncat >> {made.home}/asked; echo >> {made.home}/asked; test ! -e {made.home}/refuse\n"
    )
    return made


def everything(instance: Instance) -> dict[str, str]:
    """Return all files but the stand-in's, OCM's locks and logs."""
    found = hosts.contents(instance.home)
    ignored = ("asked", "refuse", ".local/state/ocm/locks/", "backups/")
    return {path: text for path, text in found.items() if not path.startswith(ignored)}


def renamed(instance: Instance) -> Outcome:
    return rename(instance.context, NAME, NEW, EFFORT, dry_run=False)


def test_a_rename_moves_everything_and_heirs_follow(instance: Instance) -> None:
    before = everything(instance)
    told = rename(instance.context, NAME, NEW, EFFORT, dry_run=True)
    assert everything(instance) == before
    done = renamed(instance)
    assert done.steps == told.steps
    assert done.message == f"is now {NEW}"
    after = everything(instance)
    assert not [path for path in after if NAME in path.replace(NEW, "")]
    moved = {path.replace(NAME, NEW): text for path, text in before.items()}
    assert {*moved} - {*after} == set()
    state = instance.context.host.instance(NEW).state
    config = json.loads(after[f".openclaw-{NEW}/openclaw.json"])
    assert config == {"logging": {"file": f"{state}/log"}, "a": f"{instance.paths.state}00"}
    assert after[f".openclaw-{NEW}/workspace/NOTES.md"] == "remember"
    assert after[f".config/ocm/secrets/{NEW}.env"] == "ONE_API_KEY=sk-PLANTED\n"
    inherited = read_inherited(instance.context.host.instance(HEIR))
    assert inherited is not None
    assert inherited.source == NEW
    (asked,) = (json.loads(line) for line in (instance.home / "asked").read_text().splitlines() if line)
    pairs = [[str(instance.paths.state), str(state)], [f"~/.openclaw-{NAME}", f"~/.openclaw-{NEW}"]]
    assert asked == {"pairs": pairs, "back": False, "restored": False}


def test_a_rename_says_which_programs_name_the_old_path(instance: Instance) -> None:
    assert not [note for note in renamed(instance).notes if "old path" in note]
    state = Path(instance.context.host.instance(NEW).state)
    for place in ("pipx/venvs/black", "uv/tools/httpie"):
        (state / "programs" / place).mkdir(parents=True)
        (state / "programs" / place / "pyvenv.cfg").write_text("home = /usr/bin")
    done = rename(instance.context, NEW, NAME, EFFORT, dry_run=False)
    assert (
        f"what uv and pipx installed names its old path: ocm enter {NAME}, and there uv tool list | "
        f"sed -n 's/ v.*//p' | xargs -n 1 uv tool install --force --reinstall; pipx reinstall-all"
    ) in done.notes


def steps_of_rename(instance: Instance) -> int:
    return len(rename(instance.context, NAME, NEW, EFFORT, dry_run=True).steps)


@pytest.mark.parametrize("after", [True, False])
def test_a_rename_that_fails_at_any_step_gives_the_old_name_back(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    before = everything(instance)
    commit = steps_of_rename(instance) - REMOVING
    for count in range(1, commit + 1):
        with monkeypatch.context() as patched:
            cut_at(patched, count, KeyboardInterrupt, after=after)
            with pytest.raises(KeyboardInterrupt):
                renamed(instance)
        assert everything(instance) == before, count


@pytest.mark.parametrize("after", [True, False])
def test_a_rename_that_was_killed_is_undone_or_finished_by_the_next_command(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    before = everything(instance)
    count = steps_of_rename(instance)
    said = []
    for number in range(1, count + 1):
        with monkeypatch.context() as patched:
            cut_at(patched, number, Killed, after=after)
            patched.setattr(transaction, "undo", killed)
            with pytest.raises(Killed):
                renamed(instance)
        with locked(instance.context, NEW) as sentence:
            said.append(str(sentence).rpartition(" ")[2])
        if said[-1] == "undone":
            assert everything(instance) == before, number
        else:
            assert not [path for path in everything(instance) if NAME in path.replace(NEW, "")], number
            break
    assert said == [*["undone"] * (count - REMOVING), "finished"]


def killed(*_arguments: object, **_options: object) -> None:
    raise Killed


def test_a_database_that_cannot_follow_undoes_the_rename(instance: Instance) -> None:
    before = everything(instance)
    (instance.home / "refuse").touch()
    with pytest.raises(OcmError) as caught:
        renamed(instance)
    assert caught.value.exit_code == 4, "the stand-in refuses the way back as well"
    (instance.home / "refuse").unlink()
    assert recover_all(instance.context) == (f"an interrupted rename of {NAME} was undone",)
    assert everything(instance) == before


def test_a_database_that_takes_for_ever_keeps_nobody_from_going_on(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(instance.home, "node").write_text("#!/bin/sh\nexec sleep 600\n")
    before = everything(instance)
    monkeypatch.setattr(moving, "_START_SECONDS", 0.3)
    with pytest.raises(OcmError) as caught:
        renamed(instance)
    assert (caught.value.code, caught.value.exit_code) == ("timeout", 1)
    assert caught.value.message == f"the databases of {NEW} did not follow within 0 s"
    assert [said for said in instance.said if "follow" in said] == [
        "have its databases follow, for 0 s at the most"
    ] * 2
    assert everything(instance) == before
    with locked(instance.context, HEIR) as recovered:
        assert recovered is None


def test_the_time_that_databases_have_to_follow_is_by_their_size(instance: Instance) -> None:
    for path in ("state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite"):
        instance.write(path, "x" * 30_000_000)
    with (instance.state / "state" / "holes.sqlite").open("wb") as file:
        file.truncate(2**40)
    Path(instance.state, "agents", "out").symlink_to(instance.state)
    Path(instance.state, "agents", "main", "agent", "pipe.sqlite").symlink_to(
        instance.state / "openclaw.json"
    )
    instance.write("workspace/large", "x" * 1_000_000)
    renamed(instance)
    assert "have its databases follow, for 120 s at the most" in instance.said


def test_a_person_need_not_wait_for_databases_that_take_for_ever(instance: Instance) -> None:
    """Ctrl-C ends what runs in the sandbox, undoes all and gives the lock up."""
    began = instance.home / "began"
    once = f"if [ ! -e {began} ]; then echo $$ > {began}; exec sleep 600; fi"
    Path(instance.home, "node").write_text(f"#!/bin/sh\n{once}\n")
    before = everything(instance)
    waiter = threading.Thread(target=interrupt_once, args=(began,))
    waiter.start()
    with pytest.raises(KeyboardInterrupt):
        renamed(instance)
    waiter.join()
    held = int(began.read_text())
    # Whoever inherited it may not have reaped it yet.
    wait_for(lambda: not is_alive(held), "the end of what held the databases")
    began.unlink()
    assert everything(instance) == before
    with locked(instance.context, NAME) as recovered:
        assert recovered is None


def interrupt_once(path: Path) -> None:
    while not (path.exists() and path.read_text() and is_waited_for()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def is_waited_for() -> bool:
    """Tell whether the main thread waits for what a program prints.

    While it is still about to start it, the program is nobody's: it writes before Popen() has returned.
    """
    main = sys._current_frames()[threading.main_thread().ident or 0]
    return any(frame.f_code is runner._read_lines.__code__ for frame, _ in traceback.walk_stack(main))


def archive_of(
    instance: Instance,
    *,
    secrets: bytes = archives.SECRET,
    inherited: bytes | None = None,
    config: bytes | str = b"{}",
    plugins: tuple[Plugin, ...] = (),
) -> Path:
    made = instance.home / "backups" / "a.tar.gz"
    made.parent.mkdir(exist_ok=True)
    header = msgspec.structs.replace(archives.HEADER, name=NAME, state=f"/home/ann/.openclaw-{NAME}")
    return archives.write_archive(
        made,
        {"state": None, "state/openclaw.json": config, "state/new": b"new", "state/up": "new"},
        header=header,
        record=Path(instance.paths.record).read_bytes(),
        secrets=secrets,
        inherited=inherited,
        plugins=plugins,
    )


def replaced(instance: Instance, archive: Path) -> Outcome:
    request = RestoreRequest(archive=PurePosixPath(archive), name=NAME, replace=True, start=False)
    return restore.restore(instance.context, restore.name_of(request), request, EFFORT, dry_run=False)


def test_what_is_replaced_is_backed_up_and_gone_and_the_record_stays(instance: Instance) -> None:
    record = Path(instance.paths.record).read_text()
    done = replaced(instance, archive_of(instance))
    after = everything(instance)
    assert {path for path in after if path.startswith(f".openclaw-{NAME}/")} == {
        f".openclaw-{NAME}/{name}" for name in ("openclaw.json", "new", "up")
    }
    assert after[f".config/ocm/secrets/{NAME}.env"].endswith("ONE_API_KEY=sk-PLANTED\n")
    assert read_inherited(instance.paths) is None
    assert Path(instance.paths.record).read_text() == record
    config = json.loads(after[f".openclaw-{NAME}/openclaw.json"])
    assert (config["gateway"]["port"], config["gateway"]["bind"]) == (19001, "loopback")
    assert (
        f"{NAME} runs without a sandbox: what is in the archive can do there all that you can" in done.notes
    )
    backed_up = next(note for note in done.notes if "what was replaced is in" in note).rpartition(" ")[2]
    # A backup has the second in its name, and the next one comes within the same.
    replaced(instance, Path(backed_up).rename(instance.home / "backups" / "b.tar.gz"))
    assert Path(instance.paths.workspace, "NOTES.md").read_text() == "remember"
    assert not [path for path in everything(instance) if path.endswith(".ocm") or ".ocm-" in path]


@pytest.mark.parametrize("config", [b"{ broken", "new"])
def test_without_a_usable_config_the_rest_comes_back_and_is_not_started(
    instance: Instance, config: bytes | str
) -> None:
    archive, before = archive_of(instance, config=config), everything(instance)
    request = RestoreRequest(archive=PurePosixPath(archive), name=NAME, replace=True)
    with pytest.raises(OcmError, match=r"openclaw\.json (in the archive )?is ") as caught:
        restore.restore(instance.context, NAME, request, EFFORT, dry_run=False)
    assert (caught.value.code, caught.value.exit_code) == ("archive_invalid", 1)
    assert str(caught.value.hint).startswith("--no-start restores the rest")
    assert everything(instance) == before
    done = replaced(instance, archive)
    after = everything(instance)
    assert after[f".openclaw-{NAME}/new"] == "new"
    assert after[f".openclaw-{NAME}/openclaw.json"] == (
        f"-> {config}" if isinstance(config, str) else config.decode()
    )
    assert any(f"before ocm start {NAME} mend {instance.paths.config}" in note for note in done.notes)


def damage(instance: Instance, kind: str) -> None:
    """Damage an instance so that no backup can be made of it."""
    config = instance.state / "openclaw.json"
    if kind == "broken":
        config.write_text("{ broken")
    elif kind == "missing":
        config.unlink()
    elif kind == "database":
        instance.write("state/openclaw.sqlite", "SQLite format 3\0" + "x" * 5000)
    elif kind == "empty":
        instance.write("state/openclaw.sqlite", "")
    elif kind == "link":
        instance.state.rename(instance.home / "disk")
        instance.state.symlink_to(instance.home / "disk")
    else:
        instance.state.rename(instance.home / "disk")


def test_plugins_that_no_backup_holds_are_told_with_what_installs_them(instance: Instance) -> None:
    there = Plugin(name="there", package="there", path="workspace")
    discord = Plugin(name="discord", package="@openclaw/discord", path="npm/projects/x/node_modules/discord")
    done = replaced(instance, archive_of(instance, plugins=(there, discord)))
    command = f"ocm use {NAME} plugins install @openclaw/discord"
    assert [note for note in done.notes if "plugin" in note] == [
        f"the plugin discord is in no backup, and not installed: {command}"
    ]


@pytest.mark.parametrize("kind", ["broken", "missing", "database", "empty", "link", "gone"])
def test_what_is_too_damaged_for_a_backup_is_set_aside_as_it_is(instance: Instance, kind: str) -> None:
    damage(instance, kind)
    before = everything(instance)
    done = replaced(instance, archive_of(instance))
    (told,) = (note for note in done.notes if "what was replaced" in note)
    after = everything(instance)
    assert after[f".openclaw-{NAME}/new"] == "new"
    aside = next(path.name for path in instance.home.glob(f".openclaw-{NAME}.replaced-*"))
    assert f"in {instance.home / aside}, and in no backup: " in told
    assert (instance.home / aside).stat().st_mode & 0o777 == 0o700
    kept = {path.removeprefix(f"{aside}/"): text for path, text in after.items() if path.startswith(aside)}
    own = {f"{name}": text for name, text in kept.items() if not name.startswith("state")}
    assert own == {
        "record.toml": before[f".config/ocm/instances/{NAME}.toml"],
        "secrets.env": before[f".config/ocm/secrets/{NAME}.env"],
        "inherited.json": before[f".config/ocm/inherited/{NAME}.json"],
    }
    state = f".openclaw-{NAME}"
    assert {name: text for name, text in kept.items() if name not in own} == {
        path.replace(state, "state", 1): text for path, text in before.items() if path.startswith(state)
    }
    assert not [path for path in after if path.endswith(".ocm") or ".ocm-" in path]


def test_what_is_whole_and_cannot_be_removed_is_set_aside_too(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = Mounted(point=instance.paths.workspace, kind="ext4")
    monkeypatch.setattr(processes, "mounts", lambda _pid: (mounted,))
    done = replaced(instance, archive_of(instance))
    assert any(f"something is mounted at {instance.paths.workspace}" in note for note in done.notes)
    (aside,) = instance.home.glob(f".openclaw-{NAME}.replaced-*")
    assert (aside / "state" / "workspace" / "NOTES.md").read_text() == "remember"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OcmError("too little", code="no_space")]
)
def test_what_the_disk_has_no_room_to_back_up_is_not_replaced(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_arguments: object) -> None:
        raise error

    before, archive = everything(instance), archive_of(instance)
    monkeypatch.setattr(restore, "backup_locked", refuse)
    with pytest.raises(OcmError, match="cannot be backed up before it is replaced") as caught:
        replaced(instance, archive)
    assert caught.value.code == "no_space"
    assert everything(instance) == before


def test_a_state_that_is_a_disk_of_its_own_is_not_replaced(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, archive = everything(instance), archive_of(instance)
    mounted = Mounted(point=instance.paths.state, kind="ext4")
    monkeypatch.setattr(processes, "mounts", lambda _pid: (mounted,))
    with pytest.raises(OcmError, match="something is mounted at") as caught:
        replaced(instance, archive)
    assert caught.value.code == "not_removable"
    assert everything(instance) == before


@pytest.mark.parametrize(("how", "damaged"), [(KeyboardInterrupt, False), (Killed, False), (Killed, True)])
def test_a_restore_that_fails_or_is_killed_at_any_step_leaves_the_old_or_the_new(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, how: type[BaseException], *, damaged: bool
) -> None:
    if damaged:
        damage(instance, "broken")
    archive = archive_of(instance)
    before = everything(instance)
    outcomes = []
    for number in range(1, 100):
        for made in instance.home.glob(f"backups/{NAME}-*"):
            made.unlink()
        with monkeypatch.context() as patched:
            counted = cut_at(patched, number, how, after=True)
            if how is Killed:
                patched.setattr(transaction, "undo", killed)
            with contextlib.suppress(how):
                replaced(instance, archive)
        recover_all(instance.context)
        left = everything(instance)
        assert not [path for path in left if path.endswith((".jsonl", ".ocm")) or ".ocm-" in path], number
        outcomes.append(left == before)
        if left != before:
            assert f".openclaw-{NAME}/new" in left
            assert f".openclaw-{NAME}/workspace/NOTES.md" not in left
            aside = [path for path in left if f".openclaw-{NAME}.replaced-" in path]
            assert any(path.endswith("/state/workspace/NOTES.md") for path in aside) is damaged
            break
        assert counted() == number
    assert len(outcomes) > 5
    assert outcomes[-1] is False


@pytest.mark.parametrize(
    ("source", "kept", "told"),
    [
        ("main", "main", None),
        (HEIR, "", f"{NAME} inherited from {HEIR}, and does not now"),
        ("../../x", "", None),
        (NAME, None, None),
    ],
    ids=["main", "heir", "path", "itself"],
)
def test_an_archive_does_not_say_from_where_its_instance_inherits(
    instance: Instance, source: str, kept: str | None, told: str | None
) -> None:
    text = {"version": 1, "source": source, "config": {}, "secrets": ["ONE_API_KEY"]}
    done = replaced(instance, archive_of(instance, inherited=json.dumps(text).encode()))
    inherited = read_inherited(instance.paths)
    assert (None if inherited is None else inherited.source) == kept
    notes = [note for note in done.notes if "inherit" in note]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]
    assert told is None or f"ocm sync {NAME} --inherit-from {HEIR}" in notes[0]


def test_secrets_that_steer_programs_do_not_come_out_of_an_archive(instance: Instance) -> None:
    hostile = b"LD_PRELOAD=/x.so\nNODE_OPTIONS=--require=/x\nONE_API_KEY=sk-PLANTED\n"
    done = replaced(instance, archive_of(instance, secrets=hostile))
    assert read_secrets(instance.paths) == {"ONE_API_KEY": "sk-PLANTED"}
    assert "left out of the secrets, for they steer programs: LD_PRELOAD, NODE_OPTIONS" in done.notes


def test_a_secret_is_in_no_plan_of_a_restore(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    journals: list[str] = []
    real = apply.apply_step

    def step(context: Context, one: Step) -> None:
        journals.extend(path.read_text() for path in Path(context.host.paths.transactions).iterdir())
        real(context, one)

    monkeypatch.setattr(transaction, "apply_step", step)
    done = replaced(instance, archive_of(instance))
    assert len(journals) > 5
    assert not any("PLANTED" in text for text in (*journals, *done.steps, *done.notes))


def test_a_port_that_is_taken_is_another_and_told(instance: Instance) -> None:
    archive = archive_of(instance)
    contents = extract(PurePosixPath(archive), PurePosixPath(instance.home / "out"), free_bytes=2**30)
    request = RestoreRequest(archive=PurePosixPath(archive), name=NEW)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(restore, "runtime_of", lambda *_words: samples.record().runtime)
        patched.setattr(processes, "can_bind", lambda _port: True)
        made, notes = restore._planned(instance.context, NEW, contents, request)
    record = made.record
    assert record.port not in (19001, 19021)
    assert (record.sealed, record.docker, record.expose) == (True, False, ())
    assert f"{NEW} gets {record.port}" in "".join(notes)
    assert f"same device as {NAME}" in "".join(notes)


def test_a_schedule_that_is_not_taken_over_is_told_with_where_to_and_for_whose_eyes() -> None:
    key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    daily = Schedule(every="Mon 03:00", repository="sftp:ann@nas:/x", exclude=("*.img",))
    assert restore._again(NEW, daily) == (
        f"ocm backup {NEW} --every 'Mon 03:00' --to sftp:ann@nas:/x --exclude '*.img'"
    )
    kept = Schedule(every="daily", directory="/mnt/disk", encrypt_to=(key,))
    assert (
        restore._again(NEW, kept) == f"ocm backup {NEW} --every daily --output /mnt/disk --encrypt-to {key}"
    )


def test_workspaces_are_copied_whole(instance: Instance) -> None:
    workspace = instance.state / "workspace"
    (workspace / "deep" / "er").mkdir(parents=True)
    (workspace / "deep" / "er" / "run").write_text("#!/bin/sh")
    (workspace / "deep" / "er" / "run").chmod(0o755)
    (workspace / "latest").symlink_to("deep/er/run")
    (workspace / "absolute").symlink_to(workspace / "NOTES.md")
    (workspace / "out").symlink_to("/etc/passwd")
    (workspace / "up").symlink_to("../../.ssh")
    os.mkfifo(workspace / "pipe")
    with (workspace / "disk.img").open("wb") as file:
        file.truncate(2**33)
    (instance.state / "projects" / "app").mkdir(parents=True)
    (instance.state / "projects" / "app" / "Cargo.lock").write_text("locked")
    (instance.state / "projects" / "other").write_text("not copied")
    (instance.state / "workspace-second").mkdir()
    (instance.state / "workspace-second" / "file").write_text("second")
    (instance.state / "state").mkdir()
    (instance.state / "state" / "openclaw.sqlite").write_text("identity")
    target = instance.home / ".openclaw-copy"
    target.mkdir()
    selection = Selection(state=instance.paths.state, workspaces=frozenset({"projects/app"}))
    for _time in range(2):
        with Directory(instance.paths.state).opened() as state:
            copy_workspaces(state.walk(selection), selection, PurePosixPath(target))
        image = target / "workspace" / "disk.img"
        assert (image.stat().st_size, image.stat().st_blocks) == (2**33, 0)
        image.unlink()
        assert hosts.contents(target) == {
            "projects/app/Cargo.lock": "locked",
            "workspace/NOTES.md": "remember",
            "workspace/absolute": "-> ../workspace/NOTES.md",
            "workspace/deep/er/run": "#!/bin/sh",
            "workspace/latest": "-> deep/er/run",
            "workspace/out": "-> /etc/passwd",
            "workspace/up": "-> ../../.ssh",
            "workspace-second/file": "second",
        }
    assert (target / "workspace" / "deep" / "er" / "run").stat().st_mode & 0o777 == 0o700
    with Directory(instance.paths.state).opened() as state:
        left_out = survey_workspaces(state.walk(selection), selection, 2**20)
    assert left_out == ("left out of the workspace: 1 sockets, pipes and devices",)


@pytest.mark.slow
def test_a_schedule_is_moved(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    timers = instance.context.backend.timers()
    try:
        asked = Asked(every="Mon 03:00", keep={"last": 9}, given={})
        set_schedule(instance.context, NAME, asked, dry_run=False)
        write_file(instance.paths.last_backup, b"{}")
        with monkeypatch.context() as patched:
            cut_at(patched, steps_of_rename(instance) - REMOVING, KeyboardInterrupt, after=True)
            with pytest.raises(KeyboardInterrupt):
                renamed(instance)
        assert timers.known() == (NAME,)
        assert timers.observe([NAME])[NAME].active
        renamed(instance)
        assert timers.known() == (NEW,)
        assert timers.observe([NEW])[NEW].active
        backups = read_record(instance.context.host.paths, NEW).backups
        assert backups is not None
        assert (backups.every, backups.keep.last) == ("Mon 03:00", 9)
        assert not Path(instance.paths.last_backup).exists()
    finally:
        timers.clear([NAME, NEW])
        instance.context.backend.remove([NAME, NEW])


def test_what_has_the_bot_of_another_replaces_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = frozenset({"a hash"})
    monkeypatch.setattr(restore, "bots_in", lambda *_: bot)
    monkeypatch.setattr(twins, "pollers", lambda _host: {"other": bot})
    monkeypatch.setattr(restore, "pollers", lambda _host: {"other": bot})
    before = everything(instance)
    with pytest.raises(OcmError) as caught:
        replaced(instance, archive_of(instance))
    assert caught.value.code == "bot_taken"
    assert everything(instance) == before
    monkeypatch.setattr(restore, "pollers", lambda _host: {"other": bot, NAME: bot})
    assert replaced(instance, archive_of(instance)).changed
