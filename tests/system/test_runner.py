from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.system.runner import Command, Runner

RUNNER = Runner(environ={"HOME": "/home/ann"})


def shell(script: str, **options: object) -> Command:
    return Command(**{"argv": ("sh", "-c", script), "timeout_seconds": 30.0, **options})  # type: ignore[arg-type]


def test_a_program_gets_a_minimal_environment_and_nothing_of_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENCLAW_STATE_DIR", "LD_PRELOAD_X", "SSH_AUTH_SOCK", "NODE_OPTIONS"):
        monkeypatch.setenv(name, "leak")
    printed = RUNNER.run(Command(argv=("env",), timeout_seconds=30, env={"EXTRA": "1"})).stdout
    environ = dict(line.split("=", 1) for line in printed.splitlines())
    assert environ == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/home/ann",
        "EXTRA": "1",
    }


def test_a_program_is_not_looked_for_on_the_callers_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "ocm-planted"
    planted.write_text("#!/bin/sh\n")
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OcmError, match="not installed"):
        RUNNER.run(Command(argv=("ocm-planted",), timeout_seconds=30))


@pytest.mark.parametrize(
    ("program", "package"), [("ocm-nothing", "ocm-nothing"), ("/nowhere/ocm-nothing", "/nowhere/ocm-nothing")]
)
def test_a_missing_program_is_told_with_the_command_that_installs_it(program: str, package: str) -> None:
    with pytest.raises(OcmError, match=f"^{program} is not installed$") as caught:
        RUNNER.run(Command(argv=(program,), timeout_seconds=30))
    assert (caught.value.code, caught.value.hint) == ("missing", f"sudo apt install {package}")


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    command = shell("echo $$ > pid; exec sleep 60", timeout_seconds=0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(OcmError, match=r"^sh did not end within 0\.3 s$") as caught:
            RUNNER.run(command)
    assert caught.value.code == "timeout"
    assert time.monotonic() - began < 30
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_failure_carries_the_exit_status_and_the_end_of_what_was_said() -> None:
    with pytest.raises(CommandFailed) as caught:
        RUNNER.run(shell("seq 1 9 >&2; exit 3"))
    assert caught.value.message == "sh ended with exit status 3: 5 6 7 8 9"
    assert (caught.value.returncode, caught.value.stderr.split()[0]) == (3, "1")


def test_a_failure_that_is_expected_is_returned() -> None:
    done = RUNNER.run(shell("echo out; echo err >&2; exit 4"), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (4, "out\n", "err\n")


def bounded(script: str, **options: object) -> Command:
    return shell(script, limit=1000, **options)


def test_one_that_prints_without_end_is_ended() -> None:
    for script in ("yes", "yes >&2"):
        with pytest.raises(OcmError, match=r"^sh printed more than 1000 bytes$") as caught:
            RUNNER.run(bounded(script))
        assert caught.value.code == "command_failed"


def test_one_whose_output_is_bounded_is_as_any_other() -> None:
    done = RUNNER.run(bounded("cat; printf '%1000s' out; echo err >&2; exit 4"), check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (4, "out", "err\n")
    with pytest.raises(OcmError) as caught:
        RUNNER.run(bounded("exec sleep 60", timeout_seconds=0.2))
    assert caught.value.code == "timeout"
    with pytest.raises(OcmError) as caught:
        RUNNER.run(bounded("exec sleep 60 >&- 2>&-", timeout_seconds=0.2))
    assert caught.value.code == "timeout"


def test_output_that_is_no_text_is_no_error() -> None:
    assert RUNNER.run(shell("printf '\\377\\376x'")).stdout == "\ufffd\ufffdx"


def test_a_program_reads_what_it_is_given_and_otherwise_nothing() -> None:
    assert RUNNER.run(shell("cat", stdin=b"given")).stdout == "given"
    assert RUNNER.run(shell("cat")).stdout == ""


def test_arguments_reach_a_program_as_they_are() -> None:
    odd = ("a b", "$HOME", "`id`", "'", '"', "*", "", "-n")
    printed = RUNNER.run(Command(argv=("printf", "%s\\0", *odd), timeout_seconds=30)).stdout
    assert tuple(printed.split("\0")[:-1]) == odd


def test_lines_come_as_they_are_printed() -> None:
    assert list(RUNNER.lines(("printf", "one\\ntwo"))) == [b"one\n", b"two"]


def test_lines_of_a_program_that_fails_end_with_its_error() -> None:
    lines = RUNNER.lines(("sh", "-c", "echo one; echo bad >&2; exit 2"))
    assert next(lines) == b"one\n"
    with pytest.raises(CommandFailed, match=r"^sh ended with exit status 2: bad$"):
        next(lines)


def test_a_program_whose_lines_nobody_wants_any_more_is_ended() -> None:
    lines = RUNNER.lines(("sh", "-c", "echo $$; exec sleep 60"))
    pid = next(lines).decode().strip()
    began = time.monotonic()
    lines.close()  # type: ignore[attr-defined]
    assert not Path("/proc", pid).exists()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_a_program_that_is_passed_through_gives_its_status_as_a_shell_does(script: str, status: int) -> None:
    assert RUNNER.pass_through(("sh", "-c", script), lambda _number: None, terminal=True) == status


def test_signals_are_handed_over_while_a_program_runs_and_as_before_afterwards(tmp_path: Path) -> None:
    received: list[int] = []
    before = signal.getsignal(signal.SIGTERM)

    def hand_over(number: int) -> None:
        received.append(number)
        (tmp_path / "go").touch()

    script = f"kill -TERM $PPID; until [ -e '{tmp_path}/go' ]; do sleep 0.02; done"
    assert RUNNER.pass_through(("sh", "-c", script), hand_over, terminal=True) == 0
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


def test_verbose_shows_commands_with_long_words_cut(capfd: pytest.CaptureFixture[str]) -> None:
    Runner(environ={}, verbose=True).run(Command(argv=("true", "a b", "x" * 1000), timeout_seconds=30))
    shown = capfd.readouterr().err
    assert shown.startswith("+ true 'a b' xxx")
    assert len(shown) < 300
    RUNNER.run(shell("true"))
    assert capfd.readouterr().err == ""


def test_an_editor_gets_its_own_arguments_and_the_file(tmp_path: Path) -> None:
    RUNNER.edit(f"cp '{__file__}'", str(tmp_path / "copy"))
    assert (tmp_path / "copy").exists()


def test_an_editor_that_fails_or_is_missing_is_told() -> None:
    with pytest.raises(OcmError, match=r"^false ended with exit status 1; nothing was changed$"):
        RUNNER.edit("false", "/dev/null")
    with pytest.raises(OcmError, match=r"^the editor ocm-nothing is not installed$"):
        RUNNER.edit("ocm-nothing -w", "/dev/null")


def test_the_lines_of_a_long_program_are_told_as_they_come_and_returned_together() -> None:
    told: list[str] = []
    done = RUNNER.follow(shell("echo one; echo two >&2; printf three; exit 5"), told.append)
    assert (done.returncode, sorted(told)) == (5, ["one", "three", "two"])
    assert done.stdout == "one\ntwo\nthree"


def test_a_line_is_told_before_the_program_ends(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    command = shell(f"echo go; until [ -e {heard} ]; do sleep 0.02; done; echo gone")
    assert RUNNER.follow(command, lambda _line: heard.touch()).stdout == "go\ngone\n"


def test_a_long_program_reads_its_input_or_does_not() -> None:
    data = b"x" * 2**20
    told: list[str] = []
    argv = shell("wc -c").argv
    RUNNER.follow(Command(argv=argv, timeout_seconds=30, stdin=data), told.append)
    RUNNER.follow(Command(argv=("true",), timeout_seconds=30, stdin=data), told.append)
    RUNNER.follow(shell("wc -c"), told.append)
    assert told == ["1048576", "0"]


def test_a_long_program_that_prints_without_an_end_is_ended() -> None:
    told: list[str] = []
    with pytest.raises(OcmError, match="printed more than 100000 bytes"):
        RUNNER.follow(shell("exec yes"), told.append, limit=100_000)
    with pytest.raises(OcmError, match="printed more than 100000 bytes"):
        RUNNER.follow(shell("exec cat /dev/zero"), told.append, limit=100_000)
    assert sum(map(len, told)) < 200_000


def test_a_long_program_runs_in_its_directory_and_shares_a_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "shared").open("w") as shared:
        number = shared.fileno()
        command = shell(f"pwd >/dev/fd/{number}; ls -A", directory=str(tmp_path), descriptors=(number,))
        done = RUNNER.follow(command, lambda _line: None)
    assert done.stdout == "shared\n"
    assert (tmp_path / "shared").read_text() == f"{tmp_path}\n"


# Two processes: the one that was started, and one below it that does not hear the first signal.
FAMILY = "sh -c 'trap \"\" INT; echo $$; exec sleep 60' & echo $$; wait"


def is_gone(pid: str) -> bool:
    try:
        return ") Z " in Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_interrupt_ends_a_long_program_with_all_that_it_started() -> None:
    told: list[str] = []

    def interrupt(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RUNNER.follow(shell(FAMILY), interrupt)
    deadline = time.monotonic() + 10
    while not all(map(is_gone, told)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_long_program_that_takes_too_long_is_ended_whether_it_prints_or_not() -> None:
    for script in (
        "exec sleep 60",
        "while :; do echo more; sleep 0.02; done",
        "exec >&- 2>&-; exec sleep 60",
    ):
        with pytest.raises(OcmError, match=r"^sh did not end within 0\.3 s$") as caught:
            RUNNER.follow(shell(script, timeout_seconds=0.3), lambda _line: None)
        assert caught.value.code == "timeout"


def test_a_long_program_that_is_missing_is_told_as_any_other() -> None:
    with pytest.raises(OcmError, match=r"^ocm-nothing is not installed$"):
        RUNNER.follow(Command(argv=("ocm-nothing",), timeout_seconds=30), lambda _line: None)


def test_a_time_limit_may_be_longer_than_any_wait() -> None:
    assert Runner(environ={}).run(shell("echo", timeout_seconds=3e6, limit=100)).stdout == "\n"
