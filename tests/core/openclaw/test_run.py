from __future__ import annotations

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.openclaw.run import environment, node_flags, openclaw_argv
from openclaw_ocm.core.record import Limits, Shown


def test_a_colon_in_a_place_makes_no_two_places_of_the_path() -> None:
    shown = Shown(path="/srv/a:b", at="/srv/a:b")
    plain, mounted = samples.record(), msgspec.structs.replace(samples.record(), mounts=(shown,))
    assert environment(samples.paths(), mounted)["PATH"] == environment(samples.paths(), plain)["PATH"]


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
    for key in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        assert environ[key].startswith("/home/ann/.openclaw-worker1/"), key


def test_the_instances_own_commands_come_first_on_its_path() -> None:
    path = environment(samples.paths(), samples.record())["PATH"].split(":")
    assert path[0] == str(samples.paths().bin)
    assert "/usr/bin" in path
    own = [part for part in path[1:] if part.startswith("/home")]
    assert (
        own
        == path[-2:]
        == [f"{samples.paths().state}/programs/bin", f"{samples.paths().state}/programs/cargo/bin"]
    )


def test_what_it_installs_goes_into_its_state_and_what_is_only_cached_to_the_caches() -> None:
    state, environ = str(samples.paths().state), environment(samples.paths(), samples.record())
    kept = ("NPM_CONFIG_PREFIX", "PYTHONUSERBASE", "UV_TOOL_DIR", "PIPX_HOME", "CARGO_INSTALL_ROOT", "GOBIN")
    assert all(environ[name].startswith(f"{state}/programs") for name in kept)
    cached = ("NPM_CONFIG_CACHE", "GOCACHE", "GOMODCACHE", "BUN_INSTALL_CACHE_DIR")
    assert all(environ[name].startswith(f"{state}/cache/") for name in cached)
    for name in ("UV_TOOL_BIN_DIR", "PIPX_BIN_DIR", "GOBIN"):
        assert environ[name] == f"{state}/programs/bin"


@pytest.mark.parametrize("sealed", [True, False])
def test_nothing_that_node_compiled_once_is_run_again(*, sealed: bool) -> None:
    environ = environment(samples.paths(), samples.record(sealed=sealed))
    assert environ["NODE_DISABLE_COMPILE_CACHE"] == "1"
    assert "NODE_COMPILE_CACHE" not in environ


def test_the_shell_by_which_openclaw_runs_commands_is_ocms() -> None:
    assert environment(samples.paths(), samples.record())["SHELL"] == str(samples.paths().bin / "bash")


def test_no_variable_tells_openclaw_that_systemd_would_restart_it() -> None:
    environ = environment(samples.paths(), samples.record())
    assert not {"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "NOTIFY_SOCKET"} & environ.keys()


@pytest.mark.parametrize(
    ("memory", "heap"), [(None, 8192), ("8G", 4915), ("2G", 1228), ("1G", 614), ("768M", 460)]
)
def test_the_heap_stays_well_below_the_memory_limit(memory: str | None, heap: int) -> None:
    flags = node_flags(samples.paths(), samples.record(limits=Limits(memory=memory)))
    assert flags[:2] == (f"--max-old-space-size={heap}", "--max-semi-space-size=2")


def test_openclaw_always_gets_the_profile_before_its_arguments() -> None:
    argv = openclaw_argv(samples.record(), ("health", "--profile", "other"))
    assert argv[-5:] == ("--profile", "worker1", "health", "--profile", "other")
