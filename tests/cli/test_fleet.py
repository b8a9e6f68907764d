"""`ocm plan`, `apply` and `export`: a file is refused with its place, and a failure of one costs no other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.operations.kept import NAME, OTHER, keep

from openclaw_ocm.cli import fleet, frame, main, runtime
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import delete as deleting
from openclaw_ocm.operations import fleet as operations
from openclaw_ocm.operations import fleet_changes
from openclaw_ocm.operations.create import create
from openclaw_ocm.system import capacity

if TYPE_CHECKING:
    import click
    from tests.operations.kept import Kept

DEFAULTS = '[defaults]\ninherit_from = false\nnetwork = "shared"\n'
TWO = f'{DEFAULTS}[instances.{NAME}]\nlimits.memory = "2G"\n[instances.{OTHER}]\nrunning = false\n'


class Fleet:
    """A home whose instances the fake backend keeps, and a fleet file in it."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.path = Path(kept.home, "fleet.toml")

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def run(self, command: click.Command, *words: str, typed: str | bytes = "") -> tuple[int, str, str]:
        obj = {"verbose": False, "debug": False}
        file = () if command is fleet.export else ("-f", str(self.path))
        done = CliRunner().invoke(
            command,
            [*file, *words],
            input=typed,
            obj=obj,
            **{**main.ocm.context_settings, "standalone_mode": False},
        )
        if done.exception is not None:
            error: Any = done.exception
            return error.exit_code, done.stdout, f"{done.stderr}{error.message} {getattr(error, 'hint', '')}"
        return done.return_value, done.stdout, done.stderr

    def plan(self, *words: str) -> tuple[int, str, str]:
        return self.run(fleet.plan, *words)

    def apply(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        return self.run(fleet.apply, *words, typed=typed)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    kept = keep(tmp_path, monkeypatch)
    monkeypatch.setattr(frame, "this_host", lambda _ctx: kept.host)
    return Fleet(kept)


def test_a_fleet_is_made_by_one_command_and_the_plan_is_empty(home: Fleet) -> None:
    home.write(TWO)
    before = home.kept.files()
    code, out, _err = home.plan()
    assert code == 0
    assert f"{NAME}: would be made\n  make it\n  start it\n" in out
    assert home.kept.files() == before
    code, out, err = home.apply("--yes", "--jobs", "1")
    assert (code, err.count("ocm: a fake ends with the tests")) == (0, 1)
    assert out == f"{NAME}: made, ready and sealed\n{OTHER}: made, not started\n"
    for words in ((), (NAME,)):
        code, out, err = home.plan(*words)
        assert (code, out, err) == (
            0,
            f"{1 if words else 2} instance{' is' if words else 's are'} as the file says\n",
            "",
        )
    home.write(TWO.replace("2G", "3G"))
    assert home.plan()[1].startswith(f"{NAME}: would be changed\n  memory 2G -> 3G\n    ")
    assert (
        home.apply("--yes", "--jobs", "1")[1] == f"{NAME}: memory 2G -> 3G\n1 instance is as the file says\n"
    )


def test_plan_and_apply_answer_in_json(home: Fleet) -> None:
    home.write(TWO)
    (made, other) = json.loads(home.plan("--json")[1])["results"]
    assert (made["name"], made["dry_run"], made["changes"]) == (NAME, True, ["make it", "start it"])
    assert other["changes"] == ["make it"]
    assert [
        one["changed"] for one in json.loads(home.apply("--yes", "--json", "--jobs", "1")[1])["results"]
    ] == [True, True]
    assert [one["changes"] for one in json.loads(home.plan("--json")[1])["results"]] == [[], []]


def test_where_one_fails_the_others_go_on_but_not_those_that_inherit_from_it(home: Fleet) -> None:
    home.write(
        f'{DEFAULTS}[instances.broken]\nsecrets.KEY.file = "none"\n[instances.{NAME}]\n'
        f'[instances.child]\ninherit_from = "broken"\n'
    )
    code, out, err = home.apply("--yes")
    assert code == 3
    assert f"{NAME}: made, ready and sealed" in out
    assert "broken: the file " in err
    assert "there is no such file" in err
    assert "child was left as it is, for broken failed, from which it inherits" in err
    assert set(home.kept.rows()) == {NAME}


def test_what_the_file_does_not_name_is_told_and_deleted_only_when_asked(home: Fleet) -> None:
    home.write(TWO)
    home.apply("--yes")
    home.write(f"{DEFAULTS}[instances.{OTHER}]\nrunning = false\n")
    code, _out, err = home.apply("--yes")
    assert (code, err) == (0, f"ocm: not in the file, and left alone: {NAME}\n")
    assert json.loads(home.plan("--json")[1])["warnings"] == [f"not in the file, and left alone: {NAME}"]
    code, out, err = home.apply("--prune", "--dry-run")
    assert f"{NAME}: delete would do this:\n  back up {NAME}\n" in out
    assert set(home.kept.rows()) == {NAME, OTHER}
    code, _out, err = home.apply("--prune")
    assert (code, f"Delete {NAME} with all that belongs to them?" in err) == (2, True), "nobody can answer"
    assert set(home.kept.rows()) == {NAME, OTHER}
    assert home.apply("--prune", NAME)[0] == 2
    code, out, _err = home.apply("--prune", "--yes")
    assert (code, set(home.kept.rows())) == (0, {OTHER})
    assert list(home.kept.home.glob(f"backups/{NAME}-*")), "a last backup was made"


def test_a_file_that_describes_nothing_prunes_nothing(home: Fleet) -> None:
    home.write(TWO)
    home.apply("--yes")
    for text in ("", "version = 1\n", "[instances]\n", "[instances\n"):
        home.write(text)
        code, out, err = home.apply("--prune", "--yes")
        assert (code, out) == (2 if text == "[instances\n" else 1, ""), text
        assert "the file describes no instance" in err or "is no TOML" in err
    assert set(home.kept.rows()) == {NAME, OTHER}


def test_only_what_was_there_when_it_was_asked_is_pruned(
    home: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.kept.create(parse_name("drill-0123abcd"))
    home.kept.create(OTHER)
    home.write(f"{DEFAULTS}[instances.{NAME}]\n")
    late = parse_name("made-meanwhile")
    read = operations.read_sources

    def reading(*given: Any) -> Any:  # noqa: ANN401 - as the function
        home.kept.create(late)
        return read(*given)

    monkeypatch.setattr(operations, "read_sources", reading)
    code, _out, _err = home.apply("--prune", "--yes", "--jobs", "1")
    assert (code, set(home.kept.rows())) == (0, {NAME, late, "drill-0123abcd"})
    assert "drill" not in home.plan()[2]


def test_what_another_inherits_from_is_not_pruned(home: Fleet) -> None:
    home.write(TWO)
    home.apply("--yes")
    home.write(f'{DEFAULTS}[instances.{NAME}]\ninherit_from = "{OTHER}"\n')
    code, _out, err = home.apply("--prune", "--yes")
    assert (code, f"{NAME} inherits from {OTHER}, which the file does not name" in err) == (1, True)
    assert set(home.kept.rows()) == {NAME, OTHER}


def test_one_whose_record_is_damaged_costs_the_others_nothing(home: Fleet) -> None:
    home.write(TWO)
    home.apply("--yes", "--jobs", "1")
    Path(home.kept.paths(OTHER).record).write_text("nonsense")
    home.write(TWO.replace("2G", "3G"))
    # Nobody answers, and there is nothing to ask.
    code, out, err = home.apply("--jobs", "1")
    assert (code, out) == (3, f"{NAME}: memory 2G -> 3G\n")
    assert "is corrupt" in err


def test_interrupted_it_keeps_what_was_done_and_goes_on_from_there_the_next_time(
    home: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    home.write(TWO)
    home.apply("--yes", "--jobs", "1")
    both = TWO.replace("running = false", 'running = false\nlimits.memory = "4G"').replace("2G", "3G")
    home.write(both.replace('memory = "3G"', 'memory = "3G"\nautostart = true'))
    with monkeypatch.context() as patch:
        patch.setitem(fleet_changes.BY_KIND, "autostart", interrupt)
        done = CliRunner().invoke(
            fleet.apply, ["-f", str(home.path), "--jobs", "1"], obj={"verbose": False, "debug": False}
        )
        assert done.exit_code != 0
    assert home.kept.record(NAME).limits.memory == "3G"
    assert home.kept.record(OTHER).limits.memory is None
    changes = [one["changes"] for one in json.loads(home.plan("--json")[1])["results"]]
    assert changes == [["start with the machine"], ["memory none -> 4G"]]


def test_two_at_once_make_one_fleet(home: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def after_another(context: Any, wanted: Any, **options: Any) -> Any:  # noqa: ANN401 - as the verb
        made.append(create(context, wanted, **options).message)
        return create(context, wanted, **options)

    monkeypatch.setattr(operations, "create", after_another)
    home.write(TWO)
    code, out, _err = home.apply("--yes", "--jobs", "1")
    assert (code, len(made)) == (0, 2)
    assert f"{NAME}: made, ready and sealed" in out


def test_more_gateways_than_the_memory_holds_are_refused_before_anything_is_made(
    home: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "memory", lambda: 1_000_000_000)
    home.write(DEFAULTS + "".join(f"[instances.{name}]\n" for name in (NAME, OTHER)))
    code, out, err = home.apply("--yes")
    assert (code, out) == (1, "")
    assert "2 gateways are to run, and the memory of this machine is enough for about 1" in err
    assert home.kept.rows() == {}
    code, out, err = home.plan()
    assert (code, "2 gateways are to run" in err) == (0, True)
    assert home.apply("--yes", "--overcommit", "--jobs", "1")[0] == 0
    # What the file does not name is there all the same.
    home.write(f"{DEFAULTS}[instances.third]\n")
    code, out, err = home.apply("--yes")
    assert (code, out) == (1, "")
    assert "1 gateway is to run beside 2 others" in err


def test_a_newer_version_is_brought_for_those_that_are_there_and_an_older_one_is_not(
    home: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def bring(_host: object, wanted: str, *_args: object, **_options: object) -> tuple[str, None]:
        asked.append(wanted)
        raise OcmError("the registry is away", code="unreachable")

    home.write(TWO)
    home.apply("--yes", "--jobs", "1")
    monkeypatch.setattr(runtime, "bring", bring)
    home.write(TWO.replace("2G", "3G").replace("running = false", 'openclaw = "2026.9.7"\nrunning = false'))
    code, out, err = home.apply("--yes", "--jobs", "1")
    assert (code, out, asked) == (3, f"{NAME}: memory 2G -> 3G\n", ["2026.9.7"])
    assert "the registry is away" in err
    home.write(TWO.replace("[defaults]", '[defaults]\nopenclaw = "2026.9.5"'))
    code, _out, err = home.apply("--yes")
    assert code == 1
    assert f"{NAME} runs OpenClaw 2026.9.6, and the file says 2026.9.5, which is older" in err
    assert f"ocm rollback {NAME} goes back" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[instances.a]\nmodle = 'x/y'\n", "instances.a has an unknown key 'modle': did you mean 'model'?"),
        ("instances = 3\n", "instances is no table"),
        ("[instances\n", "the file is no TOML"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_with_its_place(home: Fleet, text: str, said: str) -> None:
    home.write(text)
    for run in (home.plan, home.apply):
        code, out, err = run()
        assert (code, out) == (2, "")
        assert said in err


def test_a_file_that_others_may_write_is_not_read(home: Fleet) -> None:
    home.write(TWO)
    home.path.chmod(0o666)
    code, _out, err = home.plan()
    assert (code, f"{home.path} can be written by others" in err) == (1, True)
    home.path.unlink()
    assert "ocm export -o" in home.plan()[2]


@pytest.mark.parametrize("given", [b"\xff\xfe[", b"x" * (2**20 + 1)])
def test_what_is_no_text_or_has_no_end_is_no_fleet_file(home: Fleet, given: bytes) -> None:
    home.path.write_bytes(given)
    for words in ((), ("-f", "-")):
        code, out, err = home.run(fleet.plan, *words, typed=given)
        assert (code, out) == (1, "")
        assert "is no UTF-8 text" in err or "is larger than" in err


def test_a_mark_at_the_beginning_of_a_file_is_no_error(home: Fleet) -> None:
    home.path.write_bytes(b"\xef\xbb\xbf" + TWO.encode())
    assert home.plan()[0] == 0


def test_what_is_no_file_is_not_waited_for(home: Fleet) -> None:
    os.mkfifo(home.path)
    assert "it is no file" in home.plan()[2]
    home.path.unlink()
    home.path.mkdir()
    assert home.plan()[0] == 2


def test_a_plan_that_fails_does_not_say_that_there_is_nothing_to_change(home: Fleet) -> None:
    home.write(f"{DEFAULTS}[instances.{NAME}]\nsecrets.SOME_KEY.file = 'none'\n")
    code, out, err = home.plan()
    assert (code, out) == (1, "")
    assert "there is no such file" in err
    home.write(DEFAULTS)
    assert home.plan()[:2] == (0, "nothing to change\n")


def test_an_instance_that_the_file_does_not_describe_is_none(home: Fleet) -> None:
    home.write(TWO)
    assert "the file describes no instance nosuch" in home.plan("nosuch")[2]


def test_what_export_writes_makes_nothing_new(home: Fleet, tmp_path: Path) -> None:
    home.write(TWO)
    home.apply("--yes")
    there = tmp_path / "there.toml"
    code, _out, err = home.run(fleet.export, "-o", str(there))
    assert (code, err) == (0, "")
    assert home.run(fleet.export, "-o", str(there))[0] == 1, "it is there already"
    home.path = there
    assert home.plan()[1] == "2 instances are as the file says\n"


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "{home}/folder"),
        ("-o", "{home}/file/there.toml"),
        ("-o", "/proc/x"),
        ("--secrets", "{home}/file"),
    ],
)
def test_where_nothing_can_be_written_export_says_which_place_that_is(
    home: Fleet, words: tuple[str, str]
) -> None:
    home.write(TWO.replace("limits.memory", "secrets.SOME_KEY.file = 'key'\nlimits.memory"))
    (home.kept.home / "key").write_text("sk-first")
    home.apply("--yes", "--jobs", "1")
    (home.kept.home / "folder").mkdir()
    (home.kept.home / "file").touch()
    option, place = words[0], words[1].format(home=home.kept.home)
    code, out, err = home.run(fleet.export, option, place, "--force")
    assert (code, out) == (1, "")
    assert err.startswith(place)
    assert " cannot be written: " in err
    assert not [path for path in home.kept.files() if path.endswith(".ocm")]


def test_what_an_instance_was_before_is_told_before_it_is_pruned(
    home: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.kept.create(OTHER)
    home.write(f"{DEFAULTS}[instances.{NAME}]\n")
    said = f"{OTHER} was an OpenClaw of yours before"
    monkeypatch.setattr(deleting, "taken_over", lambda _context, names: [said] * (names == (OTHER,)))
    assert f"ocm: {said}\n" in home.apply("--prune")[2]


@pytest.mark.parametrize("option", ["--example", "--schema"])
def test_the_example_and_the_schema_need_no_file(home: Fleet, option: str) -> None:
    code, out, err = home.plan(option)
    assert (code, err) == (0, "")
    assert "telegram" in out


def test_a_fleet_comes_from_standard_input_too(home: Fleet) -> None:
    done = home.run(fleet.plan, "-f", "-", typed=TWO)
    assert f"{NAME}: would be made" in done[1]
