"""Residual reuse: off it is the plain rollout, on it skips what the rule says, and the past is never made of guesses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dreamx.fast.residual_reuse import ReuseConfig, block_stack, reuse_residuals
from dreamx.frames import Frames
from dreamx.model.attention import Attend, LaneMask
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Network, Sampler, guided, next_chunk, with_words
from test_offload import TEXT, frames, network

SAMPLER = Sampler(steps=4, shift=3.0, chunk=3, window=6, sinks=1, context_noise=0.2)
ALWAYS = ReuseConfig(threshold=1e9, least_sigma=0.2)


def walk(dit: Network, writer: Network, chunks: int = 3) -> tuple[list[Tensor], KVCache]:
    """Chunks made by ``dit`` and written by ``writer``, and the cache after them."""
    cache, rng, made = SAMPLER.cache(), torch.Generator().manual_seed(3), []
    for i in range(chunks):
        new = frames()
        noise = torch.randn(new.z.shape, generator=rng)
        new = replace(new, z=noise, sigma=torch.ones_like(new.sigma), index=new.index + 3 * i)
        made.append(next_chunk(writer, new, TEXT, cache, SAMPLER, rng, denoiser=dit).z)
    return made, cache


def equal(a: tuple[list[Tensor], KVCache], b: tuple[list[Tensor], KVCache]) -> bool:
    caches = zip(a[1].state().items(), b[1].state().items(), strict=True)
    return all(map(torch.equal, a[0], b[0])) and all(k == n and torch.equal(x, y) for (k, x), (n, y) in caches)


@pytest.mark.parametrize("first_block", [False, True])
@torch.inference_mode()
def test_a_threshold_of_0_is_the_plain_rollout(first_block: bool) -> None:
    dit = network()
    reusing = reuse_residuals(dit, ReuseConfig(0.0, first_block=first_block, least_sigma=0.2), 0.2)
    assert equal(walk(reusing, reusing), walk(dit, dit))
    assert (block_stack(reusing).passes, block_stack(reusing).skipped) == (15, 0)
    assert [p.data_ptr() for p in dit.parameters()] == [p.data_ptr() for p in reusing.parameters()], "no copy of the weights"


@pytest.mark.parametrize("first_block", [False, True])
@torch.inference_mode()
def test_the_first_pass_of_a_chunk_and_the_one_that_writes_are_computed(first_block: bool) -> None:
    dit = network()
    config = replace(ALWAYS, first_block=first_block)
    reusing, other = (reuse_residuals(dit, config, SAMPLER.context_noise) for _ in range(2))
    both, written = walk(reusing, reusing), walk(other, dit)
    assert equal(both, written), "the pass that writes is the plain one"
    assert not equal(both, walk(dit, dit)), "passes were skipped"
    assert (block_stack(reusing).passes, block_stack(reusing).skipped) == (15, 9), "of 5 passes the first and the last run"


class Added(nn.Module):
    """What the blocks added in an earlier pass, written down."""

    def __init__(self, residual: Tensor) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return x + self.residual


@torch.inference_mode()
def test_a_skipped_pass_adds_the_residual_of_the_pass_before() -> None:
    dit, seen = network(), list[Tensor]()
    dit.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    dit.blocks[-1].register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    cache = KVCache()
    loud, quiet = at(0.9, 1), at(0.8, 2)
    dit(loud, TEXT, cache)
    twin = network()
    twin.blocks = nn.ModuleList([Added(seen[1] - seen[0])])
    reusing, cache = reuse_residuals(network(), ALWAYS), KVCache()
    reusing(loud, TEXT, cache)
    assert torch.equal(reusing(quiet, TEXT, cache), twin(quiet, TEXT, KVCache()))


def at(sigma: float, seed: int, like: Frames | None = None) -> Frames:
    new = like or frames()
    z = torch.randn(new.z.shape, generator=torch.Generator().manual_seed(seed))
    return new.with_z(z, torch.full_like(new.sigma, sigma))


def skips(dit: DiT, passes: list[tuple[Frames, Attend]]) -> list[bool]:
    stack, found = block_stack(dit), list[bool]()
    for f, attend in passes:
        before = stack.skipped
        dit(f, TEXT, attend)
        found.append(stack.skipped > before)
    return found


@torch.inference_mode()
def test_guesses_add_up_to_the_threshold_and_begin_again_after_a_computed_pass() -> None:
    # The polynomial is a constant here, so that each pass adds 0.4.
    reusing, cache = reuse_residuals(network(), ReuseConfig(1.0, (0.4,), least_sigma=0.0)), KVCache()
    levels = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    assert skips(reusing, [(at(s, i), cache) for i, s in enumerate(levels)]) == [False, True, True, False, True, True, False]
    other, cache = reuse_residuals(network(), ReuseConfig(1.0, (0.4,), least_sigma=0.65)), KVCache()
    assert skips(other, [(at(s, i), cache) for i, s in enumerate(levels)]) == [False, True, True, False, False, False, False]


@torch.inference_mode()
def test_what_is_another_chunk_cache_text_or_lane_is_no_pass_before() -> None:
    one, two = KVCache(), KVCache()
    reusing = reuse_residuals(network(), ALWAYS)
    assert skips(reusing, [(at(1.0, 0), one), (at(0.9, 1), two), (at(0.9, 1), one), (at(1.0, 2), one)]) == [
        *(False, False),
        *(True, False),
    ]
    assert skips(reusing, [(at(0.9, 3), LaneMask(one, "view")), (at(0.8, 3), LaneMask(one, "view"))]) == [False, True]
    reusing(at(0.8, 4), TEXT + 1, one)
    assert block_stack(reusing).skipped == 2, "other words are computed"
    reusing(at(0.7, 4), (TEXT + 1).clone(), one)
    assert block_stack(reusing).skipped == 3, "the same words are the same, wherever they lie"


@torch.inference_mode()
def test_guided_passes_keep_two_accounts() -> None:
    dit = network()
    reusing = reuse_residuals(dit, ALWAYS, SAMPLER.context_noise)
    walk(guided(reusing, with_words(reusing, TEXT + 1), 0.5), dit, chunks=1)
    assert (block_stack(reusing).passes, block_stack(reusing).skipped) == (8, 6)


@torch.inference_mode()
def test_changes_are_those_of_what_the_blocks_did() -> None:
    dit, cache = network(), KVCache()
    watching = reuse_residuals(dit, None)
    seen: list[Tensor] = []
    dit.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    dit.blocks[-1].register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    for f in (at(1.0, 0), at(0.9, 1)):
        assert torch.equal(watching(f, TEXT, cache), dit(f, TEXT, cache))
    a, b = seen[1] - seen[0], seen[3] - seen[2]
    (change,) = block_stack(watching).changes
    assert change.sigma == pytest.approx(0.9)
    assert change.residual == pytest.approx(float((b - a).abs().sum() / a.abs().sum()), rel=1e-4)
    assert all(x > 0.01 for x in (change.modulated, change.first, change.residual_after_first))


def test_what_cannot_be_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"reuse\.least_sigma 0\.1 is below the noise level 0\.2 of the pass that writes"):
        reuse_residuals(network(), ReuseConfig(least_sigma=0.1), 0.2)
    with pytest.raises(ValueError, match=r"reuse\.fit must have one coefficient"):
        ReuseConfig(fit=())
    with pytest.raises(ValueError, match="reuses no residuals"):
        block_stack(network())
