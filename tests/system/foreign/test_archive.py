"""What other programs packed of an OpenClaw comes out as a state of OCM's; what cannot be used is refused."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.archives import HEADER, pure, snapshot, tree, write_archive, write_compressed

from openclaw_ocm.core.foreign.places import OTHER
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive.reader import read_header
from openclaw_ocm.system.archive.taking import LINKS, STRANGE
from openclaw_ocm.system.foreign.archive import look, own_header, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.system.foreign.archive import Unpacked

# Made by `openclaw backup create` of these versions, of a home with a workspace outside of its state.
HERE = Path(__file__).parent
REAL = {version: HERE / f"openclaw-{version}.tar.gz" for version in ("2026.7.35", "2026.9.6")}
PLENTY = 2**32
WHAT = "is no archive of an OpenClaw"
CONFIG: dict[str, Any] = {"gateway": {"port": 18789}}
STATE = "home/ann/.openclaw"


def taken(archive: Path) -> Unpacked:
    into = archive.parent / "out"
    return unpack(pure(archive), look(pure(archive)), pure(into), free_bytes=PLENTY)


def refused(archive: Path, *, code: str = "archive_invalid") -> str:
    """Return the sentence with which an archive is refused; nothing of it is left."""
    before = sorted(archive.parent.iterdir())
    with pytest.raises(OcmError) as error:
        taken(archive)
    assert error.value.code == code
    assert sorted(archive.parent.iterdir()) == before
    assert "\n" not in error.value.message
    return error.value.message.removeprefix(f"{archive} ").removeprefix(
        "is no archive of an OpenClaw that can be used: "
    )


def member(
    path: str, content: bytes | None = b"", *, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.type = tarfile.DIRTYPE if content is None else kind
    info.linkname, info.size, info.mode = target, len(content or b""), 0o755
    return info, content or b""


def packed(
    path: Path,
    *members: tuple[tarfile.TarInfo, bytes],
    form: int = tarfile.GNU_FORMAT,
    mode: Literal["w:gz", "w"] = "w:gz",
) -> Path:
    with tarfile.open(path, mode, format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def state_of(
    prefix: str = STATE, config: dict[str, Any] | bytes = CONFIG
) -> tuple[tuple[tarfile.TarInfo, bytes], ...]:
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    return member(f"{prefix}/openclaw.json", data), member(f"{prefix}/agents/main/note", b"x")


def database(directory: Path, *paths: str) -> bytes:
    path = directory / "made.sqlite"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as made:
        # A row has its texts one after the other, with nothing between them.
        made.execute("create table rows (before text, path text)")
        made.executemany(
            "insert into rows values (?, ?)", [*((one, path) for one in ("a/job", "", "") for path in paths)]
        )
    made.close()
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.mark.parametrize("version", REAL)
def test_a_backup_of_openclaws_own_is_named_and_comes_out_as_a_state(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(REAL[version].read_bytes())
    found = look(pure(path))
    assert found.shape.sentence == (
        f"a backup of OpenClaw's own backup create of /home/ann/.openclaw, made by OpenClaw {version}"
    )
    done = taken(path)
    assert done.former == PurePosixPath("/home/ann/.openclaw")
    files = snapshot(tmp_path / "out" / "state")
    assert files[".env"] == (0o600, b"PROVIDER_KEY=planted\n")
    assert files["workspace-ws/NOTES.md"][1] == b"remember\n"
    assert files["workspace-ws/latest"][1] == "NOTES.md"
    assert files["workspace-ws/python"][1] == "/usr/bin/python3"
    assert f"workspace/{'n' * 120}" in files
    assert ("state/openclaw.sqlite" in files) == (version == "2026.7.35")
    # The config leads to the workspace where it is now, as seen from where the state was.
    assert done.config["agents"]["defaults"]["workspace"] == "/home/ann/.openclaw/workspace-ws"
    assert [(str(one.source), one.inside, one.there) for one in done.moved] == [
        ("/home/ann/projects/ws", "workspace-ws", True)
    ]
    assert not done.left_out
    assert not done.notes


def test_a_backup_of_the_config_alone_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes((HERE / "config-2026.7.35.tar.gz").read_bytes())
    assert refused(path) == "it holds the config of an OpenClaw alone, and no state"


@pytest.mark.parametrize("made", ["gnu", "pax", "v7 names", "dots", "zst", "only files", "plain", "padded"])
def test_a_tar_of_a_state_directory_is_taken_however_it_was_made(tmp_path: Path, made: str) -> None:
    long = f"workspace/{'d' * 90}/{'f' * 90}"
    files = {
        "openclaw.json": json.dumps(CONFIG).encode(),
        "agents/main/note": b"x",
        "state/openclaw.sqlite": database(tmp_path, "/home/ann/.openclaw/cron/jobs.json"),
        long: b"long",
    }
    prefix = "./" if made == "dots" else ".openclaw/"
    folders = [] if made == "only files" else [member(prefix, None), member(f"{prefix}agents", None)]
    members = [*folders, *(member(prefix + name, data) for name, data in files.items())]
    form = tarfile.PAX_FORMAT if made == "pax" else tarfile.GNU_FORMAT
    for info, _data in members if made == "pax" else ():
        info.pax_headers = {"SCHILY.xattr.user.x": "1" * 20000, "mtime": "1.5", "comment": "any"}
    path = packed(tmp_path / "a.tar", *members, form=form, mode="w")
    if made == "padded":
        path.write_bytes(path.read_bytes() + bytes(2**20))
    if made not in ("plain", "padded"):
        write_compressed(path, path.read_bytes(), "zst" if made == "zst" else "gz")
    done = taken(path)
    out = snapshot(tmp_path / "out" / "state")
    assert {name: out[name][1] for name in files} == files
    assert out["state/openclaw.sqlite"][0] == 0o600 | 0o700
    # Nothing but its databases tells where it lay.
    assert done.former == PurePosixPath("/home/ann/.openclaw")
    assert done.config == CONFIG
    assert not done.left_out


def test_what_gnu_tar_makes_of_a_live_state_is_taken(tmp_path: Path) -> None:
    state = tmp_path / "home" / ".openclaw-work"
    for name in ("state", "workspace", "tmp", "logs", "npm/p", "agents/main"):
        (state / name).mkdir(parents=True)
    (state / "openclaw.json").write_text("{gateway: {port: 19001}}")
    (state / "tmp" / "x").write_text("x")
    (state / "npm" / "p" / "plugin.js").write_text("x")
    (state / "workspace" / "yarn.lock").write_text("kept")
    (state / "openclaw.json.lock").write_text("x")
    (state / "workspace" / "hard").hardlink_to(state / "workspace" / "yarn.lock")
    (state / "workspace" / "out").symlink_to("/etc/hostname")
    (state / "agents" / "main" / "sessions").symlink_to("/etc")
    with (state / "workspace" / "holes").open("wb") as file:
        file.truncate(10_000_000)
        file.seek(5_000_000)
        file.write(b"middle")
    subprocess.run(["mkfifo", state / "workspace" / "pipe"], check=True)
    live = sqlite3.connect(state / "state" / "openclaw.sqlite")
    live.executescript("pragma journal_mode = wal; create table t (x); insert into t values (1);")
    path = tmp_path / "a.tgz"
    argv = ["tar", "--posix", "--sparse", "-czf", str(path), "-C", str(state.parent), state.name]
    subprocess.run(argv, check=True)
    live.close()
    done = taken(path)
    assert look(pure(path)).shape.name == "work"
    out = tmp_path / "out" / "state"
    found = snapshot(out)
    assert found["workspace/hard"][1] == found["workspace/yarn.lock"][1] == b"kept"
    assert (out / "workspace" / "hard").stat().st_nlink == 1
    assert found["workspace/out"][1] == "/etc/hostname"
    assert (out / "workspace" / "holes").read_bytes()[4_999_999:5_000_007] == b"\0middle\0"
    assert "npm/p/plugin.js" in found
    assert not {"tmp", "logs", "openclaw.json.lock", "agents/main/sessions", "workspace/pipe"} & found.keys()
    assert found["state/openclaw.sqlite-wal"][1]
    assert "state/openclaw.sqlite-shm" not in found
    assert done.left_out == {STRANGE: 1, LINKS: 1}
    assert done.notes[0] == "a database in it was copied while in use: what was written last may be missing"
    with sqlite3.connect(out / "state" / "openclaw.sqlite") as whole:
        assert whole.execute("select x from t").fetchall() == [(1,)]


def test_a_workspace_that_was_packed_beside_its_state_comes_along(tmp_path: Path) -> None:
    agents = {"defaults": {"workspace": "~/projects/ws"}, "entries": {"b": {"workspace": "/srv/b"}}}
    path = packed(
        tmp_path / "a.tgz",
        *state_of(config={"agents": agents}),
        member("home/ann/projects/ws/NOTES.md", b"remember"),
        member("home/ann/other", b""),
    )
    done = taken(path)
    assert done.former == PurePosixPath("/home/ann/.openclaw")
    assert (tmp_path / "out/state/workspace/NOTES.md").read_bytes() == b"remember"
    assert [(one.inside, one.there) for one in done.moved] == [("workspace", True), ("workspace-b", False)]
    assert done.config["agents"] == {
        "defaults": {"workspace": "/home/ann/.openclaw/workspace"},
        "entries": {"b": {"workspace": "/home/ann/.openclaw/workspace-b"}},
    }
    assert done.left_out == {OTHER: 1}


def exported(path: Path, **told: object) -> Path:
    env = {
        "name": "mira",
        "sourceRoot": "/home/ann/.ocm/envs/mira",
        "gatewayPort": 18900,
        "defaultRuntime": "stable",
        "protected": False,
        "createdAt": "2026-08-01T00:00:00Z",
    }
    document = {
        "kind": "ocm-env-archive",
        "formatVersion": 1,
        "exportedAt": "2026-08-01T00:00:00Z",
        "env": env,
    }
    return packed(
        path,
        member("meta/env.json", json.dumps({**document, **told}).encode()),
        member("root", None),
        *state_of("root/.openclaw"),
        member("root/.bashrc", b""),
        mode="w",
    )


def test_an_environment_that_the_official_manager_exported_comes_out(tmp_path: Path) -> None:
    path = exported(tmp_path / "mira.ocm-env.tar")
    shape = look(pure(path)).shape
    assert shape.sentence == (
        "the environment mira of the official OpenClaw manager of /home/ann/.ocm/envs/mira/.openclaw"
    )
    assert (shape.name, shape.port) == ("mira", 18900)
    assert taken(path).left_out == {OTHER: 1}
    assert (tmp_path / "out/state/agents/main/note").exists()


def test_a_config_and_credentials_that_lay_elsewhere_get_their_places(tmp_path: Path) -> None:
    top, payload = "t-openclaw-backup", "t-openclaw-backup/payload/posix"
    lay = {
        "state": "/srv/claw",
        "config": "/etc/claw/my.json5",
        "credentials": "/srv/oauth",
        "agent": "/srv/agents/x",
        "managed skill": "/srv/skill",
    }
    manifest = {
        "schemaVersion": 1,
        "archiveRoot": top,
        "runtimeVersion": "2026.9.6",
        "paths": {
            "stateDir": "/srv/claw",
            "configPath": "/etc/claw/my.json5",
            "agentRoots": [{"agentId": "x", "sourcePath": "/srv/agents/x"}],
        },
        "assets": [
            {"kind": kind, "sourcePath": at, "archivePath": f"{payload}{at}"} for kind, at in lay.items()
        ],
    }
    config = {"agents": {"entries": {"x": {"agentDir": "/srv/agents/x"}}}}
    path = packed(
        tmp_path / "a.tgz",
        member(f"{payload}/etc/claw/my.json5", json.dumps(config).encode()),
        # What was there as well was not used.
        member(f"{payload}/srv/claw/openclaw.json", b"{}"),
        member(f"{payload}/srv/oauth/login", b"login"),
        member(f"{payload}/srv/agents/x/auth", b"auth"),
        member(f"{payload}/srv/skill/S", b""),
        member(f"{top}/manifest.json", json.dumps(manifest).encode()),
    )
    done = taken(path)
    out = tmp_path / "out" / "state"
    assert json.loads((out / "openclaw.json").read_bytes()) == config
    assert (out / "credentials/login").read_bytes() == b"login"
    assert (out / "agents/x/agent/auth").read_bytes() == b"auth"
    assert done.config["agents"]["entries"]["x"]["agentDir"] == "/srv/claw/agents/x/agent"
    assert sum(done.left_out.values()) == 2


def test_an_archive_of_ocms_own_is_told_apart(tmp_path: Path) -> None:
    own = write_archive(tmp_path / "own", tree(tmp_path))
    assert own_header(pure(own)) == HEADER == read_header(pure(own))
    assert own_header(pure(REAL["2026.9.6"])) is None


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda path: write(path, b""), "it is neither a tar, gzip, zstd nor age"),
    "text": (lambda path: write(path, b"hello\n" * 1000), "it is neither a tar, gzip, zstd nor age"),
    "cut off": (lambda path: write(path, REAL["2026.7.35"].read_bytes()[:9000]), "it is cut off"),
    "damaged": (
        lambda path: write(path, REAL["2026.7.35"].read_bytes()[:100] + b"\xff" * 12000),
        "its compressed data is damaged",
    ),
    "no members": (packed, "it holds no state of an OpenClaw"),
    "other": (lambda path: packed(path, member("a/package.json", b"{}")), "it holds no state of an OpenClaw"),
    "two": (
        lambda path: packed(path, *state_of(".openclaw"), *state_of(".openclaw-work")),
        "it holds several states of OpenClaw, and one is wanted: .openclaw, .openclaw-work",
    ),
    "no config": (
        lambda path: packed(path, member(".openclaw/state/openclaw.sqlite", b"x")),
        "it holds a state of OpenClaw, .openclaw, without its openclaw.json",
    ),
    "broken config": (
        lambda path: packed(path, *state_of(".openclaw", b"{gateway: ")),
        ".openclaw/openclaw.json in it is not valid JSON5",
    ),
    "config of a link": (
        lambda path: packed(
            path,
            member(".openclaw/openclaw.json", kind=tarfile.SYMTYPE, target="/etc/passwd"),
            member(".openclaw/state/openclaw.sqlite", b"x"),
        ),
        "it holds a state of OpenClaw, .openclaw, without its openclaw.json",
    ),
    "older": (
        lambda path: packed(path, member(".clawdbot/clawdbot.json", b"{}")),
        "it is of a time when OpenClaw had another name",
    ),
    "absolute": (
        lambda path: packed(path, *state_of(), member("/etc/cron.d/x", b"x")),
        "a member has a path that is not its own: '/etc/cron.d/x'",
    ),
    "upward": (
        lambda path: packed(path, *state_of(), member(f"{STATE}/../../x", b"x")),
        "a member has a path that is not its own",
    ),
    "through a link": (
        lambda path: packed(
            path,
            *state_of(),
            member(f"{STATE}/workspace/l", kind=tarfile.SYMTYPE, target="/tmp"),
            member(f"{STATE}/workspace/l/x", b"x"),
        ),
        "state/workspace/l lies below what is no directory",
    ),
    "a link for a directory": (
        lambda path: packed(
            path,
            *state_of(),
            member(f"{STATE}/workspace/l", kind=tarfile.SYMTYPE, target="/tmp"),
            member(f"{STATE}/workspace/l", None),
        ),
        "state/workspace/l lies below what is no directory",
    ),
    "twice": (lambda path: packed(path, *state_of(), *state_of()), "is in it twice"),
    "damaged database": (
        lambda path: packed(
            path, *state_of(), member(f"{STATE}/state/openclaw.sqlite", b"SQLite format 3\0" + b"x" * 5000)
        ),
        "the database state/state/openclaw.sqlite is damaged",
    ),
    "export of another time": (
        lambda path: exported(path, formatVersion=2),
        "of a kind that this OCM",
    ),
    "no export": (lambda path: exported(path, env=3), "meta/env.json in it is damaged"),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_in_one_sentence_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    make, why = BAD[case]
    assert why in refused(make(tmp_path / "archive"))


def test_an_archive_that_is_not_there_or_is_encrypted_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "none", code="archive_missing") == f"there is no file {tmp_path / 'none'}"
    sealed = write(tmp_path / "sealed", b"age-encryption.org/v1\n")
    assert refused(sealed, code="identity_missing") == "is encrypted"


def test_what_finds_no_room_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tgz", *state_of(), member(f"{STATE}/workspace/x", b"x" * 10_000))
    with pytest.raises(OcmError, match="more than is free on the disk") as error:
        unpack(pure(path), look(pure(path)), pure(tmp_path / "out"), free_bytes=5000)
    assert error.value.code == "no_space"
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_expands_without_end_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo(f"{STATE}/workspace/x")
    info.size = 2**33
    data = b"".join(one.tobuf(tarfile.GNU_FORMAT) + two + bytes(-len(two) % 512) for one, two in state_of())
    path = write_compressed(tmp_path / "a.tgz", data + info.tobuf(tarfile.GNU_FORMAT) + bytes(2**20))
    assert refused(path) == "it expands to more than 500 times its size"
