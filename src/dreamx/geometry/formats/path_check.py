"""Find what is wrong with a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Speed
from dreamx.geometry.formats.causes import angle, cause, steps
from dreamx.geometry.formats.motion import Motion

__all__ = ["Problem", "angle", "doubts", "problems", "refuse_broken"]

#: How far from a rotation a matrix may be: files are written with four digits, too.
RIGID = 1e-3


@dataclass(frozen=True)
class Problem:
    """kind: a word for programs. says: a sentence with the frame and the fix. fatal: nothing can be made of the path."""

    kind: str
    says: str
    fatal: bool = False


def refuse_broken(motion: Motion) -> None:
    """ValueError for the first matrix that is no rotation or left-handed: everything else here takes them for rigid."""
    for problem in _broken(motion.camera):
        raise ValueError(f"{problem.says}; dreamx trajectory check says more")


def problems(motion: Motion, speed: Speed | None = None) -> list[Problem]:
    """Everything that is doubtful about a path, the worst first; an empty list where it is as the models were taught.

    speed: at which the model was taught to move and turn, by default the official one.
    """
    found = list(_broken(motion.camera))
    found += _count(len(motion.camera))
    if any(p.fatal for p in found) or len(motion.camera) < 2:
        return found
    camera = motion.camera
    why = cause(camera, motion.every)
    if why is not None:  # what else is wrong is asked of the path that is meant: else it would be told to be scaled
        found.append(Problem(why.kind, why.says))
        camera = why.camera
    return [*found, *_repeated(camera), *_jumps(camera), *_scale(camera, motion.fps, speed or Speed())]


def doubts(motion: Motion) -> list[str]:
    """Sentences about what is odd and harms no path: a lens that no picture of a usual size has."""
    fx, fy, cx, cy = motion.camera.lens.unbind(-1)
    odd = ((fx < 0.15) | (fy < 0.15) | (fx > 10) | (fy > 10) | ((cx - 0.5).abs() > 0.5) | ((cy - 0.5).abs() > 0.5)).nonzero()
    if not len(odd):
        return []
    lens = " ".join(f"{x:.3g}" for x in motion.camera.lens[int(odd[0])].tolist())
    says = "its focal lengths or its middle are out of the picture"
    return [f"The lens of frame {int(odd[0])} is {lens} (fx fy cx cy as shares): {says}, so it may be in pixels of another size."]


def _broken(camera: Camera) -> Iterator[Problem]:
    r = camera.pose[:, :3, :3]
    off = (r @ r.mT - torch.eye(3, dtype=r.dtype)).abs().amax((-1, -2))
    bad = (off > RIGID).nonzero()
    if len(bad):
        at = int(bad[0])
        cause = "it is a rotation times a number, so divide it" if _scaled(r[at]) else "the file may be cut, or of another layout"
        yield Problem(
            "rotation",
            f"the matrix of frame {at} (and of {len(bad)} in all) is no rotation, off by {float(off[at]):.2g}: {cause}",
            fatal=True,
        )
        return
    left = (torch.linalg.det(r) < 0).nonzero()
    if len(left):
        yield Problem(
            "handedness",
            f"the axes of frame {int(left[0])} (and of {len(left)} in all) are left-handed (determinant -1), as Unreal's "
            "and Unity's are: turn one axis of the camera and of the world around",
            fatal=True,
        )


def _scaled(r: Tensor) -> bool:
    """Is it a rotation times a number?"""
    g = r @ r.mT
    return float((g - g.diagonal().mean() * torch.eye(3, dtype=r.dtype)).abs().max()) < RIGID * max(1.0, float(g.abs().max()))


def _count(frames: int) -> list[Problem]:
    if (frames - 1) % 4 == 0:
        return []
    near = [n for n in ((frames - 1) // 4 * 4 + 1, -(-(frames - 1) // 4) * 4 + 1) if n > 0]
    return [
        Problem("frames", f"{frames} frames are not 4 k + 1, which the models make: cut or fill up to {near[0]} or {near[1]}")
    ]


def _repeated(camera: Camera) -> list[Problem]:
    """Frames that stand still between others that move, again and again: poses of fewer frames a second than the film has."""
    move, turn = steps(camera)
    still = ((move.norm(dim=-1) < 1e-9) & (turn < 1e-6)).tolist()
    spans = [(held, len(list(group))) for held, group in groupby(still)]
    pauses = [n for held, n in spans[1:-1] if held]
    if len(pauses) < 4 or max(pauses) > 4 or sum(pauses) * 4 < len(still):
        return []
    first = still.index(True)
    says = f"{sum(still)} frames repeat the pose of the one before, as frame {first + 1} that of frame {first}"
    return [Problem("repeated", f"{says}: take them out, or give the frames a second that the poses have")]


def _jumps(camera: Camera) -> list[Problem]:
    move, turn = steps(camera)
    found: list[Problem] = []
    for values, unit, least, alone in ((move.norm(dim=-1), "m", 0.05, 0.5), (turn, "degrees", 3.0, 10.0)):
        moving = values[values > 1e-6]
        if not len(moving):
            continue
        few = len(moving) < 4  # one jump is its own median
        usual = 0.0 if few else float(moving.median())
        far = (values > (alone if few else max(5 * usual, least))).nonzero()
        if len(far):
            at = int(far[0])
            found.append(
                Problem(
                    "jump",
                    f"between frames {at} and {at + 1} it jumps {float(values[at]):.3g} {unit} where {usual:.3g} {unit} are usual"
                    + (f", and {len(far) - 1} times more" if len(far) > 1 else "")
                    + ": cut there, or take the wrong pose out",
                )
            )
    return found


def _scale(camera: Camera, fps: float, speed: Speed) -> list[Problem]:
    """Speeds that the model never met in training: a quarter of its speed to twice as much."""
    move, turn = steps(camera)
    found: list[Problem] = []
    each = (
        ("moves", move.norm(dim=-1), speed.metres_per_second, "m/s", "multiply its places by"),
        ("turns", turn, speed.degrees_per_second, "degrees a second", "play it at a frame rate times"),
    )
    for verb, values, taught, unit, fix in each:
        moving = values[values > 1e-6]
        if not len(moving):
            continue
        now = float(moving.median()) * fps
        if verb == "turns" and now < taught:
            continue  # a slow turn is a straight walk, which every model knows
        if not taught / 4 <= now <= taught * 2:
            found.append(
                Problem(
                    "scale", f"it {verb} at {now:.3g} {unit}, and the model was taught {taught:.3g}: {fix} {taught / now:.3g}"
                )
            )
    return found
