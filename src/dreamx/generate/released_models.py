"""Sampling of the released models when they make videos, as the official scripts do it or as it was chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dreamx import released
from dreamx.budget import fit
from dreamx.budget.fit import must_fit
from dreamx.budget.plan import on, plan_of
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.devices import best, device_of
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.released import SIZE, ReleasedNetworks

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


def chosen(
    kind: TransformerMeta, size: tuple[int, int] | None, steps: int | None, guidance: float | None, device: str | None
) -> Sampling:
    """The defaults but for what was said."""
    found = defaults(kind)
    if guidance is not None and kind.past is not None:
        raise ValueError("guidance: the causal model is distilled and takes none; leave it out")
    return replace(
        found,
        size=size or found.size,
        steps=found.steps if steps is None else steps,
        guidance=found.guidance if guidance is None else guidance,
        device=device or found.device,
    )


def build(world: str, found: Checkpoint, sampling: Sampling, latents: int, spare: bool) -> ReleasedNetworks:
    """The networks on the device (``released.build``). ``latents``: frames of a video, in latents. ValueError, which says what to
    change, where all of it does not fit."""
    refuse_too_large(world, found, sampling, latents, spare)
    return released.build(world, found, sampling.size, device_of(sampling.device), spare)


def refuse_too_large(world: str, found: Checkpoint, sampling: Sampling, latents: int, spare: bool) -> None:
    """ValueError, which says what to change, where a video of so many latents does not fit into the device's memory."""
    past, device = found.kind.past or CausalConfig(latents, latents, 0), device_of(sampling.device)
    plan = replace(plan_of(world, sampling.size), past=past, reader=0, lent=spare)
    released.check_size(sampling.size, plan.shrink * plan.dit.patch)
    need = fit.need(on(plan, device))
    # All frames at once keep nothing for later. The text encoder is gone by then.
    must_fit(on(plan, device), device, need.making - (need.past if found.kind.past is None else 0.0))
