"""Reads records and settings from disk, strictly, and says in one sentence what is wrong with one."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, TypeVar

import msgspec

from openclaw_ocm.core.names import unknown_instance
from openclaw_ocm.core.record import Record, Settings
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths

_T = TypeVar("_T", Record, Settings)


def read_record(paths: HostPaths, name: InstanceName) -> Record:
    """Return the record of an instance; raises `OcmError` where there is none or it is corrupt.

    A file that is as it was is read once in a process: of many instances each asks for the others'.
    """
    path = paths.instance(name).record
    try:
        status = os.stat(path)  # noqa: PTH116 - no Path in this module's hands
    except OSError:
        record = _record(path)
    else:
        version = status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
        record = _record_of(path, version)
    if record is None:
        raise unknown_instance(name, instance_names(paths))
    if record.name != name:
        message = f"the record {path} is corrupt: it says name = {record.name!r}"
        raise OcmError(message, hint="mend the line, or move the file away", code="record_corrupt")
    return record


def _record(path: PurePosixPath) -> Record | None:
    data = files.read_own(path)
    return None if data is None else _decode(data, path, Record)


@functools.cache
def _record_of(path: PurePosixPath, version: tuple[int, ...]) -> Record | None:  # noqa: ARG001 - what it is kept by
    return _record(path)


def every_record(paths: HostPaths) -> tuple[Record, ...]:
    """Return all records; raises `OcmError` where one cannot be read, as nothing is known of it."""
    return tuple(read_record(paths, name) for name in instance_names(paths))


def readable_records(paths: HostPaths) -> tuple[Record, ...]:
    """Return the records that can be read; those that cannot are told of where each is asked for."""
    found = []
    for name in instance_names(paths):
        with contextlib.suppress(OcmError):
            found.append(read_record(paths, name))
    return tuple(found)


def parse_record(text: str, source: str) -> Record:
    """Return the record that a text of anybody's is; raises `OcmError`, which names its `source`."""
    return _decode(text.encode(), source, Record)


def read_settings(paths: HostPaths) -> Settings:
    """Return the host's settings, the defaults where there is no file."""
    data = files.read_own(paths.settings)
    return Settings() if data is None else _decode(data, paths.settings, Settings)


def parse_settings(text: str, source: str) -> Settings:
    """Return the settings that a text holds; raises `OcmError`, which names its `source`."""
    return _decode(text.encode(), source, Settings)


def encode_record(record: Record) -> str:
    """Return a record as the text of its file."""
    return msgspec.toml.encode(_without_none(msgspec.to_builtins(record))).decode()


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item not in (None, {})}
    return value


def _decode(data: bytes, path: PurePosixPath | str, kind: type[_T]) -> _T:
    try:
        return msgspec.toml.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # A plain ValueError is one for a number of thousands of digits.
        message = f"{path} is corrupt: {error}"
        raise OcmError(message, hint="mend the line, or move the file away", code="record_corrupt") from None
