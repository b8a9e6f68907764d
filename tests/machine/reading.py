"""Plays a document in a machine as a reader types it: every block of commands, in order, word by word."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.documents import ROOT, blocks

from .checkout import git, make_checkout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.documents import Block

    from .machine import Machine

SOURCE = "/srv/ocm-source"
# A reader stays in the directory that a block leaves him in: it is told last.
_STAY = "{}\nprintf '\\n%s' \"$PWD\"\n"
_SECONDS = 900


@dataclass
class Reader:
    """Somebody at a machine who has a document beside him.

    `words` says what is written for those in capitals, `learnt` the pattern of those that a block prints, and
    `typed` what is answered where a command asks. Before a line that begins with a key of `between` its value
    is typed, which is in no document.
    """

    machine: Machine
    folder: str
    words: dict[str, str] = field(default_factory=dict)
    learnt: Mapping[str, str] = field(default_factory=dict)
    typed: str = ""
    between: Mapping[str, str] = field(default_factory=dict)

    def play(self, document: str) -> str:
        """Type all blocks of a document and return what they print; raises where one fails."""
        return "".join(self.each(document))

    def each(self, document: str) -> list[str]:
        """Type all blocks of a document and return what each prints, nothing for those for elsewhere."""
        found = [block for block in blocks(ROOT / document) if block.language == "sh"]
        assert found, document
        return [self._read(block) for block in found]

    def _read(self, block: Block) -> str:
        said = self._type(self._filled_in(block.text), block.way)
        for word, pattern in self.learnt.items():
            if match := re.search(pattern, said):
                self.words[word] = match[0]
        return said

    def _filled_in(self, text: str) -> str:
        for word, value in self.words.items():
            text = re.sub(rf"\b{word}\b", value.replace("\\", r"\\"), text)
        for line, before in self.between.items():
            text = re.sub(rf"^(?={re.escape(line)})", f"{before}\n", text, flags=re.MULTILINE)
        return text

    def _type(self, text: str, way: str) -> str:
        shell = ["bash", "-euo", "pipefail", "-c"]
        if way == "elsewhere":
            return ""
        if way == "root":
            return self.machine.run([*shell, text], user="root", timeout=_SECONDS).stdout
        if way == "terminal":
            done = self.machine.pty([*shell, text], cwd=self.folder, timeout=_SECONDS)
            assert done.returncode == 0, done
            return done.output
        result = self.machine.run(
            [*shell, _STAY.format(text)], input=self.typed, cwd=self.folder, timeout=_SECONDS
        )
        said, _, self.folder = result.stdout.rpartition("\n")
        return said + result.stderr


def push_repository(machine: Machine) -> str:
    """Bring what `git clone` finds at this project's address: the working copy, as a commit; return where."""
    with tempfile.TemporaryDirectory(prefix="ocm-source-") as folder:
        clone = Path(folder) / "ocm"
        make_checkout(clone)
        identity = ("-c", "user.name=OCM", "-c", "user.email=ocm@example.org")
        git("add", "--all", folder=clone)
        git(*identity, "commit", "--quiet", "--allow-empty", "--message", "as it is", folder=clone)
        machine.run(["install", "-d", "-o", machine.account.name, SOURCE], user="root")
        machine.push(clone, SOURCE)
    return SOURCE
