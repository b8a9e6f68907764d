"""The how-tos, each played in a machine that has all that OCM needs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .checkout import Ocm
from .instances import CERTIFICATE, HOME, MODEL, PROVIDER, answer, home_files, rows, wait_for
from .reading import SOURCE, Reader, push_repository
from .telegram import fake_telegram, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Machine

FOLDER = f"{HOME}/handbook"
# That of the machine on which tests run, which takes it for its own tests.
RESTIC = "/usr/bin/restic"
BACKUPS = f"{HOME}/backups"
BROWSE = Path(__file__).with_name("browse.mjs")
CHROMIUM = "chromium-headless-shell"
# Of the documentation of age; nobody has what opens it.
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
KEY = "sk-fake"
SUDOERS = "/etc/sudoers.d/handbook"


@pytest.fixture(scope="module")
def ocm(machine: Machine, ocm: Ocm) -> Iterator[Ocm]:
    """Return OCM in a clone of the project, beside an agent that has a model and a key of its own."""
    ocm("list")
    before = home_files(machine)
    machine.run(["git", "clone", "--quiet", push_repository(machine), FOLDER])
    cloned = Ocm(machine, FOLDER)
    yield cloned
    cloned("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", "-rf", FOLDER, BACKUPS])
    machine.run(["rm", "-rf", SOURCE], user="root")
    assert home_files(machine) == before


@pytest.fixture(scope="module")
def worker1(ocm: Ocm) -> str:
    """Return an agent that is ready and has a model, as that of the tutorial."""
    ocm("create", "worker1", "--model", "mine/fake-1")
    ocm("secret", "set", "worker1", "MY_API_KEY", input=KEY)
    provider = {**PROVIDER, "apiKey": "${MY_API_KEY}"}
    ocm("edit", "worker1", "models.providers.mine", "-", input=json.dumps(provider))
    ocm("network", "worker1", "allow", MODEL)
    ocm("start", "worker1")
    return "worker1"


def reader(ocm: Ocm, **given: Any) -> Reader:  # noqa: ANN401 - what a Reader takes
    return Reader(ocm.machine, ocm.folder, **given)


def sources(ocm: Ocm, name: str) -> dict[str, str]:
    return {secret["key"]: secret["source"] for secret in answer(ocm, "secret", "list", name)["results"]}


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_monitor(ocm: Ocm) -> None:
    said = reader(ocm, words={"USER": "debian"}).play("docs/how-to/monitor.md")
    assert '"state": "ready"' in said
    assert 'ocm_instance_ready{instance="worker1"} 1' in said
    assert "/var/lib/prometheus/node-exporter/ocm.prom is written each 1m from now on" in said
    assert "metrics are written by themselves no more" in said
    assert "nothing is wrong" in said


@pytest.mark.usefixtures("worker1")
def test_notify(machine: Machine, ocm: Ocm) -> None:
    sendmail = "/usr/local/bin/sendmail"
    machine.write(sendmail, "#!/bin/sh\nexec cat > /dev/null\n", user="root", mode=0o755)
    try:
        said = reader(ocm, typed="https://127.0.0.1:9/topic").play("docs/how-to/notify.md")
    finally:
        machine.run(["rm", sendmail], user="root")
    told = f"{HOME}/told.txt"
    assert "A test of ocm notify" in machine.read(told)
    assert re.search(r"phone +ntfy +https://127\.0\.0\.1:9/\.\.\. +-", said)
    assert "file: a test message went to /usr/bin/tee and 2 arguments" in said
    machine.run(["rm", told])


@pytest.mark.usefixtures("worker1")
def test_troubleshooting(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/troubleshooting.md")
    assert "nothing is wrong" in said
    assert "state:      ready" in said


def test_your_own_openclaw(machine: Machine, ocm: Ocm) -> None:
    settings = f"{HOME}/.config/ocm/settings.toml"
    config = {"models": {"providers": {"mine": {**PROVIDER, "apiKey": KEY}}}}
    machine.run(["mkdir", "-p", f"{HOME}/claw", f"{HOME}/.config/ocm"])
    machine.write(f"{HOME}/claw/openclaw.json", json.dumps(config))
    machine.write(settings, 'main = "~/claw"\n')
    try:
        said = reader(ocm).play("docs/how-to/your-own-openclaw.md")
        # As an OpenClaw of months ago had it.
        machine.write(f"{HOME}/claw/openclaw.json", json.dumps({**config, "routing": {}}))
        refused = ocm("create", "worker2", check=False)
    finally:
        machine.run(["rm", "-rf", f"{HOME}/claw", settings])
    assert "worker2: created, not started" in said
    assert (refused.returncode, "worker2" in rows(ocm)) == (1, False)
    assert f'{HOME}/claw/openclaw.json: <root>: Unrecognized key: "routing"' in refused.stderr
    assert f"OPENCLAW_STATE_DIR={HOME}/claw openclaw doctor --fix" in refused.stderr
    assert re.search(r"MINE_API_KEY +\.{3}\S* +main", said)


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_two_agents_one_key(ocm: Ocm) -> None:
    said = reader(ocm, typed="sk-rotated").play("docs/how-to/two-agents-one-key.md")
    assert "worker2: in step with worker1, restarted: ready and sealed" in said
    assert sources(ocm, "worker2") == {"MY_API_KEY": "own"}
    ocm("delete", "worker2", "--force", "--yes")
    ocm("secret", "set", "worker1", "MY_API_KEY", input=KEY)


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_fleet(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/how-to/fleet.md")
    assert "mira: made, ready and sealed" in said
    assert "2 instances are as the file says" in said
    assert "not in the file, and left alone: worker1" in said
    assert sources(ocm, "ben")["SEARCH_API_KEY"] == "own"
    ocm("delete", "mira", "ben", "--force", "--yes")


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_own_network(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/how-to/own-network.md")
    assert "worker2: ready and sealed" in said
    assert "worker1: in a network of its own" in said
    assert "and near by 127.0.0.1:11434, 192.168.1.20:443" in said
    ocm("delete", "worker2", "--force", "--yes")


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_environment_variables(machine: Machine, ocm: Ocm) -> None:
    said = reader(ocm, typed="http://me:word@127.0.0.1:9").play("docs/how-to/environment-variables.md")
    assert "set AWS_REGION=eu-central-1: ready and sealed" in said
    assert "worker2: ready and sealed" in said
    assert "settings.toml: TZ=Europe/Berlin" in said
    assert sources(ocm, "worker1")["HTTPS_PROXY"] == "own"
    ocm("delete", "worker2", "--force", "--yes")
    ocm("secret", "unset", "worker1", "HTTPS_PROXY")
    ocm("env", "--all", "unset", "TZ", "LANG")
    machine.run(["rm", f"{HOME}/.config/ocm/settings.toml"])


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_company_network(machine: Machine, ocm: Ocm) -> None:
    """The model is on this machine, and needs no proxy; that there is none is noticed by nobody."""
    certificate = f"{HOME}/company-ca.pem"
    machine.write(certificate, CERTIFICATE)
    words = {"PROXY": "127.0.0.1:9", "CERTIFICATE": certificate}
    said = reader(ocm, words=words).play("docs/how-to/company-network.md")
    assert f"NODE_EXTRA_CA_CERTS={certificate}: ready and sealed" in said
    assert "worker2: ready and sealed" in said
    ocm("delete", "worker2", "--force", "--yes")
    names = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS")
    ocm("env", "--all", "unset", *names, "--restart")
    ocm("network", "worker1", "deny", "127.0.0.1:9")
    machine.run(["rm", certificate, f"{HOME}/.config/ocm/settings.toml"])


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_back_up_off_the_machine(machine: Machine, ocm: Ocm) -> None:
    disk = f"{FOLDER}/disk"
    machine.run(["mkdir", disk])
    words = {"FOLDER": disk, "RECIPIENT": RECIPIENT}
    said = reader(ocm, words=words).play("docs/how-to/back-up-off-the-machine.md")
    assert re.search(rf"worker1: {disk}/worker1-\w+\.tar\.gz\.age \(.*, encrypted\)", said)
    assert "backups:    03:00, next " in said
    assert "drill: " in said
    ocm("backup", "worker1", "--every", "never")


@pytest.mark.usefixtures("worker1")
def test_keep_backups_small(machine: Machine, ocm: Ocm) -> None:
    machine.push(RESTIC, RESTIC, user="root")
    repository, secrets = f"{FOLDER}/repository", f"{HOME}/.config/ocm/restic.env"
    said = reader(ocm, words={"REPOSITORY": repository}).play("docs/how-to/keep-backups-small.md")
    assert "--exclude node_modules leaves out nothing" in said
    assert "backups:    03:00, next " in said
    assert "    workspace/downloads (marked as a cache by CACHEDIR.TAG)" in said
    assert f" in {repository} (" in said
    assert f"backups scheduled: 03:00 to {repository}, next " in said
    assert ": whole: worker1, " in said
    assert "worker2: restored, not started: ocm start worker2" in said
    ocm("backup", "worker1", "--every", "never")
    ocm("delete", "worker2", "--force", "--yes")
    machine.run(["rm", "-rf", secrets, f"{HOME}/.local/state/ocm/restic"])
    machine.run(["rm", RESTIC], user="root")


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_reach_a_gateway_from_elsewhere(machine: Machine, ocm: Ocm) -> None:
    machine.write(SUDOERS, "debian ALL=(root) NOPASSWD: /usr/sbin/ufw\n", user="root", mode=0o440)
    try:
        said = reader(ocm).each("docs/how-to/reach-a-gateway-from-elsewhere.md")
    finally:
        machine.run(["ufw", "--force", "reset"], user="root")
        machine.run(["sh", "-c", f"rm -f {SUDOERS} /etc/ufw/*.rules.2*"], user="root")
    assert any(re.search(r"\b[0-9a-f]{64}\b", block) for block in said)
    assert any("exposed:    10.8.0.0/24" in block for block in said)
    assert "reached from this machine alone" in said[-1]


@pytest.fixture
def browser(machine: Machine) -> Iterator[str]:
    """Bring a Chromium; return the command that opens an address in it, and tells what came of that."""
    debian = {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--yes", "--no-install-recommends", CHROMIUM)):
        machine.run(["apt-get", "-qq", *words], user="root", network="host", env=debian, timeout=300)
    machine.push(BROWSE, f"{FOLDER}/browse.mjs")
    yield f"node {FOLDER}/browse.mjs {FOLDER}/page.json"
    machine.run(["apt-get", "-qq", "purge", "--yes", "--autoremove", CHROMIUM], user="root", env=debian)
    machine.run(["rm", "-rf", "/var/lib/apt/lists"], user="root")


def seen(machine: Machine) -> dict[str, Any]:
    """Return what came of the address that a browser opened last, once it is told."""
    told = f"{FOLDER}/page.json"
    wait_for(lambda: machine.run(["test", "-e", told], check=False).returncode == 0, 90, "page")
    found: dict[str, Any] = json.loads(machine.read(told))
    machine.run(["rm", told])
    return found


@pytest.mark.usefixtures("worker1")
def test_a_browser_that_is_led_to_the_page_is_let_in(machine: Machine, ocm: Ocm, browser: str) -> None:
    """By the link that is typed, and by the file that a browser gets in a graphical session."""
    command = [f"{FOLDER}/ocm.py", "open", "worker1"]
    printed = machine.pty(command).output
    (link,) = re.findall(r"http://127\.0\.0\.1:\d+/#token=\S+", printed)
    page, token = link.split("#token=")
    assert (
        json.loads(machine.read(f"{HOME}/.openclaw-worker1/openclaw.json"))["gateway"]["auth"]["token"]
        == token
    )
    assert token not in ocm("open", "worker1").stdout
    machine.run([*browser.split(), page], timeout=90)
    assert "Gateway secret" in seen(machine)["text"], "it asks who has no token"
    machine.run([*browser.split(), link], timeout=90)
    let_in = seen(machine)
    assert "Skip to main content" in let_in["text"]
    assert token not in let_in["address"]
    opened = ocm("open", "worker1", env={"DISPLAY": ":0", "BROWSER": browser})
    assert opened.stdout == f"worker1: {page} is in the browser\n"
    led = seen(machine)
    assert "Skip to main content" in led["text"]
    assert led["address"].startswith(page)
    assert led["asked"].startswith("file:///run/user/")
    assert token not in "".join((led["address"], led["asked"], *led["processes"])), "nobody else sees it"


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_ports(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/how-to/ports.md")
    assert "port would do this:" in said
    assert "worker1: on port 20101 now, no more on 19001" in said
    assert "http://127.0.0.1:20101/" in said
    ocm("port", "worker1", "19001")


@pytest.mark.usefixtures("worker1")
def test_node_and_openclaw(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/how-to/node-and-openclaw.md")
    assert "each has its Node and its OpenClaw" in said
    assert "runs OpenClaw" in said


@pytest.mark.usefixtures("worker1")
def test_update_ocm(machine: Machine, ocm: Ocm) -> None:
    commit = ["git", "-c", "user.name=OCM", "-c", "user.email=ocm@example.org", "commit", "--allow-empty"]
    machine.run([*commit, "--message", "newer"], cwd=SOURCE)
    said = reader(ocm).play("docs/how-to/update-ocm.md")
    assert "Fast-forward" in said
    assert "worker1: ready and sealed" in said


def test_models_of_a_server(machine: Machine, ocm: Ocm) -> None:
    """The server is the fake model, which wants its key, and the agent has nothing of it."""
    folder, provider = f"{HOME}/.openclaw", {**PROVIDER, "models": []}
    machine.run(["mkdir", "-p", folder])
    config = json.dumps({"gateway": {"mode": "local"}, "models": {"providers": {"lab": provider}}})
    machine.run(["sh", "-c", f"cat > {folder}/openclaw.json"], input=config)
    try:
        said = reader(ocm).play("docs/how-to/models-of-a-server.md")
        written = machine.run(["cat", f"{folder}/openclaw.json"]).stdout
    finally:
        machine.run(["sh", "-c", f"rm -f {folder}/openclaw.json*"])
        machine.run(["rmdir", folder], check=False)
    assert "main: lab would have" in said
    assert "main: lab has" in said
    assert '"fake-1"' in written
    assert '"cost"' not in written, "a price that the list does not tell"


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_telegram(machine: Machine, ocm: Ocm) -> None:
    """Somebody writes to the bot where the document says so."""
    with fake_telegram(machine) as telegram:
        told = ocm("edit", "worker1", "channels.telegram.apiRoot", telegram.address).stderr
        assert f"ocm network worker1 allow {telegram.place}" in told
        ocm("network", "worker1", "allow", telegram.place)
        bot = telegram.bot(47110)
        place = f"{telegram.address}/test/{bot.number}"
        hello = shlex.quote(json.dumps({"message": message(4242, "hello")}))
        answered = f"until curl -sf {place} | grep -q airing; do sleep 0.3; done"
        playing = reader(
            ocm,
            typed=f"47110:{'Tk' * 20}",
            words={"NUMBER": "4242"},
            learnt={"CODE": r"\b[A-Z0-9]{8}\b"},
            between={"./ocm.py use worker1 pairing list": f"curl -sf -d {hello} {place}; {answered}"},
        )
        said = playing.play("docs/how-to/telegram.md")
        assert "1 of an allow-list" in said
        bot.write(4242, "ECHO:over-telegram")
        bot.hears(4242, "over-telegram")
        ocm("stop", "worker1")
        ocm("channel", "remove", "worker1", "telegram")


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_move_to_another_machine(ocm: Ocm) -> None:
    """The other machine is this one, once the agent is gone from it."""
    between = {
        "./ocm.py setup": "./ocm.py delete worker1 --yes --no-backup",
        "./ocm.py use worker1 agent": f"./ocm.py network worker1 allow {MODEL}",
    }
    moving = reader(ocm, learnt={"TIME": r"\d{8}T\d{6}Z"}, between=between)
    said = moving.play("docs/how-to/move-to-another-machine.md")
    assert "PONG from fake model" in said
    row = rows(ocm)["worker1"]
    assert (row["state"], row["autostart"]) == ("ready", True)


@pytest.mark.full
@pytest.mark.usefixtures("worker1")
def test_programs_and_folders(ocm: Ocm) -> None:
    said = reader(ocm).play("docs/how-to/programs-and-folders.md")
    programs = f"{HOME}/.openclaw-worker1/programs"
    assert f"{programs}\n{programs}\n{programs}/bin" in said
    assert f"{FOLDER}/data at /srv/data, read-only" in said
    assert "\ndone\n" in said
    assert "hello from the host" in said
    assert answer(ocm, "mount", "worker1")["results"][0]["mounts"] == []
    ocm.machine.run(["rm", "-r", f"{HOME}/.aws"])


def test_in_a_container(machine: Machine, ocm: Ocm) -> None:
    """What is typed in the container; its image is built from commands that the README's test has run."""
    ocm("delete", "--all", "--force", "--yes")
    settings, link = f"{HOME}/.config/ocm/settings.toml", f"{HOME}/.local/bin/ocm"
    machine.write(settings, 'backend = "supervisord"\n')
    machine.run(["sh", "-c", f"mkdir -p ~/.local/bin && ln -s {FOLDER}/ocm.py {link}"])
    try:
        said = reader(ocm, typed=KEY).play("docs/how-to/in-a-container.md")
    finally:
        machine.run(["rm", "-f", settings, link])
    assert "worker1: ready and sealed" in said
    assert rows(ocm)["worker1"]["backend"] == "supervisord"
