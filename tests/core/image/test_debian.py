"""What of Debian is in an image, and what no script of its packages made."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from openclaw_ocm.core.image import contents
from openclaw_ocm.core.image.debian import PACKAGES, apt_settings, dpkg_status, lacking, own_files, place
from openclaw_ocm.core.image.entries import Entry, directory, file, link, whole


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("bin/bash", "usr/bin/bash"),
        ("lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("bin", None),
        ("usr/bin/git", "usr/bin/git"),
        ("usr/share/doc/git/copyright", "usr/share/doc/git/copyright"),
        ("usr/share/doc/git/changelog.gz", None),
        ("usr/share/doc/git", None),
        ("usr/share/man/man1/git.1.gz", None),
        ("usr/share/man", None),
        ("usr/share/manual", "usr/share/manual"),
        ("lib/systemd/system/procps.service", None),
        ("usr/share/locale/de/LC_MESSAGES/git.mo", None),
        ("usr/lib/locale/C.utf8/LC_CTYPE", "usr/lib/locale/C.utf8/LC_CTYPE"),
        ("etc/cron.daily/dpkg", None),
        ("etc/os-release", "etc/os-release"),
        ("var/lib/dpkg/info", None),
    ],
)
def test_a_file_of_a_package_goes_where_usr_is_merged_or_is_left_out(path: str, at: str | None) -> None:
    assert place(path) == at


def test_the_user_is_there_and_what_is_his_alone() -> None:
    made = own_files([b"one\n", b"two"], b"status", {"bin", "lib64", "etc"})
    assert made["bin"] == link("usr/bin")
    assert made["lib64"] == link("usr/lib64")
    assert "sbin" not in made
    assert made["etc/passwd"].content == (
        b"root:x:0:0::/root:/bin/sh\n"
        b"node:x:1000:1000::/home/node:/bin/bash\n"
        b"nobody:x:65534:65534::/:/usr/sbin/nologin\n"
    )
    assert made["etc/group"].content == b"root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n"
    assert made["etc/ssl/certs/ca-certificates.crt"].content == b"one\ntwo\n"
    assert made["tmp"] == directory(0o1777)
    assert made["home/node/.openclaw"] == directory(0o700, owner=1000)
    assert {name for name, entry in made.items() if entry.owner} == {
        *("home/node", "home/node/.openclaw", "home/node/.cache"),
    }


def test_scanners_find_the_packages() -> None:
    assert dpkg_status(["Package: b\nVersion: 2\n", "Package: a\nVersion: 1\nDescription: A\n b\n"]) == (
        b"Package: a\nStatus: install ok installed\nVersion: 1\nDescription: A\n b\n\n"
        b"Package: b\nStatus: install ok installed\nVersion: 2\n"
    )


def test_what_apt_has_not_fetched_is_missed() -> None:
    wanted = [f"Package: {name}\nVersion: 1\n" for name in PACKAGES]
    assert lacking(wanted) == ()
    assert lacking(wanted[1:]) == (PACKAGES[0],)
    assert set(lacking([])) == set(PACKAGES)
    git = (
        "Package: git-x\nDepends: libc6 (>= 2.34), perl:any, libcurl3t64 (>= 7) |\n libcurl3,\n zlib1g\n"
        "Pre-Depends: dpkg | xy\nDescription: G\n Depends: nothing\n"
    )
    assert lacking([*wanted, git]) == ("dpkg or xy", "libcurl3t64 or libcurl3", "perl", "zlib1g")
    others = ["Package: a\nProvides: libcurl3t64 (= 7), xy\n", "Package: perl\n", "Package: zlib1g\n"]
    assert lacking([*wanted, git, *others]) == ()


def test_apt_works_in_one_directory_alone_and_starts_nothing_of_the_machine() -> None:
    lines = apt_settings(PurePosixPath("/x"), "arm64").splitlines()
    assert "#clear APT::Update::Post-Invoke;" in lines
    assert "#clear DPkg::Post-Invoke;" in lines
    assert "#clear APT::Install::Pre-Invoke;" in lines
    assert "#clear AptCli::Hooks;" in lines
    assert 'APT::Architecture "arm64";' in lines
    assert 'Dir::State::status "/x/state/status";' in lines
    assert 'APT::Get::AllowUnauthenticated "false";' in lines
    # As one that does not answer for a moment would else leave its updates out.
    assert 'APT::Update::Error-Mode "any";' in lines
    for index in ("Contents-deb", "DEP-11", "CNF"):
        assert f'Acquire::IndexTargets::deb::{index}::DefaultEnabled "false";' in lines
    places = [line.split('"')[1] for line in lines if line.startswith("Dir::")]
    assert all(one.startswith("/x/") for one in places if one.startswith("/"))


def test_of_the_mode_of_a_file_stays_whether_it_can_be_run() -> None:
    assert file(b"", 0o4750) == Entry(mode=0o755, content=b"")
    assert file(b"", 0o600) == Entry(mode=0o644, content=b"")


def test_entries_come_after_the_directories_that_they_are_in() -> None:
    made = whole({"b/a": file(b""), "a-b": link("a"), "a/b/c": file(b""), "b": directory(0o700)})
    assert list(made) == ["a", "a/b", "a/b/c", "a-b", "b", "b/a"]
    assert made["a"] == directory()
    assert made["b"] == directory(0o700)


def test_programs_are_scripts_with_the_places_of_the_image() -> None:
    texts = dict.fromkeys(
        ("init", "with-secrets", "collect-when-idle.mjs", "tool-host", "docker"), b"#!program\n"
    )
    made = contents.programs(texts, {"x.calls": b"filter"})
    assert made["opt/ocm/bin/openclaw"].content == (
        b"#!/bin/sh\nexec '/usr/bin/node' '--disable-warning=ExperimentalWarning' '--disable-sigusr1' "
        b"'/app/node_modules/openclaw/openclaw.mjs' \"$@\"\n"
    )
    assert made["opt/ocm/bin/bash"].content == (
        b"#!/bin/sh\nexport PYTHONUSERBASE=/home/node/.openclaw/programs "
        b"CARGO_HOME=/home/node/.openclaw/programs/cargo GOPATH=/home/node/.openclaw/programs/go\n"
        b'exec /bin/bash "$@"\n'
    )
    assert {name for name, entry in made.items() if entry.mode != 0o755} == {"opt/ocm/boxes/x.calls"}
    assert "opt/ocm/bin/docker" not in made, "it would be found where no boxes are made"
