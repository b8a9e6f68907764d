from __future__ import annotations

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.sandbox.launch import clean, gateway_argv, with_secrets

OPENCLAW = (
    "/usr/bin/perl",
    str(samples.paths().bin / "with-secrets"),
    "/run/ocm/secrets.env",
    samples.NODE,
    "--max-old-space-size=1024",
    "--max-semi-space-size=2",
    "--disable-warning=ExperimentalWarning",
    "--disable-sigusr1",
    f"{samples.OPENCLAW}/openclaw.mjs",
    "--profile",
    "worker1",
    "gateway",
    "--port",
    "19001",
)


@pytest.mark.parametrize(
    ("private_pids", "expected"),
    [(False, OPENCLAW), (True, ("/usr/bin/perl", str(samples.paths().bin / "init"), *OPENCLAW))],
)
def test_the_gateway_runs_under_an_environment_made_from_nothing_and_where_needed_an_init(
    *, private_pids: bool, expected: tuple[str, ...]
) -> None:
    argv = gateway_argv(samples.paths(), samples.record(), private_pids=private_pids)
    assert argv[:2] == ("/usr/bin/env", "-i")
    count = len(environment(samples.paths(), samples.record()))
    assert all("=" in word and not word.startswith("-") for word in argv[2 : 2 + count])
    assert argv[2 + count :] == expected


def test_without_a_sandbox_the_secrets_are_where_ocm_keeps_them() -> None:
    unsealed = msgspec.structs.replace(samples.record(), sealed=False)
    assert with_secrets(samples.paths(), unsealed, ("x",))[2:] == (str(samples.paths().secrets), "x")


def test_clean_passes_arguments_unchanged() -> None:
    assert clean({"A": "b c"}, ("x", "$y")) == ("/usr/bin/env", "-i", "A=b c", "x", "$y")
