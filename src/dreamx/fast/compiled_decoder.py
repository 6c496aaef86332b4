"""The decoder of our autoencoder, compiled: one graph for the first latent of a stream, and one for the others."""

from __future__ import annotations

from torch import nn

from dreamx.fast.shared_copy import shared_copy
from dreamx.model.vae import VAE


def compile_decoder(vae: VAE, backend: str = "inductor") -> VAE:
    """The same autoencoder around the same weights, its decoder compiled when it first runs; ``vae`` stays as it is.

    backend: of ``torch.compile``. A graph that breaks is an error of torch.
    """
    other = shared_copy(vae)
    parts: list[nn.Module] = [other.decoder, *([] if other.hint is None else [other.hint])]
    for part in parts:
        part.compile(fullgraph=True, dynamic=False, backend=backend)
    return other
