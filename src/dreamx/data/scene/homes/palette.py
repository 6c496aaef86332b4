"""Colours of home places, in sRGB: names for captions, tones that stand well beside each other."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.homes.surfaces import Array
from dreamx.data.scene.textures import COLOURS, Colour

PALETTE: dict[str, Colour] = {
    **COLOURS,
    "ochre": (0.86, 0.68, 0.36),
    "rose": (0.84, 0.56, 0.50),
    "sage": (0.62, 0.70, 0.54),
    "slate": (0.36, 0.39, 0.46),
    "terracotta": (0.74, 0.36, 0.22),
    "chalk": (0.93, 0.90, 0.83),
    "sandstone": (0.78, 0.68, 0.50),
    "granite": (0.60, 0.59, 0.57),
    "oak": (0.52, 0.36, 0.22),
    "walnut": (0.34, 0.22, 0.14),
    "pine": (0.74, 0.56, 0.34),
    "moss": (0.36, 0.46, 0.20),
    "meadow": (0.40, 0.56, 0.22),
    "fir": (0.16, 0.36, 0.24),
    "maple": (0.80, 0.34, 0.14),
    "birch": (0.84, 0.83, 0.78),
    "lake": (0.16, 0.40, 0.50),
    "lagoon": (0.12, 0.62, 0.70),
    "ice": (0.72, 0.86, 0.94),
    "snow": (0.95, 0.96, 0.98),
    "iron": (0.22, 0.23, 0.26),
    "brass": (0.82, 0.64, 0.26),
    "ivory": (0.95, 0.91, 0.80),
    "navy": (0.14, 0.22, 0.42),
    "wine": (0.50, 0.13, 0.20),
    "mint": (0.62, 0.85, 0.72),
    "coral": (0.96, 0.50, 0.40),
    "lilac": (0.74, 0.64, 0.86),
    "sky": (0.52, 0.76, 0.93),
    "beach": (0.92, 0.82, 0.58),
    "palm": (0.28, 0.62, 0.20),
    "coal": (0.10, 0.10, 0.12),
    "lamp": (1.0, 0.86, 0.50),
}


def tone(name: str, style: str) -> Array:
    """A colour ``[3]`` as the look shows it: muted in photographs, loud in games, light in drawings."""
    c = np.array(PALETTE[name])
    grey = c.mean()
    c = {
        "photoreal": grey + 0.90 * (c - grey),
        "game": grey + 1.15 * (c - grey),
        "stylised": 0.10 + 0.92 * (grey + 1.08 * (c - grey)),
    }[style]
    return np.clip(c, 0.02, 1.0)
