"""The stopwatch counts right; how fast it is, is not a test's business."""

import json
from pathlib import Path

import pytest

import micro
from dreamx.bench import PlayBenchConfig, main, measure


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
