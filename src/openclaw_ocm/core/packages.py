"""Which package brings a thing, and the line that installs it, on Debian and on what is not Debian."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOOLS = {
    "debian": "apt install",
    "fedora": "dnf install",
    "arch": "pacman -S",
    "alpine": "apk add",
}
# Words of ID and ID_LIKE in os-release(5), where they differ from the names above.
_FAMILIES = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora", "archlinux": "arch"}
# By Debian's name: what others call it where that is not the same.
_NAMES = {
    "dbus-user-session": {"fedora": "dbus-broker", "arch": "dbus", "alpine": "dbus"},
    "perl-base": {"fedora": "perl-interpreter perl-POSIX", "arch": "perl", "alpine": "perl"},
    "bsdutils": {"fedora": "util-linux-script", "arch": "util-linux", "alpine": "util-linux-misc"},
    "python3": {"arch": "python"},
    "iproute2": {"fedora": "iproute"},
    "libseccomp2": {"fedora": "libseccomp", "arch": "libseccomp", "alpine": "libseccomp"},
    "util-linux": {"alpine": "util-linux-misc"},
}


def parse_family(text: str) -> str | None:
    """Return whose packages a machine has, by its os-release(5); None where that is none of those known."""
    fields = dict(line.partition("=")[::2] for line in text.splitlines())
    words = [word for key in ("ID", "ID_LIKE") for word in fields.get(key, "").strip("\"' ").lower().split()]
    known = (_FAMILIES.get(word, word) for word in words)
    return next((family for family in known if family in _TOOLS), None)


def install_line(family: str | None, names: Iterable[str], *, root: bool) -> str:
    """Return the line that installs packages, by their names on Debian; `root` tells who types it."""
    named = " ".join(_NAMES.get(name, {}).get(family or "", name) for name in names)
    if family is None:
        return f"with the package manager of this system install {named}"
    return f"{'' if root else 'sudo '}{_TOOLS[family]} {named}"
