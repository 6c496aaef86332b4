"""Stage `distill`: gradients and losses in closed form, rollouts as at play, streams without end, and resume bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from dreamx.checkpoints import native
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level, relative_to
from dreamx.model.attention import Attend
from dreamx.recipes import micro
from dreamx.rollout import Sampler, rollout
from dreamx.train import distill
from dreamx.train.distill import DistillStage
from dreamx.train.latents import LatentClips
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig
from dreamx.train.score_matching import (
    ScoreConfig,
    StudentWindow,
    critic_loss,
    matching_gradient,
    memory_loss,
    spoken,
    student_loss,
)
from dreamx.train.student_stream import StreamConfig, StudentStream, check_stream
from dreamx.train.trained_networks import Networks
from repo import TESTS

START = TESTS / "golden/start"
SAMPLER = Sampler(steps=3, shift=3.0, chunk=1, window=4, sinks=1, context_noise=0.1)
LONG = StreamConfig(batch=2, window=4, overlap=1, lengths=(16,), switch=0.5)
CPU = torch.device("cpu")


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def networks(double: bool = False) -> Networks:
    """With every weight away from zero."""
    torch.manual_seed(1)
    nets = Networks.new(micro.DIT, micro.TEXT)
    for p in nets.parameters():
        nn.init.normal_(p, std=0.1)
    return nets.double() if double else nets


class Normal(nn.Module):
    """The velocity of noised samples of a normal distribution: what a perfect network would answer."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))
        self.log = nn.Parameter(torch.tensor(deviation, dtype=torch.float64).log())

    def forward(self, frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        s, variance = frames.sigma[..., None, None, None], (2 * self.log).exp()
        share = ((1 - s) * variance - s) / ((1 - s) ** 2 * variance + s**2)  # what x says of clean - noise
        return -self.mean - share * (frames.z - (1 - s) * self.mean)


def window(z: Tensor) -> StudentWindow:
    """Frames ``[B, 1, C, H, W]`` that are all new."""
    camera = level(dtype=z.dtype).map(lambda x: x.expand(len(z), 1, *x.shape))
    every = torch.ones(len(z), 1, dtype=torch.bool)
    return StudentWindow(clean(z, camera), every, ~every, [""] * len(z))


def test_a_normal_student_becomes_its_normal_teacher() -> None:
    """Mean -0.5 and deviation 2 become 1.5 and 0.6, by the very losses of the stage, critic to student as 5 to 1."""
    teacher, critic, cfg = Normal(1.5, 0.6), Normal(-0.5, 2.0), ScoreConfig(shift=1.0, guidance=0.0)
    mean, log = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (-0.5, 0.7))
    mine, its = torch.optim.Adam([mean, log], 0.02, (0.0, 0.99)), torch.optim.Adam(critic.parameters(), 0.05, (0.0, 0.99))
    seeds = rng()
    for step in range(1200):
        made = window(mean + log.exp() * torch.randn(64, 1, 1, 2, 2, generator=seeds, dtype=torch.float64))
        noisy, target = made.noised(cfg, seeds)
        if step % 5 == 0:
            with torch.no_grad():
                both = [made.velocity(net, noisy, None) for net in (critic, teacher)]
            loss, said = student_loss(made, noisy, *both)
            mine.zero_grad()
            loss.backward()
            mine.step()
            assert float(said["gap"]) >= 0
        its.zero_grad()
        critic_loss(made.velocity(critic, noisy, None), target, made).backward()
        its.step()
    assert mean.item() == pytest.approx(1.5, abs=0.15)
    assert log.exp().item() == pytest.approx(0.6, abs=0.12)


def test_the_critics_loss_at_its_optimum() -> None:
    """What is left of ``noise - clean`` when the noised sample is known: s^2 / ((1 - sigma)^2 s^2 + sigma^2)."""
    critic, cfg, variance = Normal(0.3, 0.5), ScoreConfig(shift=2.0, least=0.3, most=0.9), 0.25
    made = window(0.3 + 0.5 * torch.randn(4096, 1, 1, 4, 4, generator=rng(1), dtype=torch.float64))
    noisy, target = made.noised(cfg, rng(2))
    s = noisy.sigma[:, 0]
    assert [float(s.min()), float(s.max())] == pytest.approx([0.3, 0.9]), "clamped at both ends"
    best = float((variance / ((1 - s) ** 2 * variance + s**2)).mean())
    losses = [critic_loss(made.velocity(net, noisy, None), target, made).item() for net in (critic, Normal(0.3, 0.6))]
    assert losses[0] == pytest.approx(best, rel=0.02)
    assert losses[1] > losses[0] * 1.005, "any other is worse"


def test_the_gradient_is_that_of_the_sheet() -> None:
    made, fake, real = torch.randn(3, 2, 3, 1, 2, 2, generator=rng(), dtype=torch.float64)
    counted = torch.tensor([[False, True, True], [False, False, True]])
    pull = matching_gradient(made, fake, real, counted)
    for b, first in ((0, 1), (1, 2)):
        far = (made - real)[b, first:].abs().mean()
        assert torch.allclose(pull[b, first:], (fake - real)[b, first:] / far)
        assert not pull[b, :first].any()
    assert not matching_gradient(real, fake, real, counted).isfinite().logical_not().any(), "nan is 0"
    x = made.clone().requires_grad_()
    camera = level(dtype=x.dtype).map(lambda t: t.expand(2, 3, *t.shape))
    both = StudentWindow(clean(x, camera), counted, ~counted, ["", ""])
    noisy, _ = both.noised(ScoreConfig(), rng(1))
    assert torch.equal(noisy.z[0, 0], made[0, 0]) and not noisy.sigma[0, 0], "known frames are not noised"
    assert not noisy.z.requires_grad
    v = [torch.randn(x.shape, generator=rng(i), dtype=x.dtype) for i in (2, 3)]
    loss, _ = student_loss(both, noisy, *v)
    loss.backward()
    s = noisy.sigma[..., None, None, None]
    want = matching_gradient(made, noisy.z - s * v[0], noisy.z - s * v[1], counted)
    assert x.grad is not None
    assert torch.allclose(x.grad, want / (3 * 4)), "of three frames of four numbers that count"


def test_guidance_takes_words_away_and_nothing_else() -> None:
    seen: list[tuple[list[str], bool]] = []

    def net(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        seen.append((prompts, frames.camera.pose is made.frames.camera.pose))
        return frames.z * (1.0 if prompts[0] else 0.5)

    made = replace(window(torch.ones(1, 1, 1, 2, 2)), prompts=["a park"])
    noisy, _ = made.noised(ScoreConfig(), rng())
    v = made.velocity(net, noisy, None, 3.0)
    assert seen == [(["a park"], True), ([""], True)]
    assert torch.allclose(v, noisy.z * 2.5), "c + 3 (c - u)"


def test_words_that_stay_are_one_prompt_a_clip() -> None:
    z = torch.zeros(2, 3, 1, 1, 1)
    frames = clean(z, level().map(lambda x: x.expand(2, 3, *x.shape)))
    same = replace(frames, said=torch.tensor([[2, 2, 2], [0, 0, 0]]))
    assert spoken(same, ["a", "b", "c"])[1] == ["c", "a"]
    assert spoken(same, ["a", "b", "c"])[0].said is None
    other, prompts = spoken(replace(frames, said=torch.tensor([[2, 2, 0], [0, 0, 0]])), ["a", "b", "c"])
    assert other.said is not None and prompts == ["a", "c"]
    assert other.said.tolist() == [[1, 1, 0], [0, 0, 0]]


def stream(cfg: StreamConfig = LONG, sampler: Sampler = SAMPLER, frames: int = 6) -> StudentStream:
    return StudentStream(cfg, sampler, LatentClips(START / "latents.safetensors", frames), CPU)


def test_only_the_exit_pass_has_a_gradient_and_no_chunk_reaches_another() -> None:
    nets, passes = networks(), list[tuple[float, bool]]()

    def student(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        passes.append((float(frames.sigma.max()), torch.is_grad_enabled()))
        return nets(frames, prompts, attend)

    cfg = replace(LONG, batch=1)
    for exit_step in range(SAMPLER.steps):
        passes.clear()
        first = stream(cfg)
        made = first.next(student, 0.0, rng(), rng(), exit_step)
        # The first chunk is the given frame alone, which is written and not made.
        chunk = passes[1 : 3 + exit_step]
        assert [grad for _, grad in chunk] == [False] * exit_step + [True, False], "and the pass that writes has none"
        assert chunk[-1][0] == pytest.approx(SAMPLER.context_noise)
        assert len(passes) == 1 + 3 * (exit_step + 2)
        assert all(not k.requires_grad and not v.requires_grad for kv in first.cache.kv.values() for k, v in kv)
        made.frames.z[:, 1:].sum().backward()
        assert all(p.grad is not None for p in nets.dit.blocks.parameters())
    with torch.no_grad():
        assert not stream(cfg).next(nets, 0.0, rng(), rng(), 1).frames.z.requires_grad


def test_a_stream_of_windows_is_one_rollout() -> None:
    """The same frames as from the sampler of play in one go: windows are only how a sequence is cut into updates."""
    nets = networks()
    cfg = replace(LONG, drop_hint=0.0)
    with torch.no_grad():
        cut, whole = stream(cfg), stream(replace(cfg, window=13, lengths=(13,)))
        noise, paths = rng(5), rng(6)
        parts = [cut.next(nets, 0.0, paths, noise) for _ in range(4)]
        once = whole.next(nets, 0.0, rng(6), rng(5))
        z = torch.cat([parts[0].frames.z, *(p.frames.z[:, 1:] for p in parts[1:])], 1)
        assert torch.allclose(z, once.frames.z, atol=1e-4)
        pose = torch.cat([parts[0].frames.camera.pose, *(p.frames.camera.pose[:, 1:] for p in parts[1:])], 1)
        assert torch.equal(pose, once.frames.camera.pose)

        # Against `rollout` itself, which draws all noise of the first passes beforehand.
        drawn, plain, whole = list[Tensor](), replace(SAMPLER, stochastic=False, context_noise=0.0), stream(cfg, frames=6)
        known, prompts = whole.data.batch(2, rng(6))
        whole.sampler, seeds = plain, rng(5)
        made = whole.next(nets, 0.0, rng(6), seeds)
        seeds = rng(5)
        for _ in range(4):
            drawn += [torch.randn(2, 1, 8, 4, 4, generator=seeds)]
            torch.randn(2, 1, 8, 4, 4, generator=seeds)  # of the context, times 0

        def dit(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
            return nets(frames, prompts, attend)

        assert known.hint is not None
        args = (known.camera[:, :4], known.z, plain, rng(), known.z[:, 0], known.hint[:, :4])
        want = torch.cat([c.z for c in rollout(dit, torch.cat(drawn, 1), *args)], 1)
        assert torch.allclose(made.frames.z, want, atol=1e-4)


def test_windows_count_new_frames_and_go_on_where_a_path_ends() -> None:
    nets, long = networks(), stream()
    paths, noise = rng(3), rng(4)
    before: StudentWindow | None = None
    with torch.no_grad():
        for number in range(5):
            now = long.next(nets, 0.0, paths, noise, 0)
            assert now.counted.tolist() == [[False, True, True, True]] * 2
            assert now.known.tolist() == [[True, False, False, False]] * 2
            assert long.length == 4 + 3 * number
            assert now.frames.index[0].tolist() == [0, 1, 2, 3] and not now.frames.sigma.any()
            if before is not None:
                assert torch.equal(now.frames.z[:, 0], before.frames.z[:, -1]), "the overlap is what was made"
                assert torch.equal(now.frames.camera.pose[:, 0], before.frames.camera.pose[:, -1])
            step = relative_to(now.frames.camera[:, 1:], now.frames.camera[:, :-1]).pose[..., :3, 3].norm(dim=-1)
            assert float(step.max()) < 0.6, "no camera jumps from a clip to the next"
            before = now
        assert long.next(nets, 0.0, paths, noise, 0) is not None
        assert long.length == 4, "the sixth would be longer than 16"
    wide = stream(replace(LONG, window=6, overlap=2, lengths=(6, 30)))
    with torch.no_grad():
        assert wide.next(nets, 0.0, paths, noise, 0).counted[0].tolist() == [False] + 5 * [True]
        wide.next(nets, 0.2, paths, noise, 0)
        assert wide.length == 6, "short at first"
        assert wide.next(nets, 0.6, paths, noise, 0).counted[0].tolist() == [False] * 2 + [True] * 4
        assert wide.length == 10, "then longer"


def test_the_memory_of_240_latents_is_flat() -> None:
    nets, long = networks(), stream(replace(LONG, batch=1, window=13, lengths=(240,)), replace(SAMPLER, steps=1))
    sizes: list[int] = []
    with torch.no_grad():
        while not sizes or long.length + 12 <= 240:
            long.next(nets, 0.0, rng(len(sizes)), rng(len(sizes)))
            held = sum(k.shape[1] * k.shape[2] for pieces in long.cache.kv.values() for k, _ in pieces)
            ahead = len(long.way) if long.way is not None else 0
            assert ahead < 6
            sizes.append(held)
    assert long.length > 225 and len(sizes) > 15
    slots = len(long.cache.kv)
    assert set(sizes) == {4 * slots * 4}, "four frames of four tokens"


def test_a_flush_cuts_the_cache_where_words_change() -> None:
    nets = networks()
    held: dict[float, set[int]] = {}

    def watched(long: StudentStream, seen: set[int], frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        if long.length > 6 and float(frames.sigma.max()) == 1:
            seen.add(len(long.cache))
        return nets(frames, prompts, attend)

    for switch in (0.0, 1.0):
        long, seen = stream(replace(LONG, batch=1, switch=switch), replace(SAMPLER, window=6, flush=1)), set[int]()

        with torch.no_grad():
            for i in range(5):
                long.next(partial(watched, long, seen), 0.0, rng(i), rng(i), 0)
        held[switch] = seen
    assert held[0.0] == {6}
    assert 2 in held[1.0], "a sink and the newest frame"


def stage(root: Path, cfg: StreamConfig = LONG, causal: bool = False) -> DistillStage:
    run = RunConfig(root / "run", 6, decay=0.0, warmup=0.0, ema=0.9, save_seconds=None, save_steps=3, threads=1)
    return DistillStage(
        run,
        START / "latents.safetensors",
        START / "camera",
        root / "model",
        None if causal else START / "camera",
        sampler=SAMPLER,
        stream=cfg,
        lr=1e-3,
        critic_lr=1e-3,
        ratio=2,
        look_every=2,
    )


def rows(root: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (root / "run/log.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("cfg", [replace(LONG, lengths=(15,), known=0.5), replace(LONG, lengths=(4,))])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, cfg: StreamConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    distill.main(stage(tmp_path / "whole", cfg))
    loss, left = critic_loss, [4]

    def dying(v: Tensor, target: Tensor, made: StudentWindow) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return loss(v, target, made)

    with monkeypatch.context() as patched:
        patched.setattr(distill, "critic_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            distill.main(stage(tmp_path / "parts", cfg))
    assert len(rows(tmp_path / "parts")) == 4, "one more than its checkpoint has"
    distill.main(stage(tmp_path / "parts", cfg))
    weights = [native.read(tmp_path / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_a_critic_of_a_run_before_goes_on_where_it_was(tmp_path: Path) -> None:
    distill.main(stage(tmp_path / "first"))
    left = tmp_path / "first/run/critic"
    still = replace(stage(tmp_path / "second"), start=tmp_path / "first/model", critic=left, critic_lr=1e-30)
    distill.main(replace(still, run=replace(still.run, weight_decay=0.0)))
    was, now, teacher = (native.read(f / "dit.safetensors") for f in (left, tmp_path / "second/run/critic", START / "camera"))
    assert all(torch.allclose(w, now[k], atol=1e-7) for k, w in was.items())
    assert any(not torch.allclose(w, teacher[k], atol=1e-4) for k, w in was.items()), "and it had moved"


def test_the_log_tells_of_a_collapse(tmp_path: Path) -> None:
    distill.main(stage(tmp_path, causal=True))
    found = rows(tmp_path)
    assert len(found) == 6
    assert ["student.loss" in row for row in found] == [True, False] * 3
    assert ["student.diversity" in row for row in found] == [True, False, False, False, True, False]
    assert all(row[f"student.{k}"] > 0 for row in found[::4] for k in ("diversity", "motion", "data_motion", "gap"))
    start = native.read(START / "camera/dit.safetensors")
    made = native.read(tmp_path / "model/dit.safetensors")
    assert any(not torch.equal(w, start[k]) for k, w in made.items())


def test_senseless_settings(tmp_path: Path) -> None:
    wrong: tuple[tuple[Callable[[], object], str], ...] = (
        (
            lambda: StreamConfig(window=3, overlap=3, lengths=(3,)),
            r"stream\.overlap must be less than stream\.window \(3\), not 3",
        ),
        (lambda: StreamConfig(lengths=(20,)), r"stream\.lengths must be one number at least, none below stream\.window \(21\)"),
        (lambda: ScoreConfig(least=0.9, most=0.8), r"score\.least must be at most score\.most"),
        (
            lambda: check_stream(StreamConfig(window=20), Sampler()),
            r"stream\.window must be a multiple of sampler\.chunk \(3\)",
        ),
        (
            lambda: check_stream(StreamConfig(), Sampler(window=5)),
            r"sampler\.window: 5 frames do not hold 3 sinks",
        ),
        (lambda: replace(stage(tmp_path), teacher=None, causal_teacher=True), "causal_teacher goes with teacher"),
        (lambda: distill.main(replace(stage(tmp_path), frames=1)), "frames: clips of one latent have no path to go"),
    )
    for do, said in wrong:
        with pytest.raises(ValueError, match=said):
            do()


def test_sheets_show_the_student_beside_its_teacher_at_each_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a clip: the truth, the student, the teacher; from equal networks, sampler and noise the last two are equal."""
    drawn: dict[int, Tensor] = {}

    def keep(run: Run, name: str, images: Tensor, columns: int = 8) -> None:
        drawn[run.step + 1] = images.unflatten(0, (2, 3, columns))

    monkeypatch.setattr(Run, "sheet", keep)
    cfg = replace(stage(tmp_path / "causal", causal=True), teacher_steps=SAMPLER.steps, lr=1e-12)
    sampler = replace(SAMPLER, stochastic=False)
    sheets = SamplesConfig(START / "autoencoder", sampler, every=100, clips=2, columns=5)
    distill.main(replace(cfg, samples=sheets))
    assert sorted(drawn) == [3, 6], "where checkpoints are"
    true, student, teacher = drawn[6].unbind(1)
    assert torch.allclose(student, teacher, atol=1e-3)
    assert (true - student).abs().mean() > 0.02
    drawn.clear()
    distill.main(replace(stage(tmp_path / "both"), samples=sheets))
    _, student, teacher = drawn[6].unbind(1)
    assert (student - teacher).abs().mean() > 1e-3, "all at once is not chunk by chunk"
    assert stage(tmp_path).teacher_sampler == Sampler(16, 3.0, False, chunk=4, window=4, sinks=0)


def test_a_student_is_held_to_what_memory_shows_alone() -> None:
    data = LatentClips(START / "latents.safetensors", 5)
    stream = StudentStream(StreamConfig(batch=2, window=4, overlap=1, lengths=(16,), drop_hint=0.0), SAMPLER, data, CPU)
    nets = networks()
    first = stream.next(nets, 0.0, rng(), rng(1), exit_step=1)
    known, _ = data.batch(2, rng())
    assert first.truth is not None
    assert torch.equal(first.truth, known.z[:, :4])
    hint = torch.zeros(2, 4, known.z.shape[2] + 1, *known.z.shape[3:])
    hint[:, :, :-1], hint[:, :, -1, :, :2], hint[0, 3, -1, 0, 0] = known.z[:, :4], 1.0, 0.5
    hint[1, :, :-1] += 0.1**0.5  # wrong by a mean squared error of 0.1
    window = replace(first, frames=replace(first.frames, hint=hint))
    share = hint[:, :, -1:] * window.counted[..., None, None, None]
    wrong = (window.frames.z - known.z[:, :4]).square() * torch.tensor([1.0, math.exp(-1)])[:, None, None, None, None]
    channels = known.z.shape[2]
    assert memory_loss(window).item() == pytest.approx(((share * wrong).sum() / share.sum() / channels).item(), rel=1e-4)
    memory_loss(window).backward()
    assert sum(float(p.grad.abs().sum()) for p in nets.parameters() if p.grad is not None) > 0
    for nothing in (None, 0 * hint):
        assert memory_loss(replace(first, frames=replace(first.frames, hint=nothing))).item() == 0
    later = stream.next(nets, 0.0, rng(2), rng(3), exit_step=1)
    assert later.truth is not None
    assert later.truth.shape == later.frames.z.shape
    assert torch.equal(later.truth[:, :1], later.frames.z[:, :1]), "what was made before is held to itself"


def test_a_window_looked_at_twice_pulls_by_the_mean_of_both_looks() -> None:
    x = torch.randn(2, 1, 1, 4, 4, generator=rng(), dtype=torch.float64, requires_grad=True)
    teacher, critic = Normal(1.5, 0.6), Normal(-0.5, 2.0)
    twice = window(x).repeated(2)
    assert len(twice.frames.z) == len(twice.prompts) == 4
    assert torch.equal(twice.counted, torch.ones(4, 1, dtype=torch.bool))
    noisy, _ = twice.noised(ScoreConfig(), rng(1))
    assert len(noisy.sigma.unique()) == 4, "a level for each look"

    def pull(seen: StudentWindow, noisy: Frames) -> Tensor:
        with torch.no_grad():
            both = [seen.velocity(net, noisy, None) for net in (critic, teacher)]
        return torch.autograd.grad(student_loss(seen, noisy, *both)[0], x, retain_graph=True)[0]

    one_each = []
    for look in range(2):
        rows = slice(look, None, 2)
        camera = noisy.camera.map(lambda c, rows=rows: c[rows])
        part = Frames(noisy.z[rows], noisy.sigma[rows], noisy.index[rows], camera)
        one_each.append(pull(window(x), part))
    assert torch.allclose(pull(twice, noisy), torch.stack(one_each).mean(0))


@pytest.mark.parametrize(("shared", "rollouts"), [(False, [True, False, False] * 2), (True, [True, False] * 2)])
def test_a_critic_shares_the_window_of_the_student(
    tmp_path: Path, shared: bool, rollouts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, trained = StudentStream.next, list[bool]()

    def counting(self: StudentStream, *given: object) -> StudentWindow:
        trained.append(torch.is_grad_enabled())
        return plain(self, *given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(StudentStream, "next", counting)
    monkeypatch.setattr(distill, "measure_collapse", lambda *_: {})
    cfg = stage(tmp_path)
    distill.main(replace(cfg, run=replace(cfg.run, steps=4), shared=shared, draws=2))
    assert trained == rollouts
    assert all("critic.loss" in row for row in rows(tmp_path) if "step" in row)


@pytest.mark.parametrize("exit_step", [None, 1])
def test_words_that_are_kept_change_nothing(exit_step: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    nets, read = networks(), list[bool]()
    plain = nets.text.forward

    def counting(prompts: list[str]) -> Tensor:
        read.append(torch.is_grad_enabled())
        return plain(prompts)

    monkeypatch.setattr(nets.text, "forward", counting)
    found, without = list[list[Tensor]](), list[int]()
    for kept in (False, True):
        read.clear()
        going = stream(replace(LONG, switch=0.0))
        with torch.set_grad_enabled(exit_step is not None), nets.words_kept() if kept else nullcontext():
            made = [going.next(nets, 0.0, rng(n), rng(7), exit_step).frames.z for n in range(2)]
        if exit_step is None:
            found.append(made)
        else:
            nets.zero_grad()
            sum(z.square().sum() for z in made).backward()  # pyright: ignore[reportAttributeAccessIssue]
            found.append([*made, *(p.grad for p in nets.parameters() if p.grad is not None)])
            assert sum(read) == 3 + 3, "each chunk's pass with a gradient reads them anew; the first frame is given"
        without.append(read.count(False))
    assert without[0] > without[1] == 1, "one clip goes on: without a gradient its words are read once"
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_of_windows_that_nobody_is_given_the_first_frame_is_noised_too() -> None:
    with torch.no_grad():
        given, asked = (stream(replace(LONG, known=share)) for share in (1.0, 0.0))
        for number in range(3):
            one, other = (s.next(networks(), 0.0, rng(number), rng(7)) for s in (given, asked))
            assert torch.equal(one.counted, other.counted), "what counts is the same"
            assert one.known[:, 0].all()
            assert bool(other.known[:, 0].all()) == (not number), "a sequence's first frame is a picture, and always given"
            assert not (one.known | other.known)[:, 1:].any()
            noisy, _ = other.noised(ScoreConfig(least=0.5), rng(3))
            assert bool((noisy.sigma[:, 0] > 0).all()) == bool(number)
