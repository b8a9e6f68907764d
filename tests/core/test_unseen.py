"""Which paths an instance's variables name that its sandbox does not show: pure."""

from __future__ import annotations

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.core.unseen import unseen


def told(
    variables: dict[str, str], secrets: dict[str, str] | None = None, *, there: bool = True
) -> list[str]:
    record = msgspec.structs.replace(samples.record(), environment=variables)
    policy = instance_policy(samples.paths(), record)
    return list(unseen(record, secrets or {}, policy, samples.HOME, lambda _path: there))


def test_a_folder_that_a_variable_names_is_told_with_what_shows_it() -> None:
    wanted = "{0} names {1}, which is not seen inside: ocm mount worker1 {2}"
    folder = "/home/ann/.config/gcloud"
    assert told({"CLOUDSDK_CONFIG": folder}) == [wanted.format("CLOUDSDK_CONFIG", folder, folder)]
    assert told({"KUBECONFIG": "/srv/a b"}) == [wanted.format("KUBECONFIG", "/srv/a b", "'/srv/a b'")]
    assert told({"AZURE_CONFIG_DIR": "~/.azure"}) == [
        wanted.format("AZURE_CONFIG_DIR", "/home/ann/.azure", "/home/ann/.azure")
    ]


def test_so_is_a_file_that_a_secret_names() -> None:
    (note,) = told({}, {"GOOGLE_APPLICATION_CREDENTIALS": "/home/ann/keys/vertex.json"})
    assert note.endswith("ocm mount worker1 /home/ann/keys/vertex.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_DIR", "/etc/ssl/certs"),
        ("A_DIR", "/home/ann/.openclaw-worker1/keys"),
        ("A_DIR", "relative"),
        # OCM shows those by itself.
        ("NODE_EXTRA_CA_CERTS", "/home/ann/ca.pem"),
        ("TZ", "/home/ann/zone"),
    ],
)
def test_what_is_seen_or_no_path_is_not_told(name: str, value: str) -> None:
    assert told({name: value}) == []


def test_of_what_is_not_there_nothing_is_printed() -> None:
    assert told({}, {"A_PATH": "/PLANTED"}, there=False) == []


def test_of_any_number_few_are_told() -> None:
    assert len(told({}, {f"A{number}_DIR": f"/srv/{number}" for number in range(500)})) == 10
