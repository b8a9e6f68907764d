from __future__ import annotations

from pathlib import PurePosixPath
from typing import get_args

import msgspec
import pytest

from openclaw_ocm.core import steps, upgrade_steps
from openclaw_ocm.core.adoption import steps as adoption
from openclaw_ocm.core.firewall import Rule
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.plan import Plan, Step

EXAMPLES: tuple[Step, ...] = (
    steps.WriteRecord(path="/r", text="name = 'w'\n", previous="old"),
    steps.MakeState(path="/s"),
    steps.MakeShell(shell="/shell", scratch="/scratch", fresh=True),
    steps.WriteConfig(path="/s/openclaw.json", model="a/b"),
    steps.CloneConfig(path="/s/openclaw.json", source="w2"),
    steps.CopyWorkspaces(path="/s", source="/other"),
    steps.LinkConfig(link="/l", target="/s/openclaw.json"),
    steps.WriteDefinition(name="w1", path="/u", text="[Unit]\n", previous="old"),
    steps.Load(name="w1"),
    steps.RemoveDefinition(name="w1"),
    steps.Enable(name="w1"),
    steps.Disable(name="w1"),
    steps.Start(name="w1"),
    steps.Remember(name="w1", runs=True, pid=7, since=1.5),
    steps.Restart(name="w1"),
    steps.Stop(name="w1", ran=True),
    steps.Verify(name="w1", timeout_seconds=1.5),
    upgrade_steps.Watch(name="w1", seconds=60.0),
    upgrade_steps.Ask(name="w1", seconds=120.0),
    upgrade_steps.KeepState(path="/s", kept="/.ocm-kept-w1-0123456789ab", record="name = 'w1'\n"),
    upgrade_steps.Migrate(name="w1"),
    upgrade_steps.ProveState(name="w1"),
    upgrade_steps.ProvePlugins(name="w1", failed=("old",)),
    steps.SetBind(name="w1", bind="lan", previous="loopback"),
    steps.SetRules(
        name="w1",
        port=19001,
        rules=(Rule(action="deny", source="any", port=19001),),
        previous=(Rule(action="allow", source="10.0.0.0/8", port=19001),),
    ),
    steps.SetTimer(name="w1", every="daily", previous="Mon 03:00"),
    steps.Stage(path="/staged", files=("/f",)),
    steps.StageFiles(files=("/f", "/g")),
    steps.ReplaceConfig(name="w1", before="/f", after="/g", beside=".openclaw.json.0.ocm"),
    steps.Exchange(path="/s", staged="/staged/s", inode=2**63),
    steps.RewritePaths(name="w2", before="/h/.openclaw-w1", after="/h/.openclaw-w2", fresh=False),
    steps.SetSource(name="w3", source="w2", previous="w1"),
    steps.RemoveFile(path="/f"),
    steps.RemoveLink(link="/l"),
    steps.RemoveTree(path="/t"),
    adoption.SetService(
        name="w1",
        unit="openclaw-gateway.service",
        files=("/u",),
        before=adoption.Service(there=True, enabled=True, runs=True),
        after=adoption.Service(there=False, enabled=False, runs=False),
    ),
    adoption.CopyState(source="/h/.openclaw", path="/staged", file="/h/.openclaw/openclaw.json", live=True),
    adoption.RefuseChanged(path="/h/.openclaw", noted="0123456789abcdef"),
    adoption.RemoveFormer(path="/h/.openclaw"),
    adoption.PutBack(source="/h/.openclaw-w1", path="/h/.openclaw"),
    adoption.TakeBack(name="w1"),
    adoption.AwaitGateway(unit="openclaw-gateway.service", port=18789, timeout_seconds=1.5),
)


def test_every_kind_of_step_has_an_example_here() -> None:
    assert {type(example) for example in EXAMPLES} == set(get_args(Step))
    assert len(EXAMPLES) == len(get_args(Step))


@pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: type(step).__name__)
def test_every_step_comes_back_from_json_as_it_was(step: Step) -> None:
    assert msgspec.json.decode(msgspec.json.encode(step), type=Step) == step


def test_a_plan_comes_back_from_one_line_of_json() -> None:
    plan = Plan(operation="create", name="w1", backend="systemd", steps=EXAMPLES, commit=3, others=("w2",))
    data = msgspec.json.encode(plan)
    assert b"\n" not in data
    assert msgspec.json.decode(data, type=Plan) == plan


@pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: type(step).__name__)
def test_every_step_says_in_one_line_what_it_does_and_to_what(step: Step) -> None:
    words = step.describe()
    assert words.isprintable()
    assert words == words.strip()
    for field in ("path", "name", "link", "shell"):
        assert getattr(step, field, "") in words


def test_no_two_kinds_of_step_say_the_same() -> None:
    assert len({example.describe() for example in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("home", ["/home/ann", "/srv/instances/ann"])
def test_a_record_and_the_settings_are_told_apart_wherever_a_home_is(home: str) -> None:
    paths = host_paths(PurePosixPath(home), {})
    record = str(paths.instance(InstanceName("settings")).record)
    assert steps.WriteRecord(path=record, text="").describe() == f"write record {record}"
    settings = str(paths.settings)
    assert steps.WriteRecord(path=settings, text="").describe() == f"write settings {settings}"


def test_a_definition_is_written_or_replaced() -> None:
    new = steps.WriteDefinition(name="w1", path="/u", text="")
    assert new.describe() == "write definition /u of w1"
    assert msgspec.structs.replace(new, previous="").describe() == "replace definition /u of w1"


@pytest.mark.parametrize("step", get_args(Step), ids=lambda step: step.__name__)
def test_no_step_has_a_place_for_a_secret(step: type[msgspec.Struct]) -> None:
    for field in step.__struct_fields__:
        assert not any(word in field for word in ("token", "secret", "password", "key", "auth", "config"))


def test_a_step_that_writes_a_config_carries_the_model_and_where_the_rest_is_read() -> None:
    assert steps.WriteConfig.__struct_fields__ == ("path", "model", "inherit")


def test_a_step_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"Sudo","path":"/"}', type=Step)
