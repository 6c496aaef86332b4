"""Sampling of the released models when they make videos, as the official scripts do it or as it was chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dreamx import released
from dreamx.budget.fit import world_must_fit
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.devices import best, device_of
from dreamx.model.causal_config import TransformerMeta
from dreamx.released import SIZE, Choice, ReleasedNetworks

#: What Wan2.2 says a video should not be: the other side of its guidance, in the words that the model was taught with.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
#: Frames a second of both scripts.
FPS = 16.0


@dataclass(frozen=True)
class Sampling:
    """Sampling of a released model. The defaults, which ``defaults`` gives, are those of the official scripts.

    size: rows and columns in pixels. steps: passes of the network, Euler steps if bidirectional; shift: of their noise levels.
    guidance: away from ``negative``, by how much, with cameras on both sides; None: without, as the few-step model is taught.
    context_noise: sigma that history is said to have; the official 0.1 is of 1000. device: torch's name of it.
    """

    size: tuple[int, int]
    steps: int
    shift: float
    guidance: float | None
    negative: str
    context_noise: float
    device: str

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; give at least 1")
        if self.guidance is not None and not 0 < self.guidance < 100:
            raise ValueError(f"guidance is {self.guidance:g}; give a number above 0 and below 100, or leave it out")


def defaults(kind: TransformerMeta) -> Sampling:
    """Those of the official scripts: 4 passes and no guidance if causal, 50 Euler steps and guidance 3 if bidirectional."""
    device = best().type
    if kind.past is None:
        return Sampling(SIZE, 50, 5.0, 3.0, NEGATIVE, 0.0, device)
    return Sampling(SIZE, 4, 5.0, None, "", 1e-4, device)


def chosen(kind: TransformerMeta, choice: Choice, guidance: float | None) -> Sampling:
    """The defaults but for what was said."""
    if guidance is not None and kind.past is not None:
        raise ValueError("guidance: the causal model is distilled and takes none; leave it out")
    said = {"size": choice.size, "steps": choice.steps, "guidance": guidance, "device": choice.device}
    return replace(defaults(kind), **{k: x for k, x in said.items() if x is not None})


def build(world: str, found: Checkpoint, sampling: Sampling, latents: int, spare: bool) -> ReleasedNetworks:
    """The networks of a bidirectional one on the device (``released.build``). ``latents``: frames of a video, in latents.
    ValueError, which says what to change, where all of it does not fit."""
    world_must_fit(world, Choice(sampling.size, sampling.steps, sampling.device, spare), latents)
    return released.build(world, found, sampling.size, device_of(sampling.device), spare)
