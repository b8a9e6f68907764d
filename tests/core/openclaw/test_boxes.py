"""Which box an agent's sessions other than main have, from the config of an instance: pure."""

from __future__ import annotations

from typing import Any

import pytest
from tests import samples

from openclaw_ocm.core.openclaw.boxes import agent_box, agents
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.errors import OcmError

PATHS = samples.paths()
STATE = str(PATHS.state)
# As OpenClaw 2026.9.6 itself names it, for the agent main with the workspace of `samples`.
SLUG = "workspace-2f2528ecc1bc2eeac364c52eec5871b5"


def config(sandbox: dict[str, Any] | None = None, **agents: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    made = initial_config(PATHS, port=19001, cdp_port=19012, token="t", model=None)
    made["agents"].update(agents)
    made["agents"]["defaults"]["sandbox"].update(sandbox or {})
    return made


def mounts(config: dict[str, Any], agent: str | None = None, *, optional: bool = False) -> list[str]:
    found = agent_box(PATHS, config, agent).mounts
    return [
        f"{mount.source}:{mount.target}:{'rw' if mount.writable else 'ro'}"
        for mount in found
        if optional or not mount.optional
    ]


def test_a_new_instance_has_mains_workspace_in_its_box_and_skills_that_it_cannot_write() -> None:
    shown = mounts(config(), optional=True)
    assert shown[:3] == [
        f"{STATE}/workspace:/workspace:rw",
        f"{STATE}/workspace/skills:/workspace/skills:ro",
        f"{STATE}/workspace/.agents/skills:/workspace/.agents/skills:ro",
    ]
    other = f"{STATE}/sandbox/skills-workspaces/{SLUG}/.openclaw/sandbox-skills/skills"
    assert shown[3:] == [f"{other}:/workspace/.openclaw/sandbox-skills/skills:ro"]
    shared = mounts(config({"scope": "shared"}), optional=True)[3]
    assert shared.startswith(f"{STATE}/sandbox/skills-workspaces/shared-a4d26868/.openclaw/")


def test_with_less_access_a_box_has_the_copy_that_openclaw_makes() -> None:
    copy = f"{STATE}/sandboxes/{SLUG}"
    assert mounts(config({"workspaceAccess": "none"})) == [f"{copy}:/workspace:rw"]
    assert mounts(config({"workspaceAccess": "ro"})) == [
        f"{copy}:/workspace:ro",
        f"{STATE}/workspace:/agent:ro",
    ]
    assert mounts(config({"workspaceAccess": "none", "scope": "shared"})) == [
        f"{STATE}/sandboxes:/workspace:rw"
    ]


def test_an_agents_own_settings_are_before_those_of_all() -> None:
    entries = {
        "main": {},
        "Two": {"workspace": "~/.openclaw-worker1/two", "sandbox": {"workspaceAccess": "rw"}},
    }
    made = config({"workspaceAccess": "none"}, entries=entries)
    assert list(agents(made)) == ["main", "two"]
    assert mounts(made, "TWO") == [f"{STATE}/two:/workspace:rw"]
    del entries["Two"]["workspace"]
    assert mounts(made, "two") == [f"{STATE}/workspace/two:/workspace:rw"]
    del made["agents"]["defaults"]["workspace"]
    assert mounts(made, "two") == [f"{STATE}/workspace-two:/workspace:rw"]
    made["agents"]["defaults"]["sandbox"]["workspaceAccess"] = "rw"
    assert mounts(made) == [f"{STATE}/workspace:/workspace:rw"]


def test_the_first_agent_is_meant_where_there_is_no_main() -> None:
    assert agent_box(PATHS, config(entries={"one": {}}), None).agent == "one"
    assert mounts(config(entries={"one": {}})) == [f"{STATE}/workspace:/workspace:rw"]


def test_a_box_has_the_binds_variables_and_directory_of_the_config() -> None:
    everybody = {
        "binds": ["/a:/a:ro", 3, "/\ud800:/c"],
        "env": {"A": "1", "B": "2", "C": 3, "D": "\ud800"},
        "workdir": "/work",
    }
    own = {"docker": {"binds": ["/b:/b"], "env": {" B ": "3"}}}
    made = config({"docker": everybody}, entries={"main": {"sandbox": own}})
    box = agent_box(PATHS, made, None)
    assert box.binds == ("/a:/a:ro", "/b:/b")
    assert box.environ == {"A": "1", "B": "3", "OPENCLAW_CLI": "1"}
    assert str(box.directory) == "/work"
    assert [str(mount.target) for mount in box.mounts[:2]] == ["/work", "/work/skills"]
    made["agents"]["defaults"]["sandbox"]["scope"] = "shared"
    shared = agent_box(PATHS, made, None)
    assert (shared.binds, shared.environ["B"]) == (("/a:/a:ro",), "2")
    plain = agent_box(PATHS, config(), None)
    assert (plain.binds, str(plain.directory)) == ((), "/workspace")
    assert plain.environ == {"LANG": "C.UTF-8", "OPENCLAW_CLI": "1"}
    with pytest.raises(OcmError, match="no path that a box can have"):
        agent_box(PATHS, config({"docker": {"workdir": "work"}}), None)


@pytest.mark.parametrize("access", ["none", "ro"])
def test_a_workspace_for_each_session_is_no_box_that_could_be_shown(access: str) -> None:
    with pytest.raises(OcmError, match=r"sandbox\.scope is session") as caught:
        agent_box(PATHS, config({"scope": "session", "workspaceAccess": access}), None)
    assert caught.value.code == "box_impossible"
    assert mounts(config({"scope": "session"})) == [f"{STATE}/workspace:/workspace:rw"]


@pytest.mark.parametrize(
    ("sandbox", "says"),
    [
        ({"mode": "off"}, "run without a box: sandbox.mode is off"),
        ({"backend": "podman"}, "no box of OCM's: sandbox.backend is podman"),
        ({"mode": "a\x1b[2Jb\n"}, "sandbox.mode is ab"),
    ],
)
def test_sessions_without_a_box_are_told(sandbox: dict[str, Any], says: str) -> None:
    with pytest.raises(OcmError, match=says) as caught:
        agent_box(PATHS, config(sandbox), None)
    assert caught.value.code == "box_impossible"


def test_an_agent_that_is_not_in_the_config_is_told_with_those_that_are() -> None:
    entries: dict[str, Any] = {f"a{number}": {} for number in range(2000)}
    with pytest.raises(OcmError, match="no agent 'nobody  x'") as caught:
        agent_box(PATHS, config(entries=entries), "nobody\n\x1bx")
    assert caught.value.code == "agent_unknown"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("it has a0, a1,")
    assert caught.value.hint.endswith("a19, ...")


@pytest.mark.parametrize("workspace", ["/a:/etc", "/a\nb", "/" + "a" * 2000])
def test_a_workspace_that_docker_could_not_be_told_is_refused(workspace: str) -> None:
    made = config()
    made["agents"]["defaults"]["workspace"] = workspace
    with pytest.raises(OcmError, match="no path that a box can have") as caught:
        agent_box(PATHS, made, None)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("value", [None, 3, [], {"main": 3}, {"a b": {}, "../x": {}}])
def test_agents_that_are_none_leave_main(value: object) -> None:
    assert agents({"agents": {"entries": value}}) == {"main": {}}
