from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from tests import archives, hosts
from tests.archives import HEADER, RECORD, Tree

from openclaw_ocm.core.openclaw.document import MAX_BYTES
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.backups import verify

CONFIG = "state/openclaw.json"


def with_config(content: bytes | str | None) -> Tree:
    return {"state": None, CONFIG: content, "state/other.json": b"{}"}


@pytest.mark.parametrize(
    ("tree", "options", "why"),
    [
        ({"state": None}, {}, "the archive has no openclaw.json"),
        (with_config("other.json"), {}, "openclaw.json in the archive is a link"),
        (with_config(None), {}, "openclaw.json in the archive is a directory"),
        (with_config(b" " * MAX_BYTES + b"{}"), {}, f"is larger than {MAX_BYTES} bytes"),
        (with_config(b"{ broken"), {}, "openclaw.json is not valid JSON5"),
        (with_config(b"[]"), {}, "openclaw.json holds no JSON object"),
        (with_config(b'{"gateway": 5}'), {}, "gateway.port cannot be set"),
        (None, {"record": b'name = "worker1"\n'}, "the record in the archive is corrupt"),
        (None, {"record": RECORD + b'[limits]\nmemory = "1M"\n'}, "1M is too little"),
        (None, {"secrets": b"no secret\n"}, "line 1 of secrets.env"),
        (None, {"inherited": b"{}"}, "inherited.json is corrupt"),
        (None, {"state": "/"}, "'/' is no state directory"),
        (None, {"state": "/home/ann"}, "'/home/ann' is no state directory"),
        (None, {"state": "HOME/.openclaw-worker1/.openclaw-x"}, "lie one within the other"),
    ],
)
def test_what_a_restore_refuses_is_no_whole_backup(
    tmp_path: Path, tree: Tree | None, options: dict[str, Any], why: str
) -> None:
    context = hosts.context(tmp_path / "home")
    if "state" in options:
        state = options.pop("state").replace("HOME", str(context.host.paths.home))
        options["header"] = msgspec.structs.replace(HEADER, state=state)
    made = archives.write_archive(tmp_path / "a.tar.gz", tree or archives.tree(tmp_path), **options)
    with pytest.raises(OcmError) as caught:
        verify(context, PurePosixPath(made), ())
    assert caught.value.code == "archive_invalid"
    assert caught.value.message.startswith(f"{made} is no backup that can be restored: ")
    assert why in caught.value.message


@pytest.mark.parametrize(
    ("place", "whole"),
    [("state/state", False), ("state/agents/main/agent", False), ("state/workspace", True)],
)
def test_a_database_that_a_restore_could_not_change_is_no_whole_backup(
    tmp_path: Path, place: str, *, whole: bool
) -> None:
    content = archives.database_bytes(tmp_path)
    (tmp_path / "hostile.sqlite").write_bytes(content)
    with contextlib.closing(sqlite3.connect(tmp_path / "hostile.sqlite")) as database:
        database.execute("create trigger one after update on notes begin select unheard_of(1); end")
        database.commit()
    names = place.split("/")
    tree: Tree = {"/".join(names[:count]): None for count in range(1, len(names) + 1)}
    hostile = (tmp_path / "hostile.sqlite").read_bytes()
    tree |= {CONFIG: b"{}", f"{place}/one.sqlite": hostile}
    made = archives.write_archive(tmp_path / "a.tar.gz", tree)
    if whole:
        assert verify(hosts.context(tmp_path / "home"), PurePosixPath(made), ()).databases == 1
        return
    with pytest.raises(OcmError, match="no such function: unheard_of") as caught:
        verify(hosts.context(tmp_path / "home"), PurePosixPath(made), ())
    assert caught.value.code == "archive_invalid"


def test_what_a_restore_takes_is_whole(tmp_path: Path) -> None:
    made = archives.write_archive(tmp_path / "a.tar.gz", archives.tree(tmp_path))
    assert verify(hosts.context(tmp_path / "home"), PurePosixPath(made), ()).databases == 1
