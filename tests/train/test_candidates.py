"""Candidates: a history made once is a history made for each, its past stays what it was, and clips alone are learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor, nn

from dreamx.frames import Frames, cat, repeat_rows
from dreamx.model.attention import Attend
from dreamx.model.kv_cache import KVCache
from dreamx.model.vae import VAE, to_bytes
from dreamx.recipes import micro
from dreamx.rollout import Sampler, denoise_chunk, write_context
from dreamx.train.candidates import Candidates, CandidatesConfig, check_candidates, make_candidates, noise_chunk
from dreamx.train.latents import LatentClips
from dreamx.train.student_stream import StreamConfig, StudentStream
from dreamx.train.trained_networks import Networks
from repo import TESTS

SAMPLER = Sampler(steps=3, shift=3.0, chunk=1, window=4, sinks=1, context_noise=0.1)
CFG = CandidatesConfig(histories=2, group=3, clip=2, longest=6, drop_hint=0.0)
CPU = torch.device("cpu")


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def networks(seed: int = 1) -> Networks:
    """With every weight away from zero."""
    torch.manual_seed(seed)
    nets = Networks.new(micro.DIT, micro.TEXT)
    for p in nets.parameters():
        nn.init.normal_(p, std=0.1)
    return nets


def data() -> LatentClips:
    return LatentClips(TESTS / "golden/start/latents.safetensors")


def made(nets: Networks, cfg: CandidatesConfig = CFG, history: int = 6, seed: int = 0) -> Candidates:
    return make_candidates(cfg, SAMPLER, data(), nets, history, rng(seed), CPU)


def held(cache: KVCache) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in cache.state().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(x, b[k]) for k, x in a.items())


@pytest.mark.parametrize("rows", [1, 2])
@torch.no_grad()
def test_a_fork_is_what_would_be_computed_again_and_spares_its_source(rows: int) -> None:
    nets, plain = networks(), replace(SAMPLER, context_noise=0.0)
    walk = StreamConfig(rows, 8, 1, (8,), 0.0, 0.0)
    stream = StudentStream(walk, plain, data(), CPU)
    stream.lengthen(8, rng())
    before = [chunk for _, chunk in stream.chunks(nets, 6, rng(1))]
    assert len(stream.cache) == 4, "longer than the window: frames were given up"
    past, left = held(stream.cache), len(stream.way or ())
    branches, noise = stream.branch(3), rng(2)
    forked = cat(*(chunk for _, chunk in branches.chunks(nets, 2, noise)))
    assert same(held(stream.cache), past) and (stream.length, len(stream.way or ())) == (6, left), "the source is untouched"

    cache, again, noise = plain.cache(), list[Frames](), rng(2)
    said = [stream.prompts[row] for row in range(rows) for _ in range(3)]

    def net(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
        return nets(replace(frames, said=None), said, attend)

    for chunk in before:  # each candidate's history by itself
        write_context(net, repeat_rows(chunk, 3), chunk.z, cache)
    for first in range(2):
        todo = forked[first : first + 1]
        z = torch.randn(todo.z.shape, generator=noise)
        again.append(denoise_chunk(net, todo.with_z(z, torch.ones_like(todo.sigma)), z, cache, plain, noise))
        torch.randn(todo.z.shape, generator=noise)  # of the context, times 0
        write_context(net, again[-1], z, cache)
    assert torch.allclose(cat(*again).z, forked.z, atol=1e-4)
    assert not torch.allclose(forked.z[0], forked.z[1], atol=0.1), "they differ in noise"
    alone = StudentStream(walk, plain, data(), CPU)
    alone.lengthen(8, rng())
    for _ in alone.chunks(nets, 6, rng(1)):
        pass
    on = [next(iter(s.chunks(nets, 1, rng(3))))[1].z for s in (stream, alone)]
    assert torch.equal(*on), "it goes on as if nothing had branched off"


def test_a_history_is_made_once_whatever_the_group() -> None:
    nets, passes = networks(), list[int]()

    def counted(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        passes.append(len(frames.z))
        return nets(frames, prompts, attend)

    for size in (2, 5):
        passes.clear()
        make_candidates(replace(CFG, group=size), SAMPLER, data(), counted, 6, rng(), CPU)
        # The first chunk is the given frame, which is written and not made; then three passes and the one that writes.
        assert passes == [2] * (1 + 5 * 4) + [2 * size] * (2 * 4)


def test_rows_of_a_group_share_all_but_their_noise() -> None:
    group = made(networks())
    clip = group.clip
    assert tuple(clip.z.shape[:2]) == (6, 2) and clip.index[0].tolist() == [6, 7] and not clip.sigma.any()
    assert clip.said is not None
    for first in (0, 3):
        for name in ("pose", "lens"):
            x = getattr(group.path, name)[first : first + 3]
            assert torch.equal(x, x[:1].expand_as(x))
        assert len({group.prompts[int(i)] for i in clip.said[first : first + 3].flatten()}) == 1
        assert torch.equal(group.lead.z[first], group.lead.z[first + 2])
        assert float((clip.z[first] - clip.z[first + 1]).abs().mean()) > 0.1
    assert not torch.equal(group.path.pose[0], group.path.pose[3]), "two histories"
    assert torch.equal(group.path.pose[:, 1:], clip.camera.pose)
    again = made(networks())
    assert torch.equal(again.clip.z, clip.z), "a pure function of the generator"


def test_networks_are_asked_with_the_past_of_play() -> None:
    """Of the very frames that a pass of the rollout had, the same velocity; and a past is left as it was."""
    nets, seen = networks(), list[tuple[Frames, Tensor]]()

    def watched(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        seen.append((frames, nets(frames, prompts, attend)))
        return seen[-1][1]

    with torch.no_grad():
        group = make_candidates(CFG, SAMPLER, data(), watched, 6, rng(), CPU)
    for number, (past, chunk) in enumerate(group.chunks):
        kept = held(past)
        for turn in range(SAMPLER.steps):
            frames, v = seen[-8 + 4 * number + turn]
            with torch.no_grad():
                found = group.velocity(nets, past, replace(frames, said=chunk.said))
            assert torch.allclose(found, v, atol=1e-5)
        assert same(held(past), kept)
        assert len(past) == SAMPLER.window


def test_only_the_clip_has_a_gradient() -> None:
    nets = networks()
    group = made(nets)
    assert not group.clip.z.requires_grad and not group.lead.z.requires_grad
    noisy, target = noise_chunk(group.chunks[1][1], torch.tensor([0.5]), rng())
    whole = noisy.z.requires_grad_()
    v = group.velocity(nets, group.chunks[1][0], noisy)
    (v - target).square().mean().backward()
    assert whole.grad is not None and all(p.grad is not None for p in nets.dit.blocks.parameters())
    for past, _ in group.chunks:
        assert all(not x.requires_grad for pieces in past.kv.values() for kv in pieces for x in kv)


def test_noise_is_of_the_samplers_levels() -> None:
    group = made(networks())
    levels, found = torch.tensor([1.0, 0.75, 0.5]), set[float]()
    for seed in range(6):
        noisy, target = noise_chunk(group.chunks[0][1], levels, rng(seed))
        found |= set(noisy.sigma.flatten().tolist())
        s = noisy.sigma[..., None, None, None]
        assert torch.allclose(noisy.z - s * target, group.chunks[0][1].z, atol=1e-5)
    assert found == {1.0, 0.75, 0.5}


def test_a_clip_is_decoded_behind_the_end_of_its_history() -> None:
    torch.manual_seed(0)
    vae = VAE(micro.VAE)
    for p in vae.parameters():
        nn.init.normal_(p, std=0.1)
    for history in (1, 6):
        group = made(networks(), history=history)
        videos = group.decode(vae)
        assert tuple(videos.shape) == (6, 9, 3, 32, 32) and videos.dtype == torch.uint8
        assert len(group.lead) == min(2, history) and tuple(group.path.shape) == (6, 3)
        with torch.no_grad():
            whole = to_bytes(vae.decode(torch.cat([group.lead.z, group.clip.z], 1)).rgb)
        off = (videos.int() - whole[:, -9:].int()).abs().max()
        assert int(off) <= 1, "in parts as in one batch, up to rounding"
        assert torch.equal(videos[0, 0], videos[1, 0]), "the frame that was there before is the same for the group"
        assert not torch.equal(videos[0, -1], videos[1, -1])


def test_senseless_settings() -> None:
    wrong = (
        (CandidatesConfig(clip=4), Sampler(), r"candidates\.clip must be a multiple of sampler\.chunk \(3\), not 4"),
        (CandidatesConfig(longest=80), Sampler(), r"candidates\.longest must be a multiple of sampler\.chunk \(3\), not 80"),
        (CandidatesConfig(), Sampler(window=5), r"sampler\.window: 5 frames do not hold 3 sinks and a chunk of 3"),
    )
    for cfg, sampler, said in wrong:
        with pytest.raises(ValueError, match=said):
            check_candidates(cfg, sampler)
