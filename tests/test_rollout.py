"""The sampler, with networks whose answers are known."""

import pytest
import torch
from torch import Tensor

import micro
from dreamx.frames import Frames
from dreamx.geometry import Camera, from_keys, walk
from dreamx.geometry.camera import level
from dreamx.model.attention import Attend
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Sampler, next_chunk, rollout

T = 6


def camera() -> Camera:
    path = walk(level(), from_keys(["w"] * T))
    return path.map(lambda x: x[None])


class Oracle:
    """Knows the clean frames: its velocity always points from them to what it is shown."""

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth
        self.seen: list[Tensor] = []
        self.dit = DiT(micro.DIT)  # so that there is something for a cache to keep

    def __call__(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        self.dit(frames, text, attend)
        self.seen.append(frames.sigma.clone())
        s = frames.sigma[..., None, None, None].clamp(min=1e-6)
        return (frames.z - self.truth[:, : len(frames)]) / s


@pytest.mark.parametrize("stochastic", [True, False])
def test_an_oracle_is_followed_to_the_truth(stochastic: bool) -> None:
    torch.manual_seed(0)
    truth, noise = torch.randn(2, 1, T, 8, 4, 4)
    oracle, rng = Oracle(truth), torch.Generator().manual_seed(1)
    sampler = Sampler(steps=4, stochastic=stochastic, chunk=T, window=T, sinks=0)
    with torch.no_grad():
        (made,) = rollout(oracle, noise, camera(), torch.zeros(1, 4, 16), sampler, rng, first=truth[:, 0])
    assert torch.allclose(made.z, truth, atol=1e-4)
    assert torch.equal(made.z[:, 0], truth[:, 0])
    assert bool((made.sigma == 0).all())
    told = [s[0, 1].item() for s in oracle.seen]
    assert told == pytest.approx([1, 0.9375, 0.83333, 0.625, 0], abs=1e-5), "four passes and the one that writes"
    assert all(s[0, 0] == 0 for s in oracle.seen), "the known frame is never said to be noisy"


def test_chunks_and_one_at_a_time_are_the_same_walk() -> None:
    torch.manual_seed(0)
    dit = DiT(micro.DIT).eval()
    torch.nn.init.normal_(dit.head.weight, std=0.1)
    noise, text = torch.randn(1, T, 8, 4, 4), torch.randn(1, 4, 16)
    sampler = Sampler(steps=2, chunk=2, window=4, sinks=0)
    with torch.no_grad():
        whole = list(rollout(dit, noise, camera(), text, sampler, torch.Generator().manual_seed(1)))
        assert [len(c) for c in whole] == [2, 2, 2]
        cache, rng = sampler.cache(), torch.Generator().manual_seed(1)
        for chunk in whole:
            fresh = chunk.with_z(noise[:, int(chunk.index[0, 0]) :][:, :2], torch.ones_like(chunk.sigma))
            assert torch.equal(next_chunk(dit, fresh, text, cache, sampler, rng).z, chunk.z)
        other = list(rollout(dit, noise, camera(), text, sampler, torch.Generator().manual_seed(2)))
    assert not torch.equal(other[0].z, whole[0].z), "renoising draws from the generator"


def test_context_noise_is_told_to_the_writing_pass_alone() -> None:
    oracle = Oracle(torch.zeros(1, 2, 8, 4, 4))
    sampler = Sampler(steps=1, chunk=2, window=4, sinks=0, context_noise=0.1)
    with torch.no_grad():
        list(rollout(oracle, torch.randn(1, 2, 8, 4, 4), camera()[:, :2], torch.zeros(1, 4, 16), sampler, torch.Generator()))
    assert [s.unique().tolist() for s in oracle.seen] == [[1.0], [pytest.approx(0.1)]]


def test_a_cache_of_the_sampler_has_its_window() -> None:
    cache = Sampler(window=7, sinks=2).cache()
    assert isinstance(cache, KVCache)
    assert (cache.window, cache.sinks) == (7, 2)
