from __future__ import annotations

import pytest

from openclaw_ocm.backends.supervisord.restarts import History, activity, after_end, after_start


def run(*ends: tuple[float, int | None], start: float = 0.0) -> History:
    """Return the history of a gateway that ended at these moments, and was started again whenever due."""
    history = after_start(History(), start)
    for moment, code in ends:
        history = after_end(history, code, moment)
        if history.due is not None:
            history = after_start(history, history.due)
    return history


@pytest.mark.parametrize("code", [0, 1, 143, -9, None])
def test_whatever_its_end_a_gateway_is_started_again_after_five_seconds(code: int | None) -> None:
    history = after_end(run(), code, 100.0)
    assert (history.due, history.code, history.failed) == (105.0, code, False)
    assert activity(history, alive=False, stopping=False) == "waiting"


def test_one_whose_config_is_refused_stays_down() -> None:
    history = after_end(run(), 78, 1.0)
    assert (history.due, history.gave_up, history.code) == (None, False, 78)
    assert activity(history, alive=False, stopping=False) == "failed"


def test_one_that_ends_at_once_is_given_up_after_ten_starts() -> None:
    history = after_start(History(), 0.0)
    starts, now = 1, 0.0
    while (history := after_end(history, 1, now)).due is not None:
        now = history.due
        history, starts = after_start(history, now), starts + 1
        assert starts <= 10
    assert (starts, history.gave_up, history.restarts) == (10, True, 9)
    assert activity(history, alive=False, stopping=False) == "failed"


def test_one_that_ends_now_and_then_is_never_given_up() -> None:
    history = run(*((float(number * 60), 1) for number in range(1, 200)))
    assert not history.gave_up
    assert history.restarts == 199


def test_starts_long_ago_do_not_count() -> None:
    ends = [(float(number * 10), 1) for number in range(8)]
    assert not run(*ends, (500.0, 1), (506.0, 1), (512.0, 1)).gave_up


def test_only_a_start_that_was_due_counts_as_a_restart() -> None:
    assert run().restarts == 0
    assert run((10.0, 1)).restarts == 1
    assert run((10.0, 1)).due is None


@pytest.mark.parametrize(
    ("history", "alive", "stopping", "word"),
    [
        (History(), True, False, "running"),
        (History(due=1.0), True, False, "running"),
        (History(), True, True, "stopping"),
        (History(), False, False, "stopped"),
        (History(due=1.0), False, False, "waiting"),
        (History(failed=True), False, False, "failed"),
    ],
)
def test_what_a_gateway_is_doing_is_one_word(
    history: History, *, alive: bool, stopping: bool, word: str
) -> None:
    assert activity(history, alive=alive, stopping=stopping) == word
