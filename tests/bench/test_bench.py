"""The stopwatch counts right; how fast it is, is not a test's business."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import micro
import stand_in
from dreamx.bench import PlayBenchConfig, main, measure, opening_picture
from dreamx.flags import parse
from dreamx.play.server import PlayConfig
from dreamx.released import Choice


def test_it_counts_frames_and_chunks(tmp_path: Path) -> None:
    micro.world().export(tmp_path / "micro")
    got = measure(PlayBenchConfig(str(tmp_path / "micro"), seconds=2))
    assert (got.chunks, got.chunk_frames, got.steps) == (8, 4, 2)
    assert got.frames_per_second == pytest.approx(16 * got.real_time_factor)
    assert got.chunk_ms_p50 <= got.chunk_ms_p95 <= got.chunk_ms_p99
    assert len(got.chunk_ms_by_tenth) == len(got.megabytes_by_tenth) == 8


def test_json_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    micro.world().export(tmp_path / "micro")
    main(PlayBenchConfig(str(tmp_path / "micro"), seconds=1, json=True))
    assert json.loads(capsys.readouterr().out)["chunks"] == 4
    with pytest.raises(ValueError, match=r"seconds: 0 is no walk"):
        main(PlayBenchConfig(str(tmp_path / "micro"), seconds=0))


def test_a_released_world_is_timed_as_it_is_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--size, --steps, --device and --offload are those of dreamx play: one and the same object in both."""
    folder = stand_in.official(tmp_path / "world")
    (folder / "world.json").unlink()
    flags = ["--size", "32", "64", "--steps", "1", "--device", "cpu", "--offload"]
    main(parse(PlayBenchConfig, ["--world", str(folder), "--seconds", "1", "--json", *flags], "dreamx bench play"))
    figures = json.loads(capsys.readouterr().out)
    assert (figures["size"], figures["steps"], figures["chunk_frames"], figures["chunks"]) == ([32, 64], 1, 10, 2)
    asked = parse(PlayBenchConfig, flags, "dreamx bench play").choice
    assert asked == Choice((32, 64), 1, "cpu", True) == parse(PlayConfig, flags, "dreamx play").choice
    with pytest.raises(ValueError, match="size: 60 rows and 64 columns are not both multiples of 32"):
        measure(PlayBenchConfig(str(folder), Choice((60, 64)), seconds=1))
    for choice, said in (
        (Choice((64, 64)), "^size: tiny is a world of ours and has its own, on the CPU; leave --size out$"),
        (Choice(device="cuda"), "^device: tiny is a world of ours and computes on the CPU; leave --device out$"),
        (Choice(steps=2, device="cpu", offload=True), "^steps, offload: tiny .*; leave --steps --offload out$"),
    ):
        with pytest.raises(ValueError, match=said):
            measure(PlayBenchConfig("tiny", choice, seconds=1))


def test_a_world_of_ours_is_opened_with_its_start_picture_on_the_cpu_as_may_be_said(tmp_path: Path) -> None:
    micro.world().export(tmp_path / "micro")
    (tmp_path / "micro/starts").mkdir()
    Image.fromarray(micro.picture(4).permute(1, 2, 0).numpy()).save(tmp_path / "micro/starts/hill.png")
    asked = PlayBenchConfig(str(tmp_path / "micro"), Choice(device="cpu"), seconds=1, start="hill")
    got, opening = measure(asked), opening_picture(asked)
    assert opening is not None
    assert torch.equal(opening, micro.picture(4))
    assert len(got.cpu_ms_by_tenth) == got.chunks == 4
    assert min(got.cpu_ms_by_tenth) > 0
    with pytest.raises(ValueError, match="^start: .*micro has no start picture 'sea'; it has hill$"):
        measure(replace(asked, start="sea"))
    with pytest.raises(ValueError, match="^start: .* is a released model, which has no start pictures"):
        opening_picture(PlayBenchConfig(str(stand_in.official(tmp_path / "world")), start="hill"))
