"""Cuts a change off at one of its steps, as a kill or a failure would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.instances import apply, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context


def cut_at(
    monkeypatch: pytest.MonkeyPatch, count: int, error: type[BaseException], *, after: bool
) -> Callable[[], int]:
    """Have the `count`-th step fail before or after it is applied; return what tells how many were begun."""
    real, seen = apply.apply_step, [0]

    def step(context: Context, one: Step) -> None:
        seen[0] += 1
        if seen[0] == count and not after:
            raise error
        real(context, one)
        if seen[0] == count:
            raise error

    monkeypatch.setattr(transaction, "apply_step", step)
    return lambda: seen[0]
