"""What each of several gloo processes makes of shared rows: decoded videos, rollouts, and both after each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dreamx.fast.height_decoder import HeightDecoder
from dreamx.fast.int8 import Int8Config, int8_layers, quantise
from dreamx.fast.residual_reuse import ReuseConfig, block_stack, reuse_residuals
from dreamx.fast.row_slabs import Slabs
from dreamx.fast.ulysses import sequence_parallel
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.reproject import View
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.kv_cache import KVCache
from dreamx.model.masks import by_chunk
from dreamx.model.vae import VAE, Pixels, VAEConfig
from dreamx.model.wan_vae import WanVAE
from dreamx.recipes import wan_micro
from dreamx.rollout import Network, Sampler, next_chunk

#: Rows of latents: 7 and 5 rows of tokens divide over neither 2 nor 3 processes, and the camera lane has 3 heads, the other 2.
ROWS, COLS = 10, 4
CONFIG = DiTConfig(4, 48, 2, 2, 96, 16, frequencies=32, view=ViewConfig(24, 3, rope=4), hint=True)
SMALL = VAEConfig(latent=4, encoder=(16, 16), decoder=(16, 32), blocks=(1, 2), hint=True)
SAMPLER = Sampler(steps=3, chunk=2, window=4, sinks=1, context_noise=0.1)
TEXT = torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def loud(module: nn.Module, std: float) -> nn.Module:
    rng = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.data = torch.randn(p.shape, generator=rng) * std
    return module.double().requires_grad_(False).eval()


def network() -> DiT:
    dit = loud(DiT(CONFIG), 0.2)
    assert isinstance(dit, DiT)
    return dit


def small() -> VAE:
    vae = loud(VAE(SMALL), 0.1)
    assert isinstance(vae, VAE)
    return vae


def wan() -> WanVAE:
    vae = WanVAE(wan_micro.VAE)
    vae.load_state_dict(wan_micro.drawn({k: x.shape for k, x in vae.state_dict().items()}, 1))
    return vae.requires_grad_(False).eval()


def frames(count: int = 8) -> Frames:
    rng = torch.Generator().manual_seed(1)
    camera = walk(level(dtype=torch.float64), from_keys(["wj"] * count)).map(lambda x: x[None])
    z, hint = (torch.randn(1, count, c, ROWS, COLS, generator=rng, dtype=torch.float64) for c in (4, 5))
    made = replace(clean(z, camera), hint=hint)
    return made.with_z(z, torch.ones_like(made.sigma))


def rolled(dit: Network, cache: KVCache | None = None) -> Tensor:
    """Four chunks in a window of two, ``[1, 8, C, H, W]``."""
    cache, rng, whole, made = SAMPLER.cache() if cache is None else cache, torch.Generator().manual_seed(3), frames(), []
    for start in range(0, len(whole), SAMPLER.chunk):
        made.append(next_chunk(dit, whole[start : start + SAMPLER.chunk], TEXT, cache, SAMPLER, rng).z)
    return torch.cat(made, 1)


def decoded(decoder: HeightDecoder | VAE | WanVAE, z: Tensor, hint: bool = False) -> Pixels:
    """A stream of latents ``[1, T, C, h, w]``."""
    shown: list[Pixels] = []
    state = None
    for i, latent in enumerate(z.unbind(1)):
        pixels, state = decoder.push(latent, state, _hint(1 if i == 0 else 4, z, i) if hint else None)
        shown.append(pixels)
    return Pixels(torch.cat([p.rgb for p in shown], 1), torch.cat([p.depth for p in shown], 1))


def _hint(count: int, z: Tensor, seed: int) -> View:
    rng = torch.Generator().manual_seed(seed)
    size = [n * SMALL.shrink for n in z.shape[-2:]]
    rgb = torch.rand(1, count, 3, *size, generator=rng, dtype=torch.float64) * 2 - 1
    depth, known = (torch.rand(1, count, *size, generator=rng, dtype=torch.float64) for _ in range(2))
    return View(rgb, 1 + depth, (known > 0.3).double())


def latents(rows: int, channels: int) -> Tensor:
    rng = torch.Generator().manual_seed(4)
    return torch.randn(1, 3, channels, rows, 2, generator=rng, dtype=torch.float64)


def cases(slabs: Slabs | None) -> dict[str, Callable[[], Tensor]]:
    """Each by ``slabs``, or by this process alone."""
    reuse = ReuseConfig(0.86, (1.0, 0.0), least_sigma=0.1)

    def net(dit: DiT) -> Network:
        return dit if slabs is None else sequence_parallel(dit, slabs)

    def shared(vae: VAE | WanVAE) -> HeightDecoder | VAE | WanVAE:
        return vae if slabs is None else HeightDecoder(vae, slabs)

    def masked() -> Tensor:
        return net(network())(frames(), TEXT, MaskedAttention(by_chunk(8, 2)))

    def skipping() -> Tensor:
        dit = quantise(network(), Int8Config())
        dit = reuse_residuals(dit, reuse, 0.1) if slabs is None else reuse_residuals(dit, reuse, 0.1, slabs.total)
        z = rolled(net(dit))
        return torch.cat([z.flatten(), torch.tensor([float(block_stack(dit).skipped)]).double()])

    def whole() -> Tensor:
        dit = reuse_residuals(network(), ReuseConfig(0.0, least_sigma=0.1), 0.1)
        return decoded(shared(small()), rolled(net(dit))).rgb

    def lossless() -> Tensor:
        """Everything that must not change a thing, together; alone nothing of it."""
        dit = network()
        if slabs is not None:
            dit = quantise(dit, Int8Config(0.0), dict.fromkeys(int8_layers(dit), 1.0))
            dit = reuse_residuals(dit, ReuseConfig(0.0, least_sigma=0.1), 0.1, slabs.total)
        return decoded(shared(small()), rolled(net(dit)), hint=True).rgb

    return {
        "small": lambda: decoded(shared(small()), latents(7, 4)).rgb,
        "depth": lambda: decoded(shared(small()), latents(7, 4)).depth,
        "hint": lambda: decoded(shared(small()), latents(7, 4), hint=True).rgb,
        "wan": lambda: decoded(shared(wan()), latents(5, wan_micro.VAE.latent).float()).rgb,
        "masked": masked,
        "rollout": lambda: rolled(net(network())),
        "skipping": skipping,
        "whole": whole,
        "lossless": lossless,
    }


def main(rank: int, size: int, folder: str) -> None:
    """One process: write what it made to ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    slabs = Slabs()
    with torch.inference_mode():
        made: dict[str, object] = {name: run() for name, run in cases(slabs).items()}
        cache = SAMPLER.cache()
        rolled(sequence_parallel(network(), slabs), cache)
        made["heads"] = {lane: cache.kv[0, lane][0][0].shape[-3:-1] for lane in ("time", "view")}
        try:
            slabs.own(size - 1)
        except ValueError as e:
            made["refused"] = str(e)
    torch.save(made, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
