"""The doctor looks at a world: whole, fitting, fast; and says so in sentences or in JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import micro
from dreamx import devices, doctor
from dreamx.bench import engine
from dreamx.budget import fit, machine, plan
from dreamx.budget.machine import MachineSpeed
from dreamx.doctor import DoctorConfig, main


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doctor, "drawing", lambda: doctor.Finding("simulator", None, "not looked at"))
    micro.world().export(tmp_path / "micro")
    return tmp_path / "micro"


def test_a_whole_world_fits(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(DoctorConfig(str(world), device="cpu", json=True))
    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    assert {
        "python",
        "torch",
        "av",
        "worlds",
        "disk",
        "memory",
        "attention",
        "training",
        "weights",
        "fits",
        "speed",
    } <= found.keys()
    assert re.search(r"bfloat16 run \d+\.\d times as fast as in float32: train in ", found["training"]["words"])
    assert found["weights"]["words"] == "all of micro are there"
    assert found["fits"]["words"].startswith("micro at 32x32 in float32 needs ")
    assert " a chunk of 4 frames, walked just now; " in found["speed"]["words"]


def test_a_cut_file_is_found(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = world / "dit.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(SystemExit) as e:
        main(DoctorConfig(str(world), device="cpu"))
    assert e.value.code == 1
    shown = capsys.readouterr().out
    assert "NO  weights" in shown
    assert "not a whole safetensors file" in shown
    assert "speed" not in shown, "what is broken is not predicted"


def test_what_does_not_fit_is_said(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fit, "usable_memory", lambda device: 1000.0)
    with pytest.raises(SystemExit) as e:
        main(DoctorConfig(str(world), device="cpu"))
    assert e.value.code == 1
    assert "NO  fits       micro at 32x32 in float32 needs " in capsys.readouterr().out


def test_the_load_is_said(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = MachineSpeed(1e11, 1e10, 1e-6)
    for now, said in ((MachineSpeed(5e10, 5e9, 2e-6), True), (MachineSpeed(0.95e11, 1e10, 1e-6), False)):
        monkeypatch.setattr(machine, "probe_both", lambda device, dtype, now=now: (quiet, now))
        for name in (str(world), "w5b"):
            monkeypatch.setattr(fit, "usable_memory", lambda device: 1e12)
            main(DoctorConfig(name, device="cpu"))
            shown = capsys.readouterr().out
            assert (" what else runs here now" in shown) is said
        assert ("with what else runs here now, about 2.0 times as long" in shown) is said


def test_the_doctor_and_the_bench_count_alike(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are asked about the same machine: what one predicts for a pass of a released model the other does."""
    asked: list[torch.dtype] = []
    speed = MachineSpeed(1e11, 1e10, 1e-6)
    monkeypatch.setattr(devices, "best", lambda: machine.CPU)
    monkeypatch.setattr(fit, "usable_memory", lambda device: 1e12)
    monkeypatch.setattr(machine, "probe_both", lambda device, dtype, seconds=0.5: (asked.append(dtype) or speed, speed))
    words = doctor.predictions(DoctorConfig("w5b"), machine.CPU)[-1].words
    with pytest.raises(ValueError) as e:
        engine.measure(engine.EngineBenchConfig("w5b", random_weights=True))
    one = fit.pace(plan.on(plan.w5b(), machine.CPU), speed, machine.CPU).one_pass
    assert f"about {fit.duration(one)} a pass, " in words
    assert f"a pass would take about {fit.duration(one)}, " in str(e.value)
    assert asked == [torch.float32, torch.float32]


def test_the_released_model_by_its_sizes_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "drawing", lambda: doctor.Finding("simulator", None, "not looked at"))
    monkeypatch.setattr(fit, "usable_memory", lambda device: 1e12)
    main(DoctorConfig("w5b", device="cpu"))
    shown = capsys.readouterr().out
    assert "--  weights    none: w5b is the released DreamX-World-5B by its sizes" in shown
    assert "ok  fits       w5b at 704x1280 in float32 needs " in shown
    assert "not live: a second takes " in shown
