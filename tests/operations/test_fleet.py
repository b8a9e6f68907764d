"""Instances become as a fleet file describes them, by the verbs that there are, and no other is touched."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.fleet.file import Source
from openclaw_ocm.core.fleet.parse import Fleet, parse_fleet
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import fleet as operations
from openclaw_ocm.operations import fleet_changes
from openclaw_ocm.operations.fleet import bring, read_sources
from openclaw_ocm.operations.fleet_changes import Brought, Job
from openclaw_ocm.operations.fleet_export import export
from openclaw_ocm.operations.limits import set_limits
from openclaw_ocm.operations.planning.making import choose_port
from openclaw_ocm.system import secret_sources
from openclaw_ocm.system.fleet_file import read_fleet_file
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.secret_sources import read_source
from openclaw_ocm.system.ways import writable_places

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome

FILE = """
[defaults]
inherit_from = false
network = "shared"
autostart = true
backups = {{ every = "03:00" }}
[instances.{name}]
limits.memory = "2G"
environment.TZ = "Europe/Berlin"
mounts = [{{ path = "~/papers", at = "/srv/papers" }}]
secrets.SOME_API_KEY.file = "~/key"
[instances.{other}]
running = false
"""

MOUNTS = 'mounts = [{{ path = "~/papers", at = "/srv/papers" }}]'


def parsed(kept: Kept, text: str = FILE) -> Fleet:
    home = PurePosixPath(kept.home)
    (kept.home / "papers").mkdir(exist_ok=True)
    if not (kept.home / "key").exists():
        (kept.home / "key").write_text("sk-first\n")
    return parse_fleet(text.format(name=NAME, other=OTHER), home=home, folder=home)


def brought(kept: Kept, name: InstanceName, text: str = FILE, *, dry_run: bool = False) -> Outcome:
    from dataclasses import replace

    described = parsed(kept, text)
    job = Job(
        name=name,
        described=described.instances[name],
        mounts=described.mounts(name),
        read=read_sources(kept.context, described, [name]),
        brought=Brought(None, None),
        effort=kept.effort(),
        dry_run=dry_run,
        spared=tuple(one.port for one in described.instances.values() if one.port is not None),
    )
    return bring(replace(kept.context, dry_run=dry_run), job)


def test_what_is_missing_is_made_and_there_is_nothing_more_to_do(kept: Kept) -> None:
    before = kept.files()
    planned = brought(kept, NAME, dry_run=True)
    assert (planned.message, planned.changed) == ("would be made", False)
    assert planned.changes[0] == "make it"
    assert {"add secret SOME_API_KEY", "backups at 03:00", "start it"} < set(planned.changes)
    assert not any("sk-first" in text for text in (*planned.changes, *planned.steps, *planned.notes))
    assert {**kept.files(), **before} == before | {"key": "sk-first\n"}

    made = brought(kept, NAME)
    assert made.message.startswith("made, ready and sealed")
    record = kept.record(NAME)
    assert (record.limits.memory, record.autostart, record.network) == ("2G", True, "shared")
    assert [one.path for one in record.mounts] == [str(kept.home / "papers")]
    assert record.backups is not None
    assert record.backups.every == "03:00"
    assert read_secrets(kept.paths(NAME)) == {"SOME_API_KEY": "sk-first"}
    assert kept.world.gateways[NAME].pid is not None
    for dry_run in (True, False):
        again = brought(kept, NAME, dry_run=dry_run)
        assert (again.message, again.changes, again.steps) == ("as the file says", (), ())


def test_what_the_file_itself_brings_is_not_told_to_be_missing(kept: Kept) -> None:
    fal = {"id": "fal", "setup": {"providers": [{"id": "fal", "envVars": ["FAL_KEY"]}]}}
    place = ".npm-global/lib/node_modules/openclaw/dist/extensions/fal/openclaw.plugin.json"
    (kept.home / place).parent.mkdir(parents=True)
    (kept.home / place).write_text(json.dumps(fal))
    lacking = (
        f'[defaults]\ninherit_from = false\nnetwork = "shared"\nrunning = false\nmodel = "fal/m"\n'
        f"[instances.{OTHER}]\n[instances.{NAME}]\n"
    )
    told = f"it has no key for fal: ocm model {OTHER} fal/m asks for it"
    assert told in brought(kept, OTHER, lacking).notes
    notes = brought(kept, NAME, f'{lacking}secrets.FAL_KEY.file = "~/key"\n').notes
    assert "fal" not in "".join(notes)


def test_one_that_is_not_to_run_is_made_and_not_started(kept: Kept) -> None:
    assert brought(kept, OTHER).message == "made, not started"
    assert OTHER not in kept.world.gateways or kept.world.gateways[OTHER].pid is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("2G", "3G"), ("memory 2G -> 3G",)),
        (("Europe/Berlin", "Europe/Paris"), ("set TZ",)),
        (('"03:00"', '"04:00"'), ("backups at 04:00",)),
        (('backups = {{ every = "03:00" }}', ""), ("no more backups by themselves",)),
        (('mounts = [{{ path = "~/papers", at = "/srv/papers" }}]', ""), ("hide {home}/papers",)),
        (("autostart = true", ""), ("no longer start with the machine",)),
        (("[instances.{name}]", "[instances.{name}]\nrunning = false"), ("stop it",)),
    ],
)
def test_one_line_changes_what_it_says_and_nothing_else(
    kept: Kept, changed: tuple[str, str], words: tuple[str, ...]
) -> None:
    brought(kept, NAME)
    text = FILE.replace(*changed)
    assert text != FILE
    expected = tuple(word.format(home=kept.home) for word in words)
    planned = brought(kept, NAME, text, dry_run=True)
    assert planned.changes == expected
    assert planned.steps
    assert brought(kept, NAME, text).changes == expected
    assert brought(kept, NAME, text, dry_run=True).changes == ()
    # And back, as it was changed by hand.
    brought(kept, NAME)
    assert brought(kept, NAME, dry_run=True).changes == ()


def test_a_secret_that_is_another_by_now_is_taken_up_with_one_restart(kept: Kept) -> None:
    brought(kept, NAME)
    first = kept.world.gateways[NAME].pid
    (kept.home / "key").write_text("sk-second\n")
    done = brought(kept, NAME, FILE.replace("2G", "4G"))
    assert done.changes == ("memory 2G -> 4G", "replace secret SOME_API_KEY")
    assert not any("sk-second" in text for text in (*done.changes, *done.steps, *done.notes, done.message))
    assert read_secrets(kept.paths(NAME)) == {"SOME_API_KEY": "sk-second"}
    assert kept.world.gateways[NAME].pid not in (None, first)


@pytest.mark.parametrize("changed", [("2G", "3G"), ("~/key", "~/other"), ("/srv/papers", "/srv/texts")])
def test_what_a_gateway_did_not_take_up_is_taken_up_the_next_time(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, str]
) -> None:
    brought(kept, NAME)
    (kept.home / "other").write_text("sk-other")
    later = time.time() + 60
    with monkeypatch.context() as patch:
        patch.setattr(operations, "restart", _no_restart)
        with pytest.raises(OcmError, match="it was interrupted"):
            brought(kept, NAME, FILE.replace(*changed))
    # As long after the start as a restart takes.
    if "other" in changed[1]:
        os.utime(kept.paths(NAME).secrets, (later, later))
    words = ("restart it: it runs as it was before",)
    assert brought(kept, NAME, FILE.replace(*changed), dry_run=True).changes == words
    first = kept.world.gateways[NAME].pid
    assert brought(kept, NAME, FILE.replace(*changed)).changes == words
    assert kept.world.gateways[NAME].pid != first


def _no_restart(*_args: object, **_options: object) -> Any:  # noqa: ANN401 - as the verb
    raise OcmError("it was interrupted", code="failed")


def test_what_was_limited_by_hand_and_not_restarted_shows(kept: Kept) -> None:
    brought(kept, NAME)
    set_limits(kept.context, NAME, {"memory": "3G"}, kept.effort(), restart=False, dry_run=False)
    text = FILE.replace("2G", "3G")
    assert brought(kept, NAME, text).changes == ("restart it: it runs as it was before",)
    assert brought(kept, NAME, text, dry_run=True).changes == ()


def test_a_free_port_is_none_that_another_one_of_the_file_is_to_have(kept: Kept) -> None:
    free = allocated(kept)
    text = FILE.replace("[instances.{other}]", f"[instances.{{other}}]\nport = {free}")
    brought(kept, NAME, text)
    assert kept.record(NAME).port != free
    brought(kept, OTHER, text)
    assert kept.record(OTHER).port == free


def allocated(kept: Kept) -> int:
    return choose_port(kept.host, None)


def test_a_variable_that_names_a_file_by_a_link_is_set_once(kept: Kept) -> None:
    (kept.home / "ca.pem").write_text("x")
    (kept.home / "link.pem").symlink_to(kept.home / "ca.pem")
    text = FILE.replace("TZ =", "NODE_EXTRA_CA_CERTS =").replace("Europe/Berlin", f"{kept.home}/link.pem")
    brought(kept, NAME, text)
    assert brought(kept, NAME, text, dry_run=True).changes == ()


@pytest.mark.parametrize(
    "mounts",
    [
        'mounts = [{{ path = "~/more", at = "/srv/papers" }}]',
        'mounts = [{{ path = "~/more", at = "/srv/papers" }}, {{ path = "~/papers", at = "/srv/more" }}]',
        'mounts = [{{ path = "~/papers", at = "/srv/papers", writable = true }}]',
    ],
)
def test_what_is_to_be_seen_in_the_place_of_another_is(kept: Kept, mounts: str) -> None:
    (kept.home / "more").mkdir()
    two = 'mounts = [{{ path = "~/papers", at = "/srv/papers" }}, {{ path = "~/more", at = "/srv/more" }}]'
    for before in (MOUNTS, two):
        brought(kept, NAME, FILE.replace(MOUNTS, before))
        text = FILE.replace(MOUNTS, mounts)
        planned = brought(kept, NAME, text, dry_run=True).changes
        assert planned
        assert brought(kept, NAME, text).changes == planned
        assert brought(kept, NAME, text, dry_run=True).changes == ()


def test_what_was_done_before_a_failure_stays_and_is_told(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> Any:  # noqa: ANN401 - of any verb
        raise OcmError("the disk is gone", code="failed")

    with monkeypatch.context() as patch:
        patch.setitem(fleet_changes.BY_KIND, "backups", fail)
        with pytest.raises(OcmError, match="the disk is gone") as caught:
            brought(kept, NAME)
    told = caught.value.details[-1]
    assert told.startswith("done before that, and kept: it was made, not started; show ")
    assert "add secret SOME_API_KEY" in told
    assert brought(kept, NAME).changes == ("backups at 03:00", "start it")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('file = "~/none"', "the file {home}/none: there is no such file"),
        ('env = "OCM_TEST_NO_SUCH"', "the variable OCM_TEST_NO_SUCH: it is not set"),
        (
            'command = ["sh", "-c", "echo sk-half; echo locked >&2; exit 3"]',
            "the command sh: it ended with 3: locked",
        ),
        ('command = ["true"]', "the command true: the secret is empty"),
        ('command = ["/none/of/that"]', "the command /none/of/that: there is no such program"),
        ('command = ["/etc/passwd"]', "the command /etc/passwd: it cannot be run: "),
        ('command = ["printf", "\\\\377\\\\376"]', "the command printf: what it prints is no UTF-8 text"),
        ('command = ["yes"]', "the command yes: yes printed more than 65536 bytes"),
        ('command = ["sh", "-c", "echo sk-half; echo more"]', "the command sh: a secret is one line"),
        ('file = "~"', "the file {home}: cannot be read: it is no file"),
        ('file = "~/key/none"', "the file {home}/key/none: cannot be read: Not a directory"),
    ],
)
def test_a_source_that_fails_is_named_and_nothing_is_made(kept: Kept, source: str, said: str) -> None:
    text = FILE.replace('secrets.SOME_API_KEY.file = "~/key"', f"secrets.SOME_API_KEY = {{{{ {source} }}}}")
    with pytest.raises(OcmError) as caught:
        brought(kept, NAME, text)
    assert caught.value.message.startswith(said.format(home=kept.home))
    assert "sk-half" not in repr(caught.value.args)
    assert not Path(kept.paths(NAME).record).exists()


NIGHTLY = 'backups = {{ every = "03:00" }}'


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((MOUNTS, MOUNTS.replace("~/papers", "~/none")), "none is not there"),
        ((MOUNTS, MOUNTS.replace("/srv/papers", "/etc/x")), "/etc/x would cover, or lie in, /etc"),
        ((MOUNTS, MOUNTS.replace("~/papers", "~/.ssh")), "where your keys lie"),
        ((NIGHTLY, NIGHTLY.replace("03", "99")), "'99:00' is no time for backups"),
        (
            (NIGHTLY, NIGHTLY.replace('00"', '00", directory = "/none"')),
            "are to go to /none, which is no dir",
        ),
        ((NIGHTLY, NIGHTLY.replace('00"', '00", encrypt_to = ["AGE-SECRET-KEY-1QQ"]')), "is no public key"),
        (("inherit_from = false", 'inherit_from = "none"'), "there is no instance none"),
    ],
)
def test_what_this_machine_cannot_give_is_told_by_the_plan_and_nothing_is_made(
    kept: Kept, changed: tuple[str, str], said: str
) -> None:
    (kept.home / ".ssh").mkdir()
    text = FILE.replace(*changed)
    assert text != FILE
    for dry_run in (True, False):
        with pytest.raises(OcmError) as caught:
            brought(kept, NAME, text, dry_run=dry_run)
        assert said in caught.value.message
        assert "QQ" not in f"{caught.value.message} {caught.value.details}"
        assert not Path(kept.paths(NAME).record).exists()


@pytest.mark.parametrize("more", ['directory = "/none"', 'encrypt_to = ["age1"]'])
def test_backups_that_would_fail_each_night_are_not_scheduled(kept: Kept, more: str) -> None:
    brought(kept, NAME)
    text = FILE.replace(NIGHTLY, NIGHTLY.replace('00"', f'00", {more}'))
    with pytest.raises(OcmError, match=f"backups of {NAME} are to "):
        brought(kept, NAME, text)
    assert brought(kept, NAME, dry_run=True).changes == ()


def test_a_program_that_does_not_end_is_waited_for_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_sources, "_SECONDS", 0.1)
    text = "".join(f"secrets.KEY_{one}.command = ['sleep', '{one}000']\n" for one in (1, 2, 3))
    described = parsed(kept, f"[instances.{{name}}]\n{text}")
    said = [f"{one}" for one in read_sources(kept.context, described, [NAME]).values.values()]
    assert said[0].startswith("the command sleep: sleep did not end within")
    assert said[1:] == ["the command sleep: it was not run, for it did not end for another secret"] * 2


def test_a_secret_that_others_can_read_is_told(kept: Kept) -> None:
    key = kept.home / "key"
    key.write_text("sk-first")
    key.chmod(0o644)
    note = f"other users can read {key}: chmod go-rwx {key}"
    assert note in brought(kept, NAME, dry_run=True).notes
    key.chmod(0o600)
    assert note not in brought(kept, NAME).notes


def test_what_an_instance_is_made_with_for_good_is_said(kept: Kept) -> None:
    brought(kept, NAME)
    text = FILE.replace('network = "shared"', 'network = "shared"\nsealed = false')
    text = text.replace('mounts = [{{ path = "~/papers", at = "/srv/papers" }}]', "")
    with pytest.raises(OcmError, match="has a sandbox, and is to have no sandbox by the file"):
        brought(kept, NAME, text)


def test_the_file_of_what_there_is_makes_the_same_elsewhere(kept: Kept, tmp_path: Path) -> None:
    for name in (NAME, OTHER):
        brought(kept, name)
    output, secrets = PurePosixPath(tmp_path, "out/fleet.toml"), PurePosixPath(tmp_path, "out/secrets")
    Path(output.parent).mkdir()
    done = export(kept.context, (), output=output, secrets=secrets, force=False)
    assert "sk-first" not in f"{done}"
    assert done.notes == ()
    assert done.text == Path(output).read_text()
    key = Path(secrets, NAME, "SOME_API_KEY")
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("sk-first\n", 0o600)
    with pytest.raises(OcmError, match="is there already"):
        export(kept.context, (), output=output, secrets=secrets, force=False)
    described = parse_fleet(done.text, home=PurePosixPath(kept.home), folder=output.parent)
    assert set(described.instances) == {NAME, OTHER}
    for name in (NAME, OTHER):
        job = Job(
            name=name,
            described=described.instances[name],
            mounts=described.mounts(name),
            read=read_sources(kept.context, described, [name]),
            brought=Brought(None, None),
            effort=kept.effort(),
            dry_run=True,
        )
        assert bring(kept.context, job).changes == ()


def test_what_was_set_in_its_config_is_in_the_file_and_its_secrets_are_not(kept: Kept) -> None:
    brought(kept, NAME)
    path = Path(kept.paths(NAME).config)
    config = json.loads(path.read_text())
    config["channels"] = {"irc": {"host": "irc.example.org", "nick": None}, "signal": {"cli": "x"}}
    config["agents"]["defaults"] |= {"heartbeat": {"every": "0m"}, "model": "lab"}
    config["models"] = {"providers": {"lab": {"baseUrl": "http://lab/v1", "apiKey": "sk-of-the-lab-itself"}}}
    path.write_text(json.dumps(config))
    done = export(kept.context, (NAME,), output=None, secrets=None, force=False)
    described = parsed(kept, done.text.replace("{", "{{").replace("}", "}}")).instances[NAME]
    assert described.config == {
        "channels.signal": {"cli": "x"},
        "agents.defaults.heartbeat": {"every": "0m"},
    }
    assert described.model is None
    assert "sk-of-the-lab" not in f"{done}"
    assert done.notes[1:] == (
        f"left out of the file, set it by hand: {NAME}: channels.irc, which holds what TOML has no word for",
        f"left out of the file, set it by hand: {NAME}: models.providers, which holds a secret",
    )
    path.write_text('{"broken')
    with pytest.raises(OcmError, match="is not valid JSON5"):
        export(kept.context, (NAME,), output=None, secrets=None, force=False)


def test_without_a_directory_it_is_said_which_secrets_the_file_reads(kept: Kept) -> None:
    brought(kept, NAME)
    done = export(kept.context, (NAME,), output=None, secrets=None, force=False)
    assert f'file = "secrets/{NAME}/SOME_API_KEY"' in done.text
    assert done.notes == (
        f"the file reads secrets that were not written, for --secrets does: secrets/{NAME}/SOME_API_KEY",
    )
    assert not os.path.lexists(kept.home / "secrets")


@pytest.mark.parametrize("place", ["state", "scratch", "link", "mount"])
def test_what_an_instance_can_change_is_neither_read_nor_run(kept: Kept, place: str) -> None:
    brought(kept, NAME)
    paths = kept.paths(NAME)
    folder = {"state": paths.state, "scratch": paths.scratch}.get(place, kept.home / "papers")
    if place == "link":
        Path(paths.state, "inner").symlink_to(kept.home / "papers")
        folder = paths.state / "inner"
    elif place == "mount":
        shown = MOUNTS.replace('" }}', '", writable = true }}')
        brought(kept, NAME, FILE.replace(MOUNTS, shown))
    key, program = Path(folder, "key"), Path(folder, "get")
    key.write_text("sk-other")
    program.write_text("#!/bin/sh\necho sk-other\n")
    program.chmod(0o755)
    for source in (Source(file=str(key)), Source(command=(str(program),))):
        with pytest.raises(OcmError, match=f"{NAME} can change it"):
            read_source(kept.host, source, writable_places(kept.host.paths))
    with pytest.raises(OcmError, match=f"can be changed by {NAME}") as caught:
        read_fleet_file(kept.host.paths, PurePosixPath(key))
    assert caught.value.code == "fleet_unsafe"
    with pytest.raises(OcmError, match=NAME):
        export(kept.context, (), output=PurePosixPath(folder, "out"), secrets=None, force=False)
    with pytest.raises(OcmError, match=NAME):
        export(kept.context, (), output=None, secrets=PurePosixPath(folder, "out"), force=False)
    assert not Path(folder, "out").exists()


def test_what_no_file_can_say_of_an_instance_is_told_when_it_is_exported(kept: Kept) -> None:
    kept.create()
    record = Path(kept.paths(NAME).record)
    record.write_text(record.read_text().replace("docker = false", "docker = true"))
    done = export(kept.context, (), output=None, secrets=None, force=False)
    assert done.notes == (f"{NAME} reaches Docker, which no file says",)
