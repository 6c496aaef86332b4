"""Tensors of a saved session against the networks that go on from it: a world says at once what would fail in its next step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.rollout import write_context
from dreamx.session import WorldConfig

Shape = tuple[int, ...]

#: Networks compute in one of these, by the device; a session goes on on another, too.
_COMPUTED = (torch.float32, torch.bfloat16, torch.float16)


@cache
def network_shapes(
    dit: DiTConfig, vae: VAEConfig | WanVAEConfig, past: CausalConfig, size: tuple[int, int]
) -> tuple[dict[str, Shape], tuple[tuple[Shape, ...], tuple[Shape, ...]]]:
    """Shapes of the past ``KVCache.state`` of one latent frame, by name, and of the decoder's ``State`` after the first latent
    and after any later one; size: rows and columns in pixels. Asked of the networks themselves, without weights or numbers.
    """
    with torch.device("meta"), torch.inference_mode():
        net, decoder = DiT(dit), VAE(vae) if isinstance(vae, VAEConfig) else WanVAE(vae)
        z = torch.empty(1, 1, vae.latent, *(side // vae.shrink for side in size))
        kept = past.cache()
        write_context(net, clean(z, level().map(lambda x: x.to("meta")[None, None])), torch.empty(1, 1, dit.text), kept)
        _, first = decoder.push(z[:, 0], None)
        _, later = decoder.push(z[:, 0], first)
    shapes = tuple(tuple(x.shape) for x in first), tuple(tuple(x.shape) for x in later)
    return {k: tuple(x.shape) for k, x in kept.state().items()}, shapes


def check_tensors(
    tensors: Mapping[str, Tensor], steps: int, config: WorldConfig, dit: DiTConfig, vae: VAEConfig | WanVAEConfig
) -> None:
    """ValueError, which names the tensor, where those of a session of ``steps`` steps are not what these networks go on from.

    config: the session's own. The text's tokens are looked at by the text encoder (``LentText.checked``).
    """
    h, w = config.height, config.width
    kept, (first, later) = network_shapes(dit, vae, config.causal, (h, w))
    index, f32 = tensors.get("cache.index"), (torch.float32,)
    alone = index is None or not bool(index.flatten()[-1:].any())  # one latent was made, the opening
    want: dict[str, tuple[Shape, tuple[torch.dtype, ...]]] = {"pose": ((4, 4), f32), "lens": ((4,), f32)}
    want |= {f"decoder.{i}": (shape, _COMPUTED) for i, shape in enumerate(first if alone else later)}
    if index is None:
        want["known"] = (1, 1, vae.latent, h // vae.shrink, w // vae.shrink), f32
    for name, shape in {} if index is None else kept.items():
        kinds = _COMPUTED if "." in name else (torch.int64,) if name == "index" else f32
        want[f"cache.{name}"] = (1, _rows(index), *shape[2:]), kinds
    if config.causal.from_before:
        want["before"] = (4, 4), (torch.float64,)
    if config.memory is not None:
        n = _rows(tensors.get("memory.pose"), 0)
        pictures: dict[str, Shape] = {"memory.rgb": (n, 3, h, w), "memory.depth": (n, h, w)}
        want |= {"memory.pose": ((n, 4, 4), f32), "memory.lens": ((n, 4), f32)}
        want |= {name: (shape, (torch.float16,)) for name, shape in pictures.items()}
    for i in range(steps):
        n = _rows(tensors.get(f"action.{i}.move"), 0)
        want |= {f"action.{i}.{k}": ((n, width), (torch.float32, torch.float64)) for k, width in (("move", 3), ("turn", 2))}
    for name, (shape, kinds) in want.items():
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        found = tensors[name]
        if tuple(found.shape) != shape or found.dtype not in kinds:
            ours = f"{_said(kinds[0])} {list(shape)}"
            raise ValueError(f"{name} is {_said(found.dtype)} {list(found.shape)} where it must be {ours}")
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    if odd := sorted(tensors.keys() - want.keys() - {"words"}):
        raise ValueError(f"{odd[0]} is none of its tensors")


def _rows(x: Tensor | None, dim: int = -1) -> int:
    """Return the length of one dimension, which each session has at least 1 of."""
    return 1 if x is None or x.ndim == 0 else max(1, x.shape[dim])


def _said(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
