"""Frames: the only input of the model beside text. Each frame has its own noise level, its own time index and its own camera.

A first image is a frame with sigma 0. History is frames with sigma 0, or with a little context noise. Frames to be generated
have sigma 1. There is nothing else: stages of training and the game differ in which frames they put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.geometry import camera as cameras
from dreamx.geometry.camera import Camera


@dataclass(frozen=True)
class Frames:
    """Latent frames and the facts about each.

    z:      ``[B, T, C, H, W]`` latents.
    sigma:  ``[B, T]`` noise level in [0, 1]; ``z = (1 - sigma) clean + sigma noise``.
    index:  ``[B, T]`` place in time, in latent frames.
    camera: ``[B, T]`` cameras.
    hint:   ``[B, T, C + 1, H, W]`` how the frame looks by re-projected memory, as a latent, and in the last channel how
            much of each place is known; None where there is no memory, which is the same as all 0.
    said:   ``[B, T]`` which row of the text each frame reads, where words change on the way; None: frames of clip b read row b.
    """

    z: Tensor
    sigma: Tensor
    index: Tensor
    camera: Camera
    hint: Tensor | None = None
    said: Tensor | None = None

    def __post_init__(self) -> None:
        if self.z.ndim != 5:
            raise ValueError(f"frames.z must be [batch, time, channels, height, width], not {tuple(self.z.shape)}")
        bt = tuple(self.z.shape[:2])
        said = bt if self.said is None else self.said.shape
        shapes = (("sigma", self.sigma.shape), ("index", self.index.shape), ("camera", self.camera.shape), ("said", said))
        for name, shape in shapes:
            if tuple(shape) != bt:
                raise ValueError(f"frames.{name} must be {bt}, one for each frame of z, not {tuple(shape)}")
        if self.hint is not None and self.hint.shape != (want := hint_shape(self.z)):
            raise ValueError(f"frames.hint must be {tuple(want)} to go with z, not {tuple(self.hint.shape)}")

    def __len__(self) -> int:
        return self.z.shape[1]

    def __getitem__(self, time: slice) -> Frames:
        """A stretch of time."""
        hint, said = (None if x is None else x[:, time] for x in (self.hint, self.said))
        return Frames(self.z[:, time], self.sigma[:, time], self.index[:, time], self.camera[:, time], hint, said)

    def with_z(self, z: Tensor, sigma: Tensor | None = None) -> Frames:
        """The same frames with other contents, and another noise level if given."""
        return replace(self, z=z, sigma=self.sigma if sigma is None else sigma)

    def to(self, device: torch.device) -> Frames:
        """The same frames on a device."""
        hint, said = (None if x is None else x.to(device) for x in (self.hint, self.said))
        return Frames(self.z.to(device), self.sigma.to(device), self.index.to(device), self.camera.to(device), hint, said)


def clean(z: Tensor, camera: Camera, start: int = 0) -> Frames:
    """Known frames: sigma 0, counted from ``start``."""
    b, t = z.shape[:2]
    index = torch.arange(start, start + t, device=z.device).expand(b, t)  # [B, T] without a copy
    return Frames(z, z.new_zeros(b, t), index, camera)


def stack_rows(each: Sequence[Frames]) -> Frames:
    """Put frames of one length beside each other along the batch. All have hints or none has; ``said`` is not kept."""
    hints = [f.hint for f in each if f.hint is not None]
    if len(hints) not in (0, len(each)):
        raise ValueError(f"frames.hint: {len(hints)} of {len(each)} have hints; batch those with and those without apart")
    return Frames(
        torch.cat([f.z for f in each]),
        torch.cat([f.sigma for f in each]),
        torch.cat([f.index for f in each]),
        cameras.cat([f.camera for f in each]),
        torch.cat(hints) if hints else None,
    )


def row(frames: Frames, i: int) -> Frames:
    """Row ``i`` of a batch, as a batch of one; ``said`` is not kept."""
    one = slice(i, i + 1)
    hint = None if frames.hint is None else frames.hint[one]
    return Frames(frames.z[one], frames.sigma[one], frames.index[one], frames.camera[one], hint)


def as_hinted(frames: Frames) -> Frames:
    """The same frames, known, with the latents of their hints. ValueError where they have none."""
    if frames.hint is None:
        raise ValueError("frames.hint: these frames have no hint")
    return frames.with_z(frames.hint[:, :, :-1], torch.zeros_like(frames.sigma))


def hint_shape(z: Tensor) -> torch.Size:
    """The shape of hints for latents ``[B, T, C, H, W]``: one channel more."""
    return torch.Size((*z.shape[:2], z.shape[2] + 1, *z.shape[3:]))


def cat(*parts: Frames) -> Frames:
    """Put frames beside each other along time; each keeps its noise level, index, camera, hint and words."""
    hinted = any(f.hint is not None for f in parts)
    # Frames without a hint stand beside frames with one: all 0 says that nothing is known.
    hints = [f.z.new_zeros(hint_shape(f.z)) if f.hint is None else f.hint for f in parts] if hinted else []
    return Frames(
        torch.cat([f.z for f in parts], 1),
        torch.cat([f.sigma for f in parts], 1),
        torch.cat([f.index for f in parts], 1),
        cameras.cat([f.camera for f in parts], 1),
        torch.cat(hints, 1) if hinted else None,
        torch.cat(said, 1) if (said := [f.said for f in parts if f.said is not None]) else None,
    )


def repeat_rows(frames: Frames, times: int) -> Frames:
    """Each row ``times`` times, side by side: ``[B, T]`` to ``[B times, T]``. A single row is not copied."""
    hint, said = (None if x is None else repeat(x, times) for x in (frames.hint, frames.said))
    z, sigma, index = (repeat(x, times) for x in (frames.z, frames.sigma, frames.index))
    return Frames(z, sigma, index, frames.camera.map(lambda x: repeat(x, times)), hint, said)


def repeat(x: Tensor, times: int) -> Tensor:
    """Return each row ``times`` times, side by side; a single row is not copied."""
    return x.expand(times, *x.shape[1:]) if len(x) == 1 else x.repeat_interleave(times, 0)
