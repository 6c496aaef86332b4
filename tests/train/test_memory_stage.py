"""Stage `memory`: packed samples are what play sees, errors are stored and drawn again, and a killed run goes on bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamx.checkpoints import native
from dreamx.data.latent_file import LatentRow, Latents
from dreamx.flow import to_clean
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.model.gap_rule import GapConfig
from dreamx.model.kv_cache import KVCache
from dreamx.model.masks import draw
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.recipes import micro
from dreamx.rollout import recall, write_context
from dreamx.train import memory_stage
from dreamx.train.error_bank import ErrorBank, ErrorBankConfig, recycle
from dreamx.train.latents import LatentClips
from dreamx.train.memory_packing import PackingConfig, check_packing, pack, packed_table
from dreamx.train.memory_stage import MemoryStage, perturbed
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import Networks
from repo import TESTS

LATENTS = TESTS / "golden/start/latents.safetensors"
BANK = ErrorBankConfig(levels=4, size=3)
PLAIN = replace(micro.PACKING, drop_memory=0.0, irrelevant=0.0, history_noise=0.0, drop_text=0.0, drop_hint=0.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def networks() -> Networks:
    """With every weight away from zero."""
    torch.manual_seed(1)
    nets = Networks.new(micro.DIT, micro.TEXT)
    for p in nets.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return nets


def test_who_sees_whom() -> None:
    """Four frames in chunks of one, the last two made, one recalled for each: memory, history of three, targets."""
    assert draw(packed_table(4, 1, 2, (4, 0), 1)).splitlines() == [
        "#......",
        ".#.....",
        "..#....",
        "..##...",
        "..###..",
        "#.##.#.",
        ".####.#",
    ]
    assert draw(packed_table(4, 1, 2, (2, 1), 0)).splitlines()[-1] == "#...#", "a window of 2 with a sink: that and itself"


@pytest.mark.parametrize("rule", [GapConfig(), GapConfig(span=2.0, ntk=True)])
def test_a_packed_sample_is_what_a_cache_shows_at_play(rule: GapConfig) -> None:
    data, nets = LatentClips(LATENTS, 4), networks().double()
    packed = PackedMemoryConfig(frames=2, gaps=rule)
    cfg = replace(PLAIN, windows=((3, 1),))
    batch = next(b for seed in range(9) if (b := pack(cfg, packed, data, rng(seed))).memory and len(b.memory) == 4)
    assert batch.memory is not None

    def exact(frames: Frames) -> Frames:
        pose = frames.camera.pose.double().clone()
        u, _, vh = torch.linalg.svd(pose[..., :3, :3])
        pose[..., :3, :3] = u @ vh  # rotations of float32 are none to 1e-12
        hint = None if frames.hint is None else frames.hint.double()
        return Frames(frames.z.double(), frames.sigma.double(), frames.index, Camera(pose, frames.camera.lens.double()), hint)

    memory = exact(batch.memory)
    batch = replace(batch, memory=memory, past=exact(batch.past), noisy=exact(batch.noisy))
    with torch.no_grad():
        want = batch.velocity(nets)
        words, cache = nets.text(batch.prompts), KVCache(3, 1, relative=False)
        made: list[Tensor] = []
        for t in range(4):
            if t >= 2:
                j = t - 2
                recall(nets.dit, memory[slice(2 * j, 2 * j + 2)], words, cache, rule)
                made.append(nets.dit(batch.noisy[j : j + 1], words, cache))
                cache.take_out()
            if t < 3:
                write_context(nets.dit, batch.past[t : t + 1], words, cache)
    assert (torch.cat(made, 1) - want).abs().max() < 1e-12


def test_what_is_recalled_is_from_before_and_sees_the_target() -> None:
    data = LatentClips(LATENTS, 4)
    for seed in range(8):
        batch = pack(PLAIN, micro.PACKED, data, rng(seed))
        assert batch.memory is not None and batch.memory.hint is None
        assert bool((batch.memory.index.amax(1) < batch.past.index[:, 0]).all()), "never from the window"
        assert not batch.memory.sigma.any() and bool((batch.noisy.sigma > 0).all())
        assert batch.velocity(networks()).shape == batch.target.shape == (4, 2, 8, 4, 4)
        again = pack(PLAIN, micro.PACKED, data, rng(seed))
        assert torch.equal(again.noisy.z, batch.noisy.z), "a pure function of its generator"


def turning(tmp_path: Path) -> LatentClips:
    """Two clips of 16 latents: one turns away and back, one only away; latent t of each holds the number t."""
    yaw = torch.tensor([[40.0 * min(t, 16 - t) for t in range(16)], [100.0 * (t % 2) + 200.0 * (t > 11) for t in range(16)]])
    pose = rigid(rotation("y", yaw), torch.zeros(2, 16, 3))
    camera = Camera(pose, level().lens.expand(2, 16, 4))
    z = torch.arange(16.0).view(1, 16, 1, 1, 1).expand(2, 16, 8, 4, 4).half().contiguous()
    rows = tuple(LatentRow("a", "game", "park", i) for i in range(2))
    Latents(z, Camera(camera.pose.contiguous(), camera.lens.contiguous()), rows, "").save(tmp_path / "turning.safetensors")
    return LatentClips(tmp_path / "turning.safetensors", 4)


def test_a_clip_that_comes_back_recalls_the_frame_that_saw_it(tmp_path: Path) -> None:
    data = turning(tmp_path)
    cfg = replace(PLAIN, batch=16, targets=1, revisits=1.0, tries=32)
    batch = next(b for seed in range(9) if (b := pack(cfg, PackedMemoryConfig(frames=2), data, rng(seed))).memory)
    assert batch.memory is not None
    target, seen = batch.noisy.index[:, -1], batch.memory.index
    # At t it looks as at 16 - t; revisits choose stretches that end where something was seen before.
    home = [(16 - int(t)) in row.tolist() for t, row in zip(target, seen, strict=True) if t > 11]
    assert sum(home) >= 0.8 * len(home) > 3


def test_memory_is_dropped_and_drawn_at_random_as_often_as_asked(tmp_path: Path) -> None:
    data = turning(tmp_path)
    none = [pack(replace(PLAIN, drop_memory=0.5), micro.PACKED, data, rng(i)).memory is None for i in range(60)]
    assert 15 <= sum(none) <= 45
    counts = {len(b.memory) for i in range(30) if (b := pack(PLAIN, micro.PACKED, data, rng(i))).memory}
    assert counts == {2, 4}, "one or two for each of two chunks"
    odd = [pack(replace(PLAIN, irrelevant=x, batch=32), PackedMemoryConfig(frames=1), data, rng(1)) for x in (0.0, 1.0)]
    assert not torch.equal(*(x.memory.index for x in odd if x.memory))


def test_gaps_are_drawn_where_the_rule_says_so() -> None:
    data = LatentClips(LATENTS, 4)
    batch = pack(PLAIN, PackedMemoryConfig(frames=2, gaps=GapConfig(drawn=900)), data, rng(3))
    assert batch.memory is not None
    gap = batch.noisy.index[:, :1] - batch.memory.index[:, : len(batch.memory) // 2]
    assert int(gap.max()) > 100 and int(gap.min()) >= 1
    assert bool((gap.diff(dim=1) <= 0).all()), "in their order"


def test_stretches_that_do_not_fit_are_refused() -> None:
    data = LatentClips(LATENTS, 5)
    with pytest.raises(ValueError, match="clips have 6 latents, too few for a stretch of 5 with 2 to recall before it; lower"):
        check_packing(PLAIN, micro.PACKED, data)
    with pytest.raises(ValueError, match="5 latents are not more than 2 whole chunks of 2"):
        check_packing(replace(PLAIN, chunk=2, windows=((4, 1),)), PackedMemoryConfig(frames=1), data)
    with pytest.raises(ValueError, match=r"packing\.windows: 3 frames do not hold 1 sinks and a chunk of 3"):
        PackingConfig(chunk=3, windows=((3, 1),))


def test_an_error_is_that_of_the_clean_estimate() -> None:
    bank = ErrorBank(ErrorBankConfig(levels=4, size=2, spread=0.0), 2, (1, 2, 2), 1.0)  # levels 1, 0.75, 0.5, 0.25
    x, v, target = torch.randn(3, 1, 2, 1, 2, 2, generator=rng())
    sigma = torch.tensor([[0.8, 0.3]])
    bank.add(v, target, sigma, torch.tensor([0, 1]))
    assert bank.count.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    error = to_clean(x, sigma, v) - to_clean(x, sigma, target)
    assert torch.allclose(bank.errors[0, 1, 0].float(), error[0, 0], atol=2e-3)
    assert torch.allclose(bank.draw(torch.tensor([[1, 0]]), rng())[0], error[0].flip(0), atol=2e-3), "each of its place"
    for i in range(3):  # the oldest gives way
        bank.add(torch.full_like(v, float(i)), torch.zeros_like(v), torch.ones(1, 2), torch.tensor([0, 0]))
    assert sorted(bank.errors[0, 0].flatten(1)[:, 0].tolist()) == [-2.0, -2.0]
    assert int(bank.count[0, 0]) == 6


def test_only_memory_and_history_are_perturbed_and_without_a_bank_nothing_is() -> None:
    data = LatentClips(LATENTS, 4)
    batch = pack(PLAIN, micro.PACKED, data, rng())
    assert batch.memory is not None
    place = torch.zeros(4, len(batch.past), dtype=torch.long)
    assert recycle(batch.past, None, place, torch.zeros(4, dtype=torch.bool), rng()) is batch.past
    bank = ErrorBank(ErrorBankConfig(probability=1.0, spared=0.0), 2, (8, 4, 4), 3.0)
    empty = perturbed(batch, bank, 1, rng())
    assert torch.equal(empty.past.z, batch.past.z), "an empty bank has no errors"
    bank.add(torch.ones(1, 2, 8, 4, 4), torch.zeros(1, 2, 8, 4, 4), torch.ones(1, 2), torch.tensor([0, 1]))
    spoilt = perturbed(batch, bank, 1, rng())
    assert spoilt.memory is not None
    for a, b in ((spoilt.past, batch.past), (spoilt.memory, batch.memory)):
        moved = (a.z - b.z).flatten(2)
        assert bool(((moved > -1.31) & (moved < -0.69)).all()), "one error, scaled by 0.7 to 1.3"
        assert torch.equal(a.sigma, b.sigma)
    assert spoilt.noisy is batch.noisy and spoilt.target is batch.target
    spared = perturbed(batch, ErrorBank(replace(bank.cfg, spared=1.0), 2, (8, 4, 4), 3.0), 1, rng())
    assert torch.equal(spared.past.z, batch.past.z)


def stage(root: Path, steps: int, bank: ErrorBankConfig | None = BANK) -> MemoryStage:
    run = RunConfig(root / "run", steps, decay=0.0, warmup=0.0, save_seconds=None, threads=1)
    start = TESTS / "golden/start/camera"
    return MemoryStage(run, LATENTS, start, root / "model", micro.PACKING, micro.PACKED, bank, frames=4)


def losses_of(root: Path) -> list[float]:
    return [json.loads(row)["loss"] for row in (root / "run/log.jsonl").read_text().splitlines()]


def test_a_run_that_was_stopped_goes_on_bit_for_bit_with_its_errors(tmp_path: Path) -> None:
    memory_stage.main(stage(tmp_path / "whole", 6))
    memory_stage.main(stage(tmp_path / "parts", 3))
    memory_stage.main(stage(tmp_path / "parts", 6))
    weights = [native.read(tmp_path / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    losses = [
        [json.loads(x)["loss"] for x in (tmp_path / n / "run/log.jsonl").read_text().splitlines()] for n in ("whole", "parts")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    memory_stage.main(stage(tmp_path / "clean", 6, None))
    without = losses_of(tmp_path / "clean")
    assert without[0] == losses[0][0] and without != losses[0], "errors are stored from the first step on"
    with pytest.raises(ValueError, match="bank"):
        memory_stage.main(stage(tmp_path / "parts", 8, ErrorBankConfig(levels=5, size=3)))


def test_the_loss_reaches_recalled_frames() -> None:
    nets, data = networks(), LatentClips(LATENTS, 4)
    batch = pack(PLAIN, micro.PACKED, data, rng())
    assert batch.memory is not None
    z = batch.memory.z.clone().requires_grad_()
    v = replace(batch, memory=batch.memory.with_z(z)).velocity(nets)
    (v - batch.target).square().mean().backward()
    assert z.grad is not None and bool((z.grad.flatten(2).abs().sum(-1) > 0).all()), "each of them matters to its chunk"


@pytest.mark.slow
def test_it_learns_what_only_recalled_frames_can_say(tmp_path: Path) -> None:
    """512 places of six colours, one a heading: who turns back and does not recall cannot know which it was."""
    head = torch.tensor([0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0])
    colours = torch.randn(512, 6, 8, 1, 1, generator=rng()).expand(-1, -1, -1, 4, 4)
    pose = rigid(rotation("y", (60.0 * head).expand(512, 12)), torch.zeros(512, 12, 3)).contiguous()
    camera = Camera(pose, level().lens.expand(512, 12, 4).contiguous())
    rows = tuple(LatentRow("", "game", "park", i) for i in range(512))
    Latents(colours[:, head].half().contiguous(), camera, rows, "").save(tmp_path / "round.safetensors")
    torch.manual_seed(0)
    native.save(tmp_path / "start", Networks.new(replace(micro.DIT, hint=False), micro.TEXT).parts())
    last: list[float] = []
    for drop in (0.0, 1.0):
        root = tmp_path / f"drop {drop}"
        packing = replace(PLAIN, batch=8, targets=3, windows=((6, 0),), revisits=0.0, drop_memory=drop)
        run = RunConfig(root / "run", 250, ema=None, threads=1, log_every=250)
        packed = PackedMemoryConfig(frames=1, least=0.3)
        files = (tmp_path / "round.safetensors", tmp_path / "start", root / "model")
        memory_stage.main(MemoryStage(run, *files, packing, packed, None, frames=6, lr=3e-3))
        last.append(sum(losses_of(root)[-50:]) / 50)
    assert last[0] < 0.7 * last[1], last
