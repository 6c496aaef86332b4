"""Compiled blocks and decoders are whole graphs, and make what plain ones make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import slab_ranks
from dreamx.fast.compiled_blocks import CompiledBlock, compile_blocks
from dreamx.fast.compiled_decoder import compile_decoder
from dreamx.fast.fused_blocks import UNFUSED, fuse
from dreamx.fast.int8 import Int8Config, quantise
from dreamx.fast.residual_reuse import ReuseConfig, reuse_residuals
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.vae import VAE
from dreamx.rollout import Network, Sampler, next_chunk, recall
from test_offload import CONFIG, TEXT, frames, network

SAMPLER = Sampler(steps=2, chunk=2, window=6, sinks=1, context_noise=0.1)
POOLED = replace(CONFIG, layers=2, view=ViewConfig(24, 2, pool=(2.0, 1.5), rope=8))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def made(config: DiTConfig) -> DiT:
    torch.manual_seed(0)
    dit = DiT(config)
    for p in dit.parameters():
        nn.init.normal_(p, std=0.2)
    return dit.requires_grad_(False)


def rolled(dit: Network, chunks: int = 5, device: str = "cpu") -> Tensor:
    """Chunks until the window rolls; the last but one recalls two of the first frames."""
    torch.manual_seed(1)
    camera = walk(level(), from_keys(["wj"] * 2 * chunks)).map(lambda x: x[None])
    whole = clean(torch.randn(1, 2 * chunks, 4, 4, 6), camera).to(torch.device(device))
    whole = whole.with_z(whole.z, torch.ones_like(whole.sigma))
    cache, rng, shown, text = SAMPLER.cache(), torch.Generator().manual_seed(3), list[Tensor](), TEXT.to(device)
    for i in range(chunks):
        if i == chunks - 2:
            past = whole[slice(0, 2)]
            recall(dit, past.with_z(shown[0], torch.zeros_like(past.sigma)), text, cache)
        shown.append(next_chunk(dit, whole[2 * i : 2 * i + 2], text, cache, SAMPLER, rng).z)
    return torch.cat(shown, 1)


@pytest.mark.parametrize("config", [CONFIG, POOLED], ids=["E-PRoPE", "pooled PRoPE"])
@torch.inference_mode()
def test_all_blocks_of_all_chunks_are_two_whole_graphs_and_make_the_same(config: DiTConfig) -> None:
    """One graph before there is a past, and one with it, however long; ``fullgraph`` makes a break an error."""
    dit = made(config)
    want, got = rolled(dit), rolled(compile_blocks(dit, backend="eager"))
    assert want.std() > 0.5
    assert (got - want).abs().max() < 1e-5
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


@torch.inference_mode()
def test_other_attention_takes_the_block_as_it_is() -> None:
    dit = network()
    other = compile_blocks(dit, backend="eager")
    assert torch.equal(other(frames(), TEXT, MaskedAttention()), dit(frames(), TEXT, MaskedAttention()))
    assert not counters["stats"]
    assert all(isinstance(b, CompiledBlock) for b in other.blocks)
    assert not any(isinstance(b, CompiledBlock) for b in dit.blocks)


@torch.inference_mode()
def test_it_composes_with_8_bits_and_residual_reuse() -> None:
    dit = quantise(made(POOLED), Int8Config())
    want = rolled(dit, 3)
    got = rolled(reuse_residuals(compile_blocks(dit, backend="eager"), ReuseConfig(0.0, least_sigma=0.1), 0.1), 3)
    assert (got - want).norm() / want.norm() < 0.02, "8 bits round otherwise where sums differ in their last digits"
    assert counters["stats"]["unique_graphs"] == 2


def test_blocks_that_are_not_its_own_are_refused() -> None:
    with pytest.raises(ValueError, match="its blocks are not its own any more; compile it before residuals are reused"):
        compile_blocks(fuse(network(), UNFUSED))


@pytest.mark.parametrize("hint", [False, True])
@torch.inference_mode()
def test_a_compiled_decoder_is_two_whole_graphs_and_shows_the_same(hint: bool) -> None:
    vae = slab_ranks.small()
    other = compile_decoder(vae, backend="aot_eager")
    z = slab_ranks.latents(4, 4)
    want, got = (slab_ranks.decoded(each, z, hint) for each in (vae, other))
    assert (got.rgb - want.rgb).abs().max() < 1e-9
    assert (got.depth - want.depth).abs().max() < 1e-9
    assert counters["stats"]["unique_graphs"] == (3 if hint else 2), "the first latent, the others, and what reads hints"
    assert not counters["graph_break"]
    assert isinstance(other, VAE)
    assert vae.decoder._compiled_call_impl is None, "the decoder that it was made of stays as it is"


@pytest.mark.gpu
@torch.inference_mode()
def test_cuda_graphs_make_the_same() -> None:
    dit = made(CONFIG).cuda()
    want, got = rolled(dit, 6, "cuda"), rolled(compile_blocks(dit, "reduce-overhead"), 6, "cuda")
    assert (got - want).abs().max() < 1e-3 * want.abs().max()
    assert not counters["graph_break"]
