"""A network of an instance's own: its agent answers, and reaches nothing near but what is allowed."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, MODEL, PROVIDER, inside, rows, wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

# What makes it differs between the two; the rest is one program.
BACKENDS = (
    pytest.param("systemd", marks=pytest.mark.first_release),
    pytest.param("supervisord", marks=pytest.mark.full),
)
LOCAL, NEIGHBOUR, METADATA = "127.0.0.1", "10.99.0.1", "169.254.169.254"
# As a rented machine has it: in no range that is near by itself.
PUBLIC = "203.0.113.7"
PRIVATE = "fd00:99::1"
PORT, SIBLING, MAIN, GATEWAY = 7001, 19021, 18789, 19001
# Of nobody on the host.
FREE = 19031
# Other machines, the second under the address that slirp4netns has for the host's loopback inside.
HERE, CALLERS = "10.9.0.1", ("10.9.0.2", "10.0.2.2")
NEAR = f"""
ip addr add {NEIGHBOUR}/32 dev lo
ip addr add {PUBLIC}/32 dev lo
ip addr add {METADATA}/32 dev lo
ip -6 addr add {PRIVATE}/128 dev lo nodad
"""
# Whoever says "much" to the first gets it, others a byte.
MUCH = 100 * 2**20
LISTEN = f"""
import socket, threading, time
def serve(end):
    end.sendall(bytes({MUCH} if end.recv(4) == b"much" else 1))
    end.close()
def accept(listening):
    while True:
        threading.Thread(target=serve, args=listening.accept()[:1], daemon=True).start()
def echo(end):
    while True:
        end.sendto(*end.recvfrom(100))
places = {(LOCAL, "127.1.2.3", NEIGHBOUR, METADATA, PUBLIC)!r}
kept = [socket.create_server((address, {PORT})) for address in places]
kept += [socket.create_server(("{LOCAL}", port)) for port in ({SIBLING}, {MAIN})]
kept += [socket.create_server((it, {PORT}), family=socket.AF_INET6) for it in ("::1", "{PRIVATE}")]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("{NEIGHBOUR}", {PORT}))
threading.Thread(target=echo, args=(datagrams,), daemon=True).start()
kept.append(socket.socket(socket.AF_UNIX))
kept[-1].bind("\\0near")
kept[-1].listen()
threading.Thread(target=accept, args=kept[:1], daemon=True).start()
print("listening", flush=True)
time.sleep(10000)
"""
# Connects many times at once, then asks on all of them; argv: the place, what to say, and how many times.
# Tells how many were answered, and how much was said in all.
ASK = """
import socket, sys
host, port, text, times = sys.argv[1:]
ends = [socket.create_connection((host, int(port)), 20) for _ in range(int(times))]
for end in ends: end.sendall(text.encode().decode("unicode_escape").encode())
lengths = [sum(len(part) for part in iter(lambda: end.recv(2**16), b"")) for end in ends]
print(sum(map(bool, lengths)), sum(lengths))
"""
# A client of the gateway (docs/gateway/protocol of OpenClaw 2026.9.6); argv: the port, its token and for how
# many seconds it stays. Tells how often it heard from the gateway, which is every 30 s, and its answer then.
STAY = """
const [port, token, seconds] = process.argv.slice(2);
const socket = new WebSocket(`ws://127.0.0.1:${port}`);
const ask = (id, method, params) => socket.send(JSON.stringify({type: "req", id, method, params}));
let ticks = 0;
socket.onclose = ({code, reason}) => { console.log("closed", code, reason); process.exit(1); };
socket.onmessage = ({data}) => {
  const {type, event, id, ok, error} = JSON.parse(data);
  if (event === "connect.challenge") {
    const client = {id: "cli", version: "1.0.0", platform: "linux", mode: "cli"};
    const rest = {role: "operator", scopes: ["operator.read"], auth: {token}};
    ask("hello", "connect", {minProtocol: 4, maxProtocol: 4, client, ...rest});
  } else if (event === "tick") ticks += 1;
  else if (id === "hello" && ok) setTimeout(() => ask("last", "health", {}), seconds * 1000);
  else if (type === "res") {
    console.log(id, ok, ticks, error?.message ?? "");
    process.exit(0);
  }
};
"""
# Tells which of many ways lead to something near; what is refused, closed or unknown leads nowhere.
ATTEMPTS = f"""
import json, os, socket, subprocess
def tcp(host, port={PORT}): return lambda: socket.create_connection((host, port), 3)
def unix(): end = socket.socket(socket.AF_UNIX); end.settimeout(3); end.connect("\\0near")
def opened(*kind): return lambda: socket.socket(*kind)
def udp(host, port=53, *options):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); end.settimeout(2)
    for option in options: end.setsockopt(*option)
    end.sendto(b"\\0" * 12, (host, port))
    return end
def option(*one): return lambda: socket.socket().setsockopt(*one)
def bound(host, *before, source=None):
    end = socket.socket(); end.settimeout(3)
    for option in before: end.setsockopt(*option)
    if source: end.bind((source, 0))
    end.connect((host, {PORT}))
def run(*argv): return lambda: subprocess.run(argv, check=True, capture_output=True)
def written(path): return lambda: open(path, "w").write("1")
ways = dict(
    loopback=tcp("{LOCAL}"), other_loopback=tcp("127.1.2.3"), zero=tcp("0.0.0.0"), six=tcp("::1"),
    mapped=tcp("::ffff:127.0.0.1"), slirp=tcp("10.0.2.2"), resolver=tcp("10.0.2.3"), near=tcp("{NEIGHBOUR}"),
    private=tcp("{PRIVATE}"), model_of_slirp=tcp("10.0.2.2", 18081), metadata=tcp("{METADATA}"),
    abstract=unix, public=tcp("{PUBLIC}"), datagram=lambda: udp("{NEIGHBOUR}", {PORT}).recv(100),
    mapped_metadata=tcp("::ffff:{METADATA}"), sibling=tcp("{LOCAL}", {SIBLING}), main=tcp("{LOCAL}", {MAIN}),
    raw=opened(socket.AF_INET, socket.SOCK_RAW, 1), packet=opened(socket.AF_PACKET, socket.SOCK_RAW),
    vsock=opened(socket.AF_VSOCK, socket.SOCK_STREAM), sctp=opened(socket.AF_INET, socket.SOCK_STREAM, 132),
    dns_of_near=lambda: udp("{NEIGHBOUR}").recv(100), ping=opened(socket.AF_INET, socket.SOCK_DGRAM, 1),
    multicast=lambda: udp("224.0.0.251", 5353),
    broadcast=lambda: udp("255.255.255.255", 5353, (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)),
    device=lambda: bound("{METADATA}", (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")),
    source=lambda: bound("{NEIGHBOUR}", (socket.IPPROTO_IP, 15, 1), source="{PUBLIC}"),
    mark=option(socket.SOL_SOCKET, socket.SO_MARK, 1), transparent=option(socket.IPPROTO_IP, 19, 1),
    source_route=option(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes((131, 7, 4, 10, 99, 0, 1, 0))),
    route=run("/usr/sbin/ip", "route", "add", "{METADATA}", "dev", "lo"),
    rules=run("/usr/sbin/nft", "delete", "table", "inet", "ocm"),
    link=run("/usr/sbin/ip", "link", "set", "lo", "down"),
    namespace=run("/usr/bin/unshare", "--user", "--map-root-user", "--net", "true"),
    sysctl=written("/proc/sys/net/ipv4/ip_forward"), tun=lambda: os.open("/dev/net/tun", os.O_RDWR),
)
found = []
for name, way in ways.items():
    try:
        way()
    except (OSError, subprocess.CalledProcessError, ValueError):
        continue
    found.append(name)
print(json.dumps([len(ways), *found]))
"""
# Those for which nothing but somebody who listens is needed.
OPEN = {
    *("loopback", "other_loopback", "zero", "six", "mapped", "near", "private", "metadata", "abstract"),
    *("public", "datagram", "mapped_metadata", "sibling", "main", "source"),
}


@pytest.fixture(scope="module")
def near(machine: Machine) -> Iterator[None]:
    """Have somebody listening wherever an instance must not get."""
    machine.run(["sh", "-euc", NEAR], user="root")
    listening = machine.popen(["python3", "-c", LISTEN])
    assert listening.stdout is not None
    listening.stdout.readline()
    yield
    kill_group(listening)
    for address in (NEIGHBOUR, METADATA, PUBLIC):
        machine.run(["ip", "addr", "delete", f"{address}/32", "dev", "lo"], user="root")
    machine.run(["ip", "-6", "addr", "delete", f"{PRIVATE}/128", "dev", "lo"], user="root")


@pytest.fixture(scope="module", params=BACKENDS)
def worker(request: pytest.FixtureRequest, ocm: Ocm, near: None) -> Iterator[str]:
    del near
    ocm("create", "worker1", "--no-inherit", "--backend", request.param)
    given = ("--base-url", f"http://{MODEL}/v1", "--key-stdin")
    told = ocm("model", "worker1", "lab/fake-1", *given, input=f"{PROVIDER['apiKey']}\n").stderr
    assert f"worker1 may reach {MODEL}: ocm network worker1 deny {MODEL} ends that" in told
    ocm("start", "worker1")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)


def refused(done: Result, sentence: str, code: int = 1) -> None:
    assert done.returncode == code, done
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def attempts(ocm: Ocm, name: str) -> list[str]:
    """Return which ways out of a session lead to something near."""
    count, *found = json.loads(ocm("enter", name, input=f"exec python3 - <<'END'\n{ATTEMPTS}\nEND\n").stdout)
    assert count > 20
    return list(found)


def test_its_agent_answers_and_its_tools_work_for_all(ocm: Ocm, worker: str) -> None:
    told = ocm("check", worker).stdout
    assert "main: answers, and its tools work" in told
    assert "group: answers, and its tools work in a box" in told
    assert ocm("network", worker).stdout.split() == ["network", "own", "allow", MODEL]


@pytest.mark.usefixtures("near")
def test_where_nothing_confines_it_each_way_leads_somewhere(machine: Machine) -> None:
    _count, *found = json.loads(machine.run(["python3", "-c", ATTEMPTS]).stdout)
    assert set(found) >= OPEN


def test_a_session_reaches_nothing_near(ocm: Ocm, worker: str) -> None:
    assert attempts(ocm, worker) == []
    assert inside(ocm, worker, "grep nameserver /etc/resolv.conf") == "nameserver 10.0.2.3\n"


def test_the_gateway_reaches_nothing_near_but_the_model(machine: Machine, ocm: Ocm, worker: str) -> None:
    pid = machine.run(["pgrep", "-f", "^openclaw-gateway"]).stdout.split()[0]
    places = [
        (LOCAL, PORT),
        (NEIGHBOUR, PORT),
        (METADATA, PORT),
        (PUBLIC, PORT),
        ("10.0.2.2", PORT),
        (LOCAL, 18080),
    ]
    code = f"""
import json, socket
found = []
for place in {places!r}:
    try:
        socket.create_connection(place, 3)
    except OSError:
        continue
    found.append(place)
print(json.dumps(found))
"""
    done = machine.run(["nsenter", "-t", pid, "--net", "python3", "-c", code], user="root")
    assert json.loads(done.stdout) == [[LOCAL, 18080]]
    assert rows(ocm)[worker]["state"] == "ready"


def test_what_listens_inside_takes_no_port_of_the_host(machine: Machine, ocm: Ocm, worker: str) -> None:
    code = f"import socket, time; kept = socket.create_server(('0.0.0.0', {FREE})); print('up', flush=True)"
    session = machine.popen([f"{ocm.folder}/ocm.py", "enter", worker], stdin=subprocess.PIPE)
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(f'python3 -c "{code}; time.sleep(60)"\n'.encode())
    session.stdin.flush()
    assert session.stdout.readline() == b"up\n"
    assert str(FREE) not in machine.run(["ss", "-Hltn"]).stdout
    kill_group(session)


def test_its_gateway_answers_many_at_once(machine: Machine, worker: str) -> None:
    del worker
    asking = "GET /healthz HTTP/1.0\\r\\n\\r\\n"
    done = machine.run(["python3", "-c", ASK, LOCAL, str(GATEWAY), asking, "200"])
    assert done.stdout.split()[0] == "200"


def test_a_web_socket_stays_open(request: pytest.FixtureRequest, machine: Machine, worker: str) -> None:
    """--open 600 is ten minutes."""
    seconds = request.config.getoption("--open")
    config = json.loads(machine.read(f"{HOME}/.openclaw-{worker}/openclaw.json"))
    machine.write(f"{HOME}/stay.mjs", STAY)
    argv = ["node", "stay.mjs", str(GATEWAY), config["gateway"]["auth"]["token"], str(seconds)]
    name, answered, ticks, *_ = machine.run(argv, cwd=HOME, timeout=seconds + 60).stdout.split()
    assert (name, answered) == ("last", "true")
    assert int(ticks) >= seconds // 30 - 1


def test_exactly_what_is_allowed_is_reached_in_addition(ocm: Ocm, worker: str) -> None:
    place = f"{LOCAL}:{PORT}"
    refused(ocm("network", worker, "allow", LOCAL, check=False), "single ports", code=2)
    ocm("network", worker, "allow", place)
    # It is one place, under each of its names.
    assert set(attempts(ocm, worker)) == {"loopback", "zero", "mapped", "slirp"}
    much = f"python3 - {LOCAL} {PORT} much 3 <<'END'\n{ASK}\nEND\n"
    assert inside(ocm, worker, much).split() == ["3", str(3 * MUCH)]
    many = f"python3 - {LOCAL} {PORT} some 200 <<'END'\n{ASK}\nEND\n"
    assert inside(ocm, worker, many).split() == ["200", "200"]
    assert (
        ocm("network", worker, "deny", place).stdout
        == f"worker1: in a network of its own, and near by {MODEL}\n"
    )
    assert attempts(ocm, worker) == []
    refused(ocm("network", worker, "deny", place, check=False), "not allowed to worker1")


@pytest.fixture
def outside(machine: Machine) -> Iterator[None]:
    """Have other machines on a network with this one, as far as the kernel can tell."""
    script = f"""
        ip netns add outside
        ip link add near0 type veth peer name eth0 netns outside
        ip addr add {HERE}/24 dev near0
        ip link set near0 up
        ip -n outside addr add {CALLERS[0]}/24 dev eth0
        ip -n outside addr add {CALLERS[1]}/32 dev eth0
        ip -n outside link set eth0 up
        ip route add {CALLERS[1]}/32 dev near0
    """
    machine.run(["sh", "-euc", script], user="root")
    yield
    machine.run(["sh", "-euc", "ip link del near0; ip netns del outside"], user="root")


def caller_as_seen(machine: Machine, source: str, target: str, namespace: tuple[str, ...] = ()) -> str:
    """Return the address that the gateway sees of who calls it, empty where nobody gets through."""
    code = (
        "import socket, sys, time; "
        f"kept = socket.create_connection(({target!r}, {GATEWAY}), 3, ({source!r}, 0)); "
        "print(kept.getsockname()[1], flush=True); time.sleep(60)"
    )
    calling = machine.popen([*namespace, "python3", "-c", code], user="root")
    try:
        assert calling.stdout is not None
        port = calling.stdout.readline().decode().strip()
        pid = machine.run(["pgrep", "-f", "^openclaw-gateway"]).stdout.split()[0]
        asked = ["nsenter", "-t", pid, "--net", "ss", "-Htn", "state", "established", f"sport = :{GATEWAY}"]
        shown = machine.run(asked, user="root").stdout if port else ""
    finally:
        kill_group(calling)
    seen = {
        line.split()[-1].removeprefix("[::ffff:").rpartition(":")[0].rstrip("]")
        for line in shown.splitlines()
    }
    return ", ".join(sorted(seen))


def is_seen(machine: Machine, source: str, target: str, namespace: tuple[str, ...] = ()) -> bool:
    """Tell whether the gateway sees a caller, and alone, by the address that it has."""
    return caller_as_seen(machine, source, target, namespace) == source


@pytest.mark.usefixtures("outside")
def test_exposed_it_is_reached_from_other_machines_and_takes_none_for_its_own(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    netns = ("ip", "netns", "exec", "outside")
    assert caller_as_seen(machine, CALLERS[0], HERE, netns) == ""
    assert ocm("expose", worker, "--from", "10.0.0.0/8", "--yes").stdout.endswith(f"on port {GATEWAY}\n")
    # Each gets through to the uplink first, and the one before is not forgotten at once.
    for each in CALLERS:
        wait_for(partial(is_seen, machine, each, HERE, netns), 30, f"caller {each}")
    wait_for(partial(is_seen, machine, LOCAL, LOCAL), 30, "a caller of this machine")
    assert rows(ocm)[worker]["state"] == "ready"
    machine.run(["ip", "addr", "add", "10.9.0.9/24", "dev", "near0"], user="root")
    wait_for(partial(is_seen, machine, CALLERS[0], "10.9.0.9", netns), 30, "new address")
    assert attempts(ocm, worker) == []
    assert ocm("unexpose", worker).stdout == f"{worker}: reached from this machine alone\n"
    assert caller_as_seen(machine, CALLERS[0], HERE, netns) == ""
    assert "main: answers" in ocm("check", worker).stdout


@pytest.mark.parametrize("program", ["slirp4netns", "ocm-uplink"])
def test_what_is_killed_of_the_network_is_made_anew(
    machine: Machine, ocm: Ocm, worker: str, program: str
) -> None:
    before = machine.run(["pgrep", "-x", "slirp4netns"]).stdout
    machine.run(["pkill", "-KILL", "-x", program], user="root")
    wait_for(
        lambda: machine.run(["pgrep", "-x", "slirp4netns"], check=False).stdout not in ("", before),
        90,
        "uplink",
    )
    wait_for(lambda: rows(ocm)[worker]["state"] == "ready", 90, "gateway")
    assert "main: answers" in ocm("check", worker).stdout
    assert attempts(ocm, worker) == []


def test_a_stop_leaves_nothing_of_it(machine: Machine, ocm: Ocm, worker: str) -> None:
    ocm("stop", worker)
    gone = ["pgrep", "-x", "slirp4netns|ocm-uplink"]
    wait_for(lambda: machine.run(gone, check=False).returncode == 1, 20, "end of the uplink")
    assert machine.run(["ls", f"{HOME}/.local/state/ocm/tmp/worker1/network"]).stdout == ""
    assert "19001" not in machine.run(["ss", "-Hltn"]).stdout


def test_where_there_can_be_none_that_is_said(machine: Machine, ocm: Ocm, worker: str) -> None:
    machine.run(["chmod", "600", "/dev/net/tun"], user="root")
    try:
        refused(ocm("create", "other", "--network", "own", check=False), "/dev/net/tun may not be used here")
        said = ocm("create", "other").stderr
        assert "other shares the network of this machine: /dev/net/tun may not be used here" in said
        assert "then ocm network other own" in said
        assert "chmod 0666 /dev/net/tun" in ocm("doctor", check=False).stdout
        ocm("delete", "other", "--yes")
        refused(ocm("start", worker, check=False), "/dev/net/tun may not be used here")
    finally:
        machine.run(["chmod", "666", "/dev/net/tun"], user="root")
    assert set(rows(ocm)) == {worker}
