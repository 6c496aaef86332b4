"""Muon: its updates are orthogonal, it learns, and a run with it resumes to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dreamx.train.muon import Muon, orthogonal
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 24), (2, 24, 8)])
def test_updates_are_orthogonal(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    g = torch.randn(shape) * torch.logspace(0, 2, shape[-1])
    values = torch.linalg.svdvals(orthogonal(g))
    assert values.max() < 1.3
    assert values.median() > 0.6
    assert torch.linalg.svdvals(g).max() / torch.linalg.svdvals(g).min() > 10


def test_matrices_without_a_gradient_stay() -> None:
    p = nn.Parameter(torch.ones(4, 4))
    Muon({"p": p}, 0.1).step(0.1)
    assert torch.equal(p, torch.ones(4, 4))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.head(x)


def train(folder: Path, steps: int, until: int | None = None) -> tuple[Net, list[float]]:
    run = Run(RunConfig(folder, steps, muon=True, save_steps=1, log_every=1000, threads=1))
    net = run.own(Net(), lr=0.02)
    losses: list[float] = []
    for x in run.steps(lambda step: torch.randn(32, 6, generator=run.generator(step))):
        loss = (net(x) - x[:, :2].sin()).square().mean()
        losses.append(loss.item())
        run.update(net, loss)
        if until is not None and run.step + 1 >= until:
            run.step += 1
            run.save()
            break
    return net, losses


def test_it_learns_and_resumes_to_the_bit(tmp_path: Path) -> None:
    whole, losses = train(tmp_path / "whole", 60)
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
    train(tmp_path / "cut", 60, until=23)
    again, _ = train(tmp_path / "cut", 60)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
