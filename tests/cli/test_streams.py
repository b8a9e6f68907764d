"""Standard streams that are closed, full or gone, and an interruption that comes very early or very late."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]

RECORD = (
    'name = "{name}"\nbackend = "supervisord"\nport = {port}\n\n'
    '[runtime]\nnode = "/usr/bin/node"\nopenclaw = "/opt/openclaw"\n'
)
OCM = f"'{sys.executable}' -W error -m openclaw_ocm"
ALL = "list|list --json|status worker1|health|history|logs worker1|doctor|completion bash|--help|stop worker1"


@pytest.fixture
def shell(process: Run, add_record: AddRecord) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that runs a line in which OCM stands for ocm, beside an instance."""
    add_record("worker1", text=RECORD)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        done = process(program=("bash", "-c", f"{line.replace('OCM', OCM)}; exit $?"))
        assert "Traceback" not in done.stderr
        assert "bug" not in done.stderr
        assert "Exception" not in done.stderr
        return done

    return run


Shell = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("command", ALL.split("|"))
def test_where_output_is_closed_the_exit_code_is_the_same(shell: Shell, command: str) -> None:
    usual, closed = shell(f"OCM {command}"), shell(f"OCM {command} >&-")
    assert closed.returncode == usual.returncode
    assert (closed.stdout, closed.stderr) == ("", usual.stderr)


@pytest.mark.parametrize("command", ALL.split("|"))
def test_where_all_streams_are_closed_too(shell: Shell, command: str) -> None:
    usual, closed = shell(f"OCM {command}"), shell(f"OCM {command} <&- >&- 2>&-")
    assert (closed.returncode, closed.stdout, closed.stderr) == (usual.returncode, "", "")


def test_what_is_opened_next_does_not_take_the_place_of_a_closed_stream(shell: Shell, home: Path) -> None:
    """Else an error would be written into a lock, or a record."""
    before = {path: path.read_bytes() for path in (home / ".config").rglob("*") if path.is_file()}
    shell("OCM enable worker1 nosuch --jobs 2 <&- >&- 2>&-")
    assert {path: path.read_bytes() for path in before} == before
    assert all(not path.stat().st_size for path in (home / ".local").rglob("*.lock"))


@pytest.mark.parametrize(
    ("command", "status"),
    [("secret set worker1 KEY", 2), ("edit worker1 a -", 1), ("enter worker1", 1), ("delete worker1", 2)],
)
def test_where_input_is_closed_it_is_at_its_end(shell: Shell, command: str, status: int) -> None:
    usual, closed = shell(f"OCM {command} </dev/null"), shell(f"OCM {command} <&-")
    assert (closed.returncode, closed.stderr) == (usual.returncode, usual.stderr)
    assert closed.returncode == status


@pytest.mark.parametrize(
    "command", ["list", "list --json", "status worker1", "--help", "history --json", "health"]
)
def test_where_the_answer_cannot_be_written_that_is_told(shell: Shell, command: str) -> None:
    shell("OCM stop worker1")
    done = shell(f"OCM {command} > /dev/full")
    assert done.returncode == 1
    first, second = [line for line in done.stderr.splitlines() if not line.startswith("ocm: no changes")]
    assert first == "ocm: the answer could not be written: No space left on device"
    assert second.startswith("ocm: what was done is done")


@pytest.mark.parametrize("command", ["status nosuch", "status nosuch --json", "list"])
def test_where_nothing_at_all_can_be_written_the_exit_code_tells(shell: Shell, command: str) -> None:
    done = shell(f"OCM {command} > /dev/full 2> /dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_warnings_that_cannot_be_written_are_no_traceback(shell: Shell) -> None:
    assert shell("OCM status nosuch 2> /dev/full").returncode == 1


@pytest.mark.parametrize("editor", ['a "', "'", "a \\"])
def test_an_editor_that_is_no_command_is_refused(
    ocm: Run, home: Path, add_record: AddRecord, editor: str
) -> None:
    add_record("worker1", text=RECORD)
    config = home / ".openclaw-worker1" / "openclaw.json"
    config.parent.mkdir()
    config.write_text("{}")
    done = ocm("edit", "worker1", EDITOR=editor)
    first, second = done.stderr.splitlines()
    assert done.returncode == 2
    assert first.startswith(f"ocm: the editor {editor} is no command")
    assert second == "ocm: set EDITOR to one"
    assert config.read_text() == "{}"


INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"


def test_ctrl_c_while_it_still_imports_is_no_traceback(process: Run, home: Path) -> None:
    (home / "click.py").write_text(INTERRUPT)
    source = Path(__file__).parents[2] / "src"
    script = (
        f"import sys; sys.path[:0] = [{str(home)!r}, {str(source)!r}]\n"
        "from openclaw_ocm.__main__ import main\nsys.exit(main())"
    )
    done = process(program=(sys.executable, "-c", script))
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_after_the_last_line_changes_nothing(process: Run, number: str) -> None:
    script = (
        f"import atexit, os, signal, sys\natexit.register(lambda: os.kill(os.getpid(), signal.{number}))\n"
        "from openclaw_ocm.__main__ import main\nsys.exit(main())"
    )
    done = process("list", program=(sys.executable, "-c", script))
    assert (done.returncode, done.stderr) == (0, "no instances: ocm deploy worker1 makes one\n")


def test_a_signal_that_waited_for_the_launcher_is_an_interruption(home: Path) -> None:
    """As it waits while one Python makes place for the next."""
    script = (
        "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "os.kill(os.getpid(), signal.SIGINT)\nos.execv(sys.executable, [sys.executable, '-I', *sys.argv[1:]])"
    )
    launcher = Path(__file__).parents[2] / "ocm.py"
    done = subprocess.run(
        [sys.executable, "-c", script, str(launcher), "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert list(home.iterdir()) == []
