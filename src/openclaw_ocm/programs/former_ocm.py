"""The module `ocm` beside an installed package: by that name older OCMs have their scheduled backups made.

Their units and schedules say `from ocm.cli.main import main`, until a start of the instance writes them anew.
"""

import importlib
import sys

for name in ("cli", "cli.main"):
    sys.modules[f"ocm.{name}"] = importlib.import_module(f"openclaw_ocm.{name}")
