"""Paths: scripted key presses, their compact text, and cameras in between cameras.

A script is a list with one string of held keys a frame, as ``controls.from_keys`` takes it. Its text is what a file or a
command line holds: spans ``keys*frames`` joined by commas, ``-`` for no key held: ``w*16,wj*32,-*8``.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, rigid
from dreamx.geometry.controls import check_keys
from dreamx.plaintext import folded, shown

_BACK = str.maketrans("wsadijkl", "swdaklij")  # each key and its opposite
_LONGEST = 1_000_000  # frames in one script: 17 hours at 16 fps, and far from what would fill the memory
#: Words for keys, in action files alone. Which of them step and which look is another thing in every game.
_NAMED = {"forward": "w", "forwards": "w", "backward": "s", "backwards": "s", "back": "s", "none": "", "-": ""}
_UNCLEAR = {"left": ("a", "j"), "right": ("d", "l"), "up": ("w", "i"), "down": ("s", "k")}
_ARROWS = {"←": "left", "→": "right", "↑": "up", "↓": "down"}


def straight(frames: int, keys: str = "w") -> list[str]:
    """The same keys held for ``frames`` frames."""
    return [check_keys(keys)] * frames


def turn(frames: int, keys: str = "j") -> list[str]:
    """Look around on the spot; 240 frames are one turn at the default 1.5 degrees a frame."""
    return straight(frames, keys)


def out_and_back(frames: int, keys: str = "w") -> list[str]:
    """Half of the frames out, half back under the opposite keys; an odd frame in the middle stays.

    Ends where it started when the keys only move or only turn about one axis: a mixture is an arc, and turning before
    stepping does not undo stepping after turning.
    """
    out = check_keys(keys)
    return [out] * (frames // 2) + [""] * (frames % 2) + [check_keys(out.translate(_BACK))] * (frames // 2)


def loop(frames: int, keys: str = "l", corner: int = 60) -> list[str]:
    """Walk around a square and look where you go: four sides, four corners of ``corner`` frames under the turning ``keys``.

    At the default speed 60 frames are a quarter turn, so that the last camera is the first. Frames that do not divide into
    four equal sides are spent standing at the end. ValueError when there are too few frames for the corners alone.
    """
    side = frames // 4 - corner  # frames of one side
    if side < 1:
        raise ValueError(f"frames: a loop with corners of {corner} frames needs at least {4 * corner + 4}, not {frames}")
    return (["w"] * side + [check_keys(keys)] * corner) * 4 + [""] * (frames % 4)


def parse_actions(text: str) -> list[str]:
    """``"w*16,wj*32,-*8"`` -> held keys, one string a frame. Without ``*`` a span is one frame; ValueError names the span."""
    keys: list[str] = []
    for number, span in enumerate(folded(text).strip().rstrip(",").split(","), start=1):
        held, star, count = (part.strip() for part in span.partition("*"))
        where = f"actions: span {number} {shown(span.strip())}"
        if not held or (star and not (count.isascii() and count.isdigit())):
            raise ValueError(f"{where} is not of the form keys*frames; write for example w*16 or wj*32, and -*8 to stay")
        try:
            held = read_keys(held)
        except ValueError as error:
            raise ValueError(f"{where}: {str(error).removeprefix('keys: ')}") from None
        # Longer ones are refused either way, and int() of 5000 digits is an error of its own.
        frames = int(count[:9]) if star else 1
        if not 1 <= frames <= _LONGEST - len(keys):
            raise ValueError(f"{where} must last at least 1 frame, and the whole script at most {_LONGEST}")
        keys += [held] * frames
    return keys


def read_keys(text: str) -> str:
    """Held keys as people write them: ``WJ``, ``w+j``, ``forward+j``, ``-`` for none. ValueError for what is none or unclear."""
    held = ""
    for word in text.lower().replace("+", " ").split():
        name = word.removeprefix("arrow")
        if name in _UNCLEAR or word in _ARROWS:
            step, look = _UNCLEAR[_ARROWS.get(word, name)]
            raise ValueError(f"keys: {shown(word)} may be a step or a look; write {step} to step, or {look} to look")
        held += _NAMED[word] if word in _NAMED else check_keys(word)
    return check_keys(held)


def format_actions(keys: list[str]) -> str:
    """The shortest text that ``parse_actions`` reads back as the same keys."""
    spans = ((held or "-", len(list(group))) for held, group in groupby(check_keys(k) for k in keys))
    return ",".join(f"{held}*{frames}" for held, frames in spans)


def resample(camera: Camera, times: Tensor) -> Camera:
    """Cameras ``[..., N]`` at the fractional indices ``times [N]`` of the last leading axis ``[..., T]``.

    Rotations by quaternion slerp on the shorter arc, positions and lenses linearly. At whole indices the cameras come out
    exactly as they went in. ValueError for times outside 0 .. T - 1.
    """
    last = camera.shape[-1] - 1
    if not bool(((times >= 0) & (times <= last)).all()):
        raise ValueError(f"times must lie between 0 and {last}, the first and last index of the trajectory")
    axis = len(camera.shape) - 1
    before = times.floor().long()
    u = (times - before).to(camera.pose)  # [N]
    a = camera.map(lambda x: x.index_select(axis, before))
    b = camera.map(lambda x: x.index_select(axis, (before + 1).clamp(max=last)))  # the last index has no successor
    r = matrices(_slerp(quaternions(a.pose[..., :3, :3]), quaternions(b.pose[..., :3, :3]), u[:, None]))
    pose = rigid(r, torch.lerp(a.pose[..., :3, 3], b.pose[..., :3, 3], u[:, None]))
    whole = (u == 0)[:, None, None]  # a quaternion and back would cost the last digits
    return Camera(torch.where(whole, a.pose, pose), torch.lerp(a.lens, b.lens, u[:, None].to(a.lens)))


def quaternions(r: Tensor) -> Tensor:
    """Rotations ``[..., 3, 3]`` -> unit quaternions ``[..., 4]`` (w, x, y, z), accurate at every angle.

    All sixteen products ``4 q_i q_j`` are linear in the rotation; the row of the largest component is divided the best.
    """
    a, b, c, d, e, f, g, h, i = r.flatten(-2).unbind(-1)
    products = torch.stack(
        [
            *(1 + a + e + i, h - f, c - g, d - b),
            *(h - f, 1 + a - e - i, b + d, c + g),
            *(c - g, b + d, 1 - a + e - i, f + h),
            *(d - b, c + g, f + h, 1 - a - e + i),
        ],
        dim=-1,
    ).unflatten(-1, (4, 4))
    best = products.diagonal(dim1=-2, dim2=-1).argmax(-1)  # 4 times the largest square, at least 1: no division by nearly 0
    q = products.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    return q / q.norm(dim=-1, keepdim=True)


def matrices(q: Tensor) -> Tensor:
    """Unit quaternions ``[..., 4]`` -> rotations ``[..., 3, 3]``."""
    w, x, y, z = q.unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _slerp(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """Between unit quaternions, along the shorter of the two arcs: q and -q are the same rotation."""
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)  # else it turns the long way round
    angle = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))  # exact when tiny

    def share(part: Tensor) -> Tensor:  # sin(part * angle) / sin(angle), which is `part` at angle 0
        # torch.sinc(x) is sin(pi x) / (pi x), and 1 at 0: no special case for equal rotations.
        return part * torch.sinc(part * angle / torch.pi) / torch.sinc(angle / torch.pi)

    q = share(1 - u) * a + share(u) * b
    return q / q.norm(dim=-1, keepdim=True)
