"""What is counted is what happens; what is refused does not fit, and what is advised does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import micro
from dreamx.bench.stopwatch import noise_frames
from dreamx.budget import fit, machine, plan
from dreamx.budget.count import Work, count
from dreamx.budget.plan import Plan
from dreamx.devices import device_of
from dreamx.model.attention_backends import chosen_by_torch
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.rollout import recall, write_context

CUDA = torch.device("cuda")


@pytest.mark.parametrize("recalled", [0, 2])
@pytest.mark.parametrize("alone", [(), ("view",)])
@pytest.mark.parametrize(("chunk", "window", "layers"), [(1, 8, 2), (3, 6, 5)])
def test_a_pass_and_its_past_are_counted_as_they_are(
    recalled: int, alone: tuple[str, ...], chunk: int, window: int, layers: int
) -> None:
    dit = replace(micro.DIT, layers=layers)
    past = CausalConfig(chunk, window, sinks=1, alone=alone, packed=PackedMemoryConfig(recalled) if recalled else None)
    p = Plan("small", dit, past, micro.ENCODER, (32, 64), torch.float32, words=5, reader=0, freed=False, passes=3)
    net, cache, text, rng = DiT(dit).eval(), past.cache(), torch.randn(1, 5, dit.text), torch.Generator()
    real = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        for i in range(-(-window // chunk)):
            write_context(net, noise_frames(p, i * chunk, machine.CPU, rng), text, cache)
        if recalled:
            recall(net, noise_frames(replace(p, past=replace(past, chunk=recalled)), 0, machine.CPU, rng), text, cache)
        net(frames := noise_frames(p, window, machine.CPU, rng), text, cache)  # the past is encoded now
        cache._heard.clear()  # a text is read once, which is counted as if it were in every pass
        with real:
            net(frames, text, cache)
    facts = [kv for pieces in cache.kv.values() for kv in pieces]
    facts += [] if cache._memory is None else 3 * list(cache._memory[1].values())  # and twice as many to recall again
    kept = [x for kv in [*facts, *cache._room.values(), *cache._fresh.values()] for x in kv]
    assert p.kept() == sum(x.numel() for x in kept)
    lens = 4 * chunk * p.tokens * (dit.view.width if dit.view else 0) * 4 * layers * 2  # of matrices that the tiling is made by
    assert p.one_pass().flop == pytest.approx(real.get_total_flops(), abs=lens)
    assert p.weights() == sum(x.numel() for x in net.parameters())


def test_layers_that_are_alike_are_counted_once() -> None:
    p = replace(plan.w5b((64, 96)), dit=replace(plan.W5B, layers=5))
    assert p.one_pass() == p._counted()


def test_what_is_made_and_forgotten_is_not_held() -> None:
    x, layer = torch.empty(4, 8, device="meta"), nn.Linear(8, 16, device="meta")

    def run() -> torch.Tensor:
        y = x
        for _ in range(10):
            y = y + 1
        return layer(y)

    work = count(run)
    assert work.flop == 2 * 4 * 8 * 16
    assert work.peak == 4 * 8 * 4 + 4 * 16 * 4  # the last of the ten, and what the layer makes of it
    assert work.moved == 10 * 4 * 8 * 4 + 4 * 16 * 4
    assert work + work.times(2) == Work(3 * work.flop, 3 * work.calls, 3 * work.moved, work.peak)


def test_the_released_model() -> None:
    p = plan.w5b()
    assert (p.latent, p.tokens, p.window, p.group) == ((44, 80), 880, 12, 4)
    assert p.weights() == pytest.approx(5.28e9, rel=0.01)
    assert fit.need(p).weights == 2 * p.weights()
    assert fit.need(replace(p, lent=True)).weights < 0.1 * fit.need(p).weights
    on = plan.on(p, machine.CPU)
    assert (on.dtype, on.lent) == (torch.float32, True), "a CPU computes in float32"
    assert plan.on(p, CUDA) == p


def test_a_refusal_says_what_would_fit() -> None:
    p, gigabyte = replace(plan.w5b((352, 640)), dit=replace(plan.W5B, layers=8), decoder=micro.ENCODER, reader=0), 1e9
    need = fit.need(p).most
    assert fit.refusal(p, CUDA, need, None) is None
    assert fit.refusal(p, CUDA, None, None) is None, "nobody knows"
    words = fit.refusal(p, CUDA, 0.8 * need, 64 * gigabyte)
    assert words is not None
    assert words.startswith("w5b at 352x640 in bfloat16 needs ")
    assert "; it would fit with --offload (" in words
    wide = fit.refusal(replace(p, dtype=torch.float32), CUDA, 1.01 * need, 64 * gigabyte)
    assert wide is not None
    assert "it would fit in bfloat16 (" in wide
    little = fit.refusal(p, CUDA, 0.1 * gigabyte, 64 * gigabyte)
    assert little is not None
    assert little.endswith(f"it needs a GPU with {fit.gigabytes(need + 1.2e9)} free")
    with pytest.raises(ValueError, match="needs .* of memory, and 1 MB are free on cpu"):
        _must_fit_into(p, 1e6)


def _must_fit_into(p: Plan, free: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "free_memory", lambda device: free)
        patch.setattr(fit, "usable_memory", lambda device: free)
        fit.must_fit(p, machine.CPU)


def test_pace_is_work_by_speed() -> None:
    p, speed = plan.w5b((352, 640)), machine.MachineSpeed(flop=1e14, moved=1e12, call=1e-6)
    slow, fast = fit.pace(p, speed, CUDA), fit.pace(p, replace(speed, flop=1e15), CUDA)
    assert slow.one_pass > fast.one_pass > p.one_pass().flop / 1e15
    assert slow.frames == 12
    assert slow.share == pytest.approx(12 / 16 / slow.chunk)
    assert slow.one_decoding is not None
    assert slow.chunk == pytest.approx(5 * slow.one_pass + 3 * slow.one_decoding)


def test_free_memory_is_within_the_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 80 kB\n")
    assert machine.available(tmp_path / "meminfo", tmp_path) == 80 * 1024
    (tmp_path / "memory.max").write_text("20480\n")
    (tmp_path / "memory.current").write_text("4096\n")
    assert machine.available(tmp_path / "meminfo", tmp_path) == 16384
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available(tmp_path / "meminfo", tmp_path) == 80 * 1024
    assert machine.available(tmp_path / "nothing", tmp_path) is None


def test_words() -> None:
    assert plan.read_size("704x1280") == (704, 1280)
    assert plan.read_size(None) is None
    said = [fit.duration(s) for s in (0.0184, 0.25, 1.44, 79, 1500, 14800)]
    assert said == ["18 ms", "250 ms", "1.4 s", "79 s", "25 minutes", "4.1 hours"]
    assert [fit.gigabytes(n) for n in (33.4e6, 2.89e10)] == ["33 MB", "28.9 GB"]


@pytest.mark.parametrize("words", ["704", "704*1280", "axb", "1x2x3", "-1x2"])
def test_a_size_is_two_numbers(words: str) -> None:
    with pytest.raises(ValueError, match="is no size; write HEIGHTxWIDTH in pixels, as 704x1280"):
        plan.read_size(words)


def test_what_is_no_plan() -> None:
    with pytest.raises(ValueError, match="size: the height of 700 must be a multiple of 32 for w5b"):
        _ = plan.w5b((700, 1280)).latent
    with pytest.raises(ValueError, match="'nowhere' is no world"):
        plan.plan_of("nowhere")
    with pytest.raises(ValueError, match="device: 'toaster' is no device"):
        device_of("toaster")
    with pytest.raises(ValueError, match="device: cuda:99 is not here"):
        device_of("cuda:99")
    with pytest.raises(ValueError, match="device: mps is not supported"):
        device_of("mps")


def test_the_machine_is_measured() -> None:
    speed = machine.probe(machine.CPU, torch.float32, 0.02)
    assert min(speed.flop, speed.moved, speed.call) > 0
    assert chosen_by_torch(machine.CPU, torch.float32, 64) in ("flash", "math")
    assert machine.name(machine.CPU)
