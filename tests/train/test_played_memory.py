"""Memory that is played in rollouts: it shows what it would at play, teacher and critic are not told, and runs resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from dreamx.checkpoints import native
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera, lens_from_fov, rotation, stack
from dreamx.geometry.path import resample
from dreamx.memory import MemoryConfig
from dreamx.model.attention import Attend
from dreamx.model.vae import VAE
from dreamx.rollout import Sampler
from dreamx.train import distill
from dreamx.train.adversarial_head import AdversarialConfig
from dreamx.train.latents import LatentClips
from dreamx.train.played_memory import PlayedMemory, open_memory
from dreamx.train.score_matching import ScoreConfig, critic_loss, memory_loss
from dreamx.train.student_stream import StreamConfig, StudentStream
from dreamx.world import World, WorldConfig
from test_distill import CPU, LONG, SAMPLER, START, networks, rng, rows, stage

MEMORY = MemoryConfig()


def played_world(memory: MemoryConfig | None = MEMORY) -> World:
    """Untrained networks with the autoencoder of the latents in ``START``."""
    config = WorldConfig(32, 32, lens_from_fov(70, 32, 32), sampler=SAMPLER, memory=memory)
    return World.from_folders(config, START / "autoencoder", START / "camera")


def memory() -> PlayedMemory:
    world = played_world()
    assert world.config.memory is not None and isinstance(world.vae, VAE)
    return PlayedMemory(world.vae.requires_grad_(False), None, world.config.memory)


def stream(drop: float = 0.0, length: int = 13) -> StudentStream:
    cfg = StreamConfig(2, 4, 1, (length,), drop_hint=drop)
    return StudentStream(cfg, SAMPLER, LatentClips(START / "latents.safetensors"), CPU, played=memory())


def further(camera: Camera, angle: float) -> Camera:
    """A camera a third of a metre further on and turned by so many degrees."""
    move = torch.eye(4)
    move[:3, :3], move[2, 3] = rotation("y", torch.tensor(angle)), 0.3
    return Camera(camera.pose @ move, camera.lens)


@torch.no_grad()
def test_it_shows_what_the_world_would() -> None:
    """Of the same frames, along the same cameras, which go straight from latent to latent."""
    world, ours = played_world(), memory()
    world.reset(torch.randint(0, 256, (3, 32, 32), generator=rng()).byte())
    assert world._bank is not None
    ours.begin(torch.tensor([False, True]))
    ours.banks[1], ours._decoder = world._bank.fork(), world.decoder_state
    before, known = world.camera, 0.0
    for angle in (0.0, 15.0, -20.0, 8.0):
        there = further(before, angle)
        dream = world.follow(resample(stack([before, there]), torch.arange(1, 5) / 4))
        made = dream.frames
        both = clean(torch.cat([torch.randn_like(made.z), made.z]), made.camera.map(lambda x: x.expand(2, *x.shape[1:])))
        both = replace(both, camera=there.map(lambda x: x.expand(2, 1, *x.shape)))
        shown = ours.next(before.map(lambda x: x.expand(2, *x.shape)), both)
        assert shown.hint is not None and made.hint is not None
        assert not shown.hint[0].any(), "a sequence that remembers nothing"
        assert torch.allclose(shown.hint[1], made.hint[0], atol=1e-4)
        ours.remember(shown)
        world.decode(dream)
        before, known = there, float(made.hint[:, :, -1].mean())
    assert 0.2 < known < 1, "some of the picture was known, and not all"


@torch.no_grad()
def test_a_students_own_frames_are_remembered() -> None:
    nets, ours = networks(), stream()
    first = ours.next(nets, 0.0, rng(), rng(1)).frames
    again = ours.next(nets, 0.0, rng(2), rng(3)).frames
    assert first.hint is not None and again.hint is not None
    assert not first.hint[:, 0].any() and bool((first.hint[:, 1:, -1].mean((1, 2, 3)) > 0).all())
    other = stream()
    other.next(lambda *a: -nets(*a), 0.0, rng(), rng(1))
    seen = other.next(nets, 0.0, rng(2), rng(3)).frames
    assert seen.hint is not None and not torch.allclose(seen.hint, again.hint), "others were drawn"
    silent = stream(drop=1.0).next(nets, 0.0, rng(), rng(1)).frames
    assert silent.hint is not None and not silent.hint.any()


@torch.no_grad()
def test_a_stream_is_saved_with_what_it_remembers() -> None:
    nets, ours, other = networks(), stream(drop=0.5), stream(drop=0.5)
    ours.next(nets, 0.0, rng(4), rng(1))
    other.restore(ours.state())
    both = [s.next(nets, 0.0, rng(2), rng(3)).frames for s in (ours, other)]
    assert both[0].hint is not None and both[1].hint is not None and both[0].hint.any()
    assert torch.equal(both[0].hint, both[1].hint) and torch.equal(both[0].z, both[1].z)


def test_teacher_and_critic_are_not_told() -> None:
    told = list[bool]()

    def net(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        told.append(frames.hint is not None)
        return torch.zeros_like(frames.z)

    made = stream().next(networks(), 0.0, rng(), rng(1))
    for hints in (True, False):
        noisy, _ = made.noised(ScoreConfig(hints=hints), Generator().manual_seed(1))
        for mask in (None, torch.ones(8, 8, dtype=torch.bool)):
            made.velocity(net, noisy, mask)
    assert told == [True, True, False, False]
    assert made.frames.hint is not None, "the student is held to it"


@torch.no_grad()
def test_a_student_is_not_held_to_another_clip() -> None:
    """Beyond the clip that a sequence began with memory goes on, and there is no truth."""
    ours, nets = stream(length=64), networks()
    made = [ours.next(nets, 0.0, rng(i), rng(i)) for i in range(2 + ours.data.frames // 3)]
    first, last = made[0], made[-1]
    assert first.truth is not None and last.truth is not None and last.frames.hint is not None
    assert bool(first.truth.isfinite().all()) and not last.truth[:, 1:].isfinite().any() and last.frames.hint.any()
    assert float(memory_loss(first)) > 0 == float(memory_loss(last))


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played_world().export(tmp_path / "world")
    short = replace(LONG, lengths=(13,), drop_hint=0.0)
    score = ScoreConfig(hints=False)

    def of(name: str) -> distill.DistillStage:
        return replace(stage(tmp_path / name, short), world=tmp_path / "world", score=score, keep=0.1)

    distill.main(of("whole"))
    loss, left = critic_loss, [4]

    def dying(*given: object) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return loss(*given)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched:
        patched.setattr(distill, "critic_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            distill.main(of("parts"))
    distill.main(of("parts"))
    weights = [native.read(tmp_path / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    played_world(None).export(tmp_path / "forgetful")
    played_world().export(tmp_path / "world")
    with pytest.raises(ValueError, match="has no re-projected memory to play"):
        open_memory(tmp_path / "forgetful", "")
    with pytest.raises(ValueError, match=r"the latents were encoded by abc; give one that has it"):
        open_memory(tmp_path / "world", "abc")
    with pytest.raises(ValueError, match="has clips with events; leave these out"):
        open_memory(tmp_path / "world", "", eventful=True)
    with pytest.raises(ValueError, match=r"adversarial\.weight goes without world"):
        replace(stage(tmp_path), world=tmp_path / "world", adversarial=AdversarialConfig(weight=0.1))
    with pytest.raises(ValueError, match=r"sampler\.chunk must be 1, not 2"):
        replace(
            stage(tmp_path),
            world=tmp_path / "world",
            sampler=Sampler(chunk=2, window=4, sinks=2),
            stream=replace(LONG, overlap=2),
        )
