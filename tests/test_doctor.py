"""The doctor looks at a world: whole, fitting, fast; and says so in sentences or in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import micro
from dreamx import doctor
from dreamx.budget import fit
from dreamx.doctor import DoctorConfig, main


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doctor, "drawing", lambda: doctor.Finding("simulator", None, "not looked at"))
    micro.world().export(tmp_path / "micro")
    return tmp_path / "micro"


def test_a_whole_world_fits(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(DoctorConfig(str(world), device="cpu", json=True))
    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    assert {"python", "torch", "av", "worlds", "disk", "memory", "attention", "weights", "fits", "speed"} <= found.keys()
    assert found["weights"]["words"] == "all of micro are there"
    assert found["fits"]["words"].startswith("micro at 32x32 in float32 needs ")
    assert "a pass, " in found["speed"]["words"]


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
    monkeypatch.setattr(fit, "free_memory", lambda device: 1000.0)
    with pytest.raises(SystemExit) as e:
        main(DoctorConfig(str(world), device="cpu"))
    assert e.value.code == 1
    assert "NO  fits       micro at 32x32 in float32 needs " in capsys.readouterr().out


def test_the_released_model_by_its_sizes_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "drawing", lambda: doctor.Finding("simulator", None, "not looked at"))
    monkeypatch.setattr(fit, "free_memory", lambda device: 1e12)
    main(DoctorConfig("w5b", device="cpu"))
    shown = capsys.readouterr().out
    assert "--  weights    none: w5b is the released DreamX-World-5B by its sizes" in shown
    assert "ok  fits       w5b at 704x1280 in float32 needs " in shown
    assert "not live: a second takes " in shown
