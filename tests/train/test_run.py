"""A run goes on after any death as if nothing had happened, and says what goes wrong in one sentence."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dreamx.checkpoints import native
from dreamx.train import checkpoint
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@dataclass(frozen=True)
class Size:
    width: int = 8


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 1))


def config(folder: Path, steps: int = 12) -> RunConfig:
    return RunConfig(folder, steps, save_seconds=None, save_steps=4, log_every=5, threads=1)


def train(
    cfg: RunConfig,
    die_at: int | None = None,
    raise_at: int | None = None,
    signal_at: int | None = None,
    number: int = signal.SIGINT,
) -> Run:
    """A stage in small that draws on every source of randomness and trains two networks with two optimisers."""
    run = Run(cfg)
    model, critic = run.own(net(), lr=1e-2, name="net"), run.own(nn.Linear(1, 1), lr=1e-3, name="critic")

    def batch(step: int) -> Tensor:
        return torch.randn(16, 4, generator=run.generator(step))

    for x in run.steps(batch):
        if run.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if run.step == signal_at:
            os.kill(os.getpid(), number)
        y = model(x + random.random() * 0.1 + float(np.random.rand()) * 0.1)
        bad = torch.nan if run.step == raise_at else 0.0
        run.update(model, (y - x.sum(1, keepdim=True)).square().mean() + critic(y).mean() * 1e-3 + bad, {"mean": y.mean()})
        run.update(critic, (critic(y.detach()) - y.detach().tanh()).square().mean())
    return run


def rows(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def weights_of(run: Run) -> dict[str, Tensor]:
    return {k: t.clone() for k, t in run._tensors().items()}


def same(a: Run, b: Run) -> bool:
    x, y = weights_of(a), weights_of(b)
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def in_another_process(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_run import *\n" + textwrap.dedent(code)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The uninterrupted run that all others are compared with."""
    return train(config(tmp_path_factory.mktemp("whole")))


def test_kill_9_and_resume_is_bit_equal(whole: Run, tmp_path: Path) -> None:
    """Killed between two checkpoints, killed again in the middle of writing one, then resumed to the end."""
    cfg = f"config(Path({str(tmp_path)!r}))"
    assert in_another_process(f"train({cfg}, die_at=7)").returncode == -signal.SIGKILL
    assert [r["step"] for r in rows(tmp_path)] == [0, 1, 2, 3, 4, 5, 6]
    killed = in_another_process(f"""
        checkpoint._checksum = lambda file: os.kill(os.getpid(), signal.SIGKILL)
        checkpoint._broken = lambda folder: None
        train({cfg})
    """)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoints/.writing").is_dir()
    assert "going on from step 4 of 12" in killed.stdout
    resumed = train(config(tmp_path))
    assert rows(tmp_path) == rows(whole.cfg.folder)
    assert same(resumed, whole)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]


def test_the_comparison_can_fail(whole: Run, tmp_path: Path) -> None:
    other = train(replace(config(tmp_path), seed=1))
    assert rows(tmp_path) != rows(whole.cfg.folder)
    assert not same(other, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs the tests in the background
    with pytest.raises(SystemExit) as e:
        train(config(tmp_path), signal_at=5, number=number)
    assert e.value.code == 128 + number
    assert "saved at step 6 of 12; run the same command again" in capsys.readouterr().out
    assert same(train(config(tmp_path)), whole)
    assert rows(tmp_path) == rows(whole.cfg.folder)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_torn_log_line_is_dropped(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        train(config(tmp_path), signal_at=5)
    with (tmp_path / "log.jsonl").open("a") as f:
        f.write('{"step": 6, "lo')
    train(config(tmp_path))
    assert rows(tmp_path) == rows(whole.cfg.folder)


@pytest.mark.parametrize("how", ["truncate", "flip", "remove", "manifest"])
def test_a_corrupt_checkpoint_falls_back(whole: Run, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    train(config(tmp_path))
    newest = tmp_path / "checkpoints/step-00000012"
    file = newest / "manifest.json" if how == "manifest" else next(newest.glob("*.distcp"))
    data = file.read_bytes()
    if how == "remove":
        file.unlink()
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] + (b"" if how != "flip" else bytes([data[middle] ^ 1]) + data[middle + 1 :]))
    capsys.readouterr()
    resumed = train(config(tmp_path))
    said = capsys.readouterr().out.splitlines()[0]
    assert file.name in said
    assert "passed over" in said
    assert same(resumed, whole)


def test_no_whole_checkpoint_left_is_an_error(tmp_path: Path) -> None:
    train(config(tmp_path))
    for file in (tmp_path / "checkpoints").glob("*/own-0.pt"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"own-0\.pt is not what was written .*no older one is left; delete"):
        train(config(tmp_path))


def test_nan_stops_and_spares_weights_and_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step 6: the loss of net is nan .* checkpoint of step 4 is intact"):
        train(config(tmp_path), raise_at=6)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]
    run = Run(config(tmp_path / "b"))
    layer = run.own(nn.Linear(1, 1), lr=1.0)
    before = weights_of(run)
    with pytest.raises(ValueError, match="the gradient of linear is nan"):
        for _ in run.steps(lambda step: step):
            run.update(layer, layer(torch.zeros(1, 1)).sub(layer.bias.detach()).square().sum().sqrt())  # 0 * inf
    assert all(torch.equal(t, before[k]) for k, t in weights_of(run).items())


def test_a_checkpoint_of_other_networks_or_another_seed(tmp_path: Path) -> None:
    train(config(tmp_path))
    run = Run(config(tmp_path))
    run.own(nn.Linear(9, 1), lr=1.0, name="net")
    with pytest.raises(ValueError, match=r"in the checkpoint and absent in this stage; it is a run of another config"):
        next(run.steps(lambda step: step))
    with pytest.raises(ValueError, match=r"run\.seed is 3, but .* seed 0"):
        train(replace(config(tmp_path), seed=3))


def test_a_finished_run_has_nothing_left_and_more_steps_go_on(tmp_path: Path) -> None:
    train(config(tmp_path))
    assert len(rows(tmp_path)) == 12
    assert train(config(tmp_path)).step == 12
    assert len(rows(tmp_path)) == 12
    train(config(tmp_path, steps=14))
    assert [r["step"] for r in rows(tmp_path)] == list(range(14))


def test_only_the_named_parts_are_trained(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.ModuleDict({"view": nn.Linear(2, 2), "mlp": nn.Linear(2, 2)})])
            self.viewer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            block: Any = self.blocks[0]
            return self.viewer(block["mlp"](block["view"](x)))

    run = Run(config(tmp_path, steps=2))
    model = run.own(Two(), lr=0.1, train=["view"])
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    for x in run.steps(lambda step: torch.randn(3, 2, generator=run.generator(step))):
        run.update(model, model(x).square().mean())
    moved = {k for k, p in model.named_parameters() if not torch.equal(p, before[k])}
    assert moved == {"blocks.0.view.weight", "blocks.0.view.bias"}
    with pytest.raises(ValueError, match=r"two has no part 'camera' with parameters; its parts are blocks, viewer"):
        Run(config(tmp_path / "b")).own(Two(), lr=0.1, train=["view", "camera"])


def test_average_is_the_recurrence_and_comes_and_goes(tmp_path: Path) -> None:
    run = Run(replace(config(tmp_path, steps=30), ema=0.8))
    layer = run.own(nn.Linear(2, 1, bias=False), lr=0.1)
    mean = layer.weight.detach().clone()
    for x in run.steps(lambda step: torch.randn(4, 2, generator=run.generator(step))):
        run.update(layer, layer(x).square().mean())
        decay = min(0.8, (run.step + 1) / (run.step + 10))
        mean = decay * mean + (1 - decay) * layer.weight.detach()
    now = layer.weight.detach().clone()
    with run.ema(layer) as averaged:
        torch.testing.assert_close(averaged.weight.detach(), mean)
        assert not torch.equal(layer.weight, now)
    assert torch.equal(layer.weight, now)


def test_export_writes_averages_of_parts_owned_together(tmp_path: Path) -> None:
    run = Run(replace(config(tmp_path, steps=3), ema=0.5))
    dit, text, vae = nn.Linear(2, 1), nn.Linear(2, 2), nn.Linear(1, 1)
    both = run.own(nn.ModuleList([dit, text]), lr=0.1, name="both")
    for x in run.steps(lambda step: torch.ones(1, 2)):
        run.update(both, dit(text(x)).square().mean())
    run.export(tmp_path / "w", {"dit": (dit, Size(1)), "text": (text, Size(2)), "vae": (vae, Size(3))})
    for name, module in (("dit", dit), ("text", text)):
        with run.ema(module):
            held = native.read(tmp_path / "w" / f"{name}.safetensors")
            assert all(torch.equal(held[k], t) for k, t in module.state_dict().items())
        assert not torch.equal(held["weight"], module.weight.detach())
    assert torch.equal(native.read(tmp_path / "w/vae.safetensors")["weight"], vae.weight.detach())


def test_learning_rate_rises_stays_and_falls(tmp_path: Path) -> None:
    cfg = replace(config(tmp_path, steps=100), warmup=0.1, decay=0.4, floor=0.05)
    share = [cfg.lr_share(s) for s in range(100)]
    assert share[0] == pytest.approx(0.1)
    assert share[9:60] == [1.0] * 51
    assert all(a > b for a, b in pairwise(share[60:]))
    assert share[80] == pytest.approx(0.05 + 0.95 / 2)
    assert share[99] == pytest.approx(0.05, abs=0.01)
    assert [replace(cfg, warmup=0.0, decay=0.0).lr_share(s) for s in (0, 99)] == [1.0, 1.0]


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("ema", 1.0), ("clip", 0.0), ("decay", 2.0), ("threads", 0)])
def test_senseless_settings(tmp_path: Path, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{field} must be .*, not {value}"):
        replace(config(tmp_path), **{field: value})


def test_misuse(tmp_path: Path) -> None:
    run = Run(config(tmp_path))
    layer = run.own(nn.Linear(1, 1), lr=1.0)
    with pytest.raises(ValueError, match="two owned modules are called 'linear'"):
        run.own(nn.Linear(1, 1), lr=1.0)
    with pytest.raises(ValueError, match="not owned by the run"):
        run.update(nn.Linear(1, 1), layer(torch.ones(1, 1)).sum())
    next(run.steps(lambda step: step))
    with pytest.raises(ValueError, match="came after the first step"):
        run.own(nn.Conv1d(1, 1, 1), lr=1.0)


def test_what_people_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(config(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/12", "5/12", "10/12", "12/12"]
    assert all("net.loss" in line and "steps/s" in line and "left" in line for line in lines)


def test_contact_sheet(tmp_path: Path) -> None:
    run = Run(config(tmp_path))
    images = torch.stack([torch.full((3, 4, 5), v) for v in (-1.0, 0.0, 9.0)])
    run.sheet("samples/a", images, columns=2)
    page = np.asarray(Image.open(tmp_path / "samples/a.png"))
    assert page.shape == (8, 10, 3)
    assert [int(page[y, x, 0]) for y, x in ((0, 0), (0, 5), (4, 0), (4, 5))] == [0, 128, 255, 0]
    run.sheet("b", torch.full((1, 3, 2, 2), 7, dtype=torch.uint8))
    assert np.asarray(Image.open(tmp_path / "b.png")).flat[0] == 7
    with pytest.raises(ValueError, match="a sheet needs images"):
        run.sheet("c", torch.zeros(3, 4, 5))


def pictures(step: int) -> Tensor:
    return torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step))


def conv() -> nn.Sequential:
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(128, 1)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


SHARDED = """
import sys; sys.path.insert(0, sys.argv[2])
from test_run import *

def sharded(folder, steps, stop=None):
    run = Run(replace(config(folder, 6), save_steps=2))
    model = run.own(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1)), lr=1e-2, name="net")
    for x in run.steps(lambda step: torch.randn(16, 4, generator=torch.Generator().manual_seed(step)).chunk(2)[run.rank]):
        if run.step == stop:
            return
        run.update(model, (model(x) - x.sum(1, keepdim=True)).square().mean())
    run.export(folder / "w", {"net": (model, Size())})

def looking(folder):
    # Convolutions as ours are, averages looked through before every step, a critic whose gradients are looked at by hand.
    run = Run(replace(config(folder, 4), ema=0.5))
    model, critic = run.own(conv(), 1e-2, name="net"), run.own(nn.Linear(4, 1), 1e-2, name="critic", whole=True)
    for x in run.steps(lambda step: pictures(step).chunk(2)[run.rank]):
        with run.ema(model), torch.no_grad():
            before = model(x).mean()
        run.update(model, (model(x) - x.mean((1, 2, 3))[:, None]).square().mean(), {"before": before})
        loss = critic(x[:, 0, 0]).square().mean()
        pull = torch.autograd.grad(loss, critic.weight, retain_graph=True)[0].mean()
        run.update(critic, loss, {"pull": pull})

folder = Path(sys.argv[1])
looking(folder / "looking")
sharded(folder / "whole", 6)
sharded(folder / "again", 6, stop=3)
sharded(folder / "again", 6)
from dreamx.interrupt import leave; leave(0)
"""


def test_two_processes_shard_and_resume(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(SHARDED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "stage.py"]
    done = subprocess.run(
        [*command, str(tmp_path), str(Path(__file__).parent)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("going on from step 2 of 6") == 1
    assert rows(tmp_path / "again") == rows(tmp_path / "whole")

    looked = Run(replace(config(tmp_path / "alone", 4), ema=0.5))
    model, critic = looked.own(conv(), 1e-2, name="net"), looked.own(nn.Linear(4, 1), 1e-2, name="critic")
    for x in looked.steps(pictures):
        with looked.ema(model), torch.no_grad():
            before = model(x).mean()
        looked.update(model, (model(x) - x.mean((1, 2, 3))[:, None]).square().mean(), {"before": before})
        loss = critic(x[:, 0, 0]).square().mean()
        pull = torch.autograd.grad(loss, critic.weight, retain_graph=True)[0].mean()
        looked.update(critic, loss, {"pull": pull})
    for one, two in zip(rows(tmp_path / "alone"), rows(tmp_path / "looking"), strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)

    # One process sees the same losses on the two halves together, and reads the checkpoint of two.
    run = Run(replace(config(tmp_path / "one", 6), save_steps=2))
    model = run.own(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1)), lr=1e-2, name="net")
    for x in run.steps(lambda step: torch.randn(16, 4, generator=torch.Generator().manual_seed(step))):
        run.update(model, (model(x) - x.sum(1, keepdim=True)).square().mean())
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "whole"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["grad"] == pytest.approx(two["grad"], rel=1e-4)
    checkpoint.read(tmp_path / "whole/checkpoints/step-00000006", run._tensors())
    with run.ema(model):
        held = native.read(tmp_path / "whole/w/net.safetensors")
        assert all(torch.equal(held[k], t) for k, t in model.state_dict().items())
