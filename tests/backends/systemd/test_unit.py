from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.backends.definition import is_edited
from openclaw_ocm.backends.systemd.places import turn_program
from openclaw_ocm.backends.systemd.unit import (
    limit_directives,
    quote,
    quote_argument,
    render_timed,
    render_timer,
    render_turn,
    render_unit,
    render_uplink,
    sandbox_directives,
)
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.core.record import Limits, Record, Runtime
from openclaw_ocm.core.sandbox.launch import gateway_argv
from openclaw_ocm.core.sandbox.policy import HIDDEN, Mount, Policy, instance_policy
from openclaw_ocm.programs.uplink import main as uplink

ODD = " \t'\"\\$%:;#-{}=@!ä日"
TEXT = st.text(st.one_of(st.sampled_from(ODD), st.characters(min_codepoint=32, exclude_categories=["Cs"])))
# What systemd takes for a path: absolute, without control characters, no component longer than 255 bytes.
PATHS = (
    st.text(
        st.one_of(st.sampled_from(ODD.replace("\t", "")), st.sampled_from("abc")), min_size=1, max_size=30
    )
    .filter(lambda text: text not in (".", ".."))
    .map(lambda text: PurePosixPath("/x", text))
)
MOUNTS = st.builds(Mount, source=PATHS, target=PATHS, writable=st.booleans(), optional=st.booleans())


def words(text: str, *, separators: str = " ") -> list[tuple[str, str]]:
    """Return the words of a directive as systemd 252 splits them, each with the separator that ended it.

    After extract_first_word() of src/basic/extract-word.c; checked against `systemd-analyze --user verify`
    with SYSTEMD_LOG_LEVEL=debug, which prints what it understood. Other escapes than these
    two mean different things in ExecStart= and in a list of paths.
    """
    found, word, quoted, begun = [], "", "", False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            follower = next(characters)
            assert follower in '\\"', f"\\{follower} means something else or nothing to systemd"
            word, begun = word + follower, True
        elif character == quoted:
            quoted = ""
        elif not quoted and character in "\"'":
            quoted, begun = character, True
        elif not quoted and character in separators:
            if begun:
                found.append((word, character))
            word, begun = "", False
        else:
            word, begun = word + character, True
    assert not quoted
    return [*found, (word, "")] if begun else found


def binds(text: str) -> list[tuple[str, str]]:
    """Return the source and the target of each entry of BindPaths=."""
    found: list[tuple[str, str]] = []
    source = None
    for word, end in words(text, separators=" :"):
        if source is None and end == ":":
            source = word
            continue
        found.append((source if source is not None else word, word))
        source = None
    return found


def directives(unit: str) -> list[tuple[str, str]]:
    lines = [line for line in unit.split("\n") if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def value_of(unit: str, key: str) -> str:
    (value,) = (value for found, value in directives(unit) if found == key)
    return value


def unit_of(
    record: Record | None = None, *, home: PurePosixPath = samples.HOME, systemd_version: int = 252
) -> str:
    paths = samples.paths(home=home)
    record = record or samples.record()
    return render_unit(paths, record, instance_policy(paths, record), systemd_version=systemd_version)


def sandbox(*, systemd_version: int = 252, docker: bool = False) -> list[tuple[str, str]]:
    policy = instance_policy(samples.paths(), samples.record(docker=docker))
    return list(sandbox_directives(policy, systemd_version=systemd_version))


@given(st.lists(TEXT))
def test_quoted_words_come_back_as_they_were(texts: list[str]) -> None:
    assert [word for word, _end in words(" ".join(map(quote, texts)))] == texts


@given(st.lists(TEXT))
def test_quoted_arguments_come_back_with_every_dollar_doubled(texts: list[str]) -> None:
    line = " ".join(map(quote_argument, texts))
    assert [word.replace("$$", "\0").replace("\0", "$") for word, _end in words(line)] == texts
    assert all("$" not in word.replace("$$", "") for word, _end in words(line))


@pytest.mark.parametrize("text", ["", " ", "a b", "#a", ";", "'", '"', "\\", "a\tb"])
def test_what_systemd_would_split_drop_or_take_for_a_comment_is_quoted(text: str) -> None:
    assert quote(text)[0] == quote(text)[-1] == '"'


@pytest.mark.parametrize("text", ["/usr/bin/node", "A=b", "--max-old-space-size=1024", "a:b", "ä"])
def test_what_needs_no_quotes_gets_none(text: str) -> None:
    assert quote(text) == text


@given(st.lists(MOUNTS))
def test_every_mount_comes_back_from_the_bind_directives(mounts: list[Mount]) -> None:
    policy = Policy(root=PurePosixPath("/r"), mounts=tuple(mounts), address_families=())
    rendered = dict(sandbox_directives(policy, systemd_version=252))
    for key, writable in (("BindReadOnlyPaths", False), ("BindPaths", True)):
        wanted = [mount for mount in mounts if mount.writable is writable]
        found = binds(rendered[key])
        if writable:
            assert found.pop() == ("/proc", "/run/ocm/proc"), "for the tool host, which covers it"
        for mount, (source, target) in zip(wanted, found, strict=True):
            mark = "-" if mount.optional else ""
            assert source == f"{mark}{mount.source}"
            assert target == (source if mount.source == mount.target else str(mount.target))
    writable_paths = [f"{'-' if mount.optional else ''}{mount.target}" for mount in mounts if mount.writable]
    assert [word for word, _end in words(rendered["ReadWritePaths"])] == writable_paths


def test_a_mount_is_written_as_systemd_was_seen_to_understand_it() -> None:
    source, target = PurePosixPath("/my home/a:b"), PurePosixPath("/c")
    policy = Policy(
        root=PurePosixPath("/r"),
        mounts=(Mount(source=source, target=target, writable=True, optional=True),),
        address_families=(),
    )
    assert (
        dict(sandbox_directives(policy, systemd_version=252))["BindPaths"]
        == '"-/my home/a:b":/c /proc:/run/ocm/proc'
    )


@given(home=PATHS, node=PATHS, openclaw=PATHS, version=st.sampled_from([252, 257]))
def test_the_command_line_comes_back_whatever_the_paths_hold(
    home: PurePosixPath, node: PurePosixPath, openclaw: PurePosixPath, version: int
) -> None:
    record = samples.record(runtime=Runtime(node=str(node), openclaw=str(openclaw)))
    line = value_of(unit_of(record, home=home, systemd_version=version), "ExecStart")
    assert "%" not in line.replace("%%", "")
    found = [word.replace("$$", "$") for word, _end in words(line.replace("%%", "%"))]
    assert tuple(found) == gateway_argv(samples.paths(home=home), record)


@given(home=PATHS)
def test_no_path_adds_a_line_or_a_specifier_to_the_unit(home: PurePosixPath) -> None:
    plain = [key for key, _value in directives(unit_of())]
    unit = unit_of(home=home)
    assert [key for key, _value in directives(unit)] == plain
    assert all("%" not in value.replace("%%", "") for key, value in directives(unit) if key != "CPUQuota")


def test_the_directives_that_the_issue_names_are_there() -> None:
    rendered = dict(sandbox())
    on = ("PrivateUsers", "PrivateTmp", "NoNewPrivileges", "ProtectKernelTunables", "ProtectControlGroups")
    for key in (*on, "PrivateIPC", "PrivateDevices", "LockPersonality"):
        assert rendered[key] == "yes", key
    assert rendered["ProtectSystem"] == "strict"
    assert rendered["CapabilityBoundingSet"] == ""
    assert rendered["UMask"] == "0077"
    assert (rendered["LimitSIGPENDING"], rendered["LimitMSGQUEUE"]) == ("1024", "102400")
    state = "/home/ann/.openclaw-worker1"
    assert state in [word for word, _end in words(rendered["ReadWritePaths"])]
    assert (state, state) in binds(rendered["BindPaths"])


@pytest.mark.parametrize("version", [252, 257])
def test_namespaces_are_for_the_tool_host_and_the_gateway_runs_below_it(version: int) -> None:
    rendered = sandbox(systemd_version=version)
    assert not {"RestrictNamespaces", "PrivatePIDs"} & {key for key, _value in rendered}
    assert ("SystemCallFilter", "@system-service @mount") in rendered
    started = value_of(unit_of(systemd_version=version), "ExecStart").split(" ")
    host, program = started.index("/usr/bin/python3"), started.index("/usr/bin/perl")
    assert started.count("--filter") == 2
    assert host < started.index("--filter") < program


def test_the_home_and_run_are_hidden() -> None:
    rendered = dict(sandbox())
    assert rendered["ProtectHome"] == "tmpfs"
    assert rendered["RootDirectory"] == "/home/ann/.local/share/ocm/instances/worker1/root"
    hidden = {entry.partition(":")[0] for entry in rendered["TemporaryFileSystem"].split()}
    assert hidden >= {"/home", "/root", "/run", "/dev/shm", "/dev/pts"}
    for key in ("BindPaths", "BindReadOnlyPaths"):
        run = {target for _source, target in binds(rendered[key]) if target.startswith("/run")}
        assert run <= {"/run/ocm/secrets.env", "/run/ocm/proc"}


def test_what_only_mode_bits_keep_from_others_is_hidden() -> None:
    rendered = dict(sandbox())["InaccessiblePaths"]
    # In the sandbox's own root, and only where the host has it.
    assert all(word.startswith("-+/") for word, _end in words(rendered))
    assert {word.removeprefix("-+") for word, _end in words(rendered)} == set(map(str, HIDDEN))


def test_what_kills_openclaw_is_not_there() -> None:
    assert not {"RestrictSUIDSGID", "MemoryDenyWriteExecute", "ProtectKernelLogs"} & dict(sandbox()).keys()


def test_the_docker_socket_is_bound_only_where_the_record_allows_it() -> None:
    socket = ("/run/docker.sock", "/run/docker.sock")
    assert socket not in binds(dict(sandbox())["BindPaths"])
    assert socket in binds(dict(sandbox(docker=True))["BindPaths"])


def test_the_journals_socket_is_hidden_where_the_manager_would_show_it() -> None:
    assert ("BindLogSockets", "no") in sandbox(systemd_version=257)
    assert "BindLogSockets" not in dict(sandbox(systemd_version=256))


def test_a_newer_manager_gets_all_that_an_older_one_gets() -> None:
    assert sandbox(systemd_version=257)[: len(sandbox())] == sandbox()


@pytest.mark.parametrize("version", [252, 257])
def test_the_unit_holds_every_directive_of_the_sandbox(version: int) -> None:
    unit = directives(unit_of(systemd_version=version))
    assert [pair for pair in sandbox(systemd_version=version) if pair not in unit] == []


def test_a_gateway_is_restarted_unless_its_config_is_refused() -> None:
    unit = dict(directives(unit_of()))
    expected = {
        "Restart": "always",
        "RestartPreventExitStatus": "78",
        "KillMode": "mixed",
        "TimeoutStopSec": "330",
        "StartLimitBurst": "10",
        "StartLimitIntervalSec": "300",
        "WantedBy": "default.target",
    }
    assert {key: unit[key] for key in expected} == expected


def test_an_instance_does_not_choose_the_level_of_what_it_prints() -> None:
    """By "<0>" it would reach every terminal, and by eight levels more of the journal than by one."""
    unit = dict(directives(unit_of()))
    assert unit["SyslogLevelPrefix"] == "no"


def test_nothing_is_set_that_journald_reads_of_system_units_alone() -> None:
    assert not [key for key, _ in directives(unit_of()) if key.startswith(("LogRateLimit", "LogNamespace"))]


def test_each_directive_stands_in_the_section_where_systemd_looks_for_it() -> None:
    parts = (part.partition("]\n") for part in unit_of().split("\n[")[1:])
    sections = {name: text for name, _, text in parts}
    assert list(sections) == ["Unit", "Service", "Install"]
    assert "StartLimitBurst=" in sections["Unit"]
    assert "PrivateUsers=yes" in sections["Service"]
    assert "WantedBy=" in sections["Install"]


def test_without_limits_only_tasks_are_limited() -> None:
    assert limit_directives(Limits()) == (("TasksMax", "512"),)


def test_limits_are_written_as_systemd_takes_them() -> None:
    limits = Limits(memory="2G", cpus=1.5, tasks=100)
    wanted = (("TasksMax", "100"), ("MemoryMax", "2G"), ("CPUQuota", "150%"))
    assert limit_directives(limits) == wanted
    unit = directives(unit_of(samples.record(limits=limits)))
    assert [pair for pair in wanted if pair not in unit] == []


@given(st.floats(0.05, 1024))
def test_a_cpu_limit_is_never_rounded_down_to_none(cpus: float) -> None:
    quota = dict(limit_directives(Limits(cpus=cpus)))["CPUQuota"]
    assert int(quota.removesuffix("%")) >= 5


def test_a_unit_as_rendered_is_not_edited() -> None:
    assert not is_edited(unit_of())
    assert not is_edited(unit_of(systemd_version=257))


@given(st.data())
def test_any_change_of_a_unit_is_an_edit(data: st.DataObject) -> None:
    unit = unit_of()
    place = data.draw(st.integers(0, len(unit) - 1))
    character = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda text: text != unit[place]))
    assert is_edited(unit[:place] + character + unit[place + 1 :])
    assert is_edited(unit[:place] + unit[place + 1 :])


@pytest.mark.parametrize("text", ["", "\n", "[Service]\nExecStart=/bin/true\n"])
def test_a_unit_that_ocm_never_wrote_is_an_edited_one(text: str) -> None:
    assert is_edited(text)


def test_two_renderings_of_the_same_record_are_the_same() -> None:
    assert unit_of() == unit_of()


def directive(text: str, key: str) -> str:
    """Return the one value of a directive, specifiers resolved."""
    (value,) = (line.partition("=")[2] for line in text.split("\n") if line.startswith(f"{key}="))
    return value.replace("%%", "%")


def test_a_timer_makes_up_for_what_was_missed() -> None:
    text = render_timer(samples.NAME, "Mon..Fri 03:00", Purpose.BACKUP)
    assert not is_edited(text)
    assert directive(text, "OnCalendar") == "Mon..Fri 03:00"
    assert directive(text, "Persistent") == "yes"
    assert directive(text, "WantedBy") == "timers.target"


@given(st.lists(TEXT, min_size=1))
def test_the_command_of_a_backup_reaches_systemd_as_it_is(argv: list[str]) -> None:
    text = render_timed(samples.NAME, argv, Purpose.BACKUP)
    assert not is_edited(text)
    assert [word.replace("$$", "$") for word, _ in words(directive(text, "ExecStart"))] == argv


def test_a_backup_gives_way_to_gateways() -> None:
    text = render_timed(samples.NAME, ["/bin/true"], Purpose.BACKUP)
    assert (directive(text, "Nice"), directive(text, "IOSchedulingClass")) == ("19", "idle")
    assert directive(text, "Type") == "oneshot"


def test_an_isolated_gateway_wants_its_uplink_and_has_the_tool_host_wait_for_it() -> None:
    shared, own = samples.record(), samples.record(network="own")
    texts = [
        render_unit(samples.paths(), record, instance_policy(samples.paths(), record), systemd_version=257)
        for record in (shared, own)
    ]
    assert [f"Wants=ocm-uplink@{own.name}.service" in text for text in texts] == [False, True]
    assert [" --network " in text for text in texts] == [False, True]
    assert "--network" not in gateway_argv(samples.paths(), samples.record(network="own", sealed=False))


@pytest.mark.parametrize("home", ["/home/ann", "/home/a%i @b\"'c", "/home/a*b[c] $HOME"])
def test_one_template_serves_every_instance_by_its_name(home: str) -> None:
    paths = host_paths(PurePosixPath(home), {})
    text = render_uplink(paths)
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    own = paths.instance(parse_name("w1"))

    def filled(value: str) -> list[str]:
        split = words(value.replace("%%", "\1").replace("$$", "\2"))
        return [word.replace("%i", "w1").replace("\1", "%").replace("\2", "$") for word, _ in split]

    argv = filled(lines["ExecStart"])
    assert argv[argv.index("--rules") + 1] == str(own.network / "gateway.nft")
    assert argv[argv.index("--state") + 1] == str(own.uplink)
    assert argv[-2:] == ["--of-unit", "openclaw-gateway-w1.service"]
    assert "$OPTIONS" in argv
    assert lines["PartOf"] == "openclaw-gateway-%i.service"
    assert "BindsTo=" not in text, "a gateway that waits for its restart would be started at once"
    assert "Requires=" not in text, "likewise"
    # Else a gateway that stays away would have its uplink started over and over.
    assert lines["RestartPreventExitStatus"] == lines["SuccessExitStatus"] == str(uplink.NO_GATEWAY)
    # systemd unquotes nothing there (checked by `systemd-analyze verify` of 252), and takes it for a pattern.
    file = lines["EnvironmentFile"].replace("%%", "\1").replace("%i", "w1").replace("\1", "%")
    assert file.replace("[[]", "[").replace("[*]", "*") == str(own.network / "options")


def test_units_of_scheduled_backups_bear_the_names_that_older_ones_have() -> None:
    timer = render_timer(samples.NAME, "daily", Purpose.BACKUP)
    timed = render_timed(samples.NAME, ["/x"], Purpose.BACKUP)
    assert directive(timer, "Description") == "Scheduled backups of OpenClaw instance worker1 (ocm)"
    assert directive(timed, "Description") == "Scheduled backup of OpenClaw instance worker1 (ocm)"


def test_what_is_done_once_for_all_instances_fills_no_log() -> None:
    timer = render_timer(ALL, "*:0/2", Purpose.NOTIFY)
    assert directive(timer, "Description") == "Scheduled run of ocm notify check"
    text = render_timed(ALL, ["/bin/true"], Purpose.NOTIFY)
    assert directive(text, "LogLevelMax") == "notice"
    assert directive(text, "TimeoutStartSec") == "600"


def test_a_gateway_begins_after_its_turn_and_whatever_becomes_of_that() -> None:
    policy = instance_policy(samples.paths(), samples.record())
    text = render_unit(samples.paths(), samples.record(), policy, systemd_version=257)
    turn = f"ocm-turn@{samples.NAME}.service"
    assert f"Wants={turn}\nAfter={turn}\n" in text
    assert not {"Requires=", "Requisite=", "BindsTo="} & set(re.findall(r"^\w+=", text, re.MULTILINE))
    # It gives up after a while where no gateway comes.
    assert "After=ocm-turn@%i.service\n" in render_uplink(samples.paths().host)


@pytest.mark.parametrize("home", ["/home/ann", "/home/a%i @b\"'c", "/home/a*b[c] $HOME"])
def test_one_template_has_every_instance_wait_for_its_turn(home: str) -> None:
    paths = host_paths(PurePosixPath(home), {})
    text = render_turn(paths)
    assert not is_edited(text)
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    split = words(lines["ExecStart"].replace("%%", "\1").replace("$$", "\2"))
    filled = [word.replace("%i", "w1").replace("\1", "%").replace("\2", "$") for word, _ in split]
    program, slots, name, record, settings = filled[4:9]
    # Without env -i the manager would hand over what its user has set, such as PERL5OPT.
    assert filled[:4] == ["/usr/bin/env", "-i", "NOTIFY_SOCKET=${NOTIFY_SOCKET}", "/usr/bin/perl"]
    assert (program, settings) == (str(turn_program(paths)), str(paths.settings))
    assert (slots, name, record) == ("%t/ocm-turns", "w1", str(paths.instance(parse_name("w1")).record))
    keeps, waits = map(int, filled[-2:])
    assert int(directive(text, "TimeoutStartSec")) > waits > keeps
    assert directive(text, "Type") == "notify"
    assert directive(text, "PartOf") == "openclaw-gateway-%i.service"
    assert directive(text, "StopWhenUnneeded") == "yes"


def test_the_slots_are_nowhere_that_a_sandbox_shows() -> None:
    policy = instance_policy(samples.paths(), samples.record())
    mounts = [mount.source for mount in policy.mounts]
    runtime = PurePosixPath("/run/user/1000/ocm-turns")
    for place in (runtime, turn_program(samples.paths().host), samples.paths().host.settings):
        assert not any(place.is_relative_to(mount) for mount in mounts)
    assert "/run:ro" in dict(sandbox_directives(policy, systemd_version=257))["TemporaryFileSystem"]
