"""The product's main job, from a clean clone: alone on the machine, and beside a running main."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from .access import assert_documented, table
from .instances import (
    HOME,
    MAIN_PORT,
    answer,
    configure_fake_provider,
    home_files,
    inside,
    listener,
    main_identity,
    ready,
    rows,
    start_main,
    stop_main,
    wait_for,
    wait_until_healthy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

DEFINITIONS = {
    "systemd": "systemd/user/openclaw-gateway-worker1.service",
    "supervisord": "ocm/supervisord/worker1.conf",
}


# Holds 80 MB, lets go of them, and tells after four seconds whether that much went back, and who finds gc().
HELD = """
const v8 = require("node:v8");
const heap = () => v8.getHeapStatistics().total_heap_size / 2 ** 20;
let kept = Array.from({ length: 2e6 }, (_, i) => ({ i }));
const held = heap();
kept = null;
const busy = process.argv[1] === "busy";
setInterval(() => { if (busy) for (const end = performance.now() + 40; performance.now() < end; ); }, 50);
setTimeout(() => {
  console.log(heap() < held - 50, typeof gc, require("node:vm").runInNewContext("typeof gc"));
  process.exit();
}, 4000);
"""
# Ten times it works and then waits for longer than it takes to be found at rest; tells how often memory is
# given back, and whether a heap of so many MB is at all.
TALKS = """
const vm = require("node:vm");
const run = vm.runInNewContext;
let collected = 0;
vm.runInNewContext = (...words) => { collected += 1; return run(...words); };
const held = Array.from({ length: process.argv[1] / 8 }, () => Array.from({ length: 2 ** 20 }, () => 0.5));
let turns = 0;
setInterval(() => {
  let work = Array.from({ length: 1e6 }, (_, i) => ({ i }));
  work = null;
  if (++turns < 10) return;
  console.log(collected, held.length > 0);
  process.exit();
}, 1200);
"""


@dataclass(frozen=True)
class Setting:
    """The machine before the first command: `main` is None where there is no main."""

    files: set[str]
    main: str | None
    backend: str


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("alone", "systemd"), id="alone systemd", marks=pytest.mark.first_release),
        pytest.param(("beside main", "systemd"), id="beside main systemd"),
        pytest.param(("alone", "supervisord"), id="alone supervisord"),
    ],
)
def setting(request: pytest.FixtureRequest, machine: Machine, ocm: Ocm) -> Iterator[Setting]:
    """Two instances, under the care of each backend."""
    where, backend = request.param
    beside = where == "beside main"
    settings = f"{HOME}/.config/ocm/settings.toml"
    if backend != "systemd":
        machine.write(settings, f'backend = "{backend}"\n')
    if beside:
        start_main(machine)
    else:
        assert machine.run(["test", "-e", f"{HOME}/.openclaw"], check=False).returncode == 1
    machine.run(["mkdir", "-p", f"{HOME}/.ssh"])
    machine.write(f"{HOME}/.ssh/id_test", "PRIVATE KEY", mode=0o600)
    before = Setting(
        files=home_files(machine), main=main_identity(machine) if beside else None, backend=backend
    )
    commands = "./ocm.py deploy worker1 && ./ocm.py deploy worker2 --model fake/fake-1"
    machine.run(["bash", "-c", commands], cwd=ocm.folder, timeout=400)
    yield before
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", "-f", settings])
    if beside:
        stop_main(machine)


@pytest.fixture
def main_stays(machine: Machine, setting: Setting) -> Iterator[None]:
    """Whatever a test does, main is as it was."""
    yield
    if setting.main is not None:
        assert main_identity(machine) == setting.main
        assert ready(machine, MAIN_PORT)


@pytest.mark.usefixtures("main_stays")
class TestDeployed:
    """Two deployed instances."""

    def test_both_gateways_are_ready_on_their_ports(
        self, machine: Machine, ocm: Ocm, setting: Setting
    ) -> None:
        found = rows(ocm)
        assert {name: row["port"] for name, row in found.items()} == {"worker1": 19001, "worker2": 19021}
        assert {row["state"] for row in found.values()} == {"ready"}
        assert ready(machine, 19001)
        assert ready(machine, 19021)
        assert {row["backend"] for row in found.values()} == {setting.backend}
        assert {row["isolation"] for row in found.values()} == {"sealed"}
        assert ocm("health").returncode == 0

    def test_only_loopback_is_listened_on(self, machine: Machine) -> None:
        listening = machine.run(["ss", "-Hltn", "sport >= :18000 and sport <= :19100"]).stdout
        addresses = {line.split()[3].rpartition(":")[0] for line in listening.splitlines()}
        assert addresses <= {"127.0.0.1", "[::1]"}

    def test_agent_gets_the_models_answer_through_the_gateway(self, machine: Machine, ocm: Ocm) -> None:
        configure_fake_provider(ocm, "worker2")
        before = machine.read("/var/log/fake-model.jsonl").count("\n")
        printed = ocm("use", "worker2", "agent", "--message", "hi", "--json").stdout
        assert json.loads(printed)["result"]["payloads"][0]["text"] == "PONG from fake model"
        asked = machine.read("/var/log/fake-model.jsonl").splitlines()[before:]
        assert [json.loads(line)["auth"] for line in asked if "chat" in line] == ["Bearer sk-fake"]
        assert "PONG from fake model" in ocm("logs", "worker2", "-n", "40").stdout

    def test_access_is_what_the_documents_say(self, machine: Machine, ocm: Ocm, setting: Setting) -> None:
        definition = f"{HOME}/.config/{DEFINITIONS[setting.backend]}"
        lines = table(machine, ocm, "worker1", other="worker2", definition=definition)
        assert_documented(lines)

    def test_killed_gateway_is_back_without_help(self, machine: Machine, ocm: Ocm) -> None:
        pid = rows(ocm)["worker1"]["pid"]
        machine.run(["kill", "-9", str(pid)])
        wait_for(lambda: rows(ocm)["worker1"]["pid"] not in (pid, None), 60, "new gateway")
        wait_until_healthy(ocm, "worker1")
        assert answer(ocm, "status", "worker1")["results"][0]["row"]["restarts"] >= 1

    def test_deploy_of_a_ready_instance_does_nothing(self, ocm: Ocm) -> None:
        pid = rows(ocm)["worker1"]["pid"]
        assert "already ready and sealed" in ocm("deploy", "worker1").stdout
        assert ocm("start", "worker1", "--dry-run").stdout == "worker1: already ready and sealed\n"
        assert rows(ocm)["worker1"]["pid"] == pid

    def test_token_is_nowhere_but_in_the_instances_own_config(self, machine: Machine, ocm: Ocm) -> None:
        token = json.loads(machine.read(f"{HOME}/.openclaw-worker1/openclaw.json"))["gateway"]["auth"][
            "token"
        ]
        assert len(token) == 64
        said = [
            ocm(*args).stdout
            for args in (["list", "--json"], ["status", "worker1", "--json"], ["logs", "worker1"])
        ]
        argv = machine.run(["bash", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]).stdout
        files = machine.run(["grep", "-rlF", "--exclude-dir=.openclaw-worker1", token, HOME], check=False)
        assert files.stdout == ""
        assert not [text for text in (*said, argv) if token in text]
        stats = machine.run(
            ["stat", "-c", "%a", f"{HOME}/.openclaw-worker1", f"{HOME}/.openclaw-worker1/openclaw.json"]
        )
        assert stats.stdout.split() == ["700", "600"]

    def test_status_tells_what_a_person_asks(self, machine: Machine, ocm: Ocm) -> None:
        status = answer(ocm, "status", "worker1")["results"][0]
        assert status["url"] == "http://127.0.0.1:19001/"
        assert status["row"]["version"] in machine.run(["openclaw", "--version"]).stdout
        assert status["memory_bytes"] > 100 * 2**20
        assert status["cpu_seconds"] > 1
        assert status["drift"] == []
        assert not any("signal" in gap or "bubblewrap" in gap for gap in status["gaps"])
        assert not any("Docker" in note for note in status["notes"])

    def test_a_gateway_that_rests_gives_memory_back_and_one_that_works_does_not(
        self, machine: Machine, ocm: Ocm
    ) -> None:
        place = f"{HOME}/.local/share/ocm/instances/worker1/bin/collect-when-idle.mjs"
        pid = rows(ocm)["worker1"]["pid"]
        running = machine.run(["bash", "-c", f"cat /proc/{pid}/cmdline | tr '\\0' '\\n'"]).stdout
        assert f"--import={place}" in running.splitlines()
        text = machine.read(place)
        assert text.count("15_000") == text.count("APART = 200;") == 1
        sooner = text.replace("15_000", "300").replace("APART = 200;", "APART = 10_000;")
        machine.write("/tmp/sooner.mjs", sooner)

        def told(*words: str) -> str:
            return machine.run(["node", *words]).stdout.strip()

        loaded = "--import=/tmp/sooner.mjs"
        assert told(loaded, "-e", HELD) == "true undefined undefined"
        assert told(loaded, "-e", HELD, "busy") == "false undefined undefined"
        assert told("-e", HELD) == "false undefined undefined"
        assert told(loaded, "-e", TALKS, "8") == "1 true", "a conversation is not held up again and again"
        assert told(loaded, "-e", TALKS, "960") == "0 true", "a large heap would stand still for seconds"

    def test_metrics_tell_of_a_gateway_what_status_tells(self, ocm: Ocm) -> None:
        row = rows(ocm)["worker1"]
        found = {
            sample.name: sample.value
            for metric in text_string_to_metric_families(ocm("metrics").stdout)
            for sample in metric.samples
            if sample.labels.get("instance") == "worker1"
        }
        assert found["ocm_instance_ready"] == found["ocm_instance_observed"] == 1
        assert found["ocm_instance_sealed"] == (row["isolation"] == "sealed")
        assert found["ocm_instance_restarts_total"] == row["restarts"]
        assert found["ocm_instance_memory_bytes"] > 100 * 2**20
        assert found["ocm_instance_cpu_seconds_total"] > 1
        assert found["ocm_instance_disk_bytes"] > 2**16

    def test_every_other_command_works_here_too(self, ocm: Ocm) -> None:
        assert ocm("stop", "worker1").stdout == "worker1: stopped\n"
        assert ocm("stop", "worker1").stdout == "worker1: already stopped\n"
        assert ocm("enable", "worker1").stdout == "worker1: enabled\n"
        assert ocm("disable", "worker1").stdout == "worker1: disabled\n"
        ocm("create", "worker3", "--autostart")
        assert rows(ocm)["worker3"]["port"] == 19041
        assert ocm("delete", "worker3", "--dry-run").stdout.startswith("worker3: delete would do this:")
        ocm("delete", "worker3", "--yes")

    def test_environment_of_user_and_manager_does_not_reach_an_instance(
        self, machine: Machine, ocm: Ocm
    ) -> None:
        ocm("stop", "worker1")
        leaks = ["OPENCLAW_STATE_DIR=/evil", "ANTHROPIC_API_KEY=sk-LEAK", "OPENCLAW_HOME=/evil"]
        machine.run(["systemctl", "--user", "set-environment", *leaks])
        try:
            started = ocm("start", "worker1", env=dict(leak.split("=") for leak in leaks))
            assert started.stdout == "worker1: ready and sealed\n"
            pid = listener(machine, rows(ocm)["worker1"]["port"])
            gateway = machine.read(f"/proc/{pid}/environ").split("\0")
            session = inside(ocm, "worker1", "env").splitlines()
        finally:
            machine.run(["systemctl", "--user", "unset-environment", *(leak.split("=")[0] for leak in leaks)])
        for environ in (gateway, session):
            assert f"OPENCLAW_STATE_DIR={HOME}/.openclaw-worker1" in environ
            assert not [entry for entry in environ if "evil" in entry or "LEAK" in entry]
        assert ocm("health", "worker1").returncode == 0

    def test_running_instance_is_deleted_only_by_force(self, ocm: Ocm) -> None:
        refused = ocm("delete", "worker1", "--yes", check=False)
        assert refused.returncode == 1
        assert "worker1 is running" in refused.stderr
        unasked = ocm("delete", "worker1", "--force", check=False)
        assert unasked.returncode == 2
        assert rows(ocm)["worker1"]["state"] == "ready"

    def test_delete_leaves_nothing_and_touches_nothing_else(
        self, machine: Machine, ocm: Ocm, setting: Setting
    ) -> None:
        ocm("delete", "worker1", "worker2", "--force", "--yes")
        assert home_files(machine) == setting.files
        units = machine.run(["systemctl", "--user", "list-units", "--all", "--no-legend", "*worker*"]).stdout
        assert units == ""
        assert (
            machine.run(["pgrep", "-f", "supervisord|bwrap|openclaw-gateway-worker"], check=False).stdout
            == ""
        )
        assert answer(ocm, "list")["results"] == []
