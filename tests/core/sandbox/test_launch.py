from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from tests import samples

from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.sandbox.launch import clean, gateway_argv, under_tool_host, with_secrets

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record

OPENCLAW = (
    "/usr/bin/perl",
    str(samples.paths().bin / "with-secrets"),
    "/run/ocm/secrets.env",
    samples.NODE,
    "--max-old-space-size=8192",
    "--max-semi-space-size=2",
    f"--import={samples.paths().bin}/collect-when-idle.mjs",
    "--disable-warning=ExperimentalWarning",
    "--disable-sigusr1",
    f"{samples.OPENCLAW}/openclaw.mjs",
    "--profile",
    "worker1",
    "gateway",
    "--port",
    "19001",
)


def of_gateway(record: Record) -> tuple[str, ...]:
    """Return what `env -i` runs, once its variables were looked at."""
    argv = gateway_argv(samples.paths(), record)
    assert argv[:2] == ("/usr/bin/env", "-i")
    count = len(environment(samples.paths(), samples.record()))
    assert all("=" in word and not word.startswith("-") for word in argv[2 : 2 + count])
    return argv[2 + count :]


def test_the_gateway_runs_below_the_tool_host_and_an_init() -> None:
    paths, argv = samples.paths(), of_gateway(samples.record())
    assert argv[:3] == ("/usr/bin/python3", "-IS", str(paths.bin / "tool-host"))
    options, program = argv[3 : argv.index("--")], argv[argv.index("--") + 1 :]
    assert program == ("/usr/bin/perl", str(paths.bin / "init"), *OPENCLAW)
    options = tuple(word for word in options if word != "--bound-output")
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert [path.rpartition(".")[2] for name, path in pairs if name == "--filter"] == ["calls", "arguments"]
    assert [path for name, path in pairs if name == "--root"] == [str(paths.state), "/tmp", "/var/tmp"]
    assert [path for name, path in pairs if name == "--socket"] == ["/tmp/.ocm-tool-host"]


def test_with_the_real_docker_the_tool_host_makes_no_boxes_and_still_shuts_the_gateway_in() -> None:
    argv = of_gateway(samples.record(docker=True))
    assert argv.count("--filter") == 2
    assert not {"--socket", "--root"} & set(argv[: argv.index("--")])


def test_what_a_gateway_prints_is_bounded_and_what_a_session_prints_is_its_caller_s() -> None:
    argv = of_gateway(samples.record())
    assert "--bound-output" in argv[: argv.index("--")]
    assert "--bound-output" not in under_tool_host(samples.paths(), samples.record(), ("/bin/sh",))


def test_an_unsealed_gateway_has_no_tool_host() -> None:
    assert (
        of_gateway(msgspec.structs.replace(samples.record(), sealed=False))[-len(OPENCLAW) + 3 :]
        == OPENCLAW[3:]
    )


def test_without_a_sandbox_the_secrets_are_where_ocm_keeps_them() -> None:
    unsealed = msgspec.structs.replace(samples.record(), sealed=False)
    assert with_secrets(samples.paths(), unsealed, ("x",))[2:] == (str(samples.paths().secrets), "x")


def test_clean_passes_arguments_unchanged() -> None:
    assert clean({"A": "b c"}, ("x", "$y")) == ("/usr/bin/env", "-i", "A=b c", "x", "$y")
