"""The law of imports: each floor from those below it alone, and no side effects in the core and its like."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "openclaw_ocm"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
PROGRAMS = SOURCE / "programs"
# What is written in Python and stands in the package: modules, and programs that nobody imports.
PYTHON = sorted(path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))
MODULES = [module for module in PYTHON if module.parts[0] != PROGRAMS.name]
MAX_LINES = 400
FLOORS = ("errors", "core", "system", "backends", "instances", "operations", "cli")
# Beside the core: what renders for a backend, and what reads its output.
PURE = {
    "backends/definition",
    *(f"backends/systemd/{name}" for name in ("unit", "drop_ins", "journal", "places")),
    *(f"backends/supervisord/{name}" for name in ("program", "bubblewrap", "restarts", "lines", "places")),
    *(
        f"backends/kubernetes/{name}"
        for name in (
            *("answers", "frames", "kinds", "kubeconfig", "manifest", "manifests", "namespaces"),
            *("network_check", "network_policy", "observed", "places", "pod", "pod_answers"),
            *("pod_document", "pod_places", "rights", "session_pod", "volume_pod"),
        )
    ),
}
ENTRY = "__main__"
SIDE_EFFECTS = {
    *("asyncio", "ctypes", "fcntl", "glob", "http", "importlib", "io", "logging", "multiprocessing", "os"),
    *("pwd", "random", "secrets", "select", "shutil", "signal", "socket", "subprocess", "sys", "tempfile"),
    *("threading", "time", "urllib", "uuid", "psutil", "click", "rich", "textual"),
}
CALLS_WITH_SIDE_EFFECTS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
METHODS_WITH_SIDE_EFFECTS = {"now", "today", "utcnow"}


def tree_of(module: Path) -> ast.Module:
    return ast.parse((SOURCE / module).with_suffix(".py").read_text())


def imports_of(module: Path) -> Iterator[str]:
    """Yield the dotted names of what a module imports, wherever in it: for types and within functions too."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def floor_of(dotted: str) -> int | None:
    parts = dotted.split(".")
    if parts[0] != PACKAGE or len(parts) < 2 or parts[1] == "__version__":
        return None
    return FLOORS.index(parts[1])


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_its_own_floor_and_those_below(module: Path) -> None:
    if module.name == ENTRY:
        assert [name for name in imports_of(module) if name.startswith("openclaw_ocm")] == [
            "openclaw_ocm.cli.main.main"
        ]
        return
    if module.name == "__init__":
        assert list(imports_of(module)) in ([], ["__future__.annotations"])
        return
    own = FLOORS.index(module.parts[0])
    for name in imports_of(module):
        floor = floor_of(name)
        assert floor is None or floor <= own, f"{module} imports {name}"


VERBS = {module.name for module in MODULES if module.parts[:-1] == ("operations",)} - {"__init__"}
# What a verb is made of. What verbs merely share lies in operations/planning.
MADE_OF = {
    "auto_upgrade": {"runtimes", "upgrade"},
    "channel": {"edit", "session"},
    "check": {"session"},
    "delete": {"backup", "backups"},
    "doctor": {"backups", "setup"},
    "drill": {"delete", "restore"},
    "edit": {"session"},
    "fleet": {"create", "expose", "fleet_changes", "fleet_checks", "start"},
    "fleet_changes": {
        *(
            "auto_upgrade",
            "autostart",
            "channel",
            "edit",
            "environment",
            "expose",
            "limits",
            "model",
            "mount",
        ),
        *("network", "port", "schedule", "secret", "start", "sync", "upgrade"),
    },
    "fleet_checks": {"fleet_changes"},
    "fleet_export": {"fleet", "status"},
    "model": {"edit", "network", "session"},
    "image": {"setup"},
    "metrics": {"status"},
    "models": {"edit"},
    "restore": {"backup"},
    "repository": {"backup", "backups"},
    "runtimes": {"setup"},
    "schedule": {"repository"},
    "scheduled": {"backup", "backups", "repository"},
    "textfile": {"metrics"},
    "token": {"edit"},
    "top": {"status"},
    "sync": {"edit", "session"},
    "rollback": {"backup"},
    "unadopt": {"delete"},
    "upgrade": {"backup", "check", "drill"},
}


def verbs_in(module: Path) -> set[str]:
    """Return the verbs that a module imports."""
    names = (name.split(".") for name in imports_of(module))
    return {words[2] for words in names if words[:2] == [PACKAGE, "operations"] and words[2] in VERBS}


def test_a_verb_imports_another_only_where_it_is_made_of_it() -> None:
    modules = [module for module in MODULES if module.parts[:-1] == ("operations",)]
    found = {module.name: verbs_in(module) for module in modules}
    assert {name: verbs for name, verbs in found.items() if verbs} == MADE_OF


def test_what_verbs_share_imports_none_of_them() -> None:
    shared = [module for module in MODULES if module.parts[:2] == ("operations", "planning")]
    assert len(shared) > 5
    assert {str(module): verbs for module in shared if (verbs := verbs_in(module))} == {}


def test_every_module_belongs_to_a_floor() -> None:
    assert {module.parts[0] for module in MODULES} == {*FLOORS, "__init__", ENTRY}
    assert len(MODULES) > 40


def test_errors_import_nothing() -> None:
    assert list(imports_of(Path("errors"))) == ["__future__.annotations"]


CORE = [module for module in MODULES if module.parts[0] == "core" or str(module) in PURE]


@pytest.mark.parametrize("module", CORE, ids=str)
def test_the_core_imports_nothing_with_side_effects(module: Path) -> None:
    for name in imports_of(module):
        assert name.split(".")[0] not in SIDE_EFFECTS, name
        assert name != "pathlib.Path", "PurePosixPath touches no files"
        assert name != "pathlib", "PurePosixPath touches no files"


@pytest.mark.parametrize("module", CORE, ids=str)
def test_the_core_calls_nothing_with_side_effects(module: Path) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                assert node.func.id not in CALLS_WITH_SIDE_EFFECTS, ast.unparse(node)
            if isinstance(node.func, ast.Attribute):
                assert node.func.attr not in METHODS_WITH_SIDE_EFFECTS, ast.unparse(node)
        if isinstance(node, ast.Name):
            assert node.id != "environ" or isinstance(node.ctx, ast.Store) or is_parameter(module, "environ")


def is_parameter(module: Path, name: str) -> bool:
    functions = (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef))
    return any(name == argument.arg for function in functions for argument in function.args.args)


@pytest.mark.parametrize(
    ("name", "homes"),
    [
        ("subprocess", ["system/runner"]),
        ("fcntl", ["system/files", "system/openclaw/open_database"]),
        ("psutil", ["system/processes"]),
    ],
)
def test_a_dangerous_module_is_used_where_it_is_known(name: str, homes: list[str]) -> None:
    users = [
        str(module) for module in MODULES if name in {found.split(".")[0] for found in imports_of(module)}
    ]
    assert users == homes


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] != "cli"], ids=str)
def test_only_the_command_line_prints(module: Path) -> None:
    calls = (node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call))
    names = {function.id for function in calls if isinstance(function, ast.Name)}
    assert "print" not in names
    assert "click" not in {name.split(".")[0] for name in imports_of(module)}


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.name)
def test_a_program_needs_nothing_but_its_python(path: Path) -> None:
    imported = {name.split(".")[0] for name in imports_of(path.relative_to(SOURCE).with_suffix(""))}
    assert imported <= sys.stdlib_module_names
    assert imported


def test_a_module_is_of_human_size() -> None:
    lines = {module: (SOURCE / module).with_suffix(".py").read_text().count("\n") for module in PYTHON}
    assert {str(module) for module, count in lines.items() if count > MAX_LINES} == set()


# What starts a Python with the package on its path, where no file of it can be named, and two lines of shell
# that each instance and each image has of its own.
PROGRAMS_IN_STRINGS = {"system/own", "backends/supervisord/daemon", "core/openclaw/run"}
# A list of words is long and no program.
LONG_LINES, WORDS = 3, re.compile(r"[\w\s]*")
OF_A_PROGRAM = re.compile(
    r"\A#!|\buse strict\b|\bfrom ['\"]node:|\brequire\(['\"]"
    r"|^\s*(import|from) \w+(, \w+)*(;|$| import )|^\s*(def|function) \w+\(",
    re.MULTILINE,
)


def strings_of(module: Path) -> Iterator[str]:
    """Yield the strings of a module that are not there to document it."""
    tree = tree_of(module)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def is_program(text: str) -> bool:
    long = text.count("\n") > LONG_LINES and not WORDS.fullmatch(text)
    return long or OF_A_PROGRAM.search(text) is not None


def test_no_string_is_a_program_but_those_that_cannot_be_a_file() -> None:
    found = {str(module) for module in MODULES if any(map(is_program, strings_of(module)))}
    assert found == PROGRAMS_IN_STRINGS


@pytest.mark.parametrize("path", sorted(path for path in PROGRAMS.iterdir() if path.is_file()), ids=str)
def test_every_program_would_be_found_in_a_string(path: Path) -> None:
    assert is_program(path.read_text())
