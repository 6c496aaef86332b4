"""Adversarial head: it learns to tell two distributions, pulls a student to the data, is absent at weight 0, and resumes."""

from __future__ import annotations

from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from dreamx.checkpoints import native
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.train import distill
from dreamx.train.adversarial_head import (
    AdversarialConfig,
    AdversarialHead,
    fooling_loss,
    middle_features,
    real_window,
    separation_loss,
    with_gradient,
)
from dreamx.train.distill import DistillStage
from dreamx.train.latents import LatentClips
from dreamx.train.score_matching import ScoreConfig, StudentWindow
from dreamx.train.trained_networks import Networks
from repo import TESTS
from test_distill import networks, rows, stage

START = TESTS / "golden/start"
SCORE = ScoreConfig(shift=1.0, least=0.1, most=0.5, guidance=0.0)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def window(z: Tensor) -> StudentWindow:
    """Frames ``[B, 2, 8, 4, 4]`` of which the second counts."""
    camera = level().map(lambda x: x.expand(len(z), 2, *x.shape))
    new = torch.tensor([False, True]).expand(len(z), 2)
    return StudentWindow(clean(z, camera), new, ~new, [""] * len(z))


def logits(head: AdversarialHead, nets: Networks, made: StudentWindow, seeds: Generator) -> Tensor:
    noisy, _ = made.noised(SCORE, seeds)
    with middle_features(nets.dit) as found:
        made.velocity(nets, with_gradient(made, noisy), None)
    return head(found[0])


def test_losses_are_those_of_logits() -> None:
    true, made = torch.tensor([[9.0, 1.0, -1.0]]), torch.tensor([[9.0, -2.0, -3.0]])
    counted = torch.tensor([[False, True, True]])
    loss, said = separation_loss(true, made, counted)
    want = sum(log(1 + torch.tensor(x).exp().item()) for x in (-1.0, 1.0, -2.0, -3.0)) / 2
    assert loss.item() == pytest.approx(want) and said["accuracy"].item() == 0.75
    assert fooling_loss(made, counted).item() == pytest.approx(sum(log(1 + torch.tensor(x).exp().item()) for x in (2.0, 3.0)) / 2)
    head = AdversarialHead(64, 8)
    blank = head(torch.randn(2, 3, 4, 64))
    assert blank.shape == (2, 3) and not blank.any(), "it knows nothing at first"


def test_noise_keeps_its_numbers_and_lets_a_gradient_through() -> None:
    made = window(torch.randn(2, 2, 8, 4, 4, generator=rng()).requires_grad_())
    noisy, _ = made.noised(SCORE, rng(1))
    live = with_gradient(made, noisy)
    assert torch.equal(live.z, noisy.z) and not noisy.z.requires_grad
    (grad,) = torch.autograd.grad(live.z[:, 1].sum(), made.frames.z)
    assert torch.allclose(grad[:, 1], (1 - noisy.sigma[:, 1])[:, None, None, None].expand_as(grad[:, 1]))


def test_the_head_tells_two_gaussians_and_a_student_pulled_by_it_alone_moves_to_the_data() -> None:
    """Windows of mean 0, trained to be like windows of mean 1; of the student nothing but its mean is trained."""
    torch.manual_seed(0)
    nets, head = networks().requires_grad_(False), AdversarialHead(64, 32)
    its = torch.optim.Adam(head.parameters(), 3e-3, (0.0, 0.9))
    seeds, mean = rng(3), torch.zeros((), requires_grad=True)
    mine = torch.optim.Adam([mean], 0.02, (0.0, 0.9))

    def draw(shift: Tensor | float) -> StudentWindow:
        return window(0.5 * torch.randn(16, 2, 8, 4, 4, generator=seeds) + shift)

    def teach() -> float:
        with torch.no_grad():
            made = draw(mean)
        loss, said = separation_loss(logits(head, nets, draw(1.0), seeds), logits(head, nets, made, seeds), made.counted)
        its.zero_grad()
        loss.backward()
        its.step()
        return float(said["accuracy"])

    for _ in range(80):
        teach()
    assert min(teach() for _ in range(5)) > 0.9, "it tells them apart"
    path: list[float] = []
    for _ in range(160):
        teach()
        made = draw(mean)
        mine.zero_grad()
        fooling_loss(logits(head, nets, made, seeds), made.counted).backward()
        mine.step()
        path.append(mean.item())
    assert path[0] > 0, "towards the data at once"
    assert 0.6 < sum(path[-40:]) / 40 < 1.4, path[::10]


@pytest.mark.parametrize("anywhere", [True, False])
def test_a_true_window_is_like_the_students(anywhere: bool) -> None:
    data = LatentClips(START / "latents.safetensors")
    data.anywhere = anywhere
    known, _ = data.batch(2, rng())
    assert known.hint is not None
    hint = known.hint[:, :4].clone()
    hint[:, :, -1] = 1
    hint[0] = 0  # one row of the student has no hint
    hint[1, 2] = 0
    count = torch.arange(4).expand(2, -1) >= 2
    like = StudentWindow(replace(clean(known.z[:, :4], known.camera[:, :4]), hint=hint), count, ~count, ["", ""])
    starts: set[int] = set()
    for seed in range(12):
        true = real_window(like, data, rng(seed))
        clip, _ = data.batch(2, rng(seed))
        start = next(i for i in range(3) if torch.equal(clip.z[:, i : i + 4], true.frames.z))
        starts.add(start)
        assert true.frames.hint is not None and clip.hint is not None
        assert not true.frames.hint[0].any() and not true.frames.hint[1, 2].any()
        assert torch.equal(true.frames.hint[1, :2], clip.hint[1, start : start + 2])
        assert torch.equal(true.counted, like.counted) and torch.equal(true.known, like.known)
        assert true.frames.index[0].tolist() == [0, 1, 2, 3]
        first = true.frames.camera.pose[:, 0]
        assert torch.allclose(first, torch.eye(4).expand(2, -1, -1), atol=1e-6) or anywhere
    assert starts == ({0, 1, 2} if anywhere else {0}), "where sequences begin with a picture, so does it"


def adversarial(root: Path, causal: bool = False) -> DistillStage:
    return replace(stage(root, causal=causal), adversarial=AdversarialConfig(0.1, lr=1e-2, width=16))


def test_a_killed_run_goes_on_bit_for_bit_with_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distill.main(adversarial(tmp_path / "whole"))
    left = [4]

    def dying(true: Tensor, made: Tensor, counted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return separation_loss(true, made, counted)

    with monkeypatch.context() as patched:
        patched.setattr(distill, "separation_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            distill.main(adversarial(tmp_path / "parts"))
    distill.main(adversarial(tmp_path / "parts"))
    weights = [native.read(tmp_path / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    found = rows(tmp_path / "whole")
    assert found == rows(tmp_path / "parts")
    manifests = [(tmp_path / name / "run/checkpoints/step-00000006/manifest.json").read_text() for name in ("whole", "parts")]
    assert "head/exp_avg/out.weight" in manifests[0], "its optimiser is in the checkpoint"
    assert found[0]["head.loss"] == pytest.approx(2 * log(2)) and found[0]["student.fooling"] == pytest.approx(log(2))
    assert all(0 <= row["head.accuracy"] <= 1 for row in found) and found[-1]["head.loss"] != found[0]["head.loss"]
    assert ["student.fooling" in row for row in found] == [True, False] * 3


def test_the_first_step_is_as_without_a_head_whose_logits_are_all_zero(tmp_path: Path) -> None:
    """Weight 0 makes no head; a head that knows nothing yet has no gradient, so that the student's first update is the same."""
    distill.main(replace(stage(tmp_path / "none", causal=True), adversarial=AdversarialConfig(0.0, lr=1e-2)))
    distill.main(adversarial(tmp_path / "head", causal=True))
    none, head = rows(tmp_path / "none"), rows(tmp_path / "head")
    assert not any(k.startswith("head.") or "fooling" in k for row in none for k in row)
    same = ("student.gap", "student.grad", "critic.loss", "critic.grad")
    assert all(none[0][k] == pytest.approx(head[0][k], rel=1e-5) for k in same)
    assert none[2]["student.grad"] != head[2]["student.grad"], "later it pulls"


def test_clips_shorter_than_a_window_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"adversarial\.weight: the head compares windows of 4 latents .* clips have 3"):
        distill.main(replace(adversarial(tmp_path), frames=3))


def test_the_middle_block_is_listened_to_only_inside() -> None:
    nets, made = networks(), window(torch.randn(1, 2, 8, 4, 4, generator=rng()))

    def ask() -> Frames:
        noisy, _ = made.noised(SCORE, rng())
        made.velocity(nets, noisy, None)
        return noisy

    with middle_features(nets.dit) as found:
        ask()
        ask()
    ask()
    assert [x.shape for x in found] == [(1, 2, 4, 64)] * 2
