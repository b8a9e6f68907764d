"""Which variables a user may give to an instance, and what the sandbox makes of them."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.core import environment, settings_text
from openclaw_ocm.core.openclaw.run import environment as of_openclaw
from openclaw_ocm.core.record import Record, Settings
from openclaw_ocm.core.sandbox.policy import Mount, instance_policy
from openclaw_ocm.errors import Invalid

CA = "NODE_EXTRA_CA_CERTS"
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
NAMES = st.from_regex(r"A[a-z0-9_]{0,9}", fullmatch=True)


def with_variables(**variables: str) -> Record:
    return msgspec.structs.replace(samples.record(), environment=variables)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "HTTPS_PROXY=http://proxy.corp.example:8080",
            "no_proxy=localhost,.corp.example",
            "http_proxy=proxy:80",
        ),
        *(
            "TZ=Europe/Berlin",
            "TZ=CET-1CEST,M3.5.0,M10.5.0/3",
            "LANG=de_DE.UTF-8",
            "LC_ALL=C",
            "AWS_REGION=eu",
        ),
        *(
            "OPENAI_BASE_URL=https://models.example/v1?x=1",
            "GOOGLE_CLOUD_PROJECT=a-b",
            "MAX_TOKENS=7",
            "A=b=c",
        ),
        *(f"{CA}=/etc/ssl/corp.pem", "NODE_USE_SYSTEM_CA=1", "OPENCLAW_LOG_LEVEL=debug", "PIP_INDEX_URL=x"),
        *(
            "GOOGLE_APPLICATION_CREDENTIALS=/srv/key.json",
            "UV_INDEX_URL=x",
            "KEYBOARD=de",
            "TOKENIZERS_PARALLELISM=1",
        ),
    ],
)
def test_what_steers_programs_and_breaks_nothing_is_taken(text: str) -> None:
    name, _equals, value = text.partition("=")
    assert environment.parse_variables([text]) == {name: value}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_COMPILE_CACHE",
            "NODE_REPL_HISTORY",
        ),
        *(
            "PERL5LIB",
            "PERL5OPT",
            "PERL_UNICODE",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "BASH_ENV",
            "ENV",
            "IFS",
            "GCONV_PATH",
        ),
        *(
            "GLIBC_TUNABLES",
            "OPENSSL_CONF",
            "MALLOC_CONF",
            "OPENCLAW_HOME",
            "OPENCLAW_INCLUDE_ROOTS",
            "XDG_RUNTIME_DIR",
        ),
        *(
            "USER",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "OCM_SESSION",
            "DOCKER_HOST",
            "DBUS_SESSION_BUS_ADDRESS",
            "TERM",
        ),
        *("NODE_TLS_REJECT_UNAUTHORIZED", "npm_config_prefix", "PS1", "VITEST"),
    ],
)
def test_what_would_break_the_seal_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(Invalid, match=name) as caught:
        environment.parse_variables([f"{name}=x"])
    assert caught.value.code == "variable_refused"


def test_what_ocm_sets_itself_is_no_users_but_for_the_locale_and_trust_and_certificates() -> None:
    for name in of_openclaw(samples.paths(), samples.record()).keys() - {"LANG", "NODE_USE_SYSTEM_CA"}:
        with pytest.raises(Invalid):
            environment.parse_variable(name)
    assert of_openclaw(samples.paths(), with_variables(LANG="de_DE.UTF-8"))["LANG"] == "de_DE.UTF-8"


def test_of_a_cloud_what_looks_like_a_key_is_one_and_an_id_is_none() -> None:
    like_keys = ("0123456789abcdef" * 2, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    plain = (
        *("eu-central-1", "12345678-90ab-cdef-1234-567890abcdef", "123456789012", "company-production-2024"),
        *(
            "arn:aws:iam::123456789012:role/Agents",
            "https://lab.openai.azure.com/",
            "/home/Ann/.azure/Config1",
        ),
    )
    for name, values, secret in (
        ("AZURE_ANYTHING", like_keys, True),
        ("AWS_ANYTHING", plain, False),
        ("BUILD_ID", like_keys[:1], False),
    ):
        assert [environment.holds_secret(name, value) for value in values] == [secret] * len(values)


@pytest.mark.parametrize(
    "text",
    [
        *("OPENROUTER_API_KEY=x-geheim", "HF_TOKEN=x-geheim", "PASSWORD=x-geheim", "my_secret=x-geheim"),
        *("AWS_ACCESS_KEY_ID=x-geheim", "SMTP_PASS_PHRASE=sk-geheim0123456789ab", "FAL_KEY=x-geheim"),
        *("HTTPS_PROXY=http://me:geheim@proxy.example:3128", "BASE_URL=https://x.example/?api_key=geheim"),
        *("HTTPS_PROXY=me:geheim@proxy.example:3128", "ALL_PROXY=http://me:geheim#1@proxy.example:3128"),
        *(
            "AZURE_OPENAI_API_KEYS=geheim,geheim2",
            "AZURE_OPENAI_API_KEY_2=geheim",
            "AZURE_SPEECH_KEY1=geheim",
        ),
        *("AZURE_OPENAI_API_KEY_EAST=geheim", "AZURE_STORAGE_CONNECTION_STRING=A=b;AccountKey=geheim"),
        *("AWS_BEARER_TOKEN_BEDROCK=geheim", "AZURE_CLIENT_SECRET_VALUE=geheim", "MYSQL_PWD=geheim"),
        *("AZURE_ANYTHING=Zx8Q~geheim0123456789abcd", "AZURE_STORAGE_SAS=geheim"),
    ],
)
def test_what_looks_like_a_secret_is_led_to_where_it_can_be_kept_and_not_told_back(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        environment.parse_variables([text])
    assert caught.value.code == "variable_secret"
    assert caught.value.hint == f"ocm secret set NAME {text.partition('=')[0].upper()}"
    assert "geheim" not in caught.value.message


@pytest.mark.parametrize(
    "texts",
    [
        *(
            ["A"],
            ["A="],
            ["=x"],
            ["1A=x"],
            ["A-B=x"],
            ["A B=x"],
            ["sk-or-v1-geheim0123456789"],
            ["A=x", "A=y"],
        ),
        *(
            ["A=x\ny"],
            ["A=\x1b[0m"],
            ["A=\udcff"],
            ["A=\x9b"],
            [f"A={'x' * 4097}"],
            [f"{CA}=ca.pem"],
            ["TZ=a b"],
        ),
        [f"A{number}=x" for number in range(101)],
    ],
)
def test_what_is_no_variable_is_refused(texts: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        environment.parse_variables(texts)
    assert "geheim" not in caught.value.message


@pytest.mark.parametrize(
    "variables", [{"LD_PRELOAD": "/x"}, {"A": "x\ny"}, {"A_KEY": "x"}, {"A": 1}, ["A=x"]]
)
def test_a_record_and_settings_that_were_edited_take_no_more_than_the_command(variables: object) -> None:
    record = {**msgspec.to_builtins(samples.record()), "environment": variables}
    for kind, value in ((Record, record), (Settings, {"environment": variables})):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, type=kind)


def test_a_file_of_the_system_is_seen_where_it_is_and_another_where_nothing_else_is() -> None:
    record = with_variables(
        **{CA: "/home/ann/corp ca.pem", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    )
    inside = of_openclaw(samples.paths(), record)
    assert inside["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
    assert inside[CA] == f"/run/ocm/files/{CA}"
    mount = Mount(source=PurePosixPath("/home/ann/corp ca.pem"), target=PurePosixPath(inside[CA]))
    mounts = instance_policy(samples.paths(), record).mounts
    assert [one for one in mounts if one.target.is_relative_to("/run/ocm/files")] == [mount]
    unsealed = msgspec.structs.replace(record, sealed=False)
    assert of_openclaw(samples.paths(), unsealed)[CA] == "/home/ann/corp ca.pem"


def test_a_path_that_only_begins_in_the_system_is_shown_as_any_other() -> None:
    assert environment.shown_files({CA: "/etc/../home/ann/ca.pem"})


def test_addresses_are_those_of_urls_and_of_proxies_without_a_scheme() -> None:
    variables = {
        "HTTPS_PROXY": "10.0.0.1:3128",
        "X_URL": "http://10.0.0.2/v1",
        "AWS_REGION": "eu-1",
        "NO_PROXY": "a",
    }
    assert dict(environment.named_addresses(variables)) == {
        "HTTPS_PROXY": "http://10.0.0.1:3128",
        "X_URL": "http://10.0.0.2/v1",
    }


@given(st.dictionaries(NAMES, LINES, max_size=3), st.dictionaries(NAMES, LINES, max_size=3))
def test_settings_keep_all_that_a_person_wrote_beside_the_variables(
    before: dict[str, str], after: dict[str, str]
) -> None:
    own = "# mine\nport_step = 40 # wide\n"
    text = settings_text.with_environment(settings_text.with_environment(own, before), after)
    assert text.startswith(own)
    decoded = msgspec.toml.decode(text)
    assert decoded.get("environment", {}) == after
    assert decoded["port_step"] == 40


def test_a_table_of_variables_in_the_middle_is_replaced_and_what_comes_after_it_stays() -> None:
    text = "jobs = 2\n[ environment ] # of all\nTZ = 'UTC'\n\n[other]\na = 1\n"
    assert msgspec.toml.decode(settings_text.with_environment(text, {"TZ": "Europe/Berlin"})) == {
        "jobs": 2,
        "other": {"a": 1},
        "environment": {"TZ": "Europe/Berlin"},
    }
