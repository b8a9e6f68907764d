"""What all tests share: how Hypothesis searches."""

from __future__ import annotations

import hypothesis

# The machine may be busy, so no example has a deadline; what failed once becomes a test of its own.
hypothesis.settings.register_profile("ocm", deadline=None, database=None)
hypothesis.settings.load_profile("ocm")
