"""Which workspaces a config names, by the rules of OpenClaw."""

from __future__ import annotations

from typing import Any

import pytest
from tests import samples

from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.openclaw.workspaces import workspaces

PATHS = samples.paths()
STATE = str(PATHS.state)
HOME = str(PATHS.host.home)


@pytest.mark.parametrize(
    ("agents", "inside", "outside"),
    [
        ({}, set(), ()),
        ({"defaults": {"workspace": f"{STATE}/team"}}, {"team"}, ()),
        ({"defaults": {"workspace": STATE}}, set(), ()),
        ({"entries": {"a": {"workspace": f" ~/{PATHS.state.name}/projects/app/ "}}}, {"projects/app"}, ()),
        ({"entries": {"a": {"workspace": "dev"}, "b": {"workspace": 5}, "c": None}}, {"dev"}, ()),
        ({"entries": {"a": {"workspace": "~/notes"}}}, set(), (f"{HOME}/notes",)),
        ({"entries": {"a": {"workspace": f"{STATE}/../notes"}}}, set(), (f"{HOME}/notes",)),
        ({"entries": {"a": {"workspace": f"{STATE}-other/x"}}}, set(), (f"{STATE}-other/x",)),
        ({"list": [{"id": "a", "workspace": f"{STATE}/tools"}, 5]}, {"tools"}, ()),
        ({"entries": 5, "list": 5, "defaults": 5}, set(), ()),
    ],
)
def test_workspaces_are_those_that_the_config_names(
    agents: dict[str, Any], inside: set[str], outside: tuple[str, ...]
) -> None:
    found = workspaces(PATHS, {"agents": agents})
    assert (set(found.inside), found.outside) == (inside, outside)


def test_the_workspace_of_a_new_instance_is_its_own() -> None:
    config = initial_config(PATHS, port=19001, cdp_port=19012, token="t", model=None)
    assert workspaces(PATHS, config).inside == {"workspace"}


def test_what_a_config_includes_names_workspaces_wherever() -> None:
    agents: dict[str, Any] = {"included": {"coder": {"workspace": f"{STATE}/coder"}}}
    included = [agents, {"included": [{"workspace": "acme"}]}]
    assert workspaces(PATHS, {}, included).inside == {"coder"}


def test_what_is_no_path_for_its_length_takes_no_time() -> None:
    deep = {"workspace": f"{STATE}/" + "a/" * 1_000_000}
    assert workspaces(PATHS, {"agents": {"entries": {"a": deep, "b": {"workspace": "dev"}}}}).inside == {
        "dev"
    }
