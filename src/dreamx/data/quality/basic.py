"""The first stage: is it a video that one would want to watch? Each rule gives None or the reason.

What a rule measures is a function of its own, so that a report can show how all clips lie. Pictures are looked at as brightness
0 to 255, no larger than 160 pixels where that is enough.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip
from dreamx.data.quality.limits import Limits

_SMALL = 160  # pixels of the longer side, enough to see borders, change and text
_MOST = 24  # frames that are looked at, evenly
_BLACK = 20.0  # of 255: brighter is no border
_STROKE = 24.0  # of 255, over two pixels: what an edge of a letter has at least
_STILL = (0.1, 3.0)  # metres and degrees
_HELD = 0.9  # share of the frames in which a letter's edge is at its place


def duration(clip: Clip, limits: Limits) -> str | None:
    """Long enough?"""
    seconds = seconds_of(clip)
    if limits.seconds is None or seconds >= limits.seconds:
        return None
    return f"it lasts {seconds:.2f} s, and {limits.seconds:g} s are wanted"


def rate(clip: Clip, limits: Limits) -> str | None:
    """Enough frames a second?"""
    if limits.fps is None or clip.fps >= limits.fps - 1e-3:
        return None
    return f"it has {clip.fps:g} frames a second, and {limits.fps:g} are wanted"


def text(clip: Clip, limits: Limits) -> str | None:
    """No words over the picture?"""
    if limits.text is None or (share := text_share(clip)) <= limits.text:
        return None
    return f"words cover {100 * share:.1f} % of the picture, and {100 * limits.text:g} % are allowed"


def border(clip: Clip, limits: Limits) -> str | None:
    """No black bars?"""
    if limits.border is None or (share := border_share(clip)) <= limits.border:
        return None
    return f"black borders cover {100 * share:.1f} % of the picture, and {100 * limits.border:g} % are allowed"


def static(clip: Clip, limits: Limits) -> str | None:
    """Does anything change?"""
    if limits.change is None or (change := change_of(clip)) >= limits.change:
        return None
    return f"nothing changes: {change:.2f} of 255 levels at most, and {limits.change:g} are wanted"


def cut(clip: Clip, limits: Limits) -> str | None:
    """One shot?"""
    if limits.cut is None or not (cuts := cuts_of(clip, limits.cut)):
        return None
    return f"the scene is cut at frame {cuts[0]}" + (f", and {len(cuts) - 1} times more" if len(cuts) > 1 else "")


def exposure(clip: Clip, limits: Limits) -> str | None:
    """Neither dark nor burnt out?"""
    light = brightness(clip)
    if limits.dark is not None and light < limits.dark:
        return f"too dark: {light:.0f} of 255 in the mean, and {limits.dark:g} are wanted"
    if limits.bright is not None and light > limits.bright:
        return f"too bright: {light:.0f} of 255 in the mean, and {limits.bright:g} are allowed"
    return None


def blur(clip: Clip, limits: Limits) -> str | None:
    """Sharp?"""
    if limits.blur is None or (value := blurriness(clip)) <= limits.blur:
        return None
    return f"blurred: {value:.2f} on the scale from 0 (sharp) to 1, and {limits.blur:g} is allowed"


# --- what the rules measure -------------------------------------------------------------------------------------------


def seconds_of(clip: Clip) -> float:
    """Seconds from the first frame to the end of the last."""
    return len(clip.video) / clip.fps


def text_share(clip: Clip) -> float:
    """Share of the picture under words that stay while the rest moves.

    Words are where many upright edges of both signs stand close together and do not move; a wall's edge that a straight walk
    keeps in place has one sign. 0 where nothing changes at all, or the camera stands still: then nothing says what stays.
    """
    if change_of(clip) < 1.0 or _stands(clip):
        return 0.0
    y = F.pad(_small(clip), (1, 1, 0, 0), mode="replicate")
    slope = y[..., 2:] - y[..., :-2]  # [F, h, w]
    rows, cols = slope.shape[1:]
    window = (max(3, rows // 16 | 1), max(5, cols // 10 | 1))
    dense: list[Tensor] = []
    for sign in (1.0, -1.0):
        held = (sign * slope > _STROKE).float().mean(0) >= _HELD
        pad = (window[0] // 2, window[1] // 2)
        dense.append(F.avg_pool2d(held.float()[None, None], window, 1, pad, count_include_pad=False))
    return float((torch.minimum(dense[0], dense[1]) > 0.04).float().mean())


def _stands(clip: Clip) -> bool:
    """Whether the camera stays within some centimetres and degrees of where it began."""
    away = (clip.camera.pose[:, :3, 3] - clip.camera.pose[0, :3, 3]).norm(dim=-1).max()
    turned = (clip.camera.pose[:, :3, 2] @ clip.camera.pose[0, :3, 2]).clamp(-1, 1).acos().rad2deg().max()
    return bool(away < _STILL[0] and turned < _STILL[1])


def border_share(clip: Clip) -> float:
    """Share of the picture in rows and columns at its edges that are black in every frame."""
    most = _small(clip).amax(0)  # [h, w]: the brightest that each pixel gets
    rows, cols = (_span(most.amax(axis) > _BLACK) for axis in (1, 0))
    if not rows or not cols:
        return 0.0  # black all over: that is for the exposure to say
    return 1 - rows * cols / most.numel()


def change_of(clip: Clip) -> float:
    """The largest mean difference of a frame from the first, of 255 levels."""
    y = _small(clip)
    return float((y - y[:1]).abs().mean((1, 2)).amax())


def brightness(clip: Clip) -> float:
    """Mean of all pixels, of 255."""
    return float(_small(clip).mean())


def blurriness(clip: Clip) -> float:
    """Return the blur of a clip, from how little a second blur changes it: 0 sharp, 1 flat; median (Crete et al. 2007).

    A flat picture counts as sharp where there is nothing in it to be sharp: the exposure or the change say that.
    """
    frames = [_luma(clip.video[i])[None, None] for i in _few(len(clip.video), 8)]
    values: list[float] = []
    for y in frames:
        for axis in (2, 3):
            if y.shape[axis] < 9:
                continue
            size, pad = ((9, 1), (4, 0)) if axis == 2 else ((1, 9), (0, 4))
            soft = F.avg_pool2d(F.pad(y, (pad[1], pad[1], pad[0], pad[0]), mode="replicate"), size, 1)
            own, left = y.diff(dim=axis).abs(), soft.diff(dim=axis).abs()
            total = float(own.sum())
            if total > 0.2 * own.numel():
                values.append((total - float((own - left).clamp(min=0).sum())) / total)
    return float(torch.tensor(values).median()) if values else 0.0


def cuts_of(clip: Clip, threshold: float) -> list[int]:
    """Frames at which another scene begins, by PySceneDetect. ValueError where that is not installed.

    Its adaptive detector: the score must also stand out from that of the frames around, else a quick turn is taken for a cut.
    """
    try:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector
    except ImportError as e:
        raise ValueError(
            f"limits.cut needs PySceneDetect ({e}); pip install '.[curate]' in the checkout, or set it to None"
        ) from None
    detector = AdaptiveDetector(min_content_val=threshold, min_scene_len=1)
    step = -(-max(clip.video.shape[2:]) // 256)
    pictures = clip.video[:, [2, 1, 0], ::step, ::step].permute(0, 2, 3, 1).contiguous().numpy()  # blue, green, red
    cuts = [c for i, p in enumerate(pictures) for c in detector.process_frame(FrameTimecode(i, clip.fps), p)]
    return [c.frame_num for c in cuts]


def _span(there: Tensor) -> int:
    """Return the length from the first to the last true entry."""
    found = there.nonzero()
    return int(found[-1]) + 1 - int(found[0]) if len(found) else 0


def _few(count: int, most: int) -> list[int]:
    """Indices of at most so many frames, evenly, the first and the last among them."""
    return sorted({round(float(i)) for i in torch.linspace(0, count - 1, min(count, most))})


def _luma(picture: Tensor) -> Tensor:
    """Brightness ``[..., H, W]`` of ``[..., 3, H, W]`` (BT.601)."""
    r, g, b = picture.float().unbind(-3)
    return 0.299 * r + 0.587 * g + 0.114 * b


def _small(clip: Clip) -> Tensor:
    return _small_video(clip.video)


@lru_cache(maxsize=2)  # every rule of a clip looks at the same pictures
def _small_video(video: Tensor) -> Tensor:
    """Brightness ``[f, h, w]`` of a few frames, no larger than is needed."""
    y = _luma(video[_few(len(video), _MOST)])
    scale = _SMALL / max(y.shape[1:])
    if scale >= 1:
        return y
    size = [max(1, round(s * scale)) for s in y.shape[1:]]
    return F.interpolate(y[:, None], size=size, mode="area")[:, 0]
