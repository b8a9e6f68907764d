from __future__ import annotations

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.record import Limits, Record
from openclaw_ocm.core.sandbox.launch import (
    clean,
    environment,
    gateway_argv,
    node_flags,
    openclaw_argv,
    with_secrets,
)

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


def of_gateway(record: Record) -> tuple[str, ...]:
    """Return what `env -i` runs, once its variables were looked at."""
    argv = gateway_argv(samples.paths(), record)
    assert argv[:2] == ("/usr/bin/env", "-i")
    count = len(environment(samples.paths(), samples.record()))
    assert all("=" in word and not word.startswith("-") for word in argv[2 : 2 + count])
    return argv[2 + count :]


def test_the_gateway_runs_below_the_tool_host_and_an_init() -> None:
    paths, argv = samples.paths(), of_gateway(samples.record())
    assert argv[:3] == ("/usr/bin/python3", "-IS", str(paths.bin / "tool-host"))
    options, program = argv[3 : argv.index("--")], argv[argv.index("--") + 1 :]
    assert program == ("/usr/bin/perl", str(paths.bin / "init"), *OPENCLAW)
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert [path.rpartition(".")[2] for name, path in pairs if name == "--filter"] == ["calls", "arguments"]
    assert [path for name, path in pairs if name == "--root"] == [str(paths.state), "/tmp", "/var/tmp"]
    assert [path for name, path in pairs if name == "--socket"] == ["/tmp/.ocm-tool-host"]


def test_with_the_real_docker_the_tool_host_makes_no_boxes_and_still_shuts_the_gateway_in() -> None:
    argv = of_gateway(samples.record(docker=True))
    assert argv.count("--filter") == 2
    assert not {"--socket", "--root"} & set(argv[: argv.index("--")])


def test_an_unsealed_gateway_has_no_tool_host() -> None:
    assert (
        of_gateway(msgspec.structs.replace(samples.record(), sealed=False))[-len(OPENCLAW) + 3 :]
        == OPENCLAW[3:]
    )


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
