"""An odd machine, as people have them: the README's commands work there, or say what to do.

The internet is behind a proxy, which main's service alone knows, and behind an authority that the machine
trusts. /etc/resolv.conf leads to /mnt, the first Node is a shim, the journal is in memory, and root
left files. The tests are one story, told in this order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .authority import certify
from .checkout import Ocm, push_checkout
from .image import HERE
from .instances import HOME, MAIN_CONFIG, PROVIDER, answer, inside, rows
from .processes import kill_group

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from .machine import Machine

NAME = "worker1"
PROXY, MODELS, LOG = "http://10.66.0.2:3128", "models.company.example", "/tmp/proxied"
SHIMS = f"{HOME}/.local/share/mise/shims"
# The machine's own programs, as a login that activates mise finds them.
PATH = f"{SHIMS}:/usr/local/bin:/usr/bin:/bin:{HOME}/.npm-global/bin"
# A company beside the machine: its proxy, and behind that the servers of the internet, with their names.
COMPANY = f"""
ip netns add company
ip link add office type veth peer name door netns company
ip address add 10.66.0.1/24 dev office
ip link set office up
ip -n company address add 10.66.0.2/24 dev door
ip -n company address add 203.0.113.7/32 dev lo
ip -n company link set door up
ip -n company link set lo up
mkdir -p /etc/netns/company
echo "203.0.113.7 {MODELS}" >/etc/netns/company/hosts
nft -f - <<END
table inet company {{
  chain out {{
    type filter hook output priority 0; policy drop;
    oifname lo accept
    ip daddr 10.66.0.2 tcp dport 3128 accept
    ct state established accept
  }}
}}
END
"""
ELSEWHERE = """
mkdir -p /mnt/wsl
echo "nameserver 192.0.2.53" >/mnt/wsl/resolv.conf
ln -sf /mnt/wsl/resolv.conf /etc/resolv.conf
mkdir -p /etc/systemd/journald.conf.d
printf "[Journal]\\nStorage=volatile\\n" >/etc/systemd/journald.conf.d/volatile.conf
rm -rf /var/log/journal
systemctl restart systemd-journald
"""
MISE = """
mkdir -p ~/.local/share/mise/shims ~/.local/share/mise/bin
cat >~/.local/share/mise/bin/mise <<'END'
#!/bin/bash
case "${0##*/}" in
  mise) [ "$1" = --version ] && { echo "2026.5.3 linux-x64 (2026-05-10)"; exit 0; }; exit 2 ;;
  *) echo "mise ERROR no version is set for shim: ${0##*/}" >&2; exit 1 ;;
esac
END
chmod +x ~/.local/share/mise/bin/mise
for name in node npm openclaw; do ln -s ../bin/mise ~/.local/share/mise/shims/$name; done
"""
MAIN = {
    **MAIN_CONFIG,
    "models": {
        "mode": "replace",
        "providers": {"company": {**PROVIDER, "baseUrl": f"https://{MODELS}/v1", "apiKey": "${COMPANY_KEY}"}},
    },
    "agents": {"defaults": {"model": {"primary": "company/fake-1"}}},
}
MAIN_SERVICE = f"""
[Service]
Environment=HTTPS_PROXY={PROXY}
Environment=COMPANY_KEY=sk-fake
ExecStart=/usr/bin/openclaw gateway
"""


@pytest.fixture(scope="module")
def ocm(odd: Machine) -> Iterator[Ocm]:
    """Make the machine odd; return what the reader of the README has once he has cloned it."""
    certified = certify(odd, f"DNS:{MODELS}")
    for script in (COMPANY, ELSEWHERE):
        odd.run(["bash", "-ec", script], user="root")
    odd.run(["bash", "-ec", MISE])
    odd.write(f"{HOME}/.openclaw/openclaw.json", json.dumps(MAIN), mode=0o600)
    odd.write(f"{HOME}/.config/systemd/user/openclaw-gateway.service", MAIN_SERVICE)
    for program in ("fake_proxy.py", "fake_model.py"):
        odd.push(HERE / program, f"/opt/company/{program}", user="root")
    served = [
        serve(odd, "fake_proxy.py", "10.66.0.2", "3128", LOG),
        serve(
            odd,
            "fake_model.py",
            "--host=203.0.113.7",
            "--port=443",
            f"--certificate={certified}",
        ),
    ]
    yield push_checkout(odd)
    for one in served:
        kill_group(one)


def serve(machine: Machine, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a server of the company and wait until it listens."""
    argv = ["ip", "netns", "exec", "company", "python3", f"/opt/company/{program}", *arguments]
    process = machine.popen(argv, user="root", stderr=None)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def typed(ocm: Ocm, *arguments: str, check: bool = True) -> str:
    """Type a command as a login that activates mise has it; return both of what it prints."""
    done = ocm(*arguments, env={"PATH": PATH}, check=check)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_deploy_passes_the_shim_over_and_says_what_the_instance_lacks(odd: Machine, ocm: Ocm) -> None:
    assert odd.run(["bash", "-c", "node --version"], env={"PATH": PATH}, check=False).returncode == 1
    said = typed(ocm, "deploy", NAME, "--yes")
    assert f"{NAME}: ready and sealed\n" in said
    assert said.count("HTTPS_PROXY") == said.count(f"ocm env {NAME} set HTTPS_PROXY={PROXY}") * 2 == 2
    assert answer(ocm, "status", NAME)["results"][0]["node"] == "/usr/local/bin/node"


def test_names_are_looked_up_as_the_machine_says(ocm: Ocm) -> None:
    assert "nameserver" in inside(ocm, NAME, "cat /etc/resolv.conf")


def test_with_what_deploy_told_to_type_the_agent_answers(odd: Machine, ocm: Ocm) -> None:
    lacking = typed(ocm, "status", NAME)
    assert f"ocm env {NAME} set HTTPS_PROXY={PROXY}" in lacking
    said = typed(ocm, "env", NAME, "set", f"HTTPS_PROXY={PROXY}", "--restart")
    assert "it may reach 10.66.0.2:3128, which HTTPS_PROXY names" in said
    assert typed(ocm, "use", NAME, "agent", "--message", "hi") == "PONG from fake model\n"
    assert set(odd.read(LOG).splitlines()) == {f"{MODELS}:443"}
    assert "HTTPS_PROXY" not in typed(ocm, "doctor")


def test_an_agent_that_inherits_from_it_is_offered_the_same(ocm: Ocm) -> None:
    said = typed(ocm, "create", "worker2", "--inherit-from", NAME)
    assert (
        f"HTTPS_PROXY is set in {NAME}, and not for worker2: ocm env worker2 set HTTPS_PROXY={PROXY}" in said
    )
    assert typed(ocm, "list").count("worker") == 2


def test_without_a_journal_there_is_openclaws_own_log(ocm: Ocm) -> None:
    said = typed(ocm, "logs", NAME, "-n", "20")
    assert "may read no journal" in said
    assert "gateway" in said
    assert "may read no journal" in typed(ocm, "doctor")


def test_what_root_left_is_told_by_a_backup_and_before_a_deletion(odd: Machine, ocm: Ocm) -> None:
    folder = f"{HOME}/.openclaw-{NAME}/workspace/out"
    odd.run(["install", "-d", "-o", "root", "-m", "700", folder], user="root")
    odd.run(["touch", f"{folder}/x"], user="root")
    assert "left out: state/workspace/out (cannot be read)" in typed(ocm, "backup", NAME)
    assert "03:00" in typed(ocm, "backup", "--all", "--every", "03:00")
    refused = typed(ocm, "delete", NAME, "--force", "--yes", check=False)
    told = f"sudo chown -R {odd.account.uid} {HOME}/.openclaw-{NAME}"
    assert f"{folder} belongs to another user" in refused
    assert told in refused
    assert rows(ocm)[NAME]["state"] == "ready"
    odd.run(told.split()[1:], user="root")
    assert typed(ocm, "delete", "--all", "--force", "--yes").count(": deleted\n") == 2
