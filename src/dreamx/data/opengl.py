"""MuJoCo with a GL context: EGL, or OSMesa where there is no EGL.

MuJoCo chooses its GL library when it is first imported and never again, so nothing else in this package may import it first.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_CONTEXT: list[Any] = []  # the process's one GL context


class CannotDraw(ValueError):
    """This machine has nothing to draw with: that is no fault of a scene, and no other would fare better."""


def refuse_without_simulator() -> None:
    """``CannotDraw`` where MuJoCo is not installed: known at once, before scenes are made and processes started."""
    if find_spec("mujoco") is None:
        raise CannotDraw("the simulator is not installed; pip install '.[sim]' in the checkout")


def gl(width: int, height: int) -> Any:
    """MuJoCo with a current GL context in this process; ValueError when the machine has no way to draw."""
    os.environ.setdefault("LP_NUM_THREADS", "0")  # one core a process: the pool is the parallelism
    reasons: list[str] = []
    for way in [os.environ["MUJOCO_GL"]] if "MUJOCO_GL" in os.environ else ["egl", "osmesa"]:
        if _CONTEXT:
            break
        os.environ["MUJOCO_GL"] = way
        try:
            from mujoco import gl_context

            _CONTEXT.append(gl_context.GLContext(width, height))
        except Exception as e:
            reasons.append(f"{way}: {type(e).__name__} {e}")
    if not _CONTEXT:
        raise CannotDraw(
            "the simulator cannot draw on this machine; pip install '.[sim]' in the checkout, and libegl1 libgl1-mesa-dri"
            " (or libosmesa6) from the system"
            f" [{'; '.join(reasons)}]"
        )
    _CONTEXT[0].make_current()
    return import_module("mujoco")


def without_drawing() -> Any:
    """MuJoCo for what casts rays and draws nothing; it needs no GL, yet leaves what draws later a context."""
    try:
        return gl(8, 8)
    except CannotDraw:
        return import_module("mujoco")
