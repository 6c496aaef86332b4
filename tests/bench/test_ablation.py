"""The ablation walks every technique alike, and calibration takes the fastest that is near enough."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.bench import engine, stopwatch
from dreamx.bench.ablation import ablate, techniques
from dreamx.bench.calibrate import (
    CalibrateConfig,
    Calibration,
    calibrate,
    calibration_for,
    context_noise,
    fit_changes,
    main,
    planned,
    read_calibration,
    thresholds,
)
from dreamx.bench.engine import EngineBenchConfig
from dreamx.bench.same_walk import PLAIN, Technique, distance_from, psnr_of_all
from dreamx.budget import machine
from dreamx.config import to_json
from dreamx.fast.int8 import Int8Config, int8_layers
from dreamx.fast.residual_reuse import PassChange, ReuseConfig
from dreamx.recipes import wan_micro


@pytest.fixture
def world(tmp_path: Path) -> str:
    micro.world(chunk=1, window=4).export(tmp_path / "micro")
    return str(tmp_path / "micro")


def test_every_row_is_the_same_walk(world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    main(CalibrateConfig(world, file, chunks=3, device="cpu"))
    said = capsys.readouterr().out
    assert "error of each layer in 8 bits:" in said
    assert "blocks.0.mlp.2" in said
    found = read_calibration(file)
    assert all(0 < error < 0.1 for error in found.errors.values())
    engine.main(EngineBenchConfig(world, chunks=3, device="cpu", ablate=True, calibration=file, json=True))
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)["rows"]}
    assert next(iter(rows)) == "plain"
    assert list(rows)[-1] == "all together"
    assert {"residual reuse", "int8 layers", "fp8 layers", "int8 attention"} < set(rows)
    assert (rows["plain"]["psnr"], round(rows["plain"]["features"], 6)) == (99.0, 0.0)
    assert all(r["fps"] > 0 and r["pass_ms"] >= 0 and r["cpu_ms"] > 0 and r["memory"] is None for r in rows.values())
    assert rows["int8 layers"]["weights"] < rows["plain"]["weights"]
    engine.main(EngineBenchConfig(world, chunks=2, device="cpu", ablate=True, calibration=file))
    assert "PSNR dB" in capsys.readouterr().out


def test_random_weights_of_a_world_are_written_as_those_of_a_checkpoint(tmp_path: Path) -> None:
    """A world may write without noise; the walk of random weights writes at 0.1, and a pass that writes is never skipped."""
    quiet = micro.world(chunk=1, window=4)
    quiet.config = replace(quiet.config, sampler=replace(quiet.config.sampler, context_noise=0.0))
    quiet.export(tmp_path / "quiet")
    p, walk = planned(str(tmp_path / "quiet"), None, None, None, True)
    assert context_noise(p) == 0.1
    assert calibrate(p, walk, 2, 30.0).reuse.least_sigma == 0.1
    assert context_noise(planned(str(tmp_path / "quiet"), None, None, None, False)[0]) == 0.0


def test_networks_of_random_weights_are_ablated_without_a_folder(tmp_path: Path) -> None:
    """As the 5B is on a GPU: here the stand-in with its Wan autoencoder."""
    wan_micro.write(wan_micro.StandIn(tmp_path / "wan"))
    p, walk = planned(str(tmp_path / "wan"), "64x64", None, "cpu", True)
    found = ablate(p, walk, 1, machine.CPU, None)
    assert [r.name for r in found.rows][:2] == ["plain", "residual reuse"]
    assert found.rows[0].psnr == 99.0
    assert next(r.psnr for r in found.rows if r.name == "int8 attention") > 20
    a, b = (walk(PLAIN, 1) for _ in range(2))
    assert torch.equal(a.pictures, b.pictures), "equal noise, equal words"
    assert a.pictures.shape == (12, 3, 64, 64)
    assert len(a.passes) == 5


def test_an_impossible_target_saves_nothing(world: str) -> None:
    p, walk = planned(world, None, None, "cpu", False)
    found = calibrate(p, walk, 2, 200.0)
    assert found.reuse.threshold == 0
    assert found.int8.most_error == 0
    for technique in techniques(p, found)[:2]:
        assert torch.equal(walk(technique, 2).pictures, walk(PLAIN, 2).pictures)
    reuse, int8 = (technique.change for technique in techniques(p, found)[:2])
    assert torch.equal(walk(Technique("lossless", lambda dit: reuse(int8(dit))), 2).pictures, walk(PLAIN, 2).pictures)


def test_the_fastest_that_is_near_enough_is_taken(world: str) -> None:
    p, walk = planned(world, None, None, "cpu", False)
    found = calibrate(p, walk, 2, 1.0)
    assert found.reuse.threshold > 0
    assert found.reuse.least_sigma == p_noise(world)
    assert found.int8.most_error == max(found.errors.values()), "all layers"
    assert [c.what for c in found.tried] == ["modulated input", "first block", "int8"]
    assert all(c.psnr >= 1 and c.saved > 0 for c in found.tried)


def p_noise(world: str) -> float:
    return json.loads((Path(world) / "config.json").read_text())["world"]["sampler"]["context_noise"]


def test_the_polynomial_is_fitted_to_what_is_reused() -> None:
    changes = [PassChange(0.5, x, 2 * x, 3 * x * x, 5 * x) for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    of_input = fit_changes(changes, False)
    assert len(of_input) == 5
    assert of_input[2] == pytest.approx(3, abs=1e-6)
    after_first = fit_changes(changes, True)
    assert after_first[3] == pytest.approx(2.5, abs=1e-6)
    assert fit_changes([], False) == (1.0, 0.0)
    config = ReuseConfig(fit=of_input)
    most = 3 * 0.6**2
    got = thresholds(changes, config)
    assert got[:2] == pytest.approx([2 * most, most], rel=0.01)
    assert got == sorted(got, reverse=True)


def test_a_bad_frame_is_not_averaged_away() -> None:
    plain = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    other = plain.clone()
    other[3] = 255
    assert psnr_of_all(other, plain) == pytest.approx(6.02, abs=0.01)


def test_what_does_not_fit_is_a_sentence(world: str, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"config": "x"}')
    asked = EngineBenchConfig(world, device="cpu", ablate=True, calibration=tmp_path / "odd.json")
    with pytest.raises(ValueError, match=r"calibration: .*odd\.json: config Calibration: the key 'chunks' is missing"):
        engine.main(asked)
    with pytest.raises(ValueError, match="calibration: it is read for --ablate alone"):
        engine.main(replace(asked, ablate=False))
    plainly = EngineBenchConfig(world, device="cpu")
    for name, given in (("compile", replace(plainly, compile=True)), ("processes", replace(plainly, processes=2))):
        with pytest.raises(ValueError, match=f"{name}: it is read for --ablate alone; say that, too, or leave it out"):
            engine.main(given)
    for count in (1, 99):
        with pytest.raises(ValueError, match=rf"processes: {count} cannot share \d+ rows of tokens; give 2 to \d+"):
            engine.main(EngineBenchConfig(world, device="cpu", ablate=True, processes=count))
    with pytest.raises(ValueError, match="attention: --ablate compares kernels"):
        engine.main(replace(asked, attention="math"))
    with pytest.raises(ValueError, match="random-weights: w5b has no weights here"):
        main(CalibrateConfig("w5b"))


def test_a_calibration_of_another_checkpoint_is_refused_by_its_name_before_anything_is_walked(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "found.json"
    p, _ = planned(world, None, None, "cpu", False)
    errors = dict.fromkeys(int8_layers(micro.world(chunk=1, window=4).dit), 0.01)
    found = Calibration("micro", 3, 35.0, ReuseConfig(), Int8Config(), errors, ())
    file.write_text(json.dumps(to_json(found)))
    assert calibration_for(file, p) == found
    monkeypatch.setattr(engine, "ablate", lambda *_: pytest.fail("something was walked"))
    monkeypatch.setattr(stopwatch, "networks", lambda *_: pytest.fail("networks were built"))
    asked = EngineBenchConfig(world, device="cpu", ablate=True, calibration=file)
    for other, words in (
        (
            replace(found, config="tiny"),
            r"^calibration: .*found\.json was made for 'tiny', and this is micro; make one with dreamx",
        ),
        (replace(found, errors={**errors, "blocks.9.mlp.0": 0.1}), "made for a network of that name with other layers"),
        (replace(found, errors={}), "made for a network of that name with other layers"),
    ):
        file.write_text(json.dumps(to_json(other)))
        for random in (False, True):
            with pytest.raises(ValueError, match=words):
                engine.main(replace(asked, random_weights=random))


@pytest.mark.slow
def test_rows_of_several_processes_and_of_what_is_compiled(world: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They make what one process makes: gloo processes are started by the bench itself, and torch's compiler runs."""
    asked = EngineBenchConfig(world, chunks=2, device="cpu", ablate=True, compile=True, processes=2, threads=2, json=True)
    engine.main(asked)
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows)[-4:] == ["one process", "2 share sequence", "2 share decoder", "2 share both"]
    for name in ("one process", "2 share sequence", "2 share decoder", "2 share both", "compiled blocks", "compiled decoder"):
        assert rows[name]["psnr"] > 60, name
        assert rows[name]["fps"] > 0


@pytest.mark.slow
def test_the_shipped_world_stays_within_35_db_over_30_chunks() -> None:
    """Each lossy technique alone, as calibrated, at equal noise."""
    p, walk = planned("tiny", None, None, "cpu", False)
    plain = walk(PLAIN, 30)
    found = calibrate(p, walk, 30, 35.0, plain)
    for technique in techniques(p, found)[:-1]:
        assert distance_from(walk(technique, 30), plain)[0] >= 35, technique.name
