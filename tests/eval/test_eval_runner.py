"""From a suite to a report: order of the baselines, failures, resuming, somebody else's videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import eval_house
from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.eval import runner, video_files
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.measure import by_second, measure
from dreamx.eval.models import CopyFirst, Truth, Videos, Warp
from dreamx.eval.reporting import html
from dreamx.eval.reporting.markdown import report_markdown
from dreamx.eval.reporting.report import Report, ReportInfo, build_report
from dreamx.eval.runner import EvalPlan, TrialRow, run_plan
from dreamx.eval.suites.drive import drive
from dreamx.eval.suites.suite import PromptChange
from dreamx.geometry import formats
from dreamx.geometry.formats.motion import Motion
from dreamx.standpoint import Standpoint
from eval_house import FPS, Haze, plan, true_clip


@pytest.fixture(autouse=True)
def sphere_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runner, html):
        monkeypatch.setattr(module, "true_clip", true_clip)


def summed(p: EvalPlan, rows: list[TrialRow]) -> Report:
    models = {m.name: m.identity for m in p.models}
    about = ReportInfo(
        "basic", 1, 0, p.suite.hash, len(p.suite.trials), 120, (32, 32), FPS, models, Backbones().names, "", "", "", "", ""
    )
    return build_report(about, rows)


def test_truth_is_the_upper_bound_and_the_baselines_order_as_they_must(tmp_path: Path) -> None:
    p = plan(tmp_path)
    table = summed(p, run_plan(p, 1)).table
    truth, warp, copy, ours = (table[m] for m in ("truth", "warp", "copy-first", "ours"))
    assert truth["psnr"].mean == 99
    assert truth["ssim"].mean == pytest.approx(1)
    assert truth["distance"].mean == truth["colour"].mean == truth["colour drift"].mean == 0
    assert truth["sharpness"].mean == truth["quality"].mean / 100 == truth["artifact"].mean / 100 == 1
    for score in ("psnr", "ssim"):
        assert truth[score].mean > warp[score].mean > copy[score].mean
        assert truth[score].mean > ours[score].mean
    assert truth["distance"].mean < warp["distance"].mean < copy["distance"].mean
    for other in (warp, copy, ours):
        assert all(other[score].mean <= truth[score].mean for score in ("quality", "artifact") if score in other)
    assert copy["dynamic"].mean == 0 < truth["dynamic"].mean
    assert "artifact" not in copy and "overall" not in copy, "what stands still cannot break down, and that is no score"
    assert "overall" in truth


def test_a_run_that_is_killed_anywhere_goes_on_to_an_equal_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summed(plan(tmp_path / "a"), run_plan(plan(tmp_path / "a"), 1))
    for trial in ("000", "002"):
        with pytest.raises(KeyboardInterrupt):
            run_plan(plan(tmp_path / "b", (Haze(0.3, dies=trial), Truth(), Warp(), CopyFirst())), 1)
    kept = list((tmp_path / "b").rglob("*.mkv"))
    again = summed(plan(tmp_path / "b"), run_plan(plan(tmp_path / "b"), 1))
    assert to_json(again) == to_json(whole)
    assert len(kept) == 2 * 4
    # A third run films and scores nothing.
    monkeypatch.setattr(runner, "measure", lambda *_: pytest.fail("measured again"))
    assert to_json(summed(plan(tmp_path / "b"), run_plan(plan(tmp_path / "b"), 1))) == to_json(whole)


def test_half_a_file_is_no_result(tmp_path: Path) -> None:
    p = plan(tmp_path, (Haze(0.3),), 1)
    first = run_plan(p, 1)
    film = runner.film_file(p, p.models[0], p.suite.trials[0])
    runner.row_file(p, p.models[0], p.suite.trials[0]).unlink()
    film.rename(film.with_name(film.name + ".tmp"))  # as a kill leaves it
    assert run_plan(p, 1) == first


def test_a_trial_that_fails_is_a_row_with_a_reason_is_counted_and_tried_again(tmp_path: Path) -> None:
    p = plan(tmp_path, (Haze(0.3, fails="001"), Truth()))
    whole = summed(p, run_plan(p, 1))
    assert whole.failed == {"ours": 1, "truth": 0}
    assert [(r.trial, r.failed) for r in whole.rows if r.failed] == [("001-pan-left", "no light")]
    assert whole.table["ours"]["psnr"].count == 3
    assert "Failed: 1 of 8" in report_markdown(whole)
    assert "001-pan-left: no light" in html.report_html(whole, p, 4)
    well = plan(tmp_path, (Haze(0.3), Truth()))
    assert summed(well, run_plan(well, 1)).failed == {"ours": 0, "truth": 0}


def test_a_truth_that_cannot_be_rendered_fails_for_every_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Clip:
        raise ValueError("cannot draw")

    monkeypatch.setattr(runner, "true_clip", broken)
    assert {r.failed for r in run_plan(plan(tmp_path, trials=1), 1)} == {"the truth: cannot draw"}


def test_another_model_under_the_same_name_is_measured_anew(tmp_path: Path) -> None:
    a, b = (run_plan(plan(tmp_path, (Haze(share),), 1), 1)[0] for share in (0.3, 0.6))
    assert a.measured.scores["psnr"] > b.measured.scores["psnr"] + 3


def test_a_hazy_truth_drifts_by_construction() -> None:
    truth = true_clip(eval_house.suite().trials[0], eval_house.VIEW, Path())
    late = truth.video.clone()
    late[9:] = (late[9:].float() * 0.5).to(torch.uint8)  # from the second second on
    m = measure(late, truth, Backbones(), "basic")
    db, colour = ([x for x in m.curves[name] if x is not None] for name in ("psnr", "colour"))
    assert db[0] == 99 > 30 > db[1]
    assert colour[0] == 0
    assert m.scores["colour drift"] == pytest.approx(colour[1])
    assert m.scores["psnr"] == pytest.approx(sum(db) / 2)


def test_a_second_that_has_hardly_begun_does_not_count() -> None:
    assert by_second(torch.arange(9.0), 4) == [1.5, 5.5]
    assert by_second(torch.arange(10.0), 4) == [1.5, 5.5, 8.5]
    assert by_second(torch.ones(1), 4) == [1]


def test_films_are_kept_without_loss(tmp_path: Path) -> None:
    video = torch.randint(0, 256, (5, 3, 30, 34), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    video_files.save_video(tmp_path / "a.mkv", video, 16.0)
    back = video_files.load_video(tmp_path / "a.mkv")
    assert torch.equal(back.video, video)
    assert back.fps == pytest.approx(16, abs=0.01)
    assert video_files.encode_small(video, 16.0)[4:8] == b"ftyp"


def test_a_small_film_is_the_same_every_time() -> None:
    """Else a report that was gone on with would be another file."""
    rough = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    video = (F.interpolate(rough, size=(64, 64), mode="bilinear") * 255).to(torch.uint8)
    assert len({video_files.encode_small(video, 16.0) for _ in range(8)}) == 1


def somebody(folder: Path, p: EvalPlan, fps: float = FPS) -> Videos:
    """A folder as somebody else fills it, with the truth under a haze."""
    folder.mkdir()
    for trial in p.suite.trials:
        clip = true_clip(trial, p.view, folder)
        video_files.save_video(folder / f"{trial.id}.mkv", Haze(0.3).film(trial, clip), fps)
        cameras = formats.write("dreamx", Motion(clip.camera, fps))[""]
        (folder / f"{trial.id}.cameras.json").write_bytes(cameras)
    return Videos("theirs", folder)


def test_somebody_elses_videos_score_as_ours_do(tmp_path: Path) -> None:
    p = plan(tmp_path / "out", (Haze(0.3),))
    theirs = replace(p, models=(somebody(tmp_path / "theirs", p),))
    assert [r.measured for r in run_plan(theirs, 1)] == [r.measured for r in run_plan(p, 1)]


def test_bad_videos_fail_with_the_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    p = plan(tmp_path / "out", (), 8)
    folder = tmp_path / "theirs"
    model = somebody(folder, p)
    names = [t.id for t in p.suite.trials]
    video = video_files.load_video(folder / f"{names[0]}.mkv").video
    video_files.save_video(folder / f"{names[0]}.mkv", video[:9], FPS)
    video_files.save_video(folder / f"{names[1]}.mkv", video, 2 * FPS)
    video_files.save_video(folder / f"{names[2]}.mkv", video[..., :30], FPS)
    (folder / f"{names[3]}.cameras.json").unlink()
    (folder / f"{names[4]}.mkv").write_bytes(b"no video at all")
    (folder / f"{names[5]}.mkv").unlink()
    (folder / f"{names[6]}.cameras.json").write_bytes((folder / f"{names[1]}.cameras.json").read_bytes())  # another path
    rows = run_plan(replace(p, models=(model,)), 1)
    reasons = [r.failed for r in rows]
    assert reasons[0] == "length: the video has 9 frames where the trial has 17"
    assert reasons[1] == "fps: the video has 16 where the trial has 8; write it with that rate"
    assert reasons[2] == "size: the video is 30 x 32 where the trial is 32 x 32; resize it"
    assert reasons[3] == f"cameras: {names[3]}.cameras.json is missing; write the cameras that the video was made with"
    assert "is not a readable video" in reasons[4]
    assert reasons[5] == f"no video {names[5]}.mp4"
    assert "another path than the trial's" in reasons[6]
    assert reasons[7] == ""
    assert summed(replace(p, models=(model,)), rows).failed == {"theirs": 7}


class Heard:
    """A world of chunks of four frames that writes down what it is told, and when."""

    def __init__(self) -> None:
        self.frames, self.said = 0, []

    frames_per_step = 4

    def reset(self, image: Tensor, prompt: str, seed: int, at: Standpoint | None) -> Tensor:
        self.picture = image
        return image[None]

    def step(self, controls: object, event: str | None = None) -> Tensor:
        self.said += [] if event is None else [(self.frames, event)]
        self.frames += 4
        return self.picture.expand(4, *self.picture.shape)


def test_words_are_said_with_the_first_chunk_that_begins_in_their_time() -> None:
    clip = true_clip(eval_house.suite().trials[0], eval_house.VIEW, Path())  # 16 frames, 8 a second
    world = Heard()
    video = drive(world, clip, (PromptChange(1.3, ""), PromptChange(0.6, "the ball rolls")))  # pyright: ignore[reportArgumentType]
    assert video.shape == clip.video.shape
    assert world.said == [(8, "the ball rolls"), (12, "")]


def test_the_report_is_written_and_read_and_shown(tmp_path: Path) -> None:
    p = plan(tmp_path)
    whole = summed(p, run_plan(p, 1))
    whole.save(tmp_path / "report.json")
    assert to_json(Report.load(tmp_path)) == to_json(whole)
    text = report_markdown(whole)
    assert "| ours |" in text
    tables = [part.partition("\n\n## ")[0] for part in text.split("\n## ")[1:]]
    first, published = tables[0], next(t for t in tables if t.startswith("Published"))
    assert first.startswith("By stand-ins for the paper's columns") and "As in the paper" not in text
    assert "Detail (for Quality)† |" in first and "| Mean of these (for Overall) |" in first and "| Quality" not in first
    assert "DreamX-World-1.0-5B (5B)" in published and "DreamX-World" not in first, "not beneath our rows"
    assert "| Quality |" in published and "Measured by others, on other data" in published and "| ours |" not in published
    assert "| copy-first |" in first and first.split("| copy-first |")[1].splitlines()[0].count(" - ") == 2
    page = html.report_html(whole, p, 2)
    assert page.count("<video") == 2 * 4
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
    assert "84.76" in page
    assert "not comparable" in page and "As in the paper" not in page
    first, others = page.partition("<h2>Published in DreamX-World 1.0</h2>")[::2]
    assert 'class="published"' not in first and "Mean of these (for Overall)" in first and "84.76" in others
    (tmp_path / "report.json").write_text(json.dumps({"about": 1}))
    with pytest.raises(ValueError, match="not a readable report"):
        Report.load(tmp_path)
