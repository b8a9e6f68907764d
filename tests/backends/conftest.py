"""What the tests of backends share: checks that are no tests by name explain themselves all the same."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.backends.contract", "tests.backends.home")
