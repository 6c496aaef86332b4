"""Dialects that are one line of keys: HY-WorldPlay's, minWM's and LingBot-World's, GameCraft's actions, Yume's captions.

``w-31`` is a sentence of both HY-WorldPlay and LingBot-World and means different things: 31 latents (124 frames, 2.48 units) in
the one, 31 frames (1.55 units) in the other. So a dialect is always named, never guessed.
"""

from __future__ import annotations

import re
from itertools import groupby

import torch

from dreamx.geometry.camera import OFFICIAL_LENS, Camera, relative_to, rigid, rotation
from dreamx.geometry.controls import Controls, check_keys
from dreamx.geometry.formats.keys import OFFICIAL, Rule, angles, controls_of, keys_of, path, refuse_other, spread
from dreamx.geometry.formats.motion import (
    LONGEST,
    Files,
    Motion,
    MotionOptions,
    camera_of,
    dump,
    entry,
    json_of,
    number,
    real,
    text_of,
)
from dreamx.plaintext import folded, shown

HY = Rule(0.08, 3.0)
LINGBOT = Rule(0.05, 2.0, ground=True, steepest=85.0)
GROUP = 4  # video frames of a latent
_HY_KEYS = {"w": "w", "s": "s", "a": "a", "d": "d", "up": "i", "down": "k", "left": "j", "right": "l"}
_MINWM = {**{k: k for k in "wsadjlik"}, "u": "+", "dn": "-"}
_GAMECRAFT = {
    "forward": "w", "backward": "s", "left": "a", "right": "d",
    "left_rot": "j", "right_rot": "l", "up_rot": "i", "down_rot": "k",
}  # fmt: skip
CHUNK = 33  # frames of GameCraft's action
_MOVES = {
    "w": "Person moves forward (W).", "a": "Person moves left (A).", "s": "Person moves backward (S).",
    "d": "Person moves right (D).", "wa": "Person moves forward and left (W+A).", "wd": "Person moves forward and right (W+D).",
    "sd": "Person moves backward and right (S+D).", "sa": "Person moves backward and left (S+A).", "": "Person stands still (·).",
}  # fmt: skip
_LOOKS = {
    "l": "Camera turns right (→).", "j": "Camera turns left (←).", "i": "Camera tilts up (↑).", "k": "Camera tilts down (↓).",
    "il": "Camera tilts up and turns right (↑→).", "ij": "Camera tilts up and turns left (↑←).",
    "kl": "Camera tilts down and turns right (↓→).", "kj": "Camera tilts down and turns left (↓←).",
    "": "Camera remains still (·).",
}  # fmt: skip
LINE = 32  # steps of Yume's line: its 33 frames begin with the last of the line before


def read_hy_string(files: Files, asked: MotionOptions) -> Motion:
    """``w-3, right-1, d-4``: one key a segment, lengths in latents and rounded down; n latents are 4 n - 3 frames."""
    keys: list[str] = []
    for number_, word in _segments(text_of(files), ","):
        where = f"segment {number_} {shown(word)}"
        key, dash, length = (x.strip() for x in word.partition("-"))
        if not dash or key.lower() not in _HY_KEYS:
            raise ValueError(f"{where} is not KEY-LATENTS with one key of {', '.join(_HY_KEYS)}; write for example w-3, right-1")
        value = number(length, where)
        if value < 0:
            raise ValueError(f"{where} has a negative length")
        _append(keys, _HY_KEYS[key.lower()], value, LONGEST // GROUP, where)
    camera = spread(path(controls_of(keys, HY), HY), GROUP)
    return Motion(Camera(camera.pose, camera_of(camera.pose, OFFICIAL_LENS).lens), asked.fps or 24.0)


def write_hy_string(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The string whose path this is."""
    names = {v: k for k, v in _HY_KEYS.items()}
    keys = _single(keys_of(motion.camera, HY, GROUP, "hy-string"), "hy-string")
    return {"": (", ".join(f"{names[k]}-{len(list(g))}" for k, g in groupby(keys)) + "\n").encode()}


def read_minwm(files: Files, asked: MotionOptions) -> Motion:
    """``a*4,w*8``: one key a segment, lengths in latents; n of them are 4 n + 1 frames. Or minWM's list of ``trajectory``.

    Its steps are HY-WorldPlay's; ``u`` and ``dn`` move up and down.
    """
    text = text_of(files)
    if text.lstrip()[:1] in ("[", "{"):
        items = json_of(files)
        items = items if isinstance(items, list) else [items]
        if asked.item >= len(items):
            raise ValueError(f"item is {asked.item}, and the list has {len(items)} entries, counted from 0")
        text = entry(items[asked.item], "trajectory", f"entry {asked.item}")
        if not isinstance(text, str):
            raise ValueError(f"entry {asked.item}.trajectory must be text, as a*4,w*8")
    keys: list[str] = []
    for number_, word in _segments(text, ","):
        where = f"segment {number_} {shown(word)}"
        key, _, length = (x.strip() for x in word.partition("*"))
        if key.lower() not in _MINWM or not re.fullmatch(r"\d{1,9}", length, re.ASCII) or int(length) < 1:
            raise ValueError(f"{where} is not KEY*LATENTS with one key of {', '.join(_MINWM)}; write for example a*4,w*8")
        _append(keys, _MINWM[key.lower()], int(length), LONGEST // GROUP, where)
    held = controls_of(["" if k in "+-" else k for k in keys], HY)
    lift = [{"+": -HY.metres, "-": HY.metres}.get(k, 0.0) for k in keys]
    move = torch.stack([held.move[:, 0], torch.tensor(lift, dtype=torch.float64), held.move[:, 2]], -1)
    camera = spread(path(Controls(move, held.turn), HY), GROUP)
    return Motion(camera_of(camera.pose, OFFICIAL_LENS), asked.fps or 16.0)


def write_minwm(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The line whose path this is, of the keys that move on the level and turn."""
    keys = _single(keys_of(motion.camera, HY, GROUP, "minwm"), "minwm")
    return {"": (",".join(f"{k}*{len(list(g))}" for k, g in groupby(keys)) + "\n").encode()}


def read_lingbot_string(files: Files, asked: MotionOptions) -> Motion:
    """``w-10,iw-5,none-3``: any keys together, lengths in frames; F steps are F + 1 frames."""
    keys: list[str] = []
    for number_, word in _segments(text_of(files), ","):
        where = f"segment {number_} {shown(word)}"
        held, dash, length = (x.strip() for x in word.rpartition("-"))
        if not dash or not held or not re.fullmatch(r"\d{1,9}", length, re.ASCII) or int(length) < 1:
            raise ValueError(f"{where} is not KEYS-FRAMES; write for example w-10, iw-5 or none-3")
        try:
            held = "" if held.lower() == "none" else check_keys(held)
        except ValueError as e:
            raise ValueError(f"{where}: {str(e).removeprefix('keys: ')}") from None
        _append(keys, held, int(length), LONGEST - 1, where)
    camera = path(controls_of(keys, LINGBOT), LINGBOT)
    return Motion(camera, asked.fps or 16.0)


def write_lingbot_string(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The string whose path this is."""
    keys = keys_of(motion.camera, LINGBOT, 1, "lingbot-string")
    return {"": (",".join(f"{k or 'none'}-{len(list(g))}" for k, g in groupby(keys)) + "\n").encode()}


def read_gamecraft(files: Files, asked: MotionOptions) -> Motion:
    """``{"action_list": ["w", "left_rot"], "action_speed_list": [0.2, 10]}``: one action and one number a chunk of 33 frames.

    The number is the units of a walk or the degrees of a turn, over the whole chunk.
    """
    data = json_of(files)
    names, speeds = entry(data, "action_list", "it"), entry(data, "action_speed_list", "it")
    if not isinstance(names, list) or not isinstance(speeds, list) or len(names) != len(speeds) or not names:
        raise ValueError("action_list and action_speed_list must be lists of the same length, one entry for each chunk")
    if len(names) > LONGEST // CHUNK:
        raise ValueError(f"action_list has {len(names)} chunks; at most {LONGEST // CHUNK} are read")
    steps: list[tuple[str, float]] = []
    for at, (name, speed) in enumerate(zip(names, speeds, strict=True)):
        key = _GAMECRAFT.get(name, name if name in ("w", "a", "s", "d") else None) if isinstance(name, str) else None
        if key is None:
            raise ValueError(f"action_list.{at}: {str(name)[:40]!r} is none of w a s d, {', '.join(_GAMECRAFT)}")
        value = real(speed, f"action_speed_list.{at}")
        if value < 0:
            raise ValueError(f"action_speed_list.{at} is negative; name the opposite action instead")
        steps.append((key, value))
    return Motion(camera_of(_gamecraft(steps), OFFICIAL_LENS), asked.fps or 25.0)


def write_gamecraft(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The actions whose path this is."""
    c = motion.camera
    if (len(c) - 1) % CHUNK or len(c) == 1:
        raise ValueError(f"gamecraft has chunks of {CHUNK} frames after the first frame, and this path has {len(c)} frames")
    seen = relative_to(c, c[0])
    step = relative_to(seen[CHUNK::CHUNK], seen[:-1:CHUNK]).pose
    steps: list[tuple[str, float]] = []
    for (yaw, pitch), (right, _, forward) in zip(
        torch.stack(angles(step[:, :3, :3]), -1).tolist(), step[:, :3, 3].tolist(), strict=True
    ):
        pairs = ((forward, "w", "s"), (right, "d", "a"), (pitch, "i", "k"), (yaw, "l", "j"))
        value, more, less = max(pairs, key=lambda p: abs(p[0]))
        steps.append((more if value >= 0 else less, abs(value)))
    again = Camera(_gamecraft(steps), seen.lens)
    refuse_other(seen, again, "gamecraft", "one even walk or turn for each 33 frames")
    names = {v: k for k, v in _GAMECRAFT.items()}
    return {"": dump({"action_list": [names[k] for k, _ in steps], "action_speed_list": [v for _, v in steps]})}


def _gamecraft(steps: list[tuple[str, float]]) -> torch.Tensor:
    """Poses ``[33 n + 1, 4, 4]``: each action spread evenly over its chunk, in the camera's own axes."""
    u = torch.arange(1, CHUNK + 1, dtype=torch.float64) / CHUNK
    poses = [torch.eye(4, dtype=torch.float64)[None]]
    for key, value in steps:
        unit = controls_of([key], Rule(1.0, 1.0))
        yaw, pitch = (unit.turn[0] * value).tolist()
        r = rotation("y", u * yaw) @ rotation("x", u * pitch)
        poses.append(poses[-1][-1] @ rigid(r, u[:, None] * unit.move * value))
    return torch.cat(poses)


def read_yume(files: Files, asked: MotionOptions) -> Motion:
    """Captions, one a line of two seconds, in which a sentence names the walk and another the look."""
    keys: list[str] = []
    lines = [x for x in text_of(files).splitlines() if x.strip()]
    if len(lines) > LONGEST // LINE:
        raise ValueError(f"it has {len(lines)} lines; at most {LONGEST // LINE} are read")
    for at, line in enumerate(lines, 1):
        move, look = (_said(line, table, at, what) for table, what in ((_MOVES, "Person moves"), (_LOOKS, "Camera turns")))
        keys += [move + look] * LINE
    note = "Yume gives no speeds with its sentences; 0.075 m and 1.5 degrees a frame, DreamX's own, are taken for them."
    return Motion(path(controls_of(keys, OFFICIAL), OFFICIAL), asked.fps or 16.0, (note,))


def write_yume(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The captions whose path this is; what is seen comes from ``caption``."""
    keys = keys_of(motion.camera, OFFICIAL, 1, "yume")
    if len(keys) % LINE or not keys:
        raise ValueError(f"yume has lines of {LINE} steps: it needs a path of {LINE} k + 1 frames, not {len(motion.camera)}")
    lines: list[str] = []
    for at in range(0, len(keys), LINE):
        now = set(keys[at : at + LINE])
        if len(now) > 1:
            raise ValueError(f"yume has one walk and one look for each {LINE} steps, and they change after frame {at}; use poses")
        held = now.pop()
        move, look = ("".join(k for k in held if k in kind) for kind in ("wsad", "ikjl"))
        seen = f"{asked.caption.strip()} " if asked.caption.strip() else ""
        lines.append(f"{seen}{_MOVES[_order(move, 'wsad')]} {_LOOKS[_order(look, 'ikjl')]}")
    return {"": ("\n".join(lines) + "\n").encode()}


def _order(keys: str, order: str) -> str:
    return "".join(sorted(keys, key=order.index))


def _said(line: str, table: dict[str, str], at: int, what: str) -> str:
    found = [keys for keys, sentence in table.items() if sentence in line]
    if len(found) != 1:
        raise ValueError(
            f"line {at} has {len(found)} sentences of Yume's {what!r} vocabulary; it must have one, as {table['']!r}"
        )
    return found[0]


def _single(keys: list[str], dialect: str) -> list[str]:
    for at, held in enumerate(keys):
        if len(held) != 1:
            words = f"{held!r} are held together" if held else "nothing moves"
            raise ValueError(f"{dialect} holds exactly one key at a time, and {words} at latent {at + 1}; use hy-inference")
    return keys


def _segments(text: str, comma: str) -> list[tuple[int, str]]:
    words = [w.strip() for w in folded(text).strip().rstrip(comma).split(comma)]
    if not any(words):
        raise ValueError("it is empty; write for example w-3")
    if not all(words):
        raise ValueError(f"segment {words.index('') + 1} is empty; take the comma out")
    return [(i, w[:40]) for i, w in enumerate(words, 1)]


def _append(keys: list[str], held: str, count: float, limit: int, where: str) -> None:
    if count > limit - len(keys):
        raise ValueError(f"{where}: the whole path may last at most {LONGEST} frames")
    keys += [held] * int(count)
