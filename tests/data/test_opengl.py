"""MuJoCo's GL library is chosen at its first import: what only casts rays must not choose one that cannot draw."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("mujoco")

_CODE = """
from dreamx.data.opengl import without_drawing
mj = without_drawing()
model = mj.MjModel.from_xml_string("<mujoco><worldbody><light/></worldbody></mujoco>")
mj.MjrContext(model, mj.mjtFontScale.mjFONTSCALE_50).free()
"""


def test_a_process_that_cast_rays_first_can_still_draw() -> None:
    """`data render --kinds village` on a fresh machine: the bake's rays came first, and nothing could be drawn after."""
    bare = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY")}
    done = subprocess.run([sys.executable, "-c", _CODE], env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rays_alone_need_no_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamx.data import opengl

    def nothing_draws(*_: object) -> None:
        raise opengl.CannotDraw("no GL here")

    monkeypatch.setattr(opengl, "gl", nothing_draws)
    assert opengl.without_drawing().__name__ == "mujoco"
