"""The second stage: do the cameras move as cameras can? Each rule gives None or the reason.

Rules on motion say nothing where a pose is no rigid motion: that has its own rule. Down is where the cameras' own rows point
in the mean, since a real video's world has no known vertical.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip
from dreamx.data.quality.limits import Limits
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.path_check import RIGID, angle

_STILL = 1e-4  # units a frame: less is no step, but noise of numbers
_PACE = 0.05  # units a frame: what a step is held against in a clip that stands but for one or two


def rotations(clip: Clip, limits: Limits) -> str | None:
    """Is every pose a rigid, right-handed, finite one, and the horizon about level?"""
    if wrong := _no_rotation(clip.camera):
        return wrong
    if limits.roll is not None and (roll := roll_of(clip)) > limits.roll:
        return f"the camera rolls to {roll:.0f} degrees, and {limits.roll:g} are allowed"
    return None


def intrinsics(clip: Clip, limits: Limits) -> str | None:
    """One lens, of square pixels, its middle in the picture?"""
    lens = clip.camera.lens.double()
    if not bool(torch.isfinite(lens).all()):
        return "the lens holds NaN or infinity"
    if not bool((lens[:, :2] > 0).all() and ((lens[:, 2:] > 0) & (lens[:, 2:] < 1)).all()):
        return "the lens has a focal length that is not positive, or its middle outside of the picture"
    if limits.zoom is None:
        return None
    if (drift := zoom_of(clip)) > limits.zoom:
        return f"the focal length drifts by {100 * drift:.0f} %, and {100 * limits.zoom:g} % are allowed"
    h, w = clip.video.shape[2:]
    shape = float((lens[:, 0] * w / (lens[:, 1] * h)).log().abs().amax().exp()) - 1
    if shape > limits.zoom:
        return f"pixels are not square: fx and fy differ by {100 * shape:.0f} %; the lens is that of another size"
    return None


def spikes(clip: Clip, limits: Limits) -> str | None:
    """No jumps of the position?"""
    if limits.spike is None or not _sound(clip) or (ratio := spike_of(clip)) <= limits.spike:
        return None
    at = int(_steps(clip).argmax())
    return f"between frames {at} and {at + 1} the camera jumps {ratio:.1f} times its usual step, and {limits.spike:g} are allowed"


def spin(clip: Clip, limits: Limits) -> str | None:
    """No turns that nobody could follow?"""
    if limits.spin is None or not _sound(clip) or (fastest := spin_of(clip)) <= limits.spin:
        return None
    return f"it turns at {fastest:.0f} degrees a second, and {limits.spin:g} are allowed"


def bounce(clip: Clip, limits: Limits) -> str | None:
    """No trembling height?"""
    if limits.bounce is None or not _sound(clip) or (share := bounce_of(clip)) <= limits.bounce:
        return None
    return f"the height trembles by {100 * share:.0f} % of the way of a second, and {100 * limits.bounce:g} % are allowed"


def rescaled(clip: Clip, limits: Limits) -> tuple[Clip, float]:
    """The clip in metres, or in what stands for them, and the factor, which is kept in ``extra["scale"]``.

    A clip whose ``extra["units"]`` is ``metres`` stays as it is. Else the median step of a moving frame becomes that of a held
    key (sheet, 11.3: the paper normalises each trajectory, and does not say how). One that never moves keeps its size.
    """
    steps = _steps(clip)
    moving = steps[steps > _STILL]
    factor = 1.0
    if clip.extra.get("units") != "metres" and len(moving):
        factor = limits.metres / (float(moving.median()) * clip.fps)
    pose = clip.camera.pose.clone()
    pose[:, :3, 3] *= factor
    subject = clip.subject.clone() if clip.subject is not None else None
    if subject is not None:
        subject[:, :3] *= factor
    depth = (clip.depth.float() * factor).to(clip.depth.dtype) if clip.depth is not None else None
    extra = {**clip.extra, "scale": f"{float(clip.extra.get('scale', 1)) * factor:.9g}"}
    if factor == 1.0:
        return replace(clip, extra=extra), factor
    return replace(clip, camera=Camera(pose, clip.camera.lens), depth=depth, subject=subject, extra=extra), factor


# --- what the rules measure -------------------------------------------------------------------------------------------


def roll_of(clip: Clip) -> float:
    """Degrees between the picture's rows and the level, at most; 0 where the level is unknown."""
    r = clip.camera.pose[:, :3, :3].double()
    down = _down(clip)
    if down is None:
        return 0.0
    return float(torch.rad2deg(torch.asin((r[:, :, 0] @ down).abs().clamp(max=1))).amax())


def zoom_of(clip: Clip) -> float:
    """Relative difference between the longest and the shortest focal length."""
    f = clip.camera.lens[:, :2].double()
    return float((f.amax(0) / f.amin(0)).amax()) - 1


def spike_of(clip: Clip) -> float:
    """The longest step as a multiple of the median of those that move, or of a pace where fewer than four do."""
    steps = _steps(clip)
    moving = steps[steps > _STILL]
    if not len(moving):
        return 0.0
    return float(moving.amax() / (moving.median() if len(moving) >= 4 else _PACE))


def spin_of(clip: Clip) -> float:
    """The fastest turn between two frames, degrees a second."""
    r = clip.camera.pose[:, :3, :3].double()
    return float(angle(r[:-1].mT @ r[1:]).amax()) * clip.fps if len(r) > 1 else 0.0


def bounce_of(clip: Clip) -> float:
    """RMS of what is fast (shorter than half a second) in the height, as a share of the level way of a second."""
    down, p = _down(clip), clip.camera.pose[:, :3, 3].double()
    window = max(3, round(clip.fps / 2) | 1)
    if down is None or len(p) <= window:
        return 0.0
    height = (p - p[0]) @ down
    slow = F.avg_pool1d(height[None, None], window, 1)[0, 0]  # without the ends, where a mean would lean over
    fast = height[window // 2 : window // 2 + len(slow)] - slow
    level = (p.diff(dim=0) - (p.diff(dim=0) @ down)[:, None] * down).norm(dim=-1).mean() * clip.fps
    return float(fast.square().mean().sqrt() / level.clamp(min=100 * _STILL * clip.fps))


def _steps(clip: Clip) -> Tensor:
    return clip.camera.pose[:, :3, 3].double().diff(dim=0).norm(dim=-1)


def _down(clip: Clip) -> Tensor | None:
    """The unit vector down ``[3]``: the mean of the pictures' columns, upright or not; None where they cancel out."""
    y = clip.camera.pose[:, :3, 1].double().mean(0)
    return y / y.norm() if float(y.norm()) > 0.2 else None


def _sound(clip: Clip) -> bool:
    return len(clip.camera) > 1 and _no_rotation(clip.camera) is None


def _no_rotation(camera: Camera) -> str | None:
    pose = camera.pose.double()
    bad = (~torch.isfinite(pose).all(-1).all(-1)).nonzero()
    if len(bad):
        return f"the pose of frame {int(bad[0])} (and of {len(bad)} in all) holds NaN or infinity"
    r = pose[:, :3, :3]
    off = ((r @ r.mT - torch.eye(3, dtype=r.dtype)).abs().amax((-1, -2)) > RIGID).nonzero()
    if len(off):
        return f"the matrix of frame {int(off[0])} (and of {len(off)} in all) is no rotation"
    left = (torch.linalg.det(r) < 0).nonzero()
    if len(left):
        return f"the axes of frame {int(left[0])} (and of {len(left)} in all) are left-handed"
    return None
