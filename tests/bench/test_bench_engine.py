"""The engine's stopwatch counts right, and says what it needs where it cannot run; how fast it is, is not a test's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import micro
from dreamx import devices
from dreamx.bench import engine, stopwatch
from dreamx.bench.engine import EngineBenchConfig, main, measure
from dreamx.budget import fit, machine, plan
from dreamx.budget.machine import MachineSpeed


@pytest.fixture
def world(tmp_path: Path) -> str:
    micro.world(chunk=2, window=6).export(tmp_path / "micro")
    return str(tmp_path / "micro")


@pytest.mark.parametrize("random", [False, True])
def test_it_counts_what_it_runs(world: str, random: bool) -> None:
    got = measure(EngineBenchConfig(world, random_weights=random, device="cpu", chunks=2))
    p = plan.plan_of(world)
    assert (got.passes, got.chunk_frames, got.tokens, got.size) == (3, 8, 4, (32, 32))
    assert got.pass_tflop == p.one_pass().flop / 1e12
    assert got.parameters == p.weights()
    assert got.fps_latents == pytest.approx(8000 / got.chunk_ms)
    assert got.decode_ms is not None
    assert got.fps == pytest.approx(8000 / (got.chunk_ms + 2 * got.decode_ms))
    assert got.real_time_factor == pytest.approx((got.fps or 0) / 16)
    assert got.share_of_peak == pytest.approx(got.pass_tflop / (got.pass_ms / 1000) / got.peak_tflops)
    assert got.predicted_memory == fit.need(p).making


def test_the_weights_are_the_worlds_or_random(world: str) -> None:
    p = plan.plan_of(world)
    own, other = (stopwatch.networks(p, machine.CPU, random)[0].state_dict() for random in (False, True))
    torch.manual_seed(0)
    kept = micro.world(chunk=2, window=6).dit.state_dict()
    assert all(torch.equal(own[k], kept[k]) for k in kept)
    assert not torch.equal(other["patch.weight"], kept["patch.weight"])


def test_what_is_made_of_random_weights_is_a_video(world: str) -> None:
    p = plan.plan_of(world)
    dit, decoder = stopwatch.networks(p, machine.CPU, True)
    assert decoder is not None
    with torch.inference_mode():
        times = stopwatch.run(p, dit, decoder, machine.CPU, 2)
        frames, _ = decoder.push(torch.randn(1, p.dit.channels, *p.latent), None)
    assert (len(times.chunks), len(times.passes), len(times.decodings)) == (2, 6, 4)
    assert bool(torch.isfinite(frames.rgb).all())
    assert frames.rgb.std() > 0.01


def test_table_and_json(world: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(EngineBenchConfig(world, device="cpu", chunks=1, dtype="bfloat16", attention="math", json=True))
    got = json.loads(capsys.readouterr().out)
    assert (got["dtype"], got["attention"]) == ("bfloat16", "math")
    main(EngineBenchConfig(world, device="cpu", chunks=1))
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in ("frames per second", "pass", "share of matmul peak", "decoding", "memory"))


def test_the_5b_without_a_gpu_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "best", lambda: machine.CPU)
    monkeypatch.setattr(machine, "probe", lambda device, dtype, seconds=0.5: MachineSpeed(2e11, 2e10, 1e-6))
    with pytest.raises(
        ValueError, match=r"^w5b at 704x1280 needs a GPU with 28\.9 GB free, and none is here; on this CPU a pass "
    ):
        measure(EngineBenchConfig("w5b", random_weights=True))


def test_what_cannot_be_run_is_a_sentence(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="w5b has no weights here; say --random-weights"):
        measure(EngineBenchConfig("w5b"))
    with pytest.raises(ValueError, match="chunks: 0 is none to time"):
        measure(EngineBenchConfig(world, chunks=0))
    with pytest.raises(ValueError, match="attention: torch has no cudnn attention for"):
        measure(EngineBenchConfig(world, device="cpu", attention="cudnn"))
    with pytest.raises(ValueError, match="the height of 33 must be a multiple of 16"):
        measure(EngineBenchConfig(world, size="33x32"))
    monkeypatch.setattr(fit, "usable_memory", lambda device: 1000.0)
    with pytest.raises(ValueError, match="micro at 32x32 in float32 needs .* are free on cpu"):
        engine.measure(EngineBenchConfig(world, device="cpu"))
