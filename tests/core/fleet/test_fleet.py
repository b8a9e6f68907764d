"""A fleet file is read strictly, what is wrong in it is named with its place, and the example says all."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec
import pytest

from openclaw_ocm.cli.render.fleet import example_text
from openclaw_ocm.core.fleet.file import Described, Source
from openclaw_ocm.core.fleet.parse import Fleet, parse_fleet
from openclaw_ocm.core.fleet.schema import schema
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Limits, Schedule, Shown
from openclaw_ocm.errors import Invalid

HOME, FOLDER = PurePosixPath("/home/ann"), PurePosixPath("/srv/fleet")
MIRA, BEN = parse_name("mira"), parse_name("ben")


def parsed(text: str) -> Fleet:
    return parse_fleet(text, home=HOME, folder=FOLDER)


def test_defaults_groups_and_the_instance_say_it_in_that_order() -> None:
    found = parsed(
        """
        [defaults]
        groups = ["first"]
        limits = { memory = "1G", tasks = 600 }
        backups = { every = "03:00" }
        secrets = { A_KEY = { env = "A" }, B_KEY = { env = "B" } }
        [groups.first]
        limits.memory = "2G"
        [groups.second]
        limits.memory = "3G"
        secrets.A_KEY.file = "a"
        [instances.mira]
        [instances.ben]
        groups = ["first", "second"]
        backups = false
        secrets.B_KEY.command = ["pass"]
        """
    ).instances
    assert found[MIRA].limits == Limits(memory="2G", tasks=600)
    assert found[MIRA].backups == Schedule(every="03:00")
    assert found[BEN].limits == Limits(memory="3G", tasks=600)
    assert found[BEN].backups is False
    assert found[BEN].secrets == {
        "A_KEY": Source(file="/srv/fleet/a"),
        "B_KEY": Source(command=("pass",)),
    }


def test_paths_begin_at_the_file_and_the_home_is_the_users() -> None:
    found = parsed(
        """
        [instances.mira]
        mounts = [{ path = "~/papers" }, { path = "data", at = "/srv/data", writable = true }]
        secrets = { A_KEY = { file = "~/a" }, B_KEY = { file = "b" }, C_KEY = { file = "/c" } }
        channels.telegram.token.file = "t"
        """
    )
    assert found.mounts(MIRA) == (
        Shown(path="/home/ann/papers", at="/home/ann/papers"),
        Shown(path="/srv/fleet/data", at="/srv/data", writable=True),
    )
    mira = found.instances[MIRA]
    assert [one.file for one in mira.secrets.values()] == ["/home/ann/a", "/srv/fleet/b", "/c"]
    assert mira.channels.telegram is not None
    assert mira.channels.telegram.token.file == "/srv/fleet/t"


def test_those_that_inherit_come_after_those_from_which_they_do() -> None:
    inherit = {"a": "b", "b": "c", "d": "main", "e": "elsewhere"}
    text = "".join(f'[instances.{name}]\ninherit_from = "{source}"\n' for name, source in inherit.items())
    assert parsed(f"{text}[instances.c]\n").waves == (("d", "e", "c"), ("b",), ("a",))
    assert parsed("version = 1").waves == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[instances.a]\nmodle = 'x/y'", "instances.a has an unknown key 'modle': did you mean 'model'?"),
        (
            "[instances.a.limits]\nmemmory = '2G'",
            "instances.a.limits has an unknown key 'memmory'",
        ),
        ("instance.a = {}", "the file has an unknown key 'instance': did you mean 'instances'?"),
        ("[groups.g]\nlimit = {}", "groups.g has an unknown key 'limit': did you mean 'limits'?"),
        ("[instances.a.secrets]\nK = { fil = 'a' }", "instances.a.secrets.K has an unknown key 'fil'"),
        (
            "[instances.a.secrets]\nK = { file = 'a', env = 'b' }",
            "instances.a.secrets.K cannot be: one",
        ),
        ("[instances.a.secrets]\nK = 'sk-plain'", "instances.a.secrets.K cannot be: write where it is read"),
        ("[instances.a]\nlimits.memory = '2K'", "instances.a.limits.memory cannot be: write 2G or 1536M"),
        ("[instances.a]\nlimits.memory = '2M'", "instances.a.limits cannot be: 2M is too little"),
        ("[instances.a]\nopenclaw = 'latest'", "instances.a.openclaw cannot be: write a version"),
        ("[instances.a]\nmodel = 'none'", "instances.a: 'none' is no model: write provider/model"),
        ("[instances.a]\nport = 18789", "instances.a: port 18789 belongs to main"),
        ("[instances.a]\nport = 80", "instances.a.port cannot be: Expected `int` >= 1024"),
        ("[instances.a]\nport=19001\n[instances.b]\nport=19005", "instances.a.port is too near to that of b"),
        ("defaults.port = 19001", "defaults.port cannot be of several instances"),
        ("groups.g.channels = {}", "groups.g.channels cannot be of several instances"),
        ("[instances.A]", "instances.A: 'A' is no instance name"),
        ("[instances.main]", "instances.main: 'main' "),
        ("[instances.a]\ngroups = ['g']", "instances.a.groups names 'g', which is no group"),
        ("[instances.a]\nexpose = ['1.2.3.4/33']", "instances.a: '1.2.3.4/33' is no network"),
        ("[instances.a]\nallow = ['example.org']", "instances.a: 'example.org'"),
        ("[instances.a]\nbackups = { every = '%' }", "instances.a.backups cannot be: "),
        ("[instances.a]\nbackups = true", "instances.a cannot be: backups is false, or says more than true"),
        (
            "[instances.a]\nenvironment.A_KEY = 'sk-12345678901234567890'",
            "instances.a: A_KEY looks like",
        ),
        (
            "[instances.a]\nsealed = false\nnetwork = 'own'",
            "instances.a: an unsealed instance has no",
        ),
        (
            "[instances.a]\nconfig = { 'models.providers.x.apiKey' = 'sk-plain' }",
            "instances.a: config.models.providers.x.apiKey holds a secret",
        ),
        (
            "[instances.a]\nchannels.telegram = { token = { env = 'T' }, allow = ['me'] }",
            "instances.a.channels.telegram.allow[0] cannot be: write the number of a Telegram user",
        ),
        (
            "[instances.a]\ninherit_from = 'b'\n[instances.b]\ninherit_from = 'a'",
            "instances inherit in a circle: a from b from a",
        ),
        ("[instances.a]\ninherit_from = 'a'", "instances inherit in a circle: a from a"),
        ("version = 2", "version is 2, and this OCM knows 1"),
        ("version = ", "the file is no TOML: "),
        ("version = true", "version is True, and this OCM knows 1"),
        ("running = true\nautostart = yes", "the file is no TOML: Invalid value (at line 2, column 13)"),
        (f"a = {'[' * 5000}{']' * 5000}", "the file is no TOML: it is nested too deeply"),
        ("groups.g.groups = ['h']", "groups.g.groups is of instances: a group names no other group"),
        ('[instances."\\u001b[31mx"]', "instances.x: "),
        (f"{'x' * 9000} = 1", f"the file has an unknown key '{'x' * 80}'"),
        ("[instances.drill-0123abcd]", "instances.drill-0123abcd is a name of throw-away instances"),
        (
            "[instances.a]\nmounts = [{ path = '/srv/a' }, { path = '/srv/b/../a', at = '/srv/c' }]",
            "instances.a: mounts names /srv/a twice",
        ),
        (
            "[instances.a]\nmounts = [{ path = '/srv/a', at = '/x' }, { path = '/srv/b', at = '/x' }]",
            "instances.a: mounts names /x twice",
        ),
        (
            "[instances.a]\nsealed = false\nmounts = [{ path = '/srv/a' }]",
            "instances.a: an unsealed instance",
        ),
        ("[instances.a]\nconfig = { 'a.b' = 1979-05-27 }", "instances.a: config.a.b holds a date or a time"),
        (
            "[instances.a]\nconfig = { a = [{ b = 07:32:00 }] }",
            "instances.a: config.a holds a date or a time",
        ),
        (
            "[instances.a]\nnetwork = 'shared'\nallow = ['192.168.1.1:80']",
            "instances.a: what shares the network of this machine reaches all that is near",
        ),
        ("[instances.a]\nconfig = { 'a.b' = nan }", "instances.a: config.a.b holds a number without an end"),
        (
            "[instances.a]\nconfig = { 'a.b' = 1, a = { b = 2 } }",
            "instances.a: config.a and config.a.b say the same thing",
        ),
        (
            "[instances.a]\nmodel = 'x/y'\nconfig = { 'agents.defaults.model.primary' = 'x/z' }",
            "instances.a: config.agents.defaults.model.primary and model say the same thing",
        ),
        (
            "[instances.a]\nchannels.telegram.token.env = 'T'\nconfig = { 'channels.telegram' = {} }",
            "instances.a: config.channels.telegram and channels.telegram say the same thing",
        ),
        (
            "[instances.a]\nchannels.telegram.token.env = 'T'\nsecrets.TELEGRAM_BOT_TOKEN.env = 'U'",
            "instances.a: secrets.TELEGRAM_BOT_TOKEN and channels.telegram.token are the same",
        ),
        (
            "[instances.a]\nconfig = { 'gateway.port' = 19001 }",
            "instances.a: config.gateway.port and port say the same thing",
        ),
        ('[instances.a]\nsecrets.K.file = "a\\u0000b"', "instances.a: secrets.K holds a null byte"),
        ("[instances.a]\nsecrets.K.env = 'A-B'", "instances.a: secrets.K.env is no name of a variable"),
        ("[instances.a]\nsecrets.K.command = [' ']", "instances.a: secrets.K.command names no program"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(text)
    assert caught.value.message.startswith(said)
    assert "sk-" not in caught.value.message
    assert caught.value.code == "fleet_invalid"


def test_the_example_says_all_that_can_be_said() -> None:
    assert set(parsed(example_text()).instances) == {"mira", "ben", "lab"}
    written = msgspec.toml.decode(example_text())
    tables = [written["defaults"], *written["groups"].values(), *written["instances"].values()]
    assert {key for table in tables for key in table} == set(Described.__struct_fields__)


def test_the_schema_knows_every_key_and_what_it_is_for() -> None:
    known = schema()["$defs"]["Described"]["properties"]
    assert set(known) == set(Described.__struct_fields__)


def test_what_only_the_config_can_say_of_a_bot_and_a_model_is_taken() -> None:
    text = """
        [instances.mira]
        model = "x/y"
        channels.telegram = { token = { env = "T" }, allow = ["1"] }
        [instances.mira.config]
        "agents.defaults.model.fallbacks" = ["x/z"]
        "channels.telegram.streaming" = true
        """
    assert len(parsed(text).instances[MIRA].config) == 2
    with pytest.raises(Invalid, match=r"config.channels.telegram.dmPolicy and channels.telegram"):
        parsed(f"{text}\n'channels.telegram.dmPolicy' = 'open'")
    assert parsed(f"{text}\n'channels.telegram.dmPolicy' = 'open'".replace(', allow = ["1"]', ""))


LITERAL = "sk-12345678901234567890123456789"
BOT = "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"


@pytest.mark.parametrize(
    "text",
    [
        f"secrets.K = '{LITERAL}'",
        f"secrets.K = ['{LITERAL}']",
        f"secrets.K = {{ '{LITERAL}' = 1 }}",
        f"secrets.K = {{ value = '{LITERAL}' }}",
        f"secrets = {{ '{LITERAL}' = 1 }}",
        f"secrets = {{ '{LITERAL}' = {{ file = 'a' }} }}",
        f"secrets.K.file = '{LITERAL}'",
        f"secrets.K.env = '{LITERAL}'",
        f"secrets.K.command = ['echo', '{LITERAL}']",
        f"channels.telegram.token = '{BOT}'",
        f"channels.telegram.token.file = '{BOT}'",
        f"channels.telegram.token.command = ['echo', '{BOT}']",
        f"channels.telegram = {{ '{BOT}' = 1, token = {{ env = '{BOT}' }} }}",
        f"config = {{ 'a.b' = '{LITERAL}' }}",
        f"environment.FOO = '{LITERAL}'",
        f"'{LITERAL}' = 1",
        f"groups = ['{LITERAL}']",
        f"model = '{LITERAL}'",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(f"[instances.a]\n{text}")
    told = f"{caught.value.message} {caught.value.hint} {caught.value.details}"
    assert LITERAL not in told
    assert BOT not in told


def test_a_program_with_a_path_lies_beside_the_file_and_another_one_in_the_path() -> None:
    found = parsed("[instances.mira]\nsecrets = { A.command = ['./get', 'x'], B.command = ['pass', 'x/y'] }")
    assert [one.command for one in found.instances[MIRA].secrets.values()] == [
        ("/srv/fleet/get", "x"),
        ("pass", "x/y"),
    ]
