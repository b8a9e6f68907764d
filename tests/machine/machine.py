"""Enters a test machine: runs commands, moves files, reads journals, reboots."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .accounts import ACCOUNTS, SYSTEM_PATH, Account
from .image import TUN_SCRIPT, Kind, ensure_image
from .lifetime import Network, Owned, Running, Spec, machines_dir, snapshot_lower, sweep
from .nspawn import MachineError, network_environment
from .processes import kill_group, text, wait_for
from .terminal import PTY_HELPER, Answers, CommandTimedOut, converse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

POWER_OFF_SIGNAL = signal.SIGRTMIN + 4

# All that a command gets that a container engine starts in a running container.
CONTAINER_VARIABLES = ("HOME", "PATH", "TERM")

# Moves itself into the login's cgroup (that of $1 in the machine) before it takes on the user.
# The cgroup namespace comes last: from inside it the kernel may refuse the move of a process that
# is still outside, and nsenter's own half must stay outside, as systemd cannot see its pid.
ENTER_SCRIPT = """
umask 022
[ -z "$1" ] || echo 0 >"/sys/fs/cgroup$1/cgroup.procs"
shift
exec nsenter --cgroup=/proc/1/ns/cgroup "$@"
"""


@dataclass(frozen=True)
class Result:
    """What a command in the machine did."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class PtyResult:
    """What a command on a pseudo-terminal printed: both streams, with the terminal's CRLF."""

    argv: tuple[str, ...]
    returncode: int
    output: str


class CommandFailed(MachineError):
    def __init__(self, result: Result) -> None:
        super().__init__(
            f"{' '.join(result.argv)} -> {result.returncode}\n"
            f"--- stdout\n{result.stdout[-4000:]}\n--- stderr\n{result.stderr[-4000:]}"
        )
        self.result = result


class Machine:
    """One machine. `Machine.boot` starts and owns it, `Machine.attach` only enters a running one."""

    def __init__(self, running: Running, owned: Owned | None = None) -> None:
        self.running = running
        self._owned = owned

    @classmethod
    def boot(  # noqa: PLR0913 - what a machine can be, in words of the caller
        cls,
        release: str,
        *,
        kind: Kind = "ready",
        network: Network = "machine",
        user_namespaces: bool = True,
        name: str | None = None,
        snapshot: str | None = None,
        deadline_seconds: float = 120,
    ) -> Machine:
        if os.geteuid() != 0:
            raise MachineError("machines need root")
        sweep()
        image = ensure_image(release, kind)
        lower = snapshot_lower(image.key, snapshot) if snapshot else image.lower
        name = name or f"{release}-{secrets.token_hex(4)}"
        spec = Spec(release, kind, network, user_namespaces)
        owned = Owned.claim(name, spec, image.key, lower)
        atexit.register(owned.discard)
        try:
            machine = cls(owned.start(), owned)
            machine._wait_until_up(deadline_seconds)
            if not spec.has_systemd:
                machine.run(["sh", "-euc", TUN_SCRIPT])
        except BaseException:
            owned.discard()
            raise
        return machine

    @classmethod
    def attach(cls, name: str) -> Machine:
        running = Running.load(machines_dir() / name)
        if running is None or not running.leader.is_alive():
            raise MachineError(f"no machine {name!r} is running")
        return cls(running)

    @property
    def name(self) -> str:
        return self.running.name

    @property
    def release(self) -> str:
        return self.running.spec.release

    @property
    def account(self) -> Account:
        """Whose login commands run in unless they name another's: a container knows root alone."""
        return ACCOUNTS["debian" if self.running.spec.has_systemd else "root"]

    @property
    def home(self) -> str:
        return self.account.home

    # Entering

    def run(  # noqa: PLR0913 - the shape of subprocess.run
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 120,
        network: Network = "machine",
        cwd: str | None = None,
    ) -> Result:
        """Run argv to its end; `env` is added to that of a login."""
        process = self.popen(
            argv,
            user=user,
            env=env,
            network=network,
            cwd=cwd,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        sent = input.encode() if isinstance(input, str) else input
        try:
            out, err = process.communicate(sent, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            partial = kill_group(process)
            message = f"{' '.join(argv)} took longer than {timeout:g} s\n{partial}"
            raise CommandTimedOut(message) from expired
        except BaseException:
            kill_group(process)
            raise
        result = Result(tuple(argv), process.returncode, text(out), text(err))
        if check and result.returncode != 0:
            raise CommandFailed(result)
        return result

    def popen(  # noqa: PLR0913 - the shape of subprocess.Popen
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        network: Network = "machine",
        cwd: str | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start argv; stop it, with its children, by `kill_group`."""
        entering = self.entering(argv, user=user, env=env, network=network, cwd=cwd)
        return subprocess.Popen(entering, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)

    def pty(  # noqa: PLR0913 - as run
        self,
        argv: Sequence[str],
        *,
        answers: Answers = (),
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        cwd: str | None = None,
        size: tuple[int, int] = (24, 80),
    ) -> PtyResult:
        """Run argv on a real pseudo-terminal.

        `answers` are (text to wait for, keys to type), in order; chr(3) is Ctrl-C.
        """
        helper = ["python3", "-c", PTY_HELPER, str(size[0]), str(size[1]), *argv]
        environment = {"TERM": "xterm-256color", **(env or {})}
        process = self.popen(
            helper,
            user=user,
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output = converse(process, answers, timeout)
            with process:
                return PtyResult(tuple(argv), process.wait(timeout=10), output)
        except BaseException:
            kill_group(process)
            raise

    def entering(  # noqa: PLR0913 - as run
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        network: Network = "machine",
        cwd: str | None = None,
        logged_in: bool = True,
    ) -> list[str]:
        """Return the host's argv that runs argv in the machine."""
        account = ACCOUNTS[user] if user else self.account
        given = {**self._login_environment(account), **self._network_environment(network), **(env or {})}
        namespaces = ["--mount", "--uts", "--ipc", "--pid"]
        if network == "machine":
            namespaces.append("--net")
        if not self.running.spec.user_namespaces:
            namespaces.append("--user")
        return [
            *("nsenter", f"--target={self.running.leader.pid}", *namespaces, "--"),
            *("sh", "-euc", ENTER_SCRIPT, "sh", self._login(account) if logged_in else ""),
            *("setpriv", f"--reuid={account.uid}", f"--regid={account.uid}", "--init-groups"),
            *(self._dropped_capabilities(), "--pdeathsig=KILL"),
            *("env", "--ignore-environment", f"--chdir={cwd or account.home}"),
            *(f"{key}={value}" for key, value in given.items()),
            *argv,
        ]

    def _login_environment(self, account: Account) -> dict[str, str]:
        login = account.environment
        if not self.running.spec.has_systemd:
            return {name: login[name] for name in CONTAINER_VARIABLES}
        if self.running.spec.kind == "fresh" and account.uid:
            login["PATH"] = SYSTEM_PATH
        return login

    def _network_environment(self, network: Network) -> dict[str, str]:
        if self.running.spec.network == "host":
            return network_environment()
        if network == "machine":
            return {}
        # /etc/pip.conf of the image forbids the index, which this command is meant to reach.
        return {**network_environment(), "PIP_CONFIG_FILE": "/dev/null"}

    def _dropped_capabilities(self) -> str:
        """Return the capabilities that the machine lacks: nsenter would bring the host's along."""
        status = Path(f"/proc/{self.running.leader.pid}/status").read_text()
        kept = int(re.findall(r"^CapBnd:\s*(\w+)", status, re.MULTILINE)[0], 16)
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        dropped = [f"-cap_{number}" for number in range(last + 1) if not kept >> number & 1]
        return f"--bounding-set={','.join(dropped) or '-all,+all'}"

    def _login(self, account: Account) -> str:
        """Return the cgroup of the account's login, opened where it is not there (any more)."""
        if not self.running.spec.has_systemd:
            return "/"
        root = Path(f"/proc/{self.running.leader.pid}/root")
        note = root / f"run/ocm-test-login-{account.name}"

        def noted() -> str | None:
            cgroup = note.read_text().strip()
            return cgroup if cgroup and (root / f"sys/fs/cgroup{cgroup}").exists() else None

        with contextlib.suppress(FileNotFoundError):
            if cgroup := noted():
                return cgroup
        self._open_login(account)
        return wait_for(noted, 20, f"the login of {account.name}")

    def _open_login(self, account: Account) -> None:
        """Start a process of the user in a logind session of its own, as sshd would.

        Root gets a plain service: a session would start a user manager that tests do not expect.
        """
        note = f"/run/ocm-test-login-{account.name}"
        # Without a terminal logind would call it a background session.
        session = ["--property=PAMName=login", "--setenv=XDG_SESSION_CLASS=user"]
        # Not in the user's slice: from there logind 252 gives no session ("already running in one").
        slices = ["--slice=user-0.slice"]
        kind = [f"--uid={account.name}", *session] if account.uid else slices
        script = "sed -n s/^0:://p /proc/self/cgroup >$0 && exec sleep infinity"
        start = ["systemd-run", "--quiet", "--collect", *kind, "sh", "-c", script, note]
        for argv in (["install", "-o", account.name, "-m", "600", "/dev/null", note], start):
            result = self._outside(argv)
            if result.returncode != 0:
                raise CommandFailed(result)

    def _outside(self, argv: Sequence[str]) -> Result:
        """Run a command as root outside the logins, such as those that make them."""
        entering = self.entering(argv, user="root", logged_in=False)
        done = subprocess.run(
            entering, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )
        return Result(tuple(argv), done.returncode, text(done.stdout), text(done.stderr))

    # Files

    def push(self, host_path: Path | str, machine_path: str, *, user: str | None = None) -> None:
        """Copy a file or a directory tree; it then belongs to `user`."""
        source = Path(host_path)
        if source.is_dir():
            packed = subprocess.run(["tar", "-C", source, "-cf", "-", "."], capture_output=True, check=True)
            self.run(["mkdir", "-p", machine_path], user=user)
            unpack = ["tar", "-C", machine_path, "--no-same-owner", "-xpf", "-"]
            self.run(unpack, user=user, input=packed.stdout)
        else:
            mode = source.stat().st_mode & 0o777
            self.write(machine_path, source.read_bytes(), user=user, mode=mode)

    def write(self, path: str, content: str | bytes, *, user: str | None = None, mode: int = 0o644) -> None:
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}"], user=user, input=content)

    def read(self, path: str, *, user: str = "root") -> str:
        return self.run(["cat", path], user=user).stdout

    def journal(self, *, since: float | None = None) -> str:
        """System and user journals, `since` in seconds of the epoch; in a container the logs of OCM's."""
        if not self.running.spec.has_systemd:
            return self.run(["sh", "-c", "tail -n 200 ~/.local/state/ocm/logs/*"], check=False).stdout
        argv = ["journalctl", "--no-pager", "--output=short-precise"]
        if since is not None:
            argv.append(f"--since=@{since:.3f}")
        return self.run(argv, user="root").stdout

    # Power

    def reboot(self, *, user_namespaces: bool | None = None, deadline_seconds: float = 120) -> None:
        """Shut down cleanly and boot from the same files; user namespaces stay as they were unless said."""
        owned = self._power_off(deadline_seconds)
        if user_namespaces is not None:
            owned.spec = replace(owned.spec, user_namespaces=user_namespaces)
        self._start(deadline_seconds)

    def snapshot(self, tag: str, *, deadline_seconds: float = 120) -> None:
        """Keep the machine's files for `Machine.boot(release, snapshot=tag)`; it is rebooted."""
        owned = self._power_off(deadline_seconds)
        owned.save_snapshot(tag)
        self._start(deadline_seconds)

    def _power_off(self, deadline_seconds: float) -> Owned:
        owned = self._own()
        self.running.leader.kill(POWER_OFF_SIGNAL)
        owned.wait_for_end(deadline_seconds)
        return owned

    def _start(self, deadline_seconds: float) -> None:
        self.running = self._own().start()
        self._wait_until_up(deadline_seconds)

    def _own(self) -> Owned:
        if self._owned is None:
            raise MachineError(f"{self.name} belongs to process {self.running.owner.pid}")
        return self._owned

    def _wait_until_up(self, deadline_seconds: float) -> None:
        if not self.running.spec.has_systemd:
            return
        end = time.monotonic() + deadline_seconds
        system = ["systemctl", "is-system-running"]
        of_debian = ["systemctl", "--user", "--machine=debian@.host", "is-system-running"]
        try:
            wait_for(lambda: self._is_up(system), end - time.monotonic(), "the system")
            wait_for(lambda: self._is_up(of_debian), end - time.monotonic(), "the user manager")
        except MachineError as error:
            journal = self._outside(["journalctl", "--no-pager", "--lines=200"]).stdout
            raise MachineError(f"{error}\n{journal}") from error

    def _is_up(self, argv: Sequence[str]) -> bool:
        self._own().refuse_dead()
        return self._outside(argv).stdout.strip() in ("running", "degraded")

    def close(self) -> None:
        """Remove the machine. Nothing in it is worth a clean shutdown: its files go too."""
        if self._owned is not None:
            self._owned.discard()
            atexit.unregister(self._owned.discard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
