#!/usr/bin/env python3
"""Run OCM from a checkout: the first run makes a private environment, every later run starts in it at once.

This file owns that environment and knows nothing else of OCM. It must parse on Python 3.6, so that an old
Python is told what it lacks instead of raising SyntaxError. What only the first run needs is imported late.
"""

import _signal  # type: ignore[import-not-found] # signal itself would add to every start
import importlib
import importlib.machinery
import os
import sys
import zlib

if sys.version_info < (3, 10):
    version = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"ocm: needs Python 3.10 or newer, and {sys.executable} is {version}.")

LAUNCHER = os.path.realpath(__file__)  # the user's PATH may hold a symlink to it
CHECKOUT = os.path.dirname(LAUNCHER)
REQUIREMENTS = os.path.join(CHECKOUT, "requirements.txt")


def main() -> None:
    """Run OCM if this is the private environment's Python; else become that Python."""
    try:
        environment = environment_path()
        if not (sys.flags.isolated and os.path.basename(sys.prefix) == os.path.basename(environment)):
            enter(environment)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        sys.exit(f"ocm: could not set up its private environment: {error.strerror}{place}.")
    sys.argv[0] = "ocm"
    sys.path.insert(0, os.path.join(CHECKOUT, "src"))
    sys.exit(importlib.import_module("openclaw_ocm.__main__").main())


def environment_path() -> str:
    """Name the environment after all that decides what belongs in it.

    That is the requirements and the kind of binary module this Python loads (implementation, version,
    machine, C library), so that no two checkouts, Pythons or containers on one home fight over a directory.
    Those of older requirements are left alone: a long-lived process may still run in one.
    """
    with open(REQUIREMENTS, "rb") as requirements:
        key = requirements.read() + importlib.machinery.EXTENSION_SUFFIXES[0].encode()
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored; `su` and `sudo -E` leave what is another user's.
    if not os.path.isabs(data) or is_foreign(data):
        data = os.path.expanduser("~/.local/share")
    # A checksum is enough for a name, and hashlib would add 2 ms to every start.
    return os.path.join(data, "ocm", f"venv-{zlib.crc32(key):08x}")


def enter(environment: str) -> None:
    """Start this command again in the private environment, made first where there is none."""
    if not is_complete(environment):
        if not sys.flags.isolated:
            become(sys.executable)
        build(environment)
    become(python_of(environment))


def become(python: str) -> None:
    """Replace this process by another Python that runs the same command.

    PYTHONPATH and the like bend neither that Python (-I) nor what OCM starts later (not in its environment).
    Ctrl-C waits until that Python has got as far as main, for it would print a traceback before.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    os.execve(python, [python, "-I", LAUNCHER, *sys.argv[1:]], variables)


def is_complete(environment: str) -> bool:
    """Return whether a build came to its end, and the Python it was made from is still there."""
    return os.path.exists(marker_of(environment)) and os.access(python_of(environment), os.X_OK)


def marker_of(environment: str) -> str:
    """Return the path of the file that a build writes last."""
    return os.path.join(environment, "complete")


def python_of(environment: str) -> str:
    """Return the path of the environment's interpreter."""
    return os.path.join(environment, "bin", "python")


def build(environment: str) -> None:
    """Make the environment, or leave nothing of it.

    It is built in place, since an environment cannot be moved; what a killed run left there is cleared first.
    """
    import fcntl
    import shutil
    import signal

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    refuse_foreign(os.path.expanduser("~"))
    ensure_venv()
    data = os.path.dirname(environment)
    os.makedirs(data, mode=0o700, exist_ok=True)
    with open(os.path.join(data, "venv.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another run that sets up OCM's private environment")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(environment):
            return
        say("Setting up OCM's private environment (once)")
        try:
            for name, argv in steps_to(environment).items():
                run(name, argv, environment, lock.fileno())
            os.sync()  # a power cut must not spare the marker and lose what it vouches for
            with open(marker_of(environment), "w") as marker:
                os.fsync(marker.fileno())
        except BaseException:
            shutil.rmtree(environment, ignore_errors=True)
            raise


def is_foreign(path: str) -> bool:
    """Tell whether a path is there and belongs to another user than this one and root."""
    return os.path.exists(path) and os.stat(path).st_uid not in (0, os.getuid())


def refuse_foreign(home: str) -> None:
    """Return if the home is no other user's, who could not change what is made; or exit with a sentence."""
    if not os.path.isabs(home):
        sys.exit("ocm: this user has no account and HOME is not set: set HOME to a directory of its own.")
    if is_foreign(home):
        sys.exit(f"ocm: HOME is {home}, which belongs to another user: run it as that one, or after sudo -i.")


def ensure_venv() -> None:
    """Return if this Python can make environments; else install what Debian left out, or exit with how to."""
    import shutil

    if has_venv():
        return
    python = os.path.realpath(sys.executable)
    is_default = python == os.path.realpath("/usr/bin/python3")
    package = "python3-venv" if is_default else f"python3.{sys.version_info[1]}-venv"
    # Debian's package mends Debian's Python only.
    if os.geteuid() or os.path.dirname(python) != "/usr/bin" or not shutil.which("apt-get"):
        sys.exit(f"ocm: this Python lacks ensurepip; mend it with: sudo apt install {package}")
    say(f"Installing {package} with apt-get, for this Python lacks ensurepip")
    install(package)
    importlib.invalidate_caches()
    if not has_venv():
        sys.exit(f"ocm: {package} is installed, and yet {sys.executable} lacks ensurepip.")


def has_venv() -> bool:
    """Return whether this Python has the parts that make environments."""
    from importlib.util import find_spec

    ensurepip = find_spec("ensurepip")
    # An empty directory is found as well, and has no file of its own.
    return bool(find_spec("venv") and ensurepip and ensurepip.origin)


def install(package: str) -> None:
    """Install a Debian package, as root; exit with the end of apt's output if it cannot be had."""
    apt = ["apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=60"]
    wanted = [*apt, "install", "--yes", "--no-install-recommends", package]
    said = ""
    # A container has no package lists, and old ones name files that are gone: only then are new ones fetched.
    for argv in (wanted, [*apt, "update"], wanted):
        status, output = finish(argv, {"DEBIAN_FRONTEND": "noninteractive"}, gently=True)
        if argv is wanted and not status:
            return
        said += output
    sys.exit(f"ocm: could not install {package}, for apt-get failed:{end_of(said)}")


def steps_to(environment: str) -> "dict[str, list[str]]":
    """Return the commands that make the environment, by name and in order.

    venv and ensurepip are apart because venv hides what ensurepip prints, and a traceback would drown it.
    """
    python = python_of(environment)
    pip = [python, "-I", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-input"]
    pip += ["--disable-pip-version-check", "--progress-bar", "off", "--quiet"]
    # The user's pip settings may name a mirror, but not another place to install to.
    pip += ["--no-user", "--target=", "--root=/", f"--prefix={environment}"]
    ensurepip = "import ensurepip, sys; sys.tracebacklimit = 0; ensurepip.bootstrap()"
    return {
        "venv": [sys.executable, "-I", "-m", "venv", "--clear", "--without-pip", environment],
        "ensurepip": [python, "-I", "-c", ensurepip],
        "pip": [*pip, "-r", REQUIREMENTS],
    }


def run(name: str, argv: "list[str]", environment: str, lock: int) -> None:
    """Run one step of the build, and exit with the end of its output if it fails.

    The step shares the lock, so that no other run builds while it outlives a killed launcher. Its temporary
    files vanish with the environment.
    """
    status, output = finish(argv, {"TMPDIR": environment}, (lock,))
    if status:
        sys.exit(f"ocm: could not set up its private environment, for {name} failed:{end_of(output)}")


def finish(
    argv: "list[str]",
    variables: "dict[str, str]",
    descriptors: "tuple[int, ...]" = (),
    *,
    gently: bool = False,
) -> "tuple[int, str]":
    """Run a command to its end and return its exit status and what it printed.

    It leads a process group, so that an interrupt ends all its children too: by SIGKILL, or gently by the
    SIGINT upon which apt-get lets a dpkg at work come to its end, for killing that would break the system.
    """
    import contextlib
    import signal
    import subprocess

    process = subprocess.Popen(
        argv,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        start_new_session=True,
        pass_fds=descriptors,
    )
    try:
        # Without a timeout this is one blocking read, deaf to a Ctrl-C that comes together with output.
        output, _ = process.communicate(timeout=24 * 60 * 60)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):  # the command had just come to its end
            if gently:
                process.send_signal(signal.SIGINT)
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # returns when the last of the group has let go of its output
        raise
    return process.returncode, output


def end_of(output: str) -> str:
    """Return the last lines of what a command printed, indented."""
    return "".join(f"\n  {line}" for line in output.strip().splitlines()[-10:])


def say(line: str) -> None:
    """Tell the user, beside what the command itself prints."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])
        main()
    except KeyboardInterrupt:
        sys.exit(130)
