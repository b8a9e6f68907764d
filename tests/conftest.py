"""What all tests share: how Hypothesis searches."""

from __future__ import annotations

import hypothesis

# The machine may be busy, so no example has a deadline; what failed once becomes a test of its own.
THOROUGH = hypothesis.settings(deadline=None, database=None)
hypothesis.settings.register_profile("thorough", THOROUGH)
hypothesis.settings.register_profile("ocm", THOROUGH, max_examples=25)
hypothesis.settings.load_profile("ocm")
