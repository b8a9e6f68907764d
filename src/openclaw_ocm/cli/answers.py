"""What became of each of several items, printed in their order however they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.errors import OcmError


@dataclass(kw_only=True)
class Answers:
    """The answers so far on `items`; `silent` ones are not printed.

    `show` prints what an operation returned, where that is no `Outcome`.
    """

    items: tuple[Any, ...]
    silent: bool
    show: Callable[[Any], None] | None = None
    _results: dict[str, Any] = field(default_factory=dict)
    _errors: dict[str, OcmError] = field(default_factory=dict)
    _printed: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    @property
    def results(self) -> list[Any]:
        """What operations returned."""
        return [self._results[item] for item in self.items if item in self._results]

    @property
    def errors(self) -> list[tuple[str, OcmError]]:
        """The errors of operations that failed, each with its item."""
        return [(item, self._errors[item]) for item in self.items if item in self._errors]

    def succeeded(self, item: str, result: object) -> None:
        """Take what an operation returned."""
        self._results[item] = result

    def failed(self, item: str, error: OcmError) -> None:
        """Take the error of an operation."""
        self._errors[item] = error

    def print_ready(self, *, skipping: bool = False) -> None:
        """Print the answers that are there, up to the first that is not, or `skipping` those that are not."""
        for item in self.items:
            if item not in self._results and item not in self._errors:
                if not skipping:
                    return
            elif item not in self._printed and not self.silent:
                self._printed.add(item)
                self._print(item)

    def _print(self, item: str) -> None:
        from openclaw_ocm.cli.render.outcome import show_error, show_outcome

        if item in self._errors:
            show_error(item, self._errors[item])
            return
        result = self._results[item]
        if self.show is not None:
            self.show(result)
            return
        # What is so of the machine is told once.
        show_outcome(result, said=frozenset(self._said))
        self._said.update(result.notes)
