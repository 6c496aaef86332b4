"""Can the simulator draw here? The tests that need it are skipped where it cannot, with its own words."""

from __future__ import annotations

import pytest

from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import scene


def _why_not() -> str:
    try:
        with Renderer(scene(0, "stylised", "maze"), 8, 8):
            return ""
    except (ImportError, ValueError) as e:
        return str(e)


WHY_NOT = _why_not()
draws = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "can draw")
