"""What OCM's docker takes for a call of OpenClaw's, and what it refuses."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.programs.tool_host.calls import (
    NOT_A_CALL,
    SANDBOX,
    Bind,
    Box,
    Create,
    Execute,
    Inspect,
    InspectImage,
    InspectSandbox,
    Pause,
    Refused,
    Remove,
    Start,
    State,
    Version,
    described,
    described_sandbox,
    parse,
)

# As OpenClaw 2026.9.6 was seen to ask.
CREATE = (
    *("create", "--name", "openclaw-sbx-agent-main-1", "--init", "--label", "openclaw.sandbox=1"),
    *("--label", "openclaw.sessionKey=a=b", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"),
    *("--tmpfs", "/run", "--network", "none", "--user", "1000:1000", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--workdir", "/workspace", "-v", "/h/w:/workspace:z"),
    *("-v", "/h/w/skills:/workspace/skills:ro,z", "--env-file", "/tmp/e", "image:tag", "sleep", "infinity"),
)
FILE = "A=1\n# B=2\nC=x=y\n\n"


def created(*words: str) -> Box:
    call = parse(words or CREATE, [FILE])
    assert isinstance(call, Create)
    return call.box


def without(option: str, *instead: str) -> tuple[str, ...]:
    at = CREATE.index(option)
    return (*CREATE[:at], *instead, *CREATE[at + 2 :])


def test_a_box_is_read_as_openclaw_asks_for_it() -> None:
    assert created() == Box(
        name="openclaw-sbx-agent-main-1",
        image="image:tag",
        labels={"openclaw.sandbox": "1", "openclaw.sessionKey": "a=b"},
        binds=(
            Bind("/h/w", "/workspace", "z", writable=True),
            Bind("/h/w/skills", "/workspace/skills", "ro,z", writable=False),
        ),
        tmpfs={"/tmp": "", "/var/tmp": "", "/run": ""},
        env={"A": "1", "C": "x=y"},
        user="1000:1000",
        directory="/workspace",
    )


def test_limits_that_a_box_does_not_have_are_named() -> None:
    box = created(*without("--network", "--memory", "1g", "--cpus=2", "--pids-limit", "50"))
    assert box.unenforced == ("--cpus", "--memory")
    assert box.tasks == 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (without("--network", "--network", "bridge"), "no network"),
        (without("--network", "--network", "container:x"), "no network"),
        (without("--network", "--privileged"), "--privileged"),
        (without("--network", "--device", "/dev/kvm"), "--device"),
        (without("--network", "--gpus", "all"), "--gpus"),
        (without("--network", "--pid=host"), "--pid"),
        (without("--network", "--init=no"), "--init"),
        (without("--network", "--pids-limit", "-1"), "number"),
        (without("--tmpfs", "--tmpfs", "/usr"), "--tmpfs /usr"),
        (without("--name", "--name", "../x"), "--name"),
        (without("--name"), "--name"),
        (without("-v", "-v", "/h/../etc:/workspace"), "plain absolute path"),
        (without("-v", "-v", "/h/w/:/workspace"), "plain absolute path"),
        (without("-v", "-v", "name:/workspace"), "plain absolute path"),
        (without("-v", "-v", "/h/w"), "plain absolute path"),
        (without("-v", "-v", "/h/w:/workspace:shared"), "shared"),
        ((*CREATE[:-2], "bash"), "sleep"),
        (CREATE[:-3], "sleep"),
    ],
)
def test_what_is_not_known_is_refused_with_a_sentence(words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=r"docker|mount") as caught:
        parse(words, [FILE])
    assert said in str(caught.value)
    assert caught.value.code == NOT_A_CALL


@pytest.mark.parametrize(
    "verb", ["", "run", "ps", "port", "network", "cp", "version", "--help", "image", "stop"]
)
def test_other_commands_are_refused(verb: str) -> None:
    with pytest.raises(Refused, match="OCM's docker"):
        parse([verb] if verb else [], [])


def test_a_command_is_read_with_what_it_is_to_have() -> None:
    call = parse(
        [
            "exec",
            "-i",
            "-w",
            "/workspace/x",
            "--env-file",
            "/e",
            "-e",
            "D=4",
            "box",
            "/bin/sh",
            "-lc",
            "-i x",
        ],
        [FILE],
    )
    assert call == Execute(
        name="box",
        argv=("/bin/sh", "-lc", "-i x"),
        env={"A": "1", "C": "x=y", "D": "4"},
        directory="/workspace/x",
        terminal=False,
    )
    for flag in ("-t", "-it", "--tty"):
        terminal = parse(["exec", flag, "box", "sh"], [])
        assert isinstance(terminal, Execute)
        assert terminal.terminal


@pytest.mark.parametrize(
    "words", [["exec", "box"], ["exec", "--privileged", "box", "sh"], ["exec", "-u", "0", "b", "x"]]
)
def test_a_command_without_a_program_or_with_more_rights_is_refused(words: list[str]) -> None:
    with pytest.raises(Refused):
        parse(words, [])


def test_a_variable_of_a_file_ends_where_its_line_does_and_nowhere_else() -> None:
    text = "A=1\u2028B=2\x85C=3\x0cD=4\x1e\vE=5"
    call = parse(["exec", "--env-file=/e", "box", "sh"], [f"{text}\r\nF=6"])
    assert isinstance(call, Execute)
    assert call.env == {"A": text[2:], "F": "6"}


@pytest.mark.parametrize(
    ("options", "files", "said"),
    [
        (["-e", "HOME"], [], "-e wants NAME=VALUE"),
        (["--env=HOME"], [], "--env wants NAME=VALUE"),
        (["-e", "=x"], [], "-e wants NAME=VALUE"),
        (["--env-file", "/e"], ["A=1\nHOME\n"], "--env-file wants NAME=VALUE"),
        (["--env-file", "/e"], [], "did not come along"),
        (["--env-file=/e"], [], "did not come along"),
        ([], ["A=1"], "more came along"),
    ],
)
def test_a_variable_that_would_be_lost_is_refused(options: list[str], files: list[str], said: str) -> None:
    for words in (
        ["exec", *options, "box", "sh"],
        ["create", "--name", "b", *options, "i", "sleep", "infinity"],
    ):
        with pytest.raises(Refused, match=said):
            parse(words, files)


def test_the_small_calls() -> None:
    assert parse(["start", "b"], []) == Start("b")
    assert parse(["rm", "-f", "b"], []) == Remove("b")
    assert parse(["pause", "b"], []) == Pause("b", paused=True)
    assert parse(["unpause", "b"], []) == Pause("b", paused=False)
    assert parse(["version", "--format", "{{.Server.Version}}"], []) == Version()
    assert parse(["image", "inspect", "x"], []) == InspectImage()
    # -f takes a value here and none for rm.
    assert parse(["inspect", "-f", "{{.Id}}", "b"], []) == Inspect("b", "{{.Id}}")
    assert parse(["inspect", "--type", "container", "--format={{.Id}}", "b"], []) == Inspect("b", "{{.Id}}")


def test_the_sandbox_itself_is_one_where_all_paths_are_what_they_are() -> None:
    """As OpenClaw asks where it finds that it is in a container, by each name that this could have."""
    layout = '{"Id":{{json .ID}},"Mounts":{{json .Mounts}},"Tmpfs":{{json .HostConfig.Tmpfs}}}'
    asked = ["inspect", "--type", "container", "--format", layout]
    assert parse([*asked, "a-host"], []) == parse([*asked, "f" * 64], []) == InspectSandbox()
    said = json.loads(described_sandbox())
    (mount,) = said["Mounts"]
    assert (said["Id"], said["Tmpfs"]) == (SANDBOX, None)
    assert (mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) == ("bind", "/", "/", True)


def test_a_box_is_described_in_each_way_that_openclaw_asks_for() -> None:
    def said(layout: str, **state: bool) -> str:
        return described(created(), layout, identity="f" * 64, state=State(**state))

    assert said("{{.State.Running}}") == "false"
    assert said("{{.State.Running}}", running=True) == "true"
    assert said("{{.State.Running}}", paused=True) == "true"
    assert said("{{.State.Paused}}") == "false"
    assert said("{{.State.Paused}}", paused=True) == "true"
    state = "{{.Id}} {{.State.Running}} {{.State.Paused}}"
    assert said(state) == f"{'f' * 64} false false"
    assert said(state, up=True) == f"{'f' * 64} true false", "what was left in it may write"
    assert said(state, up=True, paused=True) == f"{'f' * 64} true true"
    assert said("{{.Id}}") == "f" * 64
    assert said("{{.Config.Image}}") == "image:tag"
    assert said('{{ index .Config.Labels "openclaw.sessionKey" }}') == "a=b"
    assert said('{{ index .Config.Labels "x" }}') == "<no value>"
    assert said("{{range .Config.Env}}{{println .}}{{end}}") == "A=1\nC=x=y\n"
    mounts = json.loads(said('{"Mounts":{{json .Mounts}},"Tmpfs":{{json .HostConfig.Tmpfs}}}'))
    assert [(mount["Source"], mount["Destination"], mount["RW"]) for mount in mounts["Mounts"]] == [
        ("/h/w", "/workspace", True),
        ("/h/w/skills", "/workspace/skills", False),
    ]
    assert mounts["Tmpfs"] == {"/tmp": "", "/var/tmp": "", "/run": ""}
    with pytest.raises(Refused, match="layout"):
        said("{{json .}}")


@given(
    st.lists(
        st.one_of(st.sampled_from([*CREATE, "exec", "rm", "-f", "-v", "--env-file"]), st.text(max_size=5))
    )
)
def test_any_words_are_a_call_or_refused(words: list[str]) -> None:
    with contextlib.suppress(Refused):
        parse(words, [])
