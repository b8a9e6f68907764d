"""What of the clouds of main's an instance is offered, and in which words: pure."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.offers import offer_notes, profiles_in, wanted_of_main
from openclaw_ocm.core.openclaw.main_place import Variable

DOTENV = "/home/ann/.openclaw/.env"


def told(**values: str) -> list[str]:
    offers = (Variable(name=name, value=value, origin=DOTENV) for name, value in values.items())
    return list(offer_notes("t1", wanted_of_main(offers)))


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_PROFILE", "AWS_REGION", "CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_LOCATION"),
        *("AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "OLLAMA_HOST"),
    ],
)
def test_profiles_regions_and_addresses_are_told_with_what_gives_them(name: str) -> None:
    assert told(**{name: "x"}) == [f"{name} is set in {DOTENV}, and not for t1: ocm env t1 set {name}=x"]


@pytest.mark.parametrize(
    "name", ["EDITOR", "PATH", "AWS_EXECUTION_ENV", "CLOUDSDK_PYTHON", "OPENCLAW_STATE_DIR"]
)
def test_of_what_is_no_matter_of_an_instances_nothing_is_told(name: str) -> None:
    assert told(**{name: "x"}) == []
    assert told(AWS_REGION=" ") == []


def test_keys_of_a_cloud_are_told_as_secrets_and_not_printed() -> None:
    assert told(AWS_SECRET_ACCESS_KEY="PLANTED") == [
        (
            f"AWS_SECRET_ACCESS_KEY in {DOTENV} is a secret, and t1 has it not: "
            "ocm secret set t1 AWS_SECRET_ACCESS_KEY"
        )
    ]
    (proxy,) = told(HTTPS_PROXY="http://ann:PLANTED@proxy.example:3128")
    assert proxy.endswith("holds a password, and t1 has it not: ocm secret set t1 HTTPS_PROXY")


def test_a_profile_of_aws_needs_the_files_in_which_it_is_looked_up() -> None:
    folder = "/home/ann/.aws"
    config, credentials = f"{folder}/config", f"{folder}/credentials"
    both = {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": credentials}
    assert profiles_in(folder, {"AWS_PROFILE"}) == both
    assert profiles_in(folder, {"AWS_PROFILE", "AWS_CONFIG_FILE"}) == {
        "AWS_SHARED_CREDENTIALS_FILE": credentials
    }
    assert profiles_in(folder, {"AWS_REGION"}) == {}


def test_of_any_number_few_are_told() -> None:
    (note,) = told(**{f"AWS_X{number}": "x" for number in range(5000)})
    assert note.count("=") == 30
