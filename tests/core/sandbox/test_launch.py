from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.record import Limits
from openclaw_ocm.core.sandbox.launch import (
    ENV,
    INIT,
    PERL,
    WITH_SECRETS,
    clean,
    environment,
    gateway_argv,
    node_flags,
    openclaw_argv,
    with_secrets,
)

if TYPE_CHECKING:
    from pathlib import Path

OPENCLAW = (
    "/usr/bin/perl",
    str(samples.paths().bin / "with-secrets"),
    "/run/ocm/secrets.env",
    samples.NODE,
    "--max-old-space-size=1024",
    "--max-semi-space-size=2",
    "--disable-warning=ExperimentalWarning",
    "--disable-sigusr1",
    f"{samples.OPENCLAW}/openclaw.mjs",
    "--profile",
    "worker1",
    "gateway",
    "--port",
    "19001",
)


@pytest.mark.parametrize(
    ("private_pids", "expected"),
    [(False, OPENCLAW), (True, ("/usr/bin/perl", str(samples.paths().bin / "init"), *OPENCLAW))],
)
def test_the_gateway_runs_under_an_environment_made_from_nothing_and_where_needed_an_init(
    *, private_pids: bool, expected: tuple[str, ...]
) -> None:
    argv = gateway_argv(samples.paths(), samples.record(), private_pids=private_pids)
    assert argv[:2] == ("/usr/bin/env", "-i")
    count = len(environment(samples.paths(), samples.record()))
    assert all("=" in word and not word.startswith("-") for word in argv[2 : 2 + count])
    assert argv[2 + count :] == expected


def test_the_environment_points_openclaw_at_the_instance() -> None:
    environ = environment(samples.paths(), samples.record(port=19021))
    expected = {
        "HOME": "/home/ann",
        "OPENCLAW_STATE_DIR": "/home/ann/.openclaw-worker1",
        "OPENCLAW_CONFIG_PATH": "/home/ann/.openclaw-worker1/openclaw.json",
        "OPENCLAW_PROFILE": "worker1",
        "OPENCLAW_GATEWAY_PORT": "19021",
        "OPENCLAW_SUPERVISOR_MODE": "external",
        "OPENCLAW_NO_AUTO_UPDATE": "1",
        "TMPDIR": "/tmp",
    }
    assert {key: environ[key] for key in expected} == expected


def test_what_tools_write_goes_into_the_state_and_survives_a_restart() -> None:
    environ = environment(samples.paths(), samples.record())
    for key in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NODE_COMPILE_CACHE"):
        assert environ[key].startswith("/home/ann/.openclaw-worker1/"), key


def test_the_instances_own_commands_come_first_on_its_path() -> None:
    path = environment(samples.paths(), samples.record())["PATH"].split(":")
    assert path[0] == str(samples.paths().bin)
    assert "/usr/bin" in path
    assert not any(part.startswith("/home") for part in path[1:])


def test_no_variable_tells_openclaw_that_systemd_would_restart_it() -> None:
    environ = environment(samples.paths(), samples.record())
    assert not {"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "NOTIFY_SOCKET"} & environ.keys()


@pytest.mark.parametrize(
    ("memory", "heap"), [(None, 1024), ("8G", 1024), ("2G", 1024), ("1G", 614), ("768M", 460)]
)
def test_the_heap_stays_well_below_the_memory_limit(memory: str | None, heap: int) -> None:
    flags = node_flags(samples.record(limits=Limits(memory=memory)))
    assert flags == (f"--max-old-space-size={heap}", "--max-semi-space-size=2")


def test_openclaw_always_gets_the_profile_before_its_arguments() -> None:
    argv = openclaw_argv(samples.record(), ("health", "--profile", "other"))
    assert argv[-5:] == ("--profile", "worker1", "health", "--profile", "other")


def test_without_a_sandbox_the_secrets_are_where_ocm_keeps_them() -> None:
    unsealed = msgspec.structs.replace(samples.record(), sealed=False)
    assert with_secrets(samples.paths(), unsealed, ("x",))[2:] == (str(samples.paths().secrets), "x")


def test_clean_passes_arguments_unchanged() -> None:
    assert clean({"A": "b c"}, ("x", "$y")) == ("/usr/bin/env", "-i", "A=b c", "x", "$y")


@pytest.fixture
def init(tmp_path: Path) -> tuple[str, str]:
    """Return the command of the init."""
    (tmp_path / "init").write_text(INIT)
    return (PERL, str(tmp_path / "init"))


def start(*argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_init_ends_as_its_program_ended(init: tuple[str, str], script: str, status: int) -> None:
    assert subprocess.run([*init, "/bin/sh", "-c", script], check=False).returncode == status


def test_a_program_that_is_missing_is_told_as_a_shell_tells_it(init: tuple[str, str]) -> None:
    done = subprocess.run([*init, "/nowhere"], check=False, capture_output=True)
    assert done.returncode == 127


# Counts what it gets of SIGTERM, and waits a little for a second one.
COUNT = "n=0; trap 'n=$((n+1))' TERM; echo up; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.3; echo $n"


def test_a_signal_to_the_group_reaches_the_program_once(init: tuple[str, str]) -> None:
    with start(*init, "/bin/sh", "-c", COUNT) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "1\n"
    assert process.returncode == 0


def test_a_signal_that_came_too_early_is_not_lost(init: tuple[str, str]) -> None:
    early = 'kill -TERM $$; exec "$0" "$@"'
    argv = ("/bin/sh", "-c", early, *init, "/bin/sleep", "60")
    with start(ENV, "--block-signal=TERM", *argv) as process:
        assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_the_program_has_every_signal_as_a_program_expects_it(init: tuple[str, str]) -> None:
    changed = ("--ignore-signal=TERM,INT,HUP,PIPE", "--block-signal=USR1")
    with start(ENV, *changed, *init, "/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status") as process:
        assert process.stdout
        assert [line.split()[1] for line in process.stdout] == ["0" * 16] * 2


def run_with_secrets(tmp_path: Path, content: bytes | None, *argv: str) -> subprocess.CompletedProcess[str]:
    script, secrets = tmp_path / "with-secrets", tmp_path / "secrets.env"
    script.write_text(WITH_SECRETS)
    if content is not None:
        secrets.write_bytes(content)
    command = clean({"A": "own", "LANG": "C"}, (PERL, str(script), str(secrets), *argv))
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_program_gets_its_secrets_to_the_letter_and_nothing_of_its_own_is_replaced(tmp_path: Path) -> None:
    lines = (
        b"KEY=a b$HOME`id`'\"\\#=\n",
        b"A=other\n",
        b"# B=1\n",
        b"lower=1\n",
        b"EMPTY=\n",
        "U=\u00e4".encode(),
    )
    done = run_with_secrets(tmp_path, b"".join(lines), ENV)
    assert done.stdout.splitlines() == ["A=own", "LANG=C", "KEY=a b$HOME`id`'\"\\#=", "U=\u00e4"]


def test_a_file_of_secrets_that_is_missing_is_an_empty_one(tmp_path: Path) -> None:
    assert run_with_secrets(tmp_path, None, ENV).stdout.splitlines() == ["A=own", "LANG=C"]


def test_secrets_that_cannot_be_read_are_told_and_nothing_is_run(tmp_path: Path) -> None:
    done = run_with_secrets(tmp_path, None, ENV)
    (tmp_path / "loop").symlink_to("loop")
    argv = clean({}, (PERL, str(tmp_path / "with-secrets"), str(tmp_path / "loop"), ENV))
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("the secrets cannot be read: ")


def test_a_program_with_secrets_is_the_process_that_was_started(tmp_path: Path) -> None:
    run_with_secrets(tmp_path, b"", ENV)
    argv = (PERL, str(tmp_path / "with-secrets"), str(tmp_path / "secrets.env"), "/bin/sh", "-c", "echo $$")
    with start(*argv) as process:
        assert process.stdout
        assert process.stdout.read() == f"{process.pid}\n"


def test_a_program_that_is_missing_ends_with_the_status_of_a_shell(tmp_path: Path) -> None:
    assert run_with_secrets(tmp_path, b"", "/nowhere").returncode == 127
