from __future__ import annotations

import io
import shlex
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import ServerOptions
from tests import samples

from openclaw_ocm.backends.definition import is_edited
from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.bubblewrap import OUTSIDE, Entrance
from openclaw_ocm.backends.supervisord.program import (
    gateway_command,
    quote,
    render_daemon,
    render_program,
    value,
)
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.sandbox.launch import gateway_argv
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.paths import HostPaths, InstancePaths

ODD = " \t'\"\\$%:;#-{}()[]=@!&*?~,äß日\u2028\x85\xa0"
WORDS = st.text(
    st.one_of(st.sampled_from(ODD), st.characters(min_codepoint=32, exclude_categories=["Cs"]))
).filter(lambda text: "\t" not in text)
NASTY = (
    "%(here)s",
    "%(program_name)s",
    "%(ENV_HOME)s",
    " ;x",
    " #x",
    "; #",
    "'",
    '"',
    "",
    "\\",
    "%%",
    "% ;#'",
)
ENTRANCE = Entrance(
    program=programs.text("enter_sandbox.pl"),
    filters=(PurePosixPath("/f/calls"), PurePosixPath("/f/arguments")),
)


# What supervisor makes of a config; it has no types.
Parsed: TypeAlias = Any


@pytest.fixture
def top() -> Iterator[Path]:
    """Return a directory whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="o") as directory:
        yield Path(directory)


def parse(text: str) -> Parsed:
    """Return what supervisord understands of a config: the section of supervisord, programs and all."""
    options = ServerOptions()
    options.here = "/here"
    return options.read_config(io.StringIO(text))


def program_of(text: str) -> Parsed:
    (group,) = parse(f"[supervisord]\n{text}").process_group_configs
    (program,) = group.process_configs
    return program


def words_of(command: str) -> list[str]:
    return shlex.split(program_of(f"[program:x]\nstdout_logfile=NONE\ncommand=/x {command}\n").command)[1:]


@given(st.lists(st.one_of(WORDS, st.sampled_from(NASTY))))
def test_every_argument_reaches_the_program_as_it_is(words: list[str]) -> None:
    assert words_of(" ".join(map(quote, words))) == words


@pytest.mark.parametrize("word", NASTY)
def test_what_supervisord_would_expand_or_cut_off_reaches_the_program(word: str) -> None:
    assert words_of(f"{quote(word)} {quote('last')}") == [word, "last"]
    assert words_of(quote(f"a{word}b")) == [f"a{word}b"]


@pytest.mark.parametrize("word", ["/usr/bin/node", "A=b", "--max-old-space-size=1024", "a:b"])
def test_what_needs_no_quotes_gets_none(word: str) -> None:
    assert quote(word) == word


@given(WORDS)
def test_a_value_is_read_back_as_it_was_or_refused(text: str) -> None:
    try:
        written = value(f"/{text}")
    except Invalid:
        return
    section = parse(f"[supervisord]\n[unix_http_server]\nfile={written}\n")
    assert section.server_configs[0]["file"] == str(PurePosixPath(f"/{text}")) or ".." in text or "//" in text


@pytest.mark.parametrize("text", ["/a ;b", "/a #b", "/a ", "/%(here)s", "/a\nb"])
def test_a_value_that_cannot_be_said_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        value(text)


def rendered(home: PurePosixPath, *, sealed: bool = True) -> tuple[InstancePaths, tuple[str, ...], str]:
    paths, record = samples.paths(home=home), msgspec.structs.replace(samples.record(), sealed=sealed)
    command = gateway_command(
        paths,
        record,
        instance_policy(paths, record),
        entrance=ENTRANCE,
        covers={PurePosixPath("/etc/ssh"): True},
    )
    return paths, command, render_program(paths, command, sealed=sealed)


def made(home: PurePosixPath, top: Path) -> PurePosixPath:
    """Return a home below `top` in which supervisord finds the directories of its logs."""
    there = PurePosixPath(top, *home.parts[1:])
    for directory in (places.outputs(host_paths(there, {})), places.state(host_paths(there, {}))):
        Path(directory).mkdir(parents=True)
    return there


@pytest.mark.parametrize("home", ["/h", "/my home", "/100%", "/it's", "/a;b", "/a#b", "/%(x)s"])
@pytest.mark.parametrize("sealed", [True, False])
def test_the_program_is_what_was_rendered(top: Path, home: str, *, sealed: bool) -> None:
    paths, command, text = rendered(made(PurePosixPath(home), top), sealed=sealed)
    program = program_of(text)
    assert program.name == "worker1"
    assert tuple(shlex.split(program.command)) == command
    assert program.stdout_logfile == str(places.output(paths))
    assert (program.stdout_logfile_maxbytes, program.stdout_logfile_backups) == (10 * 2**20, 3)
    assert program.redirect_stderr
    assert (program.stopsignal, program.stopwaitsecs, program.killasgroup) == (15, 330, True)
    assert program.stopasgroup is sealed


def test_supervisord_itself_decides_no_start_and_no_restart(top: Path) -> None:
    program = program_of(rendered(made(PurePosixPath("/h"), top))[2])
    assert (program.autostart, program.autorestart) == (False, False)
    assert (program.startsecs, program.startretries) == (0, 0)


def test_a_sealed_gateway_runs_below_bwrap_with_its_limits() -> None:
    paths, command, _text = rendered(samples.HOME)
    assert command[:3] == ("/usr/bin/env", "-i", "/usr/bin/perl")
    bwrap = command.index("/usr/bin/bwrap")
    assert command[bwrap - 2 : bwrap] == ("/f/calls", "/f/arguments")
    inside = command[command.index("--", bwrap) + 1 :]
    assert inside[:2] == ("/usr/bin/prlimit", "--core=0")
    assert inside[inside.index("--") + 1 :] == gateway_argv(paths, samples.record(), *OUTSIDE)


def test_an_unsealed_gateway_runs_without_bwrap_and_init_in_its_directory() -> None:
    paths, command, _text = rendered(samples.HOME, sealed=False)
    assert command[:2] == ("/usr/bin/env", f"--chdir={paths.state}")
    assert command[2:4] == ("/usr/bin/setpriv", "--pdeathsig=KILL")
    unsealed = msgspec.structs.replace(samples.record(), sealed=False)
    assert command[4:] == gateway_argv(paths, unsealed)


def test_a_definition_as_rendered_is_not_edited() -> None:
    assert not is_edited(rendered(samples.HOME)[2])
    assert is_edited(rendered(samples.HOME)[2].replace("TERM", "KILL"))


def daemon(paths: HostPaths, *, user: str | None = None) -> Parsed:
    # Read without what it includes: that is relative to a file, and here is none.
    text, _, _ = render_daemon(paths, user=user).partition("[include]")
    return parse(text.replace("openclaw_ocm.backends.supervisord.plugin:make_interface", "builtins:dict"))


@pytest.mark.parametrize("home", ["/h", "/my home", "/100%", "/a;b"])
def test_supervisord_listens_on_a_socket_for_the_user_alone_and_nowhere_else(top: Path, home: str) -> None:
    paths = host_paths(made(PurePosixPath(home), top), {})
    section = daemon(paths)
    (server,) = section.server_configs
    assert server["file"] == str(places.socket(paths))
    assert server["chmod"] == 0o600
    assert (section.umask, section.nocleanup) == (0o077, True)
    assert section.pidfile == str(places.pid(paths))
    assert (section.logfile_maxbytes, section.logfile_backups) == (10 * 2**20, 3)


def test_as_root_it_is_told_to_stay_root(top: Path) -> None:
    paths = host_paths(made(PurePosixPath("/h"), top), {})
    assert daemon(paths, user="root").user == "root"
    assert daemon(paths).user is None


def test_a_socket_whose_path_is_too_long_is_an_error_that_names_a_way_out() -> None:
    end = len("/.local/state/ocm/supervisord/socket")
    assert render_daemon(host_paths(PurePosixPath("/" + "x" * (98 - end)), {}), user=None)
    with pytest.raises(OcmError, match="too long") as caught:
        render_daemon(host_paths(PurePosixPath("/" + "x" * (99 - end)), {}), user=None)
    assert caught.value.code == "path_too_long"
    assert "XDG_STATE_HOME" in (caught.value.hint or "")


@pytest.mark.parametrize("home", ["/a*b", "/a?b", "/a[b]"])
def test_a_directory_that_reads_like_a_pattern_is_refused(home: str) -> None:
    with pytest.raises(Invalid):
        render_daemon(host_paths(PurePosixPath(home), {}), user=None)
