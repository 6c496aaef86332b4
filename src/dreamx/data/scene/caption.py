"""Words for a view of a scene, from what is known to stand there: never more than 48 words."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.props import a
from dreamx.data.scene.scene import Scene
from dreamx.data.scene.textures import SKIES
from dreamx.events import style_sentence
from dreamx.geometry.camera import Camera

LONGEST = 48  # words
_OPENINGS = ("A first-person walk through {}", "Walking through {}", "A view of {}", "Inside {}", "We explore {}")


def caption(scene: Scene, start: Camera, rng: np.random.Generator) -> str:
    """Describe the view from ``start``: the place, the light, what is ahead, to the left and to the right."""
    opening = str(rng.choice(_OPENINGS[: 4 if scene.kind in ("park", "plaza") else 5])).format(scene.place)
    if not scene.indoors:
        opening += " " + SKIES[scene.hour][3]
    sentences = [style_sentence(scene.style), opening + "."]
    ahead, left, right = views(scene, start)
    if ahead:
        where = str(rng.choice(("Ahead", "In front", "Straight on")))
        sentences.append(f"{where}, {_join(ahead[:2])}.")
    for side, seen in (("left", left), ("right", right)):
        if seen and rng.random() < 0.8:
            sentences.append(f"{'On' if rng.random() < 0.5 else 'To'} the {side}, {_join(seen[:1])}.")
    while sum(len(s.split()) for s in sentences) > LONGEST:
        sentences.pop()
    return " ".join(sentences)


def views(scene: Scene, camera: Camera) -> tuple[list[str], list[str], list[str]]:
    """Landmarks within 14 m, nearest first: ahead, left, right of the camera."""
    p, f = camera.pose[:3, 3].tolist(), camera.pose[:3, 2].tolist()
    heading = np.degrees(np.arctan2(f[2], f[0]))
    out: tuple[list[str], list[str], list[str]] = ([], [], [])
    for mark in sorted(scene.landmarks, key=lambda m: np.hypot(m.x - p[0], m.y - p[2])):
        off = (np.degrees(np.arctan2(mark.y - p[2], mark.x - p[0])) - heading + 180) % 360 - 180
        reach = 5.5 if scene.indoors else 14.0
        if np.hypot(mark.x - p[0], mark.y - p[2]) > reach or abs(off) > 60 or not scene.sees(p[0], p[2], mark):
            continue
        side = out[0] if abs(off) < 18 else out[1] if off > 0 else out[2]
        if mark.words not in out[0] + out[1] + out[2]:
            side.append(mark.words)
    return out


def _join(things: list[str]) -> str:
    return " and ".join(a(t) for t in things)
