from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openclaw_ocm.cli.main import COMMANDS

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]
SHELLS = ("bash", "zsh", "fish")


def complete(ocm: Run, shell: str, *words: str) -> list[str]:
    """Return what completes the last of `words` in a shell."""
    *before, incomplete = ("ocm", *words)
    line = " ".join((*before, incomplete))
    index = str(len(words))
    word = incomplete if shell == "fish" else index
    done = ocm(_OCM_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=word)
    assert done.stderr == ""
    assert done.returncode == 0
    return values(shell, done.stdout)


def values(shell: str, printed: str) -> list[str]:
    lines = [line for line in printed.splitlines() if line]
    if shell == "zsh":
        assert set(lines[0::3]) <= {"plain"}
        return lines[1::3]
    assert all(line.startswith("plain,") for line in lines)
    return [line.removeprefix("plain,").split("\t")[0] for line in lines]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_complete(ocm: Run, shell: str) -> None:
    assert complete(ocm, shell, "") == list(COMMANDS)
    assert complete(ocm, shell, "re") == ["rename", "restart", "restore"]
    assert complete(ocm, shell, "st") == ["start", "stop", "status"]


def test_what_may_be_adopted_completes_to_main_and_to_profiles_that_are_no_instances(
    ocm: Run, home: Path, add_record: AddRecord
) -> None:
    add_record("worker1")
    for name in (".openclaw", ".openclaw-work", ".openclaw-worker1"):
        (home / name).mkdir()
    assert complete(ocm, "bash", "adopt", "") == ["main", "work"]
    assert complete(ocm, "bash", "adopt", "w") == ["work"]
    assert complete(ocm, "bash", "unadopt", "w") == ["worker1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_shown_completes_where_it_is_to_be_hidden(
    ocm: Run, add_record: AddRecord, shell: str
) -> None:
    with add_record("worker1").open("a") as record:
        record.write("[[mounts]]\npath = '/srv/data'\nat = '/data'\n")
    assert complete(ocm, shell, "unmount", "worker1", "/s") == ["/srv/data"]
    assert complete(ocm, shell, "unmount", "worker1", "/x") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_ways_of_messages_complete(ocm: Run, home: Path, shell: str) -> None:
    ways = home / ".config/ocm/notify.toml"
    ways.parent.mkdir(parents=True)
    ways.write_text("[[way]]\ntype = 'command'\nname = 'phone'\nargv = ['/bin/true']\n")
    assert complete(ocm, shell, "notify", "test", "p") == ["phone"]
    assert complete(ocm, shell, "notify", "remove", "x") == []
    assert complete(ocm, shell, "notify", "add", "em") == ["email"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_words_of_env_complete_by_their_place(ocm: Run, add_record: AddRecord, shell: str) -> None:
    with add_record("worker1").open("a") as record:
        record.write("[environment]\nTZ = 'UTC'\nLANG = 'C'\n")
    assert complete(ocm, shell, "env", "wo") == ["worker1"]
    assert complete(ocm, shell, "env", "worker1", "") == ["list", "set", "unset"]
    assert complete(ocm, shell, "env", "worker1", "unset", "T") == ["TZ"]
    assert complete(ocm, shell, "env", "--all", "u") == ["unset"]
    assert complete(ocm, shell, "env", "--all", "unset", "") == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "command", ["start", "stop", "restart", "status", "health", "logs", "use", "enter", "edit", "delete"]
)
def test_the_names_of_instances_complete_from_their_record_files(
    ocm: Run, add_record: AddRecord, shell: str, command: str
) -> None:
    for name in ("worker1", "worker2", "other"):
        add_record(name)
    assert complete(ocm, shell, command, "wo") == ["worker1", "worker2"]
    assert complete(ocm, shell, command, "") == ["other", "worker1", "worker2"]
    assert complete(ocm, shell, command, "zz") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_that_was_given_is_not_offered_again(ocm: Run, add_record: AddRecord, shell: str) -> None:
    add_record("worker1")
    add_record("worker2")
    assert complete(ocm, shell, "start", "worker1", "") == ["worker2"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_agents_of_an_instance_complete(ocm: Run, home: Path, add_record: AddRecord, shell: str) -> None:
    add_record("worker1")
    add_record("worker2")
    state = home / ".openclaw-worker1"
    state.mkdir(mode=0o700)
    entries: dict[str, object] = {"main": {}, "Mail": {}, "two": {}, "a\\nb\x1b": {}, "$(id)": {}}
    (state / "openclaw.json").write_text(json.dumps({"agents": {"entries": entries}}))
    assert complete(ocm, shell, "enter", "worker1", "--box", "ma") == ["main", "mail"]
    assert complete(ocm, shell, "enter", "worker1", "--box", "") == ["main", "mail", "two"]
    assert complete(ocm, shell, "enter", "worker2", "--box", "") == ["main"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_versions_that_ocm_installed_complete(
    ocm: Run, home: Path, add_record: AddRecord, shell: str
) -> None:
    add_record("worker1")
    for version in ("2026.8.2", "2026.9.6"):
        (home / ".local/share/ocm/runtimes" / version).mkdir(parents=True)
    assert complete(ocm, shell, "runtime", "remove", "2026.8") == ["2026.8.2"]
    assert complete(ocm, shell, "deploy", "worker2", "--openclaw", "") == ["2026.9.6", "2026.8.2"]
    assert complete(ocm, shell, "runtime", "use", "") == ["worker1", "2026.9.6", "2026.8.2"]


@pytest.mark.parametrize("shell", SHELLS)
def test_options_complete(ocm: Run, shell: str) -> None:
    assert {"--force", "--yes", "--json", "--all", "--dry-run"} <= set(complete(ocm, shell, "delete", "--"))


def test_a_corrupt_record_completes_all_the_same(ocm: Run, add_record: AddRecord) -> None:
    add_record("worker1", text="junk")
    assert complete(ocm, "bash", "delete", "w") == ["worker1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("start", "UP", ""), ["worker1"]),
        (("start", "--bogus", ""), ["worker1"]),
        (("nonsense", ""), list(COMMANDS)),
    ],
)
def test_a_line_that_is_wrong_so_far_completes_all_the_same(
    ocm: Run, add_record: AddRecord, words: tuple[str, ...], expected: list[str]
) -> None:
    add_record("worker1")
    assert complete(ocm, "bash", *words) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_completing_writes_nothing(ocm: Run, home: Path, shell: str) -> None:
    complete(ocm, shell, "start", "")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_script_asks_ocm(ocm: Run, shell: str) -> None:
    done = ocm("completion", shell)
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"_OCM_COMPLETE={shell}_complete" in done.stdout
    assert "ocm" in done.stdout


def test_bash_itself_completes_with_the_script(
    ocm: Run, process: Run, home: Path, add_record: AddRecord
) -> None:
    add_record("worker1")
    program = home / "ocm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m openclaw_ocm "$@"\n')
    program.chmod(0o755)
    ask = "PATH=.:$PATH; COMP_WORDS=(ocm status w) COMP_CWORD=2; _ocm_completion ./ocm w status\n"
    script = ocm("completion", "bash").stdout + ask + 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = process(program=("bash", "--norc", "-c", script))
    assert (done.stdout, done.stderr, done.returncode) == ("worker1\n", "", 0)


@pytest.mark.parametrize("verb", ["rename", "clone"])
def test_the_name_of_an_instance_that_is_to_be_is_not_completed(
    ocm: Run, add_record: AddRecord, verb: str
) -> None:
    add_record("worker1")
    assert complete(ocm, "bash", verb, "") == ["worker1"]
    assert complete(ocm, "bash", verb, "worker1", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_for_the_launcher_too_and_asks_what_was_typed(ocm: Run, shell: str) -> None:
    script = ocm("completion", shell).stdout
    assert "ocm ocm.py" in script or "--command ocm --command ocm.py" in script
    assert f"_OCM_COMPLETE={shell}_complete ocm" not in script
    assert "$+commands" not in script
    assert "$1)" not in script


INTERACTIVE = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
PREPARE = {
    "bash": "PS1='READY> '",
    "zsh": "PROMPT='READY> '; autoload -U compinit; compinit -u -d $HOME/.zdump",
    "fish": "function fish_prompt; echo -n 'READY> '; end",
}


def type_into(shell: str, home: Path, lines: list[str], done: Path) -> None:
    """Type lines into a shell on a terminal, and wait until the last has made the file `done`."""
    terminal, theirs = pty.openpty()
    shell_process = subprocess.Popen(
        ["setsid", "--ctty", *INTERACTIVE[shell]],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={"HOME": str(home), "PATH": f"{home}/path:{os.environ['PATH']}", "TERM": "dumb"},
    )
    os.close(theirs)
    said, deadline = "", time.monotonic() + 60
    waiting = [(PREPARE[shell], "READY> "), *((line, "") for line in lines)]
    try:
        for line, until in waiting:
            os.write(terminal, f"{line}\n".encode())
            said = ""
            while until not in said:
                said += heard(terminal, deadline)
        while not done.exists():
            said += heard(terminal, deadline)
    finally:
        os.close(terminal)
        shell_process.wait(60)


def heard(terminal: int, deadline: float) -> str:
    assert time.monotonic() < deadline, "the shell does not answer"
    if select.select([terminal], [], [], 0.1)[0]:
        return os.read(terminal, 65536).decode(errors="replace")
    return ""


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
@pytest.mark.parametrize("typed", ["ocm", "./ocm.py", "~/a\\ b/ocm.py", "ABSOLUTE"])
def test_a_shell_completes_it_by_whatever_path(
    ocm: Run, home: Path, add_record: AddRecord, shell: str, typed: str
) -> None:
    add_record("worker1")
    done = home / "done"
    text = (
        "#!/bin/sh\n"
        f'[ -n "$_OCM_COMPLETE" ] || {{ echo "$@" > "{done}.new"; mv "{done}.new" "{done}"; exit; }}\n'
        f'PYTHONPATH="{os.pathsep.join(sys.path)}" exec "{sys.executable}" -m openclaw_ocm "$@"\n'
    )
    for place in ("path/ocm", "ocm.py", "a b/ocm.py"):
        program = home / place
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    (home / "script").write_text(ocm("completion", shell).stdout)
    word = f"{home}/ocm.py" if typed == "ABSOLUTE" else typed
    type_into(shell, home, [". ./script", f"{word} stat\tworke\t"], done)
    assert done.read_text().split() == ["status", "worker1"]
