"""`system.openclaw.providers` on a package's manifests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

from openclaw_ocm.system.openclaw.providers import mentions


def test_the_manifests_are_read_once_however_many_names_a_config_has(tmp_path: Path) -> None:
    package = PurePosixPath(tmp_path)
    plugin = tmp_path / "dist/extensions/fal"
    plugin.mkdir(parents=True)
    (plugin / "openclaw.plugin.json").write_text(json.dumps({"id": "fal", "providers": ["fal", "flux"]}))
    assert mentions(package, "fal")
    shutil.rmtree(tmp_path / "dist")
    assert mentions(package, "fal")
    assert mentions(package, "flux")
    assert not mentions(package, "nobody")
