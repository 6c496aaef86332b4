"""The video autoencoder of Wan2.2 through ``WanVAE``, group by group as in play."""

from __future__ import annotations

from dataclasses import replace

import torch

from dreamx.checkpoints import wan_vae_names
from dreamx.conformance.vectors import Vectors, error
from dreamx.model import wan_vae
from dreamx.model.vae import State


def autoencoder(vectors: Vectors) -> dict[str, float]:
    """The video to its latents, and the official latents to a video. All sizes are in the tensors of the file."""
    weights = vectors.weights()
    spread = {name: tuple(vectors[f"latent_{name}"].flatten().tolist()) for name in ("mean", "std")}
    config = replace(wan_vae_names.config_of(weights), mean=spread["mean"], std=spread["std"])
    vae = wan_vae.load(wan_vae_names.from_official(weights, config), config)
    latents = vectors["latents"].float().movedim(1, 2)  # [B, T, C, h, w]
    made: list[torch.Tensor] = []
    state: State | None = None
    for z in latents.unbind(1):
        frames, state = vae.planes(z, state)
        made.append(frames)
    return {
        "latents": error(vae.encode(vectors["video"].float().movedim(1, 2)), latents),
        "reconstruction": error(torch.cat(made, 1).movedim(1, 2), vectors["reconstruction"]),
    }
