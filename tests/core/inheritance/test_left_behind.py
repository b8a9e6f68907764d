"""Which variables of main's an instance has not, and what to type for them: pure."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.inheritance.left_behind import Around, around, aws_files, left_behind
from openclaw_ocm.core.openclaw.main_place import Variable

UNIT, DOTENV = "/home/ann/.config/systemd/user/openclaw-gateway.service.d/10.conf", "/home/ann/.openclaw/.env"


def said(
    values: dict[str, str], *have: str, files: dict[str, str] | None = None, origin: str = UNIT
) -> list[str]:
    variables = {name: Variable(name=name, value=value, origin=origin) for name, value in values.items()}
    return list(left_behind("t1", Around(variables=variables, files=files or {}), have))


def test_a_proxy_and_a_certificate_are_told_with_where_they_are_set_and_what_to_type() -> None:
    values = {"HTTPS_PROXY": "http://proxy.corp.example:8080", "NODE_EXTRA_CA_CERTS": "/home/ann/corp ca.crt"}
    assert said(values) == [
        (
            f"{UNIT} sets HTTPS_PROXY, NODE_EXTRA_CA_CERTS, which t1 has not: ocm env t1 set "
            "HTTPS_PROXY=http://proxy.corp.example:8080 'NODE_EXTRA_CA_CERTS=/home/ann/corp ca.crt'"
        )
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("http_proxy", "NO_PROXY", "OPENAI_BASE_URL", "OLLAMA_HOST", "AWS_REGION", "CLOUDSDK_CORE_PROJECT"),
        *("GOOGLE_CLOUD_PROJECT", "AZURE_OPENAI_ENDPOINT", "REQUESTS_CA_BUNDLE", "TZ"),
    ],
)
def test_what_an_instance_needs_to_reach_anything_is_told_once(name: str) -> None:
    (note,) = said({name: "/etc/x" if name.endswith("BUNDLE") else "x"})
    assert f"ocm env t1 set {name}=" in note
    assert said({name: "x"}, name) == []


@pytest.mark.parametrize(
    "name", ["EDITOR", "PATH", "OPENCLAW_STATE_DIR", "NODE_USE_SYSTEM_CA", "GOOGLE_API_KEY"]
)
def test_of_what_is_no_matter_of_an_instances_nothing_is_told(name: str) -> None:
    assert said({name: "x"}) == []
    assert said({"HTTPS_PROXY": " "}) == []


def test_what_the_machine_trusts_is_trusted_inside_and_no_matter() -> None:
    assert said({"NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"}) == []


def test_no_secret_is_printed() -> None:
    found = said({"AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": "PLANTED"}, origin=DOTENV)
    assert found == [
        (
            f"{DOTENV} sets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, which t1 has not: "
            "ocm secret set t1 AWS_ACCESS_KEY_ID, and so AWS_SECRET_ACCESS_KEY"
        )
    ]
    (note,) = said({"HTTPS_PROXY": "http://ann:PLANTED@proxy.example:3128"})
    assert note.endswith("ocm secret set t1 HTTPS_PROXY")


def test_a_profile_of_aws_is_looked_up_in_files_that_are_to_be_shown() -> None:
    files = aws_files("/home/ann")
    (note,) = said({"AWS_PROFILE": "bots"}, files=files)
    assert note.startswith(f"{UNIT} and /home/ann/.aws set AWS_PROFILE, AWS_CONFIG_FILE,")
    assert "AWS_SHARED_CREDENTIALS_FILE=/home/ann/.aws/credentials" in note
    (own,) = said(
        {"AWS_PROFILE": "bots", "AWS_CONFIG_FILE": "/srv/aws"}, "AWS_SHARED_CREDENTIALS_FILE", files=files
    )
    assert own.endswith("set AWS_PROFILE=bots AWS_CONFIG_FILE=/srv/aws")


def test_the_proxy_of_mains_config_is_a_variable_of_openclaws() -> None:
    found = around({"proxy": {"proxyUrl": "http://127.0.0.1:3128"}}, "/home/ann/.openclaw/openclaw.json", {})
    assert list(left_behind("t1", found, ())) == [
        (
            "proxy in /home/ann/.openclaw/openclaw.json sets OPENCLAW_PROXY_URL, which t1 has not: "
            "ocm env t1 set OPENCLAW_PROXY_URL=http://127.0.0.1:3128"
        )
    ]
    secret = around({"proxy": {"proxyUrl": "http://ann:PLANTED@127.0.0.1:3128"}}, "x", {})
    (note,) = left_behind("t1", secret, ())
    assert note == "main's proxy has a password in it, and t1 has no proxy: ocm edit t1 proxy -"


@pytest.mark.parametrize("proxy", [None, 3, "x", {"proxyUrl": 3}])
def test_a_config_of_any_form_is_borne(proxy: object) -> None:
    assert around({"proxy": proxy}, "x", {}).variables == {}


def test_of_any_number_of_variables_few_are_told() -> None:
    (note,) = said({f"AWS_X{number}": "x" for number in range(5000)})
    assert note.count("=") == 12
