"""What of Debian is in the image: which packages, what is left out, and what no script of theirs made.

They are unpacked and not configured: no maintainer script runs.
"""

from __future__ import annotations

import re
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from openclaw_ocm.core.image.contents import HOME, STATE, UID, USER, inside
from openclaw_ocm.core.image.entries import Entry, directory, file, link

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

# By the machine's name (uname(2)): what Debian and OCI call the architecture.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# What Node, OpenClaw's tools and OCM's programs run: a shell and its usual programs, git, curl, Perl for the
# init, Python for the proof and the tool host, script(1) for terminals. What they depend on comes along.
PACKAGES = (
    *("base-files", "bash", "bsdutils", "ca-certificates", "coreutils", "curl", "dash", "debianutils"),
    *("diffutils", "findutils", "git", "grep", "gzip", "hostname", "libc-bin", "libc6", "libstdc++6", "mawk"),
    *("ncurses-base", "perl-base", "procps", "python3", "sed", "tar", "tzdata", "xz-utils"),
)
# Packages of a Debian that is older than the merge of /usr have files in both places.
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_LEFT_OUT = (
    *("boot/", "etc/cron.", "etc/default/", "etc/init.d/", "etc/logrotate.d/", "etc/pam.d/", "etc/systemd/"),
    *("usr/lib/systemd/", "usr/lib/tmpfiles.d/", "usr/lib/sysusers.d/", "usr/lib/udev/"),
    *("usr/share/applications/", "usr/share/bash-completion/", "usr/share/bug/", "usr/share/doc-base/"),
    *("usr/share/icons/", "usr/share/info/", "usr/share/lintian/", "usr/share/locale/", "usr/share/man/"),
    *("usr/share/menu/", "usr/share/pixmaps/", "usr/share/zoneinfo/posix/", "usr/share/zoneinfo/right/"),
    *("usr/share/zsh/", "var/cache/", "var/lib/dpkg/", "var/log/"),
)
_DOCUMENTS, _LICENCE = "usr/share/doc/", "/copyright"
CERTIFICATES = "usr/share/ca-certificates/"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_STICKY, _PRIVATE = 0o1777, 0o700
_NOBODY = 65534
# Which program stands behind a name, as the packages' scripts would choose.
_LINKS = {
    "etc/mtab": "../proc/self/mounts",
    # For what is built with OpenSSL, as Python is: it would look for a link for each certificate.
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
    "usr/bin/awk": "mawk",
    "usr/bin/which": "which.debianutils",
    "var/lock": "/run/lock",
    "var/run": "/run",
}
# What a command of apt-get's on this machine would start besides: nothing here is of its concern.
_HOOKS = (
    *("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"),
    *("APT::Update::Post-Invoke-Stats", "APT::Install::Pre-Invoke", "APT::Install::Post-Invoke-Success"),
    *("DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs", "AptCli::Hooks"),
)

# What others on this machine have apt fetch besides: apt-file, AppStream, command-not-found.
_INDEXES = (
    *("CNF", "Contents-deb", "Contents-deb-legacy", "DEP-11", "DEP-11-icons", "DEP-11-icons-hidpi"),
    *("DEP-11-icons-large", "DEP-11-icons-large-hidpi", "DEP-11-icons-small"),
)
_NAME = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")


def apt_settings(directory: PurePosixPath, architecture: str) -> str:
    """Return an apt.conf(5), read after the machine's own, by which apt works in `directory` alone.

    Where packages come from, whose signatures count and which proxy is used stays as the machine has it. To
    apt nothing is installed, so that all that a package depends on comes along.
    """
    values = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Get::AllowUnauthenticated": "false",
        "APT::Install-Recommends": "false",
        "APT::Install-Suggests": "false",
        # The directory is private, and apt is whoever runs OCM.
        "APT::Sandbox::User": "root",
        # Without it apt takes an index that it cannot fetch for none: there would be no security updates.
        "APT::Update::Error-Mode": "any",
        **{f"Acquire::IndexTargets::deb::{name}::DefaultEnabled": "false" for name in _INDEXES},
        "Acquire::IndexTargets::deb-src::Sources::DefaultEnabled": "false",
        "Acquire::Languages": "none",
        "Dir::Cache": f"{directory}/cache/",
        "Dir::Cache::archives": "archives/",
        "Dir::Log": f"{directory}/log/",
        "Dir::State": f"{directory}/state/",
        "Dir::State::lists": "lists/",
        "Dir::State::status": f"{directory}/state/status",
    }
    cleared = (*_HOOKS, "APT::Architectures", "Acquire::Languages")
    lines = [f"#clear {name};" for name in cleared]
    return "".join(
        f"{line}\n" for line in (*lines, *(f'{name} "{value}";' for name, value in values.items()))
    )


def place(path: str) -> str | None:
    """Return where a file of a package goes, `bin/sh` for instance, None for one that is left out."""
    top, slash, below = path.partition("/")
    if top in _MERGED:
        if not slash:
            return None
        path = f"usr/{top}/{below}"
    if path.startswith(_DOCUMENTS):
        return path if path.endswith(_LICENCE) else None
    return None if f"{path}/".startswith(_LEFT_OUT) else path


def own_files(certificates: Iterable[bytes], status: bytes, tops: Iterable[str]) -> dict[str, Entry]:
    """Return what the scripts of the packages would have made, the user, and the places for mounts.

    `tops` are those of the names at the top that hold files: links lead from these to /usr.
    """
    bundle = b"".join(each if each.endswith(b"\n") else each + b"\n" for each in certificates)
    users = (
        ("root", 0, "/root", "/bin/sh"),
        (USER, UID, str(HOME), "/bin/bash"),
        ("nobody", _NOBODY, "/", ""),
    )
    passwd = "".join(f"{n}:x:{u}:{u}::{home}:{shell or '/usr/sbin/nologin'}\n" for n, u, home, shell in users)
    group = "".join(f"{'nogroup' if u == _NOBODY else n}:x:{u}:\n" for n, u, _home, _shell in users)
    return {
        **{name: link(f"usr/{name}") for name in sorted(set(tops) & set(_MERGED))},
        **{name: link(target) for name, target in _LINKS.items()},
        **{name: directory() for name in ("app", "dev", "proc", "run", "run/lock", "sys")},
        **{name: directory(_STICKY) for name in ("tmp", "var/tmp")},
        "root": directory(_PRIVATE),
        inside(HOME): directory(owner=UID),
        inside(STATE): directory(_PRIVATE, owner=UID),
        inside(HOME / ".cache"): directory(_PRIVATE, owner=UID),
        "etc/group": file(group.encode()),
        "etc/nsswitch.conf": file(b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"),
        "etc/passwd": file(passwd.encode()),
        _BUNDLE: file(bundle),
        # By it scanners know what is in the image.
        "var/lib/dpkg/status": file(status),
    }


def lacking(controls: Iterable[str]) -> tuple[str, ...]:
    """Return what is wanted or depended on and not among packages, of the control file of each.

    apt leaves a package where it is that lies on this machine already (`file:` in sources.list(5)).
    """
    there: set[str] = set()
    wanted: set[tuple[str, ...]] = {(name,) for name in PACKAGES}
    for control in controls:
        fields = HeaderParser().parsestr(control)
        for name in ("Package", "Provides"):
            there.update(*_alternatives(fields.get(name, "")))
        for name in ("Pre-Depends", "Depends"):
            wanted.update(_alternatives(fields.get(name, "")))
    return tuple(sorted(" or ".join(names) for names in wanted if there.isdisjoint(names)))


def _alternatives(field: str) -> tuple[tuple[str, ...], ...]:
    """Return the names in a field (deb-control(5)), without versions, as many as serve alike together."""
    groups = (tuple(map(_NAME.match, group.split("|"))) for group in field.split(",") if group.strip())
    return tuple(tuple(found[1] for found in group if found) for group in groups)


def dpkg_status(controls: Iterable[str]) -> bytes:
    """Return dpkg's list of what is unpacked, of the control file of each package."""
    paragraphs = []
    for control in sorted(controls):
        first, _, rest = control.strip().partition("\n")
        paragraphs.append(f"{first}\nStatus: install ok installed\n{rest}\n")
    return "\n".join(paragraphs).encode()
