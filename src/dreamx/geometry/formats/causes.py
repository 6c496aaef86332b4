"""Why a path looks wrong: matrices inverted, all or some; other axes; frames in another order. Each by the path it would mend.

People walk where they look, their heads stay upright, and their next step is like the last. A path that breaks this, and keeps it
once a known mistake is undone, was made with that mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to, rigid, se3_inverse
from dreamx.geometry.formats.keys import spread
from dreamx.geometry.path import matrices, quaternions

_MOST = 2000  # frames that are looked at for another order, which takes their square
_SMOOTH = 0.4  # of the steps' lengths: how much they change along a path in order
_LEAP = 3.0  # times the usual step: what a path in order does not hold
_TURNED = 30.0  # degrees in all: a path that turns less looks the same in many axes


@dataclass(frozen=True)
class Cause:
    """kind: a word for programs. says: a sentence. camera: the path without the mistake."""

    kind: str
    says: str
    camera: Camera


def cause(camera: Camera, every: int = 1) -> Cause | None:
    """The mistake that explains a path, or None where it needs none. Of ``camera`` every ``every``-th frame was given."""
    given = camera[::every]
    for look in (mixed, jumbled, turned_round):
        if (found := look(given)) is not None:
            return Cause(found.kind, found.says, spread(found.camera, every))
    return None


def steps(camera: Camera) -> tuple[Tensor, Tensor]:
    """Metres along the camera's own axes ``[T - 1, 3]`` and degrees ``[T - 1]`` of each step."""
    step = relative_to(camera[1:], camera[:-1]).pose
    return step[:, :3, 3], angle(step[:, :3, :3])


def angle(r: Tensor) -> Tensor:
    """Degrees ``[...]`` that rotations ``[..., 3, 3]`` turn by, accurate also for small ones."""
    axis = torch.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1)
    return torch.rad2deg(torch.atan2(axis.norm(dim=-1), r.diagonal(dim1=-2, dim2=-1).sum(-1) - 1))


def forward_share(camera: Camera) -> float:
    """Return the share of the way that is forward: -1 to 1; 0 where nothing moves."""
    move, _ = steps(camera)
    way = float(move.norm(dim=-1).sum())
    return float(move[:, 2].sum()) / way if way > 1e-6 else 0.0


def mixed(camera: Camera) -> Cause | None:
    """Some matrices inverted and some not: of each frame the matrix or its inverse, whichever makes the shorter path."""
    if len(camera) < 3:
        return None
    both = torch.stack([camera.pose, se3_inverse(camera.pose)], 1)  # [T, 2, 4, 4]
    step = se3_inverse(both[:-1, :, None]) @ both[1:, None, :]  # [T - 1, before, after, 4, 4]
    far, turn = step[..., :3, 3].norm(dim=-1), angle(step[..., :3, :3])
    cost = far / far[:, 0, 0].sum().clamp(min=1e-9) + turn / turn[:, 0, 0].sum().clamp(min=1e-6)
    total, back = [0.0, 0.0], []
    for (a, b), (c, d) in cost.tolist():
        ways = [(total[0] + a, total[1] + c), (total[0] + b, total[1] + d)]
        back.append([int(w[1] < w[0] - 1e-12) for w in ways])
        total = [min(w) for w in ways]
    now = int(total[1] < total[0])
    labels = [now]
    for choice in reversed(back):
        now = choice[now]
        labels.append(now)
    labels.reverse()
    same = ((both[:, 0] - both[:, 1]).abs().amax((-1, -2)) < 1e-6).tolist()  # the identity is its own inverse, and says nothing
    if len({x for x, i in zip(labels, same, strict=True) if not i}) < 2:
        return None
    if min(total) > (0.9 if _leaps(camera) else 0.5) * float(cost[:, 0, 0].sum()):
        return None
    frame = torch.arange(len(camera))
    ways = [Camera(both[frame, torch.tensor([x ^ flip for x in labels])], camera.lens) for flip in (0, 1)]
    flip = int(forward_share(ways[1]) > forward_share(ways[0]))
    if _leaps(ways[flip]):
        return None
    wrong = [i for i, x in enumerate(labels) if x ^ flip and not same[i]]
    return Cause(
        "mixed",
        f"{len(wrong)} of {len(labels)} matrices ({_few(wrong)}) are the other way round: some are world-to-camera and some "
        "camera-to-world; invert these",
        ways[flip],
    )


def jumbled(camera: Camera) -> Cause | None:
    """Frames in another order than that of the film: by the text of their numbers, or in any."""
    n = len(camera)
    if n < 5 or n > _MOST or not (_leaps(camera) or _rough(camera) > 2 * _SMOOTH):
        return None
    long = _way(camera)
    for first in (0, 1):
        listed = sorted(range(first, first + n), key=str)
        order = sorted(range(n), key=lambda i: listed[i])
        mended = camera[torch.tensor(order)]
        if order != list(range(n)) and _in_order(mended, long):
            few = ", ".join(map(str, listed[:4]))
            says = f"its frames are in the order of text ({few}, ...) and not in that of their numbers; sort them by number"
            return Cause("order", says, mended)
    mended = camera[torch.tensor(_nearest(camera))]
    # From neighbour to neighbour some frames of a winding path are left over; of trembling on the spot no order is smooth.
    wild = _rough(camera) > 1 and _rough(mended) < 0.7 and _way(mended) < 0.5 * long
    if not (wild or _in_order(mended, long)):
        return None
    mended = max(mended, mended[torch.arange(n - 1, -1, -1)], key=forward_share)
    says = "its frames are not in the order of the film: in another order it is a smooth path; sort them by their names"
    return Cause("order", says, mended)


def turned_round(camera: Camera) -> Cause | None:
    """World-to-camera given as camera-to-world, or other axes: the motion is along the wrong axis.

    Of a path and what it would be without a mistake the one that goes forwards is meant. A walk sideways tells nothing.
    """
    now, other = forward_share(camera), forward_share(_inverse(camera))
    if now < -0.7:
        flipped = Camera(camera.pose @ _axes("x -y -z"), camera.lens)
        says = f"it goes backwards for {-100 * now:.0f} % of its way: {_W2C}, or have OpenGL's axes (y up and z back)"
        if other < 0.7:
            says = f"it goes backwards for {-100 * now:.0f} % of its way: it may have OpenGL's axes (y up and z back)"
        return Cause("inverted", says + _REALLY, flipped if other < 0.7 else _inverse(camera))
    others = sorted(((forward_share(c.camera), c) for c in _others(camera)), key=lambda x: -x[0])
    if others and others[0][0] > max(0.95, other + 0.1) and now < 0.6:
        alike = " or ".join(c.says for share, c in others if share > others[0][0] - 0.02)  # on the level some are the same
        best = others[0][1]
        share = f"forwards are {100 * now:.0f} % of its way, and would be {100 * others[0][0]:.0f} %"
        return Cause(best.kind, f"{share}: {alike}{_REALLY}", best.camera)
    # Far from where its world begins, the inverse of a path swings about with every turn, and is many times as long.
    way, back = (float(steps(c)[0].norm(dim=-1).sum()) for c in (camera, _inverse(camera)))
    if (other > 0.45 and now < (0.9 if way > 2 * back else 0.25)) or (other > 0.6 and way > 5 * back):
        says = f"forwards are {100 * now:.0f} % of its way, and {100 * other:.0f} % of its inverse's: {_W2C}"
        return Cause("inverted", says + _REALLY, _inverse(camera))
    return None


_W2C = "it may be world-to-camera where camera-to-world is meant (w2c as c2w)"
_REALLY = "; if it really walks so, all is well"


def _others(camera: Camera) -> Iterator[Cause]:
    """Try other mistakes, where the path turns enough to tell."""
    if float(steps(camera)[1].sum()) < _TURNED:
        return
    r, t = camera.pose[:, :3, :3], camera.pose[:, :3, 3]
    w2c = _inverse(camera).pose
    tries = [
        (
            "rotation-w2c",
            "its rotations may be world-to-camera beside places that are not (transpose the rotations)",
            rigid(r.mT, t),
        ),
        ("axes", "its cameras may have the axes of ROS (x forward, y left, z up)", camera.pose @ _axes("-y -z x")),
    ]
    for said, meant, order in (("w x y z", "x y z w", [1, 2, 3, 0]), ("x y z w", "w x y z", [3, 0, 1, 2])):
        says = f"its quaternions may be in the order {said} where {meant} is meant"
        for pose, back in ((camera.pose, False), (w2c, True)):
            again = rigid(matrices(quaternions(pose[:, :3, :3])[:, order]), pose[:, :3, 3])
            tries.append(("quaternion", says, se3_inverse(again) if back else again))
    for i, axis in enumerate("xyz"):
        sign = torch.ones(3, dtype=t.dtype)
        sign[i] = -1
        tries.append(("mirrored", f"its places may be mirrored along {axis} against its rotations", rigid(r, t * sign)))
    yaw = _turning(camera)[1]
    for kind, says, pose in tries:
        mended = Camera(pose, camera.lens)
        turning = _turning(mended)
        if turning[2] < 0.2 and turning[1] > yaw - 1e-6:
            yield Cause(kind, says, mended)


def _axes(words: str) -> Tensor:
    """``[4, 4]``: the given camera axes that our x, y and z are."""
    m = torch.zeros(4, 4, dtype=torch.float64)
    m[3, 3] = 1
    for ours, word in enumerate(words.split()):
        m["xyz".index(word[-1]), ours] = -1 if word[0] == "-" else 1
    return m


def _inverse(camera: Camera) -> Camera:
    return Camera(se3_inverse(camera.pose), camera.lens)


def _turning(camera: Camera) -> list[float]:
    """The shares of pitch, yaw and roll in all turning."""
    r = relative_to(camera[1:], camera[:-1]).pose[:, :3, :3]
    axis = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], -1).abs().sum(0)
    return (axis / axis.sum().clamp(min=1e-9)).tolist()


def _spots(camera: Camera) -> Tensor:
    """Positions, in parts of the path's extent, and looking directions: ``[T, 9]``, alike for frames that are near each other."""
    t = camera.pose[:, :3, 3]
    extent = float((t.amax(0) - t.amin(0)).max())
    looks = camera.pose[:, :3, [0, 2]].flatten(1) / 2
    return torch.cat([(t - t[0]) / extent if extent > 1e-9 else t * 0, looks], 1)


def _way(camera: Camera) -> float:
    return float(_spots(camera).diff(dim=0).norm(dim=-1).sum())


def _leaps(camera: Camera) -> bool:
    """Whether some steps are much longer than the usual ones."""
    far = _spots(camera).diff(dim=0).norm(dim=-1)
    moving = far[far > 1e-6]
    return len(moving) >= 4 and float(moving.max()) > _LEAP * float(moving.median())


def _rough(camera: Camera) -> float:
    """Return the change between steps, relative to their lengths."""
    step = _spots(camera).diff(dim=0)
    return float(step.diff(dim=0).norm(dim=-1).sum()) / max(float(step.norm(dim=-1).sum()), 1e-9)


def _in_order(mended: Camera, long: float) -> bool:
    return _way(mended) < 0.8 * long and not _leaps(mended) and _rough(mended) < _SMOOTH


def _nearest(camera: Camera) -> list[int]:
    """Order of frames from an end of the path always on to the nearest that is left."""
    far = torch.cdist(_spots(camera), _spots(camera))
    now = int(far[0].argmax())
    order = [now]
    for _ in range(len(camera) - 1):
        far[:, now] = torch.inf
        now = int(far[now].argmin())
        order.append(now)
    return order


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
