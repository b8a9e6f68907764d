"""`ocm.py` as a user meets it: in small stand-in checkouts, each with a data directory of its own.

All but one test install a wheel made here, so they need no network. The one that installs the real
requirements downloads their wheels once, into $OCM_TEST_CACHE.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60
SETTING_UP = "Setting up OCM's private environment (once)\n"
WAITING = "Waiting for another run that sets up OCM's private environment\n"
WHEEL = "standin-1.0-py3-none-any.whl"

MAIN_OF_THE_STAND_IN = """\
import json, os, sys

def main():
    import standin
    python = sorted(name for name in os.environ if name.startswith("PYTHON"))
    seen = {"argv": sys.argv, "cwd": os.getcwd(), "standin": standin.__file__, "variables": python}
    print(json.dumps(seen))
    return len(sys.argv) - 1
"""

MAIN_OF_THE_REAL_REQUIREMENTS = """\
import click, msgspec, psutil, pyjson5, rich, sys, tomli_w
if sys.version_info < (3, 11):
    import tomli

@click.group()
def main():
    pass

@main.command()
def greet():
    print("hello")
"""


@dataclass(frozen=True)
class Checkout:
    """A directory that looks like OCM's repository to the launcher, and a home to run it in."""

    root: Path
    home: Path
    wheels: Path

    @property
    def launcher(self) -> Path:
        return self.root / "ocm.py"

    @property
    def data(self) -> Path:
        return self.home / "da ta" / "ocm"

    def environment(self) -> Path:
        (environment,) = self.data.glob("venv-*")
        return environment

    def surroundings(self, variables: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "XDG_DATA_HOME": str(self.data.parent),
            **(variables or {}),
        }

    def run(
        self, *argv: str | Path, cwd: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv or (sys.executable, self.launcher),
            cwd=cwd,
            env=self.surroundings(variables),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    @contextlib.contextmanager
    def start(
        self, variables: Mapping[str, str], argv: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            argv or [sys.executable, str(self.launcher)],
            env=self.surroundings(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # no more than a formality, unless the test has failed


def make_checkout(directory: Path, wheels: Path, main: str, requirements: str) -> Checkout:
    root = directory / "check out"
    package = root / "src" / "openclaw_ocm"
    package.mkdir(parents=True)
    shutil.copy(REPOSITORY / "ocm.py", root)
    (root / "requirements.txt").write_text(requirements)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(main)
    (directory / "home").mkdir()
    return Checkout(root=root, home=directory / "home", wheels=wheels)


def make_stand_in_checkout(directory: Path, wheel: Path) -> Checkout:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = f"standin==1.0 --hash=sha256:{digest}\n"
    return make_checkout(directory, wheel.parent, MAIN_OF_THE_STAND_IN, requirements)


def write_wheel(path: Path, source: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("standin.py", source)
        wheel.writestr(
            "standin-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: standin\nVersion: 1.0\n"
        )
        wheel.writestr(
            "standin-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("standin-1.0.dist-info/RECORD", "standin.py,,\n")
    return path


def facts(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what the stand-in saw, whose exit code is the number of its arguments."""
    seen: dict[str, Any] = json.loads(run.stdout)
    assert run.returncode == len(seen["argv"]) - 1, run
    return seen


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheels") / WHEEL)


@pytest.fixture
def checkout(tmp_path: Path, wheel: Path) -> Checkout:
    return make_stand_in_checkout(tmp_path, wheel)


@dataclass(frozen=True)
class Built:
    """A checkout after its first run, without the pip of its environment: nothing may need it any more."""

    checkout: Checkout
    first: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Built:
    checkout = make_stand_in_checkout(tmp_path_factory.mktemp("built"), wheel)
    first = checkout.run()
    (pip,) = checkout.environment().glob("lib/python3*/site-packages/pip")
    shutil.rmtree(pip)
    return Built(checkout=checkout, first=first)


class Index(http.server.ThreadingHTTPServer):
    """A package index that says when it is first asked, and answers only once its gate is open."""

    daemon_threads = True

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), IndexRequest)
        self.wheel = wheel
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.wheels_served = 0

    def variables(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_port}/"
        return {
            "PIP_NO_INDEX": "0",
            "PIP_INDEX_URL": url,
            "PIP_FIND_LINKS": "",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_RETRIES": "0",
            "PIP_TIMEOUT": str(2 * DEADLINE_SECONDS),  # pip never gives up before the test does
        }

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the base class has it
        """Expect clients to be killed."""


class IndexRequest(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.set()
        self.server.gate.wait()
        if self.path.endswith(".whl"):
            self.server.wheels_served += 1
            self.answer("application/octet-stream", self.server.wheel.read_bytes())
        else:
            self.answer("text/html", f'<!DOCTYPE html><a href="/{WHEEL}">{WHEEL}</a>'.encode())

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def index(wheel: Path) -> Iterator[Index]:
    with Index(wheel) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()
        thread.join()


def assert_nothing_is_left(checkout: Checkout) -> None:
    assert [path.name for path in checkout.data.iterdir()] == ["venv.lock"]


def test_the_first_run_says_one_line_and_runs_the_command(built: Built) -> None:
    assert built.first.stderr == SETTING_UP
    assert Path(facts(built.first)["standin"]).is_relative_to(built.checkout.environment())


def test_the_program_is_called_ocm_and_gets_its_arguments_and_returns_its_exit_code(built: Built) -> None:
    run = built.checkout.run(sys.executable, built.checkout.launcher, "--flag", "two words", "")
    assert facts(run)["argv"] == ["ocm", "--flag", "two words", ""]
    assert run.returncode == 3


def test_a_later_run_needs_no_pip_no_index_and_changes_nothing(built: Built) -> None:
    def snapshot() -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in built.checkout.data.rglob("*")}

    before = snapshot()
    run = built.checkout.run(variables={"PATH": "/nonexistent", "PIP_FIND_LINKS": "/nonexistent"})
    assert (run.returncode, run.stderr) == (0, "")
    assert snapshot() == before


def test_a_later_run_loads_nothing_that_could_start_a_process_or_is_slow(built: Built) -> None:
    # -S leaves out what the host's site-packages load; the flags do not reach the second Python.
    run = built.checkout.run(sys.executable, "-S", "-X", "importtime", built.checkout.launcher)
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert run.returncode == 0
    assert "zlib" in loaded
    assert not loaded & {"subprocess", "shutil", "fcntl", "signal", "pathlib", "hashlib", "tempfile", "re"}


def test_it_runs_through_a_symlink_from_any_directory(built: Built, tmp_path: Path) -> None:
    link = tmp_path / "ocm"
    link.symlink_to(built.checkout.launcher)
    run = built.checkout.run(link, cwd=tmp_path)
    assert facts(run)["cwd"] == str(tmp_path)
    assert run.stderr == ""


def test_the_environments_own_python_is_shielded_as_well(built: Built, tmp_path: Path) -> None:
    (tmp_path / "standin.py").write_text("raise SystemExit('poisoned')")
    python = built.checkout.environment() / "bin" / "python"
    run = built.checkout.run(python, built.checkout.launcher, variables={"PYTHONPATH": str(tmp_path)})
    assert Path(facts(run)["standin"]).is_relative_to(built.checkout.environment())


def test_the_noise_of_other_pythons_and_of_pip_reaches_neither_the_build_nor_the_command(
    checkout: Checkout, tmp_path: Path
) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("ocm", "standin", "subprocess", "signal", "shutil", "venv", "pip"):
        (poison / f"{name}.py").write_text(f"raise SystemExit('poisoned by {name}')")
    elsewhere = tmp_path / "elsewhere"
    pip_conf = tmp_path / "pip.conf"
    pip_conf.write_text(
        f"[global]\nfind-links = {checkout.wheels}\n[install]\nuser = true\nroot = {elsewhere}\n"
    )
    noise = {
        "PYTHONPATH": str(poison),
        "PYTHONHOME": sys.base_prefix,
        "PYTHONWARNINGS": "error",
        "PIP_CONFIG_FILE": str(pip_conf),
        "PIP_FIND_LINKS": "",
        "PIP_PREFIX": str(elsewhere),
        "PIP_TARGET": str(elsewhere),
    }
    for _ in ("build", "later run"):
        seen = facts(checkout.run(variables=noise))
        assert Path(seen["standin"]).is_relative_to(checkout.environment())
        assert seen["variables"] == []
    assert not elsewhere.exists()


def test_a_wheel_that_is_not_the_pinned_one_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    write_wheel(tmp_path / WHEEL, "print('not what was pinned')")
    run = checkout.run(variables={"PIP_FIND_LINKS": str(tmp_path)})
    assert run.returncode == 1
    assert "DO NOT MATCH THE HASHES" in run.stderr
    assert_nothing_is_left(checkout)


def test_a_requirement_without_a_pinned_hash_is_refused(checkout: Checkout) -> None:
    (checkout.root / "requirements.txt").write_text("standin==1.0\n")
    run = checkout.run()
    assert run.returncode == 1
    assert "Hashes are required in --require-hashes mode" in run.stderr
    assert_nothing_is_left(checkout)


def test_without_an_index_it_says_what_failed_and_keeps_nothing(checkout: Checkout, index: Index) -> None:
    index.server_close()  # as good as no network: connections are refused
    run = checkout.run(variables=index.variables())
    lines = run.stderr.splitlines(keepends=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert lines[0] == SETTING_UP
    assert lines[1] == "ocm: could not set up its private environment, for pip failed:\n"
    assert "No matching distribution found for standin==1.0" in lines[-1]
    assert_nothing_is_left(checkout)


@pytest.fixture
def _sigint_is_heard() -> Iterator[None]:
    """Undo what a shell does to a background job: its children, and theirs, ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_sigint_is_heard")
def test_ctrl_c_during_the_first_run_keeps_nothing(checkout: Checkout, index: Index, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with checkout.start({**index.variables(), "TMPDIR": str(temporary)}) as process:
        assert index.asked.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, output, errors) == (130, "", SETTING_UP)
    assert_nothing_is_left(checkout)
    assert list(temporary.iterdir()) == []


def test_two_first_runs_at_once_make_one_environment(checkout: Checkout, index: Index) -> None:
    with checkout.start(index.variables()) as one:
        assert index.asked.wait(DEADLINE_SECONDS)
        with checkout.start(index.variables()) as two:
            assert two.stderr is not None
            assert two.stderr.readline() == WAITING
            index.gate.set()
            assert one.communicate(timeout=DEADLINE_SECONDS)[1] == SETTING_UP
            assert two.communicate(timeout=DEADLINE_SECONDS)[1] == ""
    assert (one.returncode, two.returncode) == (0, 0)
    assert index.wheels_served == 1


def test_a_build_killed_half_way_is_made_anew_but_not_before_its_last_step_is_over(
    checkout: Checkout, index: Index
) -> None:
    with checkout.start(index.variables()) as killed:
        assert index.asked.wait(DEADLINE_SECONDS)
        killed.kill()  # its pip lives on, waits for the index and holds the lock
    leftover = checkout.environment() / "leftover"
    leftover.touch()
    with checkout.start(index.variables()) as after:
        assert after.stderr is not None
        assert after.stderr.readline() == WAITING
        assert leftover.exists()
        index.gate.set()
        assert after.communicate(timeout=DEADLINE_SECONDS)[1] == SETTING_UP
    assert after.returncode == 0
    assert not leftover.exists()
    assert checkout.run().stderr == ""


def test_a_directory_that_cannot_be_made_is_one_sentence(checkout: Checkout) -> None:
    file = checkout.home / "file"
    file.touch()
    run = checkout.run(variables={"XDG_DATA_HOME": str(file)})
    assert run.returncode == 1
    assert run.stderr == f"ocm: could not set up its private environment: Not a directory ({file}/ocm).\n"


def test_a_python_without_ensurepip_is_told_the_package_to_install(
    checkout: Checkout, tmp_path: Path
) -> None:
    python = make_python_without_ensurepip(tmp_path / "bare")
    assert checkout.run(python, "-c", "import venv").returncode == 0
    assert "No module named 'ensurepip'" in checkout.run(python, "-c", "import ensurepip").stderr

    run = checkout.run(python, checkout.launcher)
    package = f"python3.{sys.version_info.minor}-venv"
    assert run.returncode == 1
    assert run.stderr == f"ocm: this Python lacks ensurepip; mend it with: sudo apt install {package}\n"
    assert not checkout.data.exists()


def make_python_without_ensurepip(prefix: Path) -> Path:
    """Lay out what Debian has without python3-venv: a real Python whose library lacks that one package."""
    library = Path(sysconfig.get_path("stdlib"))
    (prefix / "lib" / library.name).mkdir(parents=True)
    (prefix / "bin").mkdir()
    for module in library.iterdir():
        if module.name != "ensurepip":
            (prefix / "lib" / library.name / module.name).symlink_to(module)
    for shared in library.parent.glob("libpython*"):
        (prefix / "lib" / shared.name).symlink_to(shared)
    base = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    return Path(shutil.copy(base.resolve(), prefix / "bin" / "python3"))


@pytest.fixture
def launcher() -> ModuleType:
    """Load ocm.py under another name than the package's."""
    spec = importlib.util.spec_from_file_location("launcher", REPOSITORY / "ocm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_debians_own_python_is_told_debians_default_package(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"sudo apt install python3-venv$"):
        launcher.ensure_venv()


# As root finds a fresh Debian; -I keeps the launcher from starting the Python again that it would be told of.
PRETEND_TO_BE_ROOT_ON_A_FRESH_DEBIAN = """\
import os, runpy, sys
os.geteuid = lambda: 0
sys.executable, sys.modules["ensurepip"] = "/usr/bin/python3", None
runpy.run_path(sys.argv[1], run_name="__main__")
"""
INSTALLING = "Installing python3-venv with apt-get, for this Python lacks ensurepip\n"


def apt_of_its_own(folder: Path, source: str) -> dict[str, str]:
    """Return what makes the real apt-get work in a folder, on one package source, and not on the host."""
    for part in ("etc/apt.conf.d", "lib/lists/partial", "cache/archives/partial", "log"):
        (folder / part).mkdir(parents=True)
    (folder / "lib" / "status").touch()
    (folder / "etc" / "sources.list").write_text(source)
    settings = {
        "Dir::Etc": f"{folder}/etc/",
        "Dir::State": f"{folder}/lib/",
        "Dir::State::status": f"{folder}/lib/status",
        "Dir::Cache": f"{folder}/cache/",
        "Dir::Log": f"{folder}/log/",
        "Acquire::http::Proxy": "DIRECT",
        "APT::Sandbox::User": "root",
    }
    config = folder / "apt.conf"
    config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return {"APT_CONFIG": str(config), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def as_root_on_a_fresh_debian(checkout: Checkout) -> list[str]:
    return [sys.executable, "-I", "-c", PRETEND_TO_BE_ROOT_ON_A_FRESH_DEBIAN, str(checkout.launcher)]


def test_root_is_told_why_apt_could_not_install_what_is_missing(checkout: Checkout, tmp_path: Path) -> None:
    variables = apt_of_its_own(tmp_path / "apt", "")
    run = checkout.run(*as_root_on_a_fresh_debian(checkout), variables=variables)
    assert run.returncode == 1
    assert run.stderr.startswith(f"{INSTALLING}ocm: could not install python3-venv, for apt-get failed:\n")
    assert run.stderr.endswith("\n  E: Unable to locate package python3-venv\n")
    assert not checkout.data.exists()


@pytest.mark.usefixtures("_sigint_is_heard")
def test_ctrl_c_during_the_installation_ends_apt_as_well(
    checkout: Checkout, index: Index, tmp_path: Path
) -> None:
    source = f"deb [trusted=yes] http://127.0.0.1:{index.server_port}/ ./\n"
    variables = apt_of_its_own(tmp_path / "apt", source)
    with checkout.start(variables, as_root_on_a_fresh_debian(checkout)) as process:
        assert index.asked.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, output, errors) == (130, "", INSTALLING)
    with (tmp_path / "apt" / "lib" / "lists" / "lock").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while an apt-get works on
    assert not checkout.data.exists()


def test_other_requirements_have_another_environment(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = launcher.environment_path()
    other = tmp_path / "requirements.txt"
    other.touch()
    monkeypatch.setattr(launcher, "REQUIREMENTS", str(other))
    assert launcher.environment_path() != before


@pytest.mark.skipif(os.getuid() != 0, reason="gives a home to another user")
def test_a_home_of_another_user_gets_no_environment(launcher: ModuleType, tmp_path: Path) -> None:
    launcher.refuse_foreign(str(tmp_path))
    os.chown(tmp_path, 1, 1)
    with pytest.raises(SystemExit, match="which belongs to another user"):
        launcher.refuse_foreign(str(tmp_path))


def test_a_relative_data_directory_is_ignored(launcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert launcher.environment_path().startswith("/home/user/.local/share/ocm/venv-")


def test_an_environment_whose_python_was_removed_is_not_complete(
    launcher: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "complete").touch()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    assert launcher.is_complete(str(tmp_path))
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert not launcher.is_complete(str(tmp_path))


def test_an_old_python_can_parse_it_and_is_told_so(checkout: Checkout) -> None:
    ast.parse(checkout.launcher.read_text(), feature_version=(3, 6))
    pretend = (
        "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    run = checkout.run(sys.executable, "-c", pretend, checkout.launcher)
    assert run.returncode == 1
    assert run.stderr == f"ocm: needs Python 3.10 or newer, and {sys.executable} is 3.9.\n"


@pytest.fixture(scope="session")
def real_wheels() -> Path:
    """Download the wheels of requirements.txt for this Python, unless an earlier session did."""
    requirements = REPOSITORY / "requirements.txt"
    cache = Path(os.environ.get("OCM_TEST_CACHE", "/var/cache/ocm-test"))
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    wheels = cache / f"wheels-{digest[:16]}-{sysconfig.get_config_var('SOABI')}"
    if not wheels.exists():
        with tempfile.TemporaryDirectory(dir=cache) as incoming:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            pip += ["--only-binary", ":all:", "--require-hashes", "--dest", f"{incoming}/wheels"]
            subprocess.run([*pip, "--requirement", requirements], timeout=600, check=True)
            Path(incoming, "wheels").rename(wheels)
    return wheels


def test_the_real_requirements_install_and_the_shell_can_complete(real_wheels: Path, tmp_path: Path) -> None:
    requirements = (REPOSITORY / "requirements.txt").read_text()
    checkout = make_checkout(tmp_path, real_wheels, MAIN_OF_THE_REAL_REQUIREMENTS, requirements)
    assert checkout.run(sys.executable, checkout.launcher, "greet").stdout == "hello\n"
    assert checkout.run(sys.executable, checkout.launcher, "--help").stdout.startswith("Usage: ocm ")
    script = checkout.run(variables={"_OCM_COMPLETE": "bash_source"}).stdout
    assert "_OCM_COMPLETE=bash_complete" in script
    words = {"_OCM_COMPLETE": "bash_complete", "COMP_WORDS": "ocm gr", "COMP_CWORD": "1"}
    assert checkout.run(variables=words).stdout == "plain,greet\n"
