"""What is advised where a gateway does not become ready."""

from __future__ import annotations

import pytest
from tests.samples import NAME

from openclaw_ocm.core.status import Health, State
from openclaw_ocm.instances.verify import _hint

DAMAGED = "shared state database is unreadable: database disk image is malformed"


@pytest.mark.parametrize(
    ("verdict", "words", "advice"),
    [
        (Health(state=State.FAILED, fatal=True), ("a", DAMAGED), "restore ARCHIVE --replace"),
        (Health(state=State.FAILED, fatal=True), ("a",), f"ocm logs {NAME}"),
        (Health(state=State.STARTING), (DAMAGED,), "--timeout"),
        (Health(state=State.FAILED, fatal=True, taken=True), (DAMAGED,), f"ocm port {NAME}"),
    ],
)
def test_damaged_databases_lead_to_backups_and_all_else_to_the_log(
    verdict: Health, words: tuple[str, ...], advice: str
) -> None:
    assert advice in _hint(NAME, verdict, words)
