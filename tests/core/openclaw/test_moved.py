from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.moved import Move, moved_config, moved_text
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.errors import OcmError

HOME = PurePosixPath("/home/ann")
MOVE = Move(before=HOME / ".openclaw-w1", after=PurePosixPath("/home/bob/.openclaw-w2"))


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("/home/ann/.openclaw-w1", "/home/bob/.openclaw-w2"),
        ("/home/ann/.openclaw-w1/", "/home/bob/.openclaw-w2/"),
        ("/home/ann/.openclaw-w1/workspace", "/home/bob/.openclaw-w2/workspace"),
        ("~/.openclaw-w1/workspace", "~/.openclaw-w2/workspace"),
        ("/home/ann/.openclaw-w10/workspace", None),
        ("/home/ann/.openclaw-w1.bak", None),
        ("~/.openclaw-w10", None),
        ("see /home/ann/.openclaw-w1/workspace", None),
        ("file:///home/ann/.openclaw-w1", None),
        ("", None),
    ],
)
def test_a_path_follows_and_nothing_else(text: str, moved: str | None) -> None:
    assert moved_text(text, MOVE.pairs) == (text if moved is None else moved)


def test_a_config_is_as_a_new_instance_of_that_name_would_have_it() -> None:
    one, other = (
        initial_config(
            samples.paths(parse_name(name), PurePosixPath(home)),
            port=19001,
            cdp_port=19012,
            token="t",
            model=None,
        )
        for name, home in (("w1", "/home/ann"), ("w2", "/home/bob"))
    )
    assert one != other
    assert moved_config(one, MOVE) == other
    assert moved_config(other, MOVE.back) == one
    assert moved_config(other, MOVE) == other


def test_a_prefix_of_containers_that_the_user_chose_stays() -> None:
    config = {"agents": {"defaults": {"sandbox": {"docker": {"containerPrefix": "mine-"}}}}}
    assert moved_config(config, MOVE) == config


def test_keys_stay_and_values_in_lists_and_objects_follow() -> None:
    path = "/home/ann/.openclaw-w1/x"
    config = {path: [path, {"a": path, "n": 1, "b": True, "z": None}]}
    after = "/home/bob/.openclaw-w2/x"
    assert moved_config(config, MOVE) == {path: [after, {"a": after, "n": 1, "b": True, "z": None}]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/home/ann", "/home/ann/.openclaw-w2"),
        ("/", "/home/ann/.openclaw-w2"),
        (".openclaw-w1", "/home/ann/.openclaw-w2"),
        ("/home/../.openclaw-w1", "/home/ann/.openclaw-w2"),
        ("/home/ann/.openclaw-w1", "/home/ann/.openclaw-w1/.openclaw-w2"),
        ("/home/ann/.openclaw-w2/x/.openclaw-w1", "/home/ann/.openclaw-w2"),
    ],
)
def test_a_move_that_could_not_be_told_from_none_is_refused(before: str, after: str) -> None:
    with pytest.raises(OcmError):
        Move(before=PurePosixPath(before), after=PurePosixPath(after))


@given(st.text(alphabet="ab/.", max_size=8))
def test_what_has_moved_does_not_move_again(rest: str) -> None:
    once = moved_text(f"{MOVE.before}{rest}", MOVE.pairs)
    assert moved_text(once, MOVE.pairs) == once
