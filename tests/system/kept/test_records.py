from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.paths import HostPaths, host_paths
from openclaw_ocm.core.record import Limits, Record, Settings
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record, read_record, read_settings

GOOD = """\
name = "worker1"
port = 19001

[runtime]
node = "/usr/bin/node"
openclaw = "/opt/openclaw"
"""


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    found = host_paths(PurePosixPath(tmp_path), {})
    Path(found.records).mkdir(parents=True)
    return found


def write(paths: HostPaths, data: bytes | str) -> None:
    record = Path(paths.instance(samples.NAME).record)
    record.write_bytes(data.encode() if isinstance(data, str) else data)


def refusal(paths: HostPaths, data: bytes | str) -> OcmError:
    write(paths, data)
    with pytest.raises(OcmError) as caught:
        read_record(paths, samples.NAME)
    return caught.value


def test_a_record_that_a_person_wrote_is_read(paths: HostPaths) -> None:
    write(paths, GOOD)
    record = read_record(paths, samples.NAME)
    assert (record.name, record.port, record.runtime.openclaw) == ("worker1", 19001, "/opt/openclaw")


@pytest.mark.parametrize(
    "record",
    [
        samples.record(),
        samples.record(docker=True, limits=Limits(memory="2G", cpus=0.5, tasks=64)),
        samples.record(port=65425, limits=Limits(memory="768M")),
    ],
)
def test_a_record_comes_back_as_it_was_written(paths: HostPaths, record: Record) -> None:
    write(paths, encode_record(record))
    assert read_record(paths, samples.NAME) == record


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "missing required field `name`"),
        ("nonsense", "is corrupt"),
        (GOOD[:20], "is corrupt"),
        (b"\x00\x01\x02\xff\xfe" * 100, "is corrupt"),
        (b"\xff\xfe" + GOOD.encode("utf-16-le"), "is corrupt"),
        ("a=" + "[" * 10_000, "is corrupt"),
        (GOOD.replace("19001", '"19001"'), "Expected `int`, got `str` - at `$.port`"),
        (GOOD.replace("19001", "80"), "Expected `int` >= 1024 - at `$.port`"),
        (GOOD + "surprise = 1\n", "unknown field `surprise`"),
        ("surprise = 1\n" + GOOD, "unknown field `surprise`"),
        (GOOD.replace("/usr/bin/node", "node"), "at `$.runtime.node`"),
        (GOOD + '[limits]\nmemory = "lots"\n', "at `$.limits.memory`"),
        (GOOD + "[limits]\ncpus = nan\n", "at `$.limits.cpus`"),
        ("version = 2\n" + GOOD, "at `$.version`"),
        (GOOD * 2, "is corrupt"),
        (GOOD.replace("worker1", "worker2"), "it says name = 'worker2'"),
    ],
)
def test_a_corrupt_record_is_told_in_one_sentence_with_its_path(
    paths: HostPaths, data: bytes | str, words: str
) -> None:
    error = refusal(paths, data)
    assert words in error.message
    assert str(paths.instance(samples.NAME).record) in error.message
    assert (error.code, error.hint) == ("record_corrupt", "mend the line, or move the file away")
    assert error.message.isprintable()


@given(st.binary(max_size=200))
def test_no_content_of_a_record_raises_anything_but_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    paths = host_paths(PurePosixPath(tmp_path_factory.getbasetemp(), "junk"), {})
    Path(paths.records).mkdir(parents=True, exist_ok=True)
    assert refusal(paths, data).code == "record_corrupt"


def test_a_missing_record_is_an_unknown_instance_with_the_nearest_name(paths: HostPaths) -> None:
    write(paths, GOOD)
    with pytest.raises(OcmError, match=r"^there is no instance worker2$") as caught:
        read_record(paths, parse_name("worker2"))
    assert (caught.value.code, caught.value.hint) == ("unknown_instance", "did you mean worker1?")


def test_without_a_file_of_settings_the_defaults_hold(paths: HostPaths) -> None:
    assert read_settings(paths) == Settings(port_step=20)


def test_settings_are_read_as_strictly_as_records(paths: HostPaths) -> None:
    Path(paths.settings).write_text("port_step = 100\n")
    assert read_settings(paths) == Settings(port_step=100)
    Path(paths.settings).write_text("port_steps = 100\n")
    with pytest.raises(OcmError, match="unknown field `port_steps`"):
        read_settings(paths)


def test_instances_are_the_names_of_record_files_and_other_files_are_passed_over(paths: HostPaths) -> None:
    for name in ("b.toml", "a.toml", "main.toml", "UP.toml", "c.toml~", ".a.toml.1234.ocm", "d", "-.toml"):
        Path(paths.records, name).touch()
    assert instance_names(paths) == ("a", "b")


def test_without_a_directory_of_records_there_is_no_instance(tmp_path: Path) -> None:
    assert instance_names(host_paths(PurePosixPath(tmp_path), {})) == ()
