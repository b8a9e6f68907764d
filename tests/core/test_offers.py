"""What of the variables of main and of the machine is worth an offer."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.offers import wanted_of_machine, wanted_of_main
from openclaw_ocm.core.openclaw.main_place import Variable


def offer(name: str, value: str = "x") -> Variable:
    return Variable(name=name, value=value, origin="here")


@pytest.mark.parametrize(
    ("name", "value", "main", "machine"),
    [
        ("HTTPS_PROXY", "http://proxy:1", True, True),
        ("no_proxy", "localhost", True, True),
        ("TZ", "Europe/Berlin", True, True),
        ("NODE_EXTRA_CA_CERTS", "/srv/ca.pem", True, True),
        ("NODE_EXTRA_CA_CERTS", "/etc/ssl/certs/ca-certificates.crt", False, False),
        ("SSL_CERT_DIR", "/etc/ssl/certs", False, False),
        ("SSL_CERT_DIR", "/srv/certs", True, True),
        ("OPENAI_BASE_URL", "https://models.example/v1", True, False),
        ("AWS_REGION", "eu-1", True, False),
        ("LD_PRELOAD", "/x.so", False, False),
        ("PATH", "/bin", False, False),
        ("EDITOR", "vi", False, False),
        ("TZ", "\x1b[0m", False, False),
    ],
)
def test_an_offer_is_what_reaches_something_and_breaks_nothing(
    name: str, value: str, *, main: bool, machine: bool
) -> None:
    one = offer(name, value)
    assert (list(wanted_of_main([one])) == [one]) is main
    assert (list(wanted_of_machine([one])) == [one]) is machine
