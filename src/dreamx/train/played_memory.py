"""Re-projected memory in rollouts of training, as at play: what was made is decoded, remembered, and shown of the next frames.

The hints of a file of latents were made from true frames. At play they are made from what the student drew, with its mistakes,
which it repeats and adds to as long as it never saw such hints in training. Self Forcing (arXiv 2506.08009) for memory; ours.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.frames import Frames, hint_shape
from dreamx.geometry.camera import Camera, stack
from dreamx.geometry.path import resample
from dreamx.geometry.reproject import View
from dreamx.memory import Bank, MemoryConfig, drop_contradicted, hint_latents, recalled_view
from dreamx.model.depth_net import Depth
from dreamx.model.vae import GROUP, VAE, State, fingerprint
from dreamx.world import World


class PlayedMemory:
    """One ``Bank`` for each of some sequences side by side, and the decoder's stream of them all; on the CPU, latent by latent.

    deep: guesses the depth of the first frame; None: it is the decoder's. Cameras are in the axes of the sequence. The first
    frame is remembered as it is decoded, where play remembers the picture that it was.
    """

    def __init__(self, vae: VAE, deep: Depth | None, config: MemoryConfig) -> None:
        self.vae, self.deep, self.config = vae, deep, config
        self.begin(torch.zeros(0, dtype=torch.bool))

    def begin(self, used: Tensor) -> None:
        """Begin new sequences; those that are not ``used [B]`` remember nothing."""
        self.banks = {row: Bank(self.config) for row in used.nonzero()[:, 0].tolist()}
        self._decoder: State | None = None  # None: the next latent is the first, of one video frame
        self._shown: View | None = None  # of the next latent, to the decoder

    @torch.no_grad()
    def next(self, before: Camera, frames: Frames) -> Frames:
        """Return the next latent of each sequence ``[B, 1]`` with what memory shows of it; the one before is at ``before [B]``.

        Its four video frames lie on the straight way between both cameras: files of latents have one camera a latent.
        """
        hint = torch.zeros(hint_shape(frames.z))
        if self._decoder is not None:
            ends = stack([before, frames.camera[:, 0]]).to("cpu").map(lambda x: x.transpose(0, 1))  # [B, 2]
            way = resample(ends, torch.arange(1, GROUP + 1) / GROUP)  # [B, 4]
            seen = [view for row, bank in self.banks.items() if (view := recalled_view(bank, way[row])[0]) is not None]
            self._shown = View(*(torch.stack(x) for x in zip(*((v.rgb, v.depth, v.known) for v in seen), strict=True)))
            latest = torch.stack([m.rgb for bank in self.banks.values() if (m := bank.latest) is not None]).float()
            hint[list(self.banks)] = hint_latents(self.vae, latest, self._shown)
        return replace(frames, hint=hint.to(frames.z))

    @torch.no_grad()
    def remember(self, made: Frames) -> None:
        """Decode the latents that were made ``[B, 1]``, and remember their last video frame."""
        if not self.banks:
            return
        rows, first = list(self.banks), self._decoder is None
        here = made.to(torch.device("cpu"))
        z, hint = here.z.detach()[rows].float(), None if here.hint is None else here.hint[rows].float()
        seen = drop_contradicted(self.config, z, hint, self._shown)
        pixels, self._decoder = self.vae.push(z[:, 0], self._decoder, seen)
        depth = self.deep.metres(pixels.rgb[:, -1])[:, None] if first and self.deep is not None else pixels.depth
        for i, (row, bank) in enumerate(self.banks.items()):
            bank.remember(pixels.rgb[i, -1], depth[i, -1], here.camera[row, -1])

    def state(self) -> dict[str, Any]:
        """Return the memories as tensors, to be saved."""
        banks = {str(row): bank.state() for row, bank in self.banks.items()}
        return {"banks": banks, "decoder": None if self._decoder is None else list(self._decoder)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.begin(torch.zeros(0, dtype=torch.bool))
        for row, kept in state["banks"].items():
            self.banks[int(row)] = Bank(self.config)
            self.banks[int(row)].restore(kept)
        self._decoder = None if state["decoder"] is None else tuple(state["decoder"])


def open_memory(folder: Path, encoded_by: str, eventful: bool = False) -> PlayedMemory:
    """Open the memory of a world. ValueError where it has none, or the latents were ``encoded_by`` another autoencoder, or are
    ``eventful``: what is told is decoded in other ways at play."""
    world = World.open(folder)
    if world.config.memory is None or not isinstance(world.vae, VAE):
        raise ValueError(f"world: {folder} has no re-projected memory to play; give a world with it, or leave this out")
    if eventful:
        raise ValueError(
            "world: memory is played where nothing happens, and data (or more) has clips with events; leave these out"
        )
    if encoded_by and (name := fingerprint(world.vae)) != encoded_by:
        raise ValueError(
            f"world: the autoencoder of {folder} is {name}, and the latents were encoded by {encoded_by}; give one that has it"
        )
    return PlayedMemory(world.vae.requires_grad_(False), world.depth, world.config.memory)
