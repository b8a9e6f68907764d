"""`ocm check`: an instance that answers, and four that do not, each told in a sentence of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from .authority import certify
from .instances import PROVIDER, answer, fake_model, inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .agents import Agents

SECONDS = 60
# As a VPN and WSL do it: two links in a row, to places that no sandbox sees.
NAME_SERVERS = """
mkdir -p /var/lib/vpn /mnt/wsl
printf "nameserver 192.0.2.53\nsearch corp.example\n" >/mnt/wsl/resolv.conf
ln -sf /mnt/wsl/resolv.conf /var/lib/vpn/resolv.conf
ln -sf /var/lib/vpn/resolv.conf /etc/resolv.conf
"""
# The slug and the sentence of each model that does not answer.
FAILING = {
    "keyless/fake-1": ("no_key", "it has no key for keyless"),
    "openai/gpt-5.4": ("no_key", "it has no key for openai"),
    "fake/nowhere": ("model_unknown", "there is no model fake/nowhere, says OpenClaw or the provider"),
    "locked/fake-1": ("provider_refuses", "locked refuses the key"),
    "slow/fake-1": ("provider_hangs", "slow did not answer within "),
}


@pytest.fixture(scope="module", params=["systemd", pytest.param("supervisord", marks=pytest.mark.full)])
def asked(request: pytest.FixtureRequest, agents: Agents) -> Iterator[str]:
    """Start an agent whose config has providers that do not answer beside those that do."""
    certified = certify(agents.machine, "IP:127.0.0.1")
    agents.machine.run(["bash", "-ec", NAME_SERVERS], user="root")
    name = agents.ready(request.param)
    with (
        fake_model(agents.machine, "--hang", "--log=/tmp/hangs.jsonl") as slow,
        fake_model(agents.machine, "--certificate", certified, "--log=/tmp/tls.jsonl") as company,
    ):
        providers = {
            "fake": PROVIDER,
            "keyless": {key: value for key, value in PROVIDER.items() if key != "apiKey"},
            "locked": {**PROVIDER, "apiKey": "sk-wrong"},
            "slow": slow,
            "company": company,
        }
        agents.ocm("edit", name, "models.providers", "-", input=json.dumps(providers))
        places = [urlsplit(one["baseUrl"]).netloc for one in (slow, company)]
        agents.ocm("network", name, "allow", *places)
        yield name
    # For a turn that hangs OpenClaw waits up to 315 seconds before it ends.
    agents.ocm("stop", name, timeout=400)


def choose(agents: Agents, name: str, model: str) -> None:
    """Change the model of an agent, which OpenClaw takes up by itself."""
    agents.ocm("edit", name, "agents.defaults.model.primary", json.dumps(model))


def test_both_sessions_answer_the_groups_in_a_box(agents: Agents, asked: str) -> None:
    done = agents.ocm("check", asked)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    assert [line.partition(" (")[0] for line in lines] == [
        f"{asked}: main: answers, and its tools work",
        f"{asked}: group: answers, and its tools work in a box",
    ]
    assert done.stderr == f"ocm: this uses fake/fake-1, the model of {asked}: two small turns\n"


@pytest.mark.parametrize("model", FAILING)
def test_what_keeps_it_from_answering_is_told(agents: Agents, asked: str, model: str) -> None:
    choose(agents, asked, model)
    done = agents.ocm("check", asked, f"--timeout={SECONDS}", "--json", check=False)
    assert done.returncode == 1
    told: dict[str, Any] = json.loads(done.stdout)
    (found,) = told["results"]
    (turn,) = found["turns"]
    slug, sentence = FAILING[model]
    assert (told["ok"], found["ok"], found["model"]) == (False, False, model)
    assert (turn["session"], turn["ok"], turn["problem"]) == ("main", False, slug)
    assert turn["message"].startswith(sentence)
    assert turn["mend"]
    assert found["seconds"] <= SECONDS


def test_an_authority_that_the_machine_trusts_is_trusted_inside(agents: Agents, asked: str) -> None:
    choose(agents, asked, "company/fake-1")
    assert answer(agents.ocm, "check", asked)["ok"]


def test_name_servers_are_named_inside_wherever_the_link_leads(agents: Agents, asked: str) -> None:
    assert inside(agents.ocm, asked, "cat /etc/resolv.conf") == "nameserver 10.0.2.3\nsearch corp.example\n"


def test_a_person_reads_what_failed_and_what_to_type(agents: Agents, asked: str) -> None:
    choose(agents, asked, "locked/fake-1")
    done = agents.ocm("check", asked, check=False)
    assert done.returncode == 1
    said, words = done.stdout.splitlines()
    assert said.startswith(f"{asked}: main: locked refuses the key (")
    assert "HTTP 401" in words
    assert "sk-wrong" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"ocm: ocm model {asked} locked/fake-1 --key-stdin gives it another key"
    )
    choose(agents, asked, "fake/fake-1")
    assert answer(agents.ocm, "check", asked)["ok"]
