"""`system.openclaw.whereabouts` and `variables` on real files and a real login shell."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import hosts

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw import services, variables
from openclaw_ocm.system.openclaw.source import read_main_port, read_main_source, read_surroundings
from openclaw_ocm.system.openclaw.whereabouts import find_main, main_places

if TYPE_CHECKING:
    from openclaw_ocm.core.openclaw.main_place import Main
    from openclaw_ocm.system.host import Host

SECRET = "made-up-1111"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "etc").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(services, "SYSTEM", (str(tmp_path / "etc"),))
    return hosts.context(tmp_path / "home").host


@pytest.fixture
def home(host: Host) -> Path:
    return Path(host.paths.home)


def config(state: Path, port: int | None = None) -> Path:
    state.mkdir(parents=True, exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": port} if port else {}}))
    return state


def unit(directory: Path, name: str, *lines: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("\n".join(("[Service]", *lines)) + "\n")


def where(found: Main) -> tuple[str, str, bool]:
    return str(found.state), str(found.config), found.found


def test_without_a_word_of_it_main_is_in_its_usual_place(host: Host, home: Path) -> None:
    state = config(home / ".openclaw")
    assert where(find_main(host)) == (str(state), f"{state}/openclaw.json", True)
    assert find_main(host).origin == ""


@pytest.mark.parametrize("by", ["unit", "drop-in", "file", "environment.d", "shell", "settings", "profile"])
def test_main_is_found_wherever_it_is_said_to_be(host: Host, home: Path, tmp_path: Path, by: str) -> None:
    state = config(tmp_path / "srv/main" if by != "profile" else home / ".openclaw-main", 18800)
    units, said = home / ".config/systemd/user", f"OPENCLAW_STATE_DIR={state}"
    start = "ExecStart=/usr/bin/openclaw gateway"
    (home / "main.env").write_text(f"{said}\n")
    if by == "unit":
        # A profile of the same name as a state that is stale.
        config(home / ".openclaw")
        unit(units, "openclaw-gateway.service", start, f"Environment={said}")
    elif by == "drop-in":
        unit(units, "openclaw-gateway.service", start)
        unit(units / "openclaw-gateway.service.d", "x.conf", f"Environment={said}")
    elif by == "file":
        unit(units, "claw.service", start, "EnvironmentFile=-%h/none.env", "EnvironmentFile=%h/main.env")
    elif by == "environment.d":
        (home / ".config/environment.d").mkdir(parents=True)
        (home / ".config/environment.d/60.conf").write_text(f"{said}\n")
    elif by == "shell":
        host = replace(host, openclaw={"OPENCLAW_STATE_DIR": str(state)})
    elif by == "settings":
        (home / ".config/ocm").mkdir(parents=True)
        (home / ".config/ocm/settings.toml").write_text(f'main = "{state}"\n')
    found = find_main(host)
    assert where(found) == (str(state), f"{state}/openclaw.json", True)
    assert found.origin
    assert read_main_port(host) == 18800
    assert read_main_source(host, PurePosixPath("/nowhere")).config == {"gateway": {"port": 18800}}


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("ExecStart=/usr/bin/openclaw --profile main gateway",), ".openclaw-main/openclaw.json"),
        (("ExecStart=/usr/bin/openclaw gateway --profile=main",), ".openclaw-main/openclaw.json"),
        (("ExecStart=/usr/bin/openclaw --profile default gateway",), ".openclaw/openclaw.json"),
        # By itself it names no directory.
        (("ExecStart=/o/openclaw gateway", "Environment=OPENCLAW_PROFILE=x"), ".openclaw/openclaw.json"),
        (("ExecStart=/o/openclaw gateway", "Environment=OPENCLAW_HOME=~/o"), "o/.openclaw/openclaw.json"),
        (("ExecStart=/o/openclaw gateway", "Environment=OPENCLAW_CONFIG_PATH=~/c.json5"), "c.json5"),
    ],
)
def test_a_service_of_the_machine_says_where_main_is(
    host: Host, home: Path, tmp_path: Path, lines: tuple[str, ...], place: str
) -> None:
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).write_text("{}")
    unit(tmp_path / "etc", "openclaw.service", f"User={os.getuid()}", *lines)
    assert str(find_main(host).config) == str(home / place)


def test_services_of_others_instances_and_rescue_bots_are_not_main(
    host: Host, home: Path, tmp_path: Path
) -> None:
    units, start = home / ".config/systemd/user", "ExecStart=/usr/bin/openclaw gateway"
    (home / ".config/ocm/instances").mkdir(parents=True)
    (home / ".config/ocm/instances/t1.toml").write_text("")
    for name in ("other", "rescue", "t1", "t2"):
        config(home / f".openclaw-{name}")
    unit(tmp_path / "etc", "openclaw.service", "User=nobody-here", f"{start} --profile other")
    unit(units, "openclaw-gateway-rescue.service", f"{start} --profile rescue")
    unit(units, "openclaw-gateway-t1.service", f"{start} --profile t1")
    (units / "openclaw-gateway-t2.service").write_text(
        f"# Made by ocm, ...\n[Service]\n{start} --profile t2\n"
    )
    state = config(home / ".openclaw")
    assert find_main(host).state == PurePosixPath(state)
    (state / "openclaw.json").unlink()
    assert find_main(host).state == PurePosixPath(home, ".openclaw-rescue")


def test_a_main_that_is_not_there_is_told_with_the_places(host: Host, home: Path) -> None:
    host = replace(host, openclaw={"OPENCLAW_STATE_DIR": "/nowhere/main"})
    found = find_main(host)
    assert not found.found
    assert found.looked == ("/nowhere/main/openclaw.json", f"{home}/.openclaw/openclaw.json")
    assert found.sentence(host.paths.settings) == (
        f"no OpenClaw of your own was found: no /nowhere/main/openclaw.json, {home}/.openclaw/openclaw.json; "
        f'main = "DIRECTORY" in {home}/.config/ocm/settings.toml says where it is'
    )


def test_the_settings_have_the_last_word(host: Host, home: Path) -> None:
    config(home / ".openclaw")
    (home / ".config/ocm").mkdir(parents=True)
    settings = home / ".config/ocm/settings.toml"
    settings.write_text('main = "~/elsewhere"\n')
    found = find_main(host)
    assert where(found) == (f"{home}/elsewhere", f"{home}/elsewhere/openclaw.json", False)
    settings.write_text('main = "elsewhere"\n')
    with pytest.raises(OcmError, match=r"settings\.toml is corrupt"):
        find_main(host)


def test_each_variable_of_main_says_where_it_is_set(host: Host, home: Path, tmp_path: Path) -> None:
    state = home / ".openclaw"
    state.mkdir()
    (state / "openclaw.json").write_text("{env: {IN_FLAT: 'f', vars: {IN_VARS: 'v', IN_UNIT: 'no'}}}")
    (state / ".env").write_text("IN_DOTENV=d\nIN_FILE=no\n")
    (tmp_path / "main.env").write_text("IN_FILE=x\nexport NOT=n\n")
    lines = (
        *(f"User={os.getuid()}", "Environment=IN_UNIT=u GONE=1 GONE2=2 KEPT=3"),
        *(f"EnvironmentFile={tmp_path}/main.env", "UnsetEnvironment=GONE GONE2=2 KEPT=4"),
    )
    unit(tmp_path / "etc", "openclaw.service", "ExecStart=/usr/bin/openclaw gateway", *lines)
    (home / ".config/environment.d").mkdir(parents=True)
    (home / ".config/environment.d/60.conf").write_text("IN_USERS=no\n")
    found = read_surroundings(host, PurePosixPath("/nowhere"))
    assert {name: (item.value, item.origin) for name, item in found.variables.items()} == {
        "IN_UNIT": ("u", f"{tmp_path}/etc/openclaw.service"),
        "KEPT": ("3", f"{tmp_path}/etc/openclaw.service"),
        "IN_FILE": ("x", f"{tmp_path}/main.env"),
        "IN_DOTENV": ("d", f"{state}/.env"),
        "IN_FLAT": ("f", f"env in {state}/openclaw.json"),
        "IN_VARS": ("v", f"env in {state}/openclaw.json"),
    }
    [note] = found.notes
    assert "main.env has export before NOT" in note
    assert "x" not in repr(found.variables["IN_FILE"]).replace("main.env", "")[:40].partition("origin")[0]


def test_a_file_of_a_service_that_cannot_be_read_is_told(host: Host, home: Path, tmp_path: Path) -> None:
    config(home / ".openclaw")
    (tmp_path / "main.env").mkdir()
    lines = ("ExecStart=/usr/bin/openclaw gateway", f"EnvironmentFile={tmp_path}/main.env")
    unit(tmp_path / "etc", "openclaw.service", f"User={os.getuid()}", *lines)
    [note] = read_surroundings(host, PurePosixPath("/nowhere")).notes
    assert note == (
        f"{tmp_path}/main.env is no regular file, which main's service "
        f"{tmp_path}/etc/openclaw.service reads: what it sets is not inherited"
    )


def test_a_service_that_cannot_be_read_is_told_once_and_another_programs_is_not(
    host: Host, home: Path
) -> None:
    config(home / ".openclaw")
    units = home / ".config/systemd/user"
    for name in ("openclaw-gateway.service", "openclaw-gateway-worker1.service", "other.service"):
        (units / name).mkdir(parents=True)
    [note] = read_surroundings(host, PurePosixPath("/nowhere")).notes
    assert note == (
        f"{units}/openclaw-gateway.service is no regular file: if main is started by it, what it sets is not "
        f"inherited"
    )


@pytest.mark.parametrize("asked", ["config", "variable", "nobody"])
def test_the_login_shell_is_asked_where_openclaw_asks_it(
    host: Host, home: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(variables, "_login_shell", lambda _found: "/bin/sh")
    (home / ".profile").write_text(f"echo hello; export GEMINI_API_KEY={SECRET} OTHER=1\n")
    state = home / ".openclaw"
    state.mkdir()
    enabled = {"env": {"shellEnv": {"enabled": True, "timeoutMs": 5000}}} if asked == "config" else {}
    (state / "openclaw.json").write_text(json.dumps(enabled))
    (state / ".env").write_text("OPENCLAW_LOAD_SHELL_ENV=1\n" if asked == "variable" else "")
    found = variables.all_variables(host, find_main(host), enabled, ("GEMINI_API_KEY", "MISSING"))
    wanted = {} if asked == "nobody" else {"GEMINI_API_KEY": (SECRET, "the login shell /bin/sh")}
    assert {
        name: (item.value, item.origin)
        for name, item in found.variables.items()
        if name != "OPENCLAW_LOAD_SHELL_ENV"
    } == wanted


def test_a_login_shell_that_does_not_end_is_told_and_ended(
    host: Host, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "_login_shell", lambda _found: "/bin/sh")
    (home / ".profile").write_text("exec sleep 1000\n")
    block = {"env": {"shellEnv": {"enabled": True, "timeoutMs": 300}}}
    found = variables.all_variables(host, find_main(host), block, ("GEMINI_API_KEY",))
    assert found.variables == {}
    assert "asks the login shell /bin/sh for keys, and OCM got no answer" in found.notes[0]


def test_a_main_that_runs_says_on_which_port(host: Host, home: Path) -> None:
    state = config(home / ".openclaw", 18800)
    lock = state / f"tmp/openclaw-{host.uid}/gateway.state.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": 2**22 + 1, "port": 18900}))
    assert read_main_port(host) == 18800
    unit(home / ".config/systemd/user", "openclaw.service", "ExecStart=/o/openclaw gateway --port 18700")
    assert read_main_port(host) == 18700


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_lock_that_was_left_behind_names_no_process_of_another(
    host: Host, home: Path, *, left_behind: bool
) -> None:
    state = config(home / ".openclaw", 18800)
    lock = state / f"tmp/openclaw-{host.uid}/gateway.state.lock"
    lock.parent.mkdir(parents=True)
    words = ("/bin/sh", "-c", "echo; read line", "openclaw-gateway")
    with subprocess.Popen(
        words, env={"PLANTED": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        started = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        said = {"pid": process.pid, "port": 18900, "startTime": started - left_behind}
        lock.write_text(json.dumps(said))
        found = find_main(host)
        process.stdin.close()
    assert (found.port, "PLANTED" in found.surroundings.variables) == (
        (None, False) if left_behind else (18900, True)
    )


@pytest.mark.parametrize(
    "said",
    [
        {"OPENCLAW_CONFIG_PATH": "~/.openclaw/openclaw-t1.json"},
        {"OPENCLAW_CONFIG_PATH": "~/.openclaw-t1/openclaw.json"},
        {"OPENCLAW_STATE_DIR": "~/.openclaw/../.openclaw-t1"},
        {"OPENCLAW_STATE_DIR": "~/.openclaw-t1/workspace"},
    ],
)
@pytest.mark.parametrize("by", ["shell", "service"])
def test_what_leads_into_an_instance_is_no_main_whoever_names_it(
    host: Host, home: Path, said: dict[str, str], by: str
) -> None:
    (home / ".config/ocm/instances").mkdir(parents=True)
    (home / ".config/ocm/instances/t1.toml").write_text("")
    config(home / ".openclaw-t1/workspace")
    usual = config(home / ".openclaw") / "openclaw.json"
    (home / ".openclaw/openclaw-t1.json").symlink_to(config(home / ".openclaw-t1") / "openclaw.json")
    if by == "shell":
        host = replace(host, openclaw=said)
    else:
        lines = (f"Environment={name}={value}" for name, value in said.items())
        unit(home / ".config/systemd/user", "claw.service", "ExecStart=/o/openclaw gateway", *lines)
    assert find_main(host).config == PurePosixPath(usual)


def test_a_store_that_cannot_be_looked_at_is_not_one_that_is_not_there(host: Host, home: Path) -> None:
    store = config(home / ".openclaw") / "state/openclaw.sqlite"
    store.parent.mkdir()
    assert read_main_source(host, PurePosixPath("/nowhere")).profiles == {}
    store.symlink_to(store.name)
    with pytest.raises(OcmError, match="cannot be read") as caught:
        read_main_source(host, PurePosixPath("/nowhere"))
    assert caught.value.code == "credentials_unreadable"


def test_what_was_set_aside_of_an_instance_is_no_profile(host: Host, home: Path) -> None:
    config(home / ".openclaw-t1.replaced-0a1b2c3d")
    assert not find_main(host).found


def test_an_instance_that_is_half_deleted_is_no_profile(host: Host, home: Path) -> None:
    config(home / ".openclaw-t1")
    journals = Path(host.paths.transactions)
    journals.mkdir(parents=True)
    assert find_main(host).found
    (journals / "t1.jsonl").write_text("")
    assert not find_main(host).found


def test_a_profile_without_a_port_has_that_of_its_name(host: Host, home: Path) -> None:
    config(home / ".openclaw-x1")
    assert read_main_port(host) == 27234


def test_what_main_and_its_services_hold_is_for_no_instance(host: Host, home: Path, tmp_path: Path) -> None:
    (home / ".config/ocm").mkdir(parents=True)
    (home / ".config/ocm/settings.toml").write_text('main = "/opt/claw"\n')
    (tmp_path / "main.env").write_text("X=1\n")
    (tmp_path / "link.env").symlink_to("main.env")
    lines = ("Environment=A=1 OPENCLAW_STATE_DIR=/usr/claw", f"EnvironmentFile=-{tmp_path}/l*.env")
    unit(tmp_path / "etc", "openclaw.service", f"User={os.getuid()}", "ExecStart=/o/openclaw gateway", *lines)
    found = set(map(str, main_places(host)))
    assert found == {
        *("/opt/claw", "/usr/claw", "/usr/claw/openclaw.json"),
        *(f"{tmp_path}/etc/openclaw.service", f"{tmp_path}/main.env"),
    }
    (home / ".config/ocm/settings.toml").write_text("main = 1\n")
    assert "/opt/claw" not in set(map(str, main_places(host)))
