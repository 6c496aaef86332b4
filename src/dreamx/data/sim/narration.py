"""From what happened to a story: records with places and times, how it develops, who did what to whom. At most 512 tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dreamx.data.scene.caption import views
from dreamx.data.scene.props import a
from dreamx.data.scene.scene import Scene
from dreamx.data.scene.textures import SKIES
from dreamx.data.sim import phrases
from dreamx.data.sim.bodies import Array
from dreamx.data.sim.event_builder import Happening
from dreamx.data.sim.phrases import Ways, phrasing
from dreamx.events import Event, Story, prompt
from dreamx.geometry.camera import Camera, se3_inverse

LONGEST = 340  # words: 512 tokens by a rough count of 1.5 tokens a word


def describe(scene: Scene, start: Camera, opening: Ways, who: str, rng: np.random.Generator, held_out: bool) -> str:
    """The scene that stays: place, light, what is ahead and at the sides, in any order."""
    light = SKIES[scene.hour][3] if not scene.indoors else ""
    ahead, left, right = views(scene, start)
    said = [_capital(phrasing(opening, rng, held_out).format(place=scene.place, light=light, who=who))]
    around = [
        _capital(phrasing(ways, rng, held_out).format(x=a(seen[0])))
        for ways, seen in ((phrases.AHEAD, ahead), (phrases.LEFT, left), (phrases.RIGHT, right))
        if seen and rng.random() < 0.85
    ]
    rng.shuffle(around)
    return ". ".join(said + around) + "."


def tell(
    scene: Scene,
    opening: str,
    happenings: Sequence[Happening],
    names: Mapping[int, str],
    groups: Mapping[tuple[int, ...], str],
    anchors: Mapping[int, str],
    seconds: float,
    rng: np.random.Generator,
    held_out: bool,
) -> Story:
    """The story of a clip. ``opening``: the scene in words; ``anchors``: where the first thing of each record is, by its id."""

    def name(things: tuple[int, ...]) -> str:
        return f"the {groups.get(things) or ' and '.join(names[t] for t in things)}"

    def said(h: Happening) -> str:
        s, others = "", h.others
        if h.between:
            s, others = name(h.things[:1]), (h.things[1:] if h.things[1:] in groups else ())
            parts = [name(others)] if others else [name((t,)) for t in h.things[1:]]
        else:
            parts = [name(others)] if others in groups else [name((t,)) for t in others]
        hue = names[h.others[0]].split()[0] if h.others else ""
        words = {"a": parts[0] if parts else "", "b": parts[1] if len(parts) > 1 else "", "s": s, "hue": hue}
        return phrasing(phrases.DID[h.did], rng, held_out).format(**words)

    records = [h for h in happenings if not h.between]
    rng.shuffle(records)  # the order of the records says nothing; their times do
    owners = [h.things for h in records]
    events: list[Event] = []
    for number, h in enumerate(records, 1):
        entity = name(h.things) if h.things else phrases.OF_ITSELF[h.did]
        with_ = [i for i, o in enumerate(owners, 1) if i != number and o and (set(o) & set(h.others))]
        events.append(
            Event(
                f"e{number}",
                entity,
                said(h),
                anchors.get(h.things[0], "") if h.things else "",
                round(float(min(max(h.start, 0.0), seconds)), 2),
                round(float(min(max(h.end, h.start, 0.0), seconds)), 2),
                tuple(f"e{i}" for i in with_),
            )
        )
    lines = [f"{e.entity} {said(h)}" for e, h in sorted(zip(events, records, strict=True), key=lambda p: (p[0].start, p[0].end))]
    bonds = [_capital(said(h)) for h in happenings if h.between]
    if not lines:
        evolution = phrasing(phrases.CALM, rng, held_out)
    elif len(lines) == 1:
        evolution = phrasing(phrases.ALONE, rng, held_out).format(x=lines[0])
    else:
        evolution = phrasing(phrases.FIRST, rng, held_out).format(x=lines[0])
        evolution += "".join(", " + phrasing(phrases.NEXT, rng, held_out).format(x=line) for line in lines[1:])
    story = Story(opening, evolution, tuple(bonds), tuple(events))
    return story if len(caption_of(scene, story).split()) <= LONGEST else Story(opening, "", tuple(bonds), tuple(events))


def caption_of(scene: Scene, story: Story) -> str:
    """The words that the model reads for this story."""
    return prompt(story, scene.style)


def anchor(scene: Scene, camera: Camera, point: Array, rng: np.random.Generator, held_out: bool) -> str:
    """Say roughly where a point (plan, metres) is in a camera's picture, and the landmark beside it if one is near."""
    w2c = se3_inverse(camera.pose).double().numpy()
    x, _, z = (w2c @ np.array((point[0], -point[2], point[1], 1.0)))[:3]
    u = x / max(z, 0.1) * float(camera.lens[0])
    side = "left" if u < -0.14 else "right" if u > 0.14 else "middle"
    parts = [phrasing(phrases.SIDE[side], rng, held_out)]
    if rng.random() < 0.5 and (z < 2.4 or z > 4.5):
        parts.append(phrasing(phrases.DEEP["front" if z < 2.4 else "back"], rng, held_out))
    near = [m for m in scene.landmarks if np.hypot(m.x - point[0], m.y - point[1]) < 2.2]
    if near and rng.random() < 0.5:
        parts.append(phrasing(phrases.NEAR, rng, held_out).format(x=a(near[0].words)))
    return " ".join(parts)


def _capital(words: str) -> str:
    words = " ".join(words.split()).replace(" ,", ",")
    return words[:1].upper() + words[1:]
