"""A path as one HTML file that needs nothing else: turn it, play it, see where the camera is and what it does."""

from __future__ import annotations

import json
from html import escape
from importlib import resources

from dreamx.geometry.camera import relative_to
from dreamx.geometry.formats.motion import Motion

_MOST = 2000  # frames that are drawn; a longer path is thinned out


def html(motion: Motion, words: str, notes: tuple[str, ...]) -> str:
    """The page."""
    every = -(-len(motion.camera) // _MOST)
    camera = relative_to(motion.camera, motion.camera[0])[::every]
    path = [[round(x, 5) + 0.0 for x in row] for row in camera.pose[:, :3].flatten(1).tolist()]
    lens = [[round(x, 5) for x in row] for row in camera.lens.tolist()]
    data = json.dumps({"poses": path, "lens": lens, "fps": motion.fps / every, "every": every}, allow_nan=False)
    shell = (resources.files("dreamx") / "trajectory" / "page.html").read_text(encoding="utf-8")
    items = "".join(f"<li>{escape(n)}</li>" for n in notes)
    return shell.replace("%WORDS%", escape(words)).replace("%NOTES%", items).replace("%DATA%", data.replace("</", "<\\/"))
