"""The laws that suites are drawn by: which paths, how long, in which places. Deterministic, and blind to every model.

basic:   15 paths of 5 s: those of WorldScore (Duan et al. 2025, section 3), tilts, diagonals and a bending walk; 120 trials.
long:    5 paths of 30 s; 100 trials.
events:  things that happen by themselves and together, 5 s, in words that nobody trains on; 52 trials.
memory:  the three templates of DreamX-World 1.0, figure 11, of 10 s; 60 trials.
hold:    home places and open ground: W for 20 s, a whole turn each way, a wander of 60 s; 96 trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch

from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data.scene.caption import caption
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import place
from dreamx.data.scene.scene import FOV, KINDS, STYLES, Scene, scene, stand
from dreamx.data.sim import walker
from dreamx.eval.progress import Progressing
from dreamx.eval.suites import event_trials
from dreamx.eval.suites.suite import Suite, Trial
from dreamx.eval.suites.true_clips import VideoFormat, held_keys
from dreamx.geometry.camera import Camera, lens_from_fov
from dreamx.geometry.controls import Speed
from dreamx.geometry.path import format_actions, loop, out_and_back, straight, turn

FPS = 16.0
_STARTS = 24  # places of a scene that are tried
_HEADINGS = (0.0, 30.0, -30.0, 60.0, -60.0, 90.0, -90.0, 135.0, -135.0, 180.0)
_SCENES = 40  # scenes that are tried for one trial
_DRAWS = 8  # of an event in one scene

#: Keys of a path, by a random generator: from the strictest that a narrow place may allow to the gentlest.
Script = Callable[[np.random.Generator], list[list[str]]]


@dataclass(frozen=True)
class SuiteSpec:
    """``paths`` by name take turns through ``trials``; one that is None is a free walk of ``tour`` frames.

    A change of a law makes another suite, and another ``version``.
    """

    trials: int
    paths: dict[str, Script | None]
    tour: int = 0
    version: int = 1


def _seconds(seconds: float) -> int:
    return round(seconds * FPS)


def _fixed(*scripts: list[str]) -> Script:
    return lambda rng: list(scripts)


def _one_of(a: list[str], b: list[str]) -> Script:
    """Either first, by chance: left and right are to be as frequent."""
    return lambda rng: [a, b] if rng.random() < 0.5 else [b, a]


_TILT = 13  # frames at 1.5 degrees: as far up or down as a walker looks
_BASIC = _seconds(5)


def _tilt(keys: str, back: str) -> list[str]:
    """Look up (or down), walk on so, look back, walk on."""
    rest = _BASIC - 2 * _TILT
    return straight(_TILT, keys) + straight(rest // 2) + straight(_TILT, back) + straight(rest - rest // 2)


def _bend(rng: np.random.Generator) -> list[list[str]]:
    sides = "jl" if rng.random() < 0.5 else "lj"
    return [["w" + side * (i % every == 0) for i in range(_BASIC)] for every in (4, 3, 2, 1) for side in sides]


def _half(first: str, second: str) -> Script:
    return _fixed(straight(_BASIC // 2, first) + straight(_BASIC - _BASIC // 2, second))


_PATHS: dict[str, Script | None] = {
    "push-in": _fixed(straight(_BASIC)),
    "pan-left": _fixed(turn(_BASIC, "j")),
    "walk": _bend,
    "tilt-up": _fixed(_tilt("i", "k")),
    "move-left": _fixed(straight(_BASIC, "a")),
    "diagonal-right": _fixed(straight(_BASIC, "wd")),
    "pull-out": _fixed(straight(_BASIC, "s")),
    "orbit-left": _fixed(straight(_BASIC, "dj")),
    "pan-right": _fixed(turn(_BASIC, "l")),
    "tilt-down": _fixed(_tilt("k", "i")),
    "move-right": _fixed(straight(_BASIC, "d")),
    "diagonal-left": _fixed(straight(_BASIC, "wa")),
    "pull-left": _half("s", "a"),
    "orbit-right": _fixed(straight(_BASIC, "al")),
    "pull-right": _half("s", "d"),
}
_LONG = _seconds(30)


def _look_around() -> Script:
    """Two whole turns, a pace ahead after each: what was seen at first is to be there at the end."""
    pace = (_LONG - 2 * 200) // 2
    around = [turn(200, k) + straight(pace) + turn(200, k) + straight(_LONG - 400 - pace, "s") for k in "jl"]
    return _one_of(*around)


_LONG_PATHS: dict[str, Script | None] = {
    "tour": None,
    "look-around": _look_around(),
    "there-and-back": lambda rng: [_pauses(n) for n in (200, 160, 120, 90, 60, 40)],
    "rounds": lambda rng: [
        [*loop(240 + 4 * side, k), *loop(240 + 4 * side, k)][:_LONG]
        for side in (50, 30, 15)
        for k in ("lj" if rng.random() < 0.5 else "jl")
    ],
    "sideways": lambda rng: [_swings(n) for n in (60, 40, 30)],
}


def _pauses(out: int) -> list[str]:
    """Out, stand, back, stand, and so again until the time is over."""
    once = straight(out) + straight(20, "") + straight(out, "s") + straight(20, "")
    return (once * (_LONG // len(once) + 1))[:_LONG]


def _swings(out: int) -> list[str]:
    once = straight(out, "a") + straight(out, "d") + straight(out // 2, "j") + straight(out // 2, "l")
    return (once * (_LONG // len(once) + 1))[:_LONG]


_MEMORY = _seconds(10)


def _rectangle(side: int) -> list[str]:
    """Around a square without turning: the last camera is the first."""
    lap = [k for held in "wdsa" for k in straight(side, held)]
    return lap + straight(_MEMORY - len(lap), "")


_MEMORY_PATHS: dict[str, Script | None] = {
    "out-and-back": lambda rng: [
        _centred(out_and_back(2 * n, k)) for n in (80, 60, 45, 30) for k in ("da" if rng.random() < 0.5 else "ad")
    ],
    "translate-rotate": lambda rng: [_centred([k for held in "wsjlljj" for k in straight(n, held)]) for n in (22, 18, 14)],
    "rectangle": lambda rng: [_rectangle(n) for n in (40, 30, 22, 15)],
}


def _centred(keys: list[str]) -> list[str]:
    """Filled up with standing still at the end."""
    return keys + straight(_MEMORY - len(keys), "")


#: The paths of hold; those at home take turns with those of open ground.
HOLD_PATHS = ("hold-w", "turn-left", "wander", "turn-right")
_HOLD = {"hold-w": _seconds(20), "turn-left": 240, "turn-right": 240, "wander": _seconds(60)}  # frames; a turn takes 15 s

LAWS = {
    "events": SuiteSpec(
        2 * len(event_trials.KINDS), {name.replace(" ", "-"): None for name in event_trials.KINDS}, _BASIC, version=2
    ),
    "basic": SuiteSpec(120, _PATHS),
    "long": SuiteSpec(100, _LONG_PATHS, _LONG),
    "memory": SuiteSpec(60, _MEMORY_PATHS),
    "hold": SuiteSpec(96, {f"{where}-{path}": None for path in HOLD_PATHS for where in ("home", "open")}),
}


def draw_suite(name: str, seed: int, cases: int | None = None) -> Suite:
    """The suite of this law and seed, or its first ``cases`` trials. ValueError: no such law, a negative seed."""
    if name not in LAWS:
        raise ValueError(f"suite {name!r} is not one of {', '.join(LAWS)}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    law = LAWS[name]
    count = law.trials if cases is None else min(cases, law.trials)
    trials: list[Trial] = []
    with Progressing("draw", count, lambda: (len(trials), "")):
        trials.extend(draw_trial(name, seed, index) for index in range(count))
    return Suite(name, law.version, seed, FPS, tuple(trials))


def draw_trial(name: str, seed: int, index: int) -> Trial:
    """The trial of this number: a pure function of its arguments. Paths take turns; so do kinds of place and looks."""
    law = LAWS[name]
    path = list(law.paths)[index % len(law.paths)]
    if name == "hold":
        return _hold(index, path, np.random.default_rng([seed, crc32(name.encode()), index]))
    which = (index + index // 60) % (len(KINDS) * len(STYLES))  # 60: where fifteen paths and twelve places meet again
    kind, style = KINDS[which % len(KINDS)], STYLES[which // len(KINDS)]
    rng = np.random.default_rng([seed, crc32(name.encode()), index])
    if name == "events":
        return _eventful(index, list(event_trials.KINDS)[index % len(law.paths)], kind, style, rng)
    for _ in range(_SCENES):
        here = scene(FIRST_HELD_OUT_SEED + int(rng.integers(2**30)), style, kind)
        found = _fit(here, law, path, rng)
        if found is not None:
            start, keys = found
            words = caption(here, stand(*start), np.random.default_rng([here.seed, 13]))
            return Trial(f"{index:03d}-{path}", path, here.seed, kind, style, start, format_actions(keys), words)
    raise ValueError(f"suite {name}, trial {index}: none of {_SCENES} scenes has room for the path {path}")


def _hold(index: int, path: str, rng: np.random.Generator) -> Trial:
    """A trial at home (even numbers) or on open ground (odd ones); in each, all paths meet all places."""
    where, _, walk = path.partition("-")
    number, lap = index // 2, index // 2 // len(HOLD_PATHS)
    if where == "home":
        kind = list(HOMES)[(number + number // 12) % len(HOMES)]  # 12: where four paths and six places meet again
        style = HOMES[kind].STYLE
    else:
        kind, style = KINDS[(number + lap + 2) % len(KINDS)], STYLES[lap % len(STYLES)]
    here = place(FIRST_HELD_OUT_SEED + int(rng.integers(2**30)), style, kind)
    start = next(_starts(here))
    frames, side = _HOLD[walk], "jl"[int(rng.integers(2))]
    if walk == "hold-w":
        keys = walker.straight_on(here, stand(*start), frames + 1, side, Speed(fps=FPS))
    elif walk == "wander":
        keys = walker.keys_for(here, stand(*start), frames + 1, rng, Speed(fps=FPS))
    else:
        keys = turn(frames, "j" if walk == "turn-left" else "l")
    words = caption(here, stand(*start), np.random.default_rng([here.seed, 13]))
    return Trial(f"{index:03d}-{path}", path, here.seed, kind, style, start, format_actions(keys), words)


def _eventful(index: int, happens: str, kind: str, style: str, rng: np.random.Generator) -> Trial:
    """The first draw that the simulator accepts, in the first scene that has one. What is of the air happens outdoors."""
    if event_trials.KINDS[happens].outdoors and kind == "room":
        kind = KINDS[1 + index % (len(KINDS) - 1)]
    view = VideoFormat(64, 64, lens_from_fov(FOV, 64, 64), FPS)
    shot = event_trials.shot_of(view, _BASIC + 1)
    for _ in range(_SCENES):
        seed = FIRST_HELD_OUT_SEED + int(rng.integers(2**30))
        for attempt in range(_DRAWS):
            try:
                take = event_trials.take_of(seed, kind, style, happens, attempt, shot)
                event_trials.render_take(take, shot)
                prompt, said = event_trials.trial_words(take.story, style)
            except ValueError:
                continue
            keys = format_actions(held_keys(take.actions))
            name = f"{index:03d}-{happens.replace(' ', '-')}"
            return Trial(name, happens, seed, kind, style, (0.0, 0.0, 0.0), keys, prompt, said, happens, attempt)
    raise ValueError(f"suite events, trial {index}: none of {_SCENES} scenes has room for {happens!r}")


def _fit(here: Scene, law: SuiteSpec, path: str, rng: np.random.Generator) -> tuple[tuple[float, float, float], list[str]] | None:
    """The first script, and start, that touches nothing; None where the scene has no room for any."""
    script = law.paths[path]
    if script is None:
        start = next(_starts(here))
        return start, walker.keys_for(here, stand(*start), law.tour + 1, rng, Speed(fps=FPS))
    starts = list(_starts(here))
    for keys in script(rng):
        there, _ = walker.path(stand(0.0, 0.0, 0.0), keys, Speed(fps=FPS))
        for start in starts:
            pose = stand(*start).pose
            if walker.clear(here, Camera(_from_origin(pose, there), there.lens)):
                return start, keys
    return None


def _from_origin(pose: torch.Tensor, there: Camera) -> torch.Tensor:
    """The path of a walker at the plan's origin that looks east, as one from ``pose``."""
    return pose @ torch.linalg.inv(there.pose[0]) @ there.pose


def _starts(here: Scene) -> Iterator[tuple[float, float, float]]:
    for index in range(_STARTS):
        pose = here.start(index).pose
        x, y = float(pose[0, 3]), float(pose[2, 3])
        heading = float(np.degrees(np.arctan2(float(pose[2, 2]), float(pose[0, 2]))))
        for more in _HEADINGS:
            yield round(x, 3), round(y, 3), round(heading + more, 2)
