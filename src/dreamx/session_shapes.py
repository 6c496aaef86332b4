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

#: By name: a shape, and the dtypes that it may have, of which the first is named to whoever has another.
Table = dict[str, tuple[Shape, tuple[torch.dtype, ...]]]

#: Networks compute in one of these, by the device; a session goes on on another, too.
_COMPUTED = (torch.float32, torch.bfloat16, torch.float16)
_F32 = (torch.float32,)


@cache
def past_shapes(dit: DiTConfig, latent: Shape, past: CausalConfig) -> dict[str, Shape]:
    """Shapes of ``KVCache.state`` after one latent frame of shape ``latent [C, h, w]``, by name; asked of the network itself,
    without weights or numbers."""
    with torch.device("meta"), torch.inference_mode():
        kept, here = past.cache(), level().map(lambda x: x.to("meta")[None, None])
        write_context(DiT(dit), clean(torch.empty(1, 1, *latent), here), torch.empty(1, 1, dit.text), kept)
    return {k: tuple(x.shape) for k, x in kept.state().items()}


@cache
def decoder_table(vae: VAEConfig | WanVAEConfig, latent: Shape, opening: bool) -> Table:
    """The decoder's ``State`` by its names in a file, after the ``opening``, the first latent, or after any later one."""
    with torch.device("meta"), torch.inference_mode():
        net = VAE(vae) if isinstance(vae, VAEConfig) else WanVAE(vae)
        _, state = net.push(torch.empty(1, *latent), None)
        _, state = (None, state) if opening else net.push(torch.empty(1, *latent), state)
    return {f"decoder.{i}": (tuple(x.shape), _COMPUTED) for i, x in enumerate(state)}


def session_table(
    tensors: Mapping[str, Tensor],
    made: tuple[int, int],
    config: WorldConfig,
    dit: DiTConfig,
    vae: VAEConfig | WanVAEConfig,
) -> Table:
    """All tensors of a session in these networks, given how many frames ``tensors`` hold; ``config``: its own.

    made: the number of its next chunk, and how many steps it keeps.

    The text's tokens are not among them: ``LentText.checked`` knows those.
    """
    h, w = config.height, config.width
    latent, index = (vae.latent, h // vae.shrink, w // vae.shrink), tensors.get("cache.index")
    # One latent was made. What is known by heart may have been shown since, without a word to the cache.
    opening = made[0] < 2 and (index is None or not bool(index.flatten()[-1:].any()))
    want = {"pose": ((4, 4), _F32), "lens": ((4,), _F32)} | decoder_table(vae, latent, opening)
    if opening and index is None:
        want["known"] = (1, 1, *latent), _F32
    for name, shape in {} if index is None else past_shapes(dit, latent, config.causal).items():
        kinds = _COMPUTED if "." in name else (torch.int64,) if name == "index" else _F32
        want[f"cache.{name}"] = (1, _rows(index), *shape[2:]), kinds
    if config.causal.from_before:
        want["before"] = (4, 4), (torch.float64,)
    if config.memory is not None:
        n = _rows(tensors.get("memory.pose"), 0)
        pictures: dict[str, Shape] = {"memory.rgb": (n, 3, h, w), "memory.depth": (n, h, w)}
        want |= {"memory.pose": ((n, 4, 4), _F32), "memory.lens": ((n, 4), _F32)}
        want |= {name: (shape, (torch.float16,)) for name, shape in pictures.items()}
    if config.causal.packed is not None and (kept := tensors.get("packed.index")) is not None:
        n, whole = _rows(kept), (torch.int64,)
        want |= {"packed.z": ((n, *latent), _COMPUTED), "packed.index": ((n,), whole), "packed.chunk": ((n,), whole)}
        want |= {"packed.pose": ((n, 4, 4), (torch.float64,)), "packed.lens": ((n, 4), (torch.float64,))}
    if config.memory is not None and (late := tensors.get("unwritten.index")) is not None:
        n = _rows(late)
        want |= {"unwritten.z": ((1, n, *latent), _COMPUTED), "unwritten.index": ((1, n), (torch.int64,))}
        want |= {"unwritten.hint": ((1, n, latent[0] + 1, *latent[1:]), _COMPUTED)}
        want |= {"unwritten.pose": ((1, n, 4, 4), _F32), "unwritten.lens": ((1, n, 4), _F32)}
    for i in range(made[1]):
        n = _rows(tensors.get(f"action.{i}.move"), 0)
        want |= {f"action.{i}.{k}": ((n, width), (torch.float32, torch.float64)) for k, width in (("move", 3), ("turn", 2))}
    return want


def check_tensors(tensors: Mapping[str, Tensor], want: Table) -> None:
    """ValueError, which names the tensor, for one that is missing, of another shape or dtype, not finite, or too many."""
    for name, (shape, kinds) in want.items():
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        found = tensors[name]
        if tuple(found.shape) != shape or found.dtype not in kinds:
            ours = f"{_said(kinds[0])} {list(shape)}"
            raise ValueError(f"{name} is {_said(found.dtype)} {list(found.shape)} where it must be {ours}")
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    if odd := sorted(tensors.keys() - want.keys()):
        raise ValueError(f"{odd[0]} is none of its tensors")


def _rows(x: Tensor | None, dim: int = -1) -> int:
    """Return the length of one dimension, which each session has at least 1 of."""
    return 1 if x is None or x.ndim == 0 else max(1, x.shape[dim])


def _said(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
