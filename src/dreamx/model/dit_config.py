"""Sizes of the transformer."""

from __future__ import annotations

from dataclasses import dataclass

from dreamx.bounds import Heads, Layers, NonNegativeInt, Patch, PositiveFloat, Width


@dataclass(frozen=True)
class ViewConfig:
    """The camera lane."""

    width: Width
    """Channels of its attention, a multiple of ``heads``."""
    heads: Heads
    """Attention heads."""
    pool: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    """Shrinks a frame's token grid (rows, columns) by averaging: released checkpoints (1, 1), the paper (1.7, 2.7) at 22 x 40."""
    rope: NonNegativeInt = 0
    """Channels of each head that carry row and column instead of the camera: none in E-PRoPE, half in full PRoPE."""
    layers: tuple[int, ...] | None = None
    """Layers that have a lane; None means all."""

    def __post_init__(self) -> None:
        _at_least(1, {"view.width": self.width, "view.heads": self.heads})
        _at_least(0, {"view.rope": self.rope})
        if self.width % self.heads:
            raise ValueError(f"view.width {self.width} does not divide over view.heads {self.heads}; take a multiple of it")
        head = self.width // self.heads
        if self.rope % 4 or self.rope >= head:
            words = f"of 4 below the {head} channels of a head, for row and column turn pairs of channels"
            raise ValueError(f"view.rope must be a multiple {words}, not {self.rope}")
        if (head - self.rope) % 4:
            words = f"view.width {self.width} gives each of {self.heads} heads {head} channels, and view.rope takes {self.rope}"
            raise ValueError(f"{words}: what is left must be a multiple of 4, for a camera acts on groups of four")
        if not all(1 <= p < float("inf") for p in self.pool):
            raise ValueError(f"view.pool must be two numbers of 1 or more, not {self.pool}; (1, 1) pools nothing")


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the network."""

    channels: Width
    """Channels of a latent frame."""
    width: Width
    """Channels of a token, a multiple of ``heads``."""
    heads: Heads
    """Attention heads."""
    layers: Layers
    """Transformer blocks."""
    mlp: Width
    """Hidden channels of the feed-forward layers."""
    text: Width
    """Channels of the text encoder's embeddings."""
    patch: Patch = 2
    """Latent pixels along a token's side."""
    frequencies: Width = 256
    """Channels of the sinusoidal embedding of the noise level."""
    eps: PositiveFloat = 1e-6
    """Added to the variance in norms."""
    view: ViewConfig | None = None
    """The camera lane; None: no lane."""
    hint: bool = False
    """Read ``Frames.hint``; its weights start at zero, so that a network without it is unchanged."""

    def __post_init__(self) -> None:
        _at_least(1, {f"dit.{n}": getattr(self, n) for n in ("channels", "width", "heads", "layers", "mlp", "text", "patch")})
        if self.width % self.heads:
            raise ValueError(f"dit.width {self.width} does not divide over dit.heads {self.heads}; take a multiple of it")
        if (self.width // self.heads) % 2:
            words = f"{self.width} gives each of {self.heads} heads {self.width // self.heads} channels"
            raise ValueError(f"dit.width {words}; their number must be even, for positions turn pairs of channels")
        if self.frequencies < 2 or self.frequencies % 2:
            raise ValueError(f"dit.frequencies must be even and 2 or more, not {self.frequencies}: half are cosines, half sines")
        lanes = () if self.view is None or self.view.layers is None else self.view.layers
        if len(set(lanes)) < len(lanes) or any(not 0 <= layer < self.layers for layer in lanes):
            raise ValueError(f"view.layers must be different numbers from 0 to {self.layers - 1}, not {lanes}")


def _at_least(least: int, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{name} must be {least} or more, not {size}")
