"""Every place there is: the home places by their names, and a scene for each seed, look and kind."""

from __future__ import annotations

from dataclasses import replace

from dreamx.data.scene.homes.home import HOMES, home
from dreamx.data.scene.scene import KINDS, Scene, scene

ALL_KINDS = (*KINDS, *HOMES)


def place(seed: int, style: str | None = None, kind: str | None = None) -> Scene:
    """The scene of a seed, or the home place called ``kind``, where the seed only tells walks apart.

    ValueError: a kind or style that there is not, or a home place in another look than its own.
    """
    if kind not in HOMES:
        return scene(seed, style, kind)
    own = HOMES[kind].STYLE
    if style not in (None, own):
        raise ValueError(f"{kind} is a home place in the look {own}, not {style}; leave the look out")
    return replace(home(kind), seed=seed)
