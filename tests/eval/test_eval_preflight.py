"""What is missing is found before the first minute; all failed is exit code 1; what is given is used and named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dreamx.data.opengl import CannotDraw
from dreamx.eval import preflight, progress, runner, video_files
from dreamx.eval.metrics.backbones import STAND_INS, Backbones
from dreamx.eval.metrics.columns import BY_STAND_INS, OVERALL, PAPER
from dreamx.eval.metrics.measure import Measured, measure
from dreamx.eval.models import Truth, Videos
from dreamx.eval.preflight import check_networks
from dreamx.eval.preflight import preflight as fly
from dreamx.eval.progress import Progressing, note_progress, read_notes, report_frames
from dreamx.eval.reporting.markdown import report_markdown
from dreamx.eval.reporting.report import (
    Report,
    ReportInfo,
    all_failed,
    build_report,
    camera_readers,
    fail_if_all_failed,
    table_layout,
)
from dreamx.eval.runner import TrialRow, run_plan
from eval_house import FPS, VIEW, Haze, plan, suite, true_clip


class Constant(nn.Module):
    """Answers so many numbers for each picture, whatever it shows."""

    def __init__(self, shape: tuple[int, ...], value: float = 0.5) -> None:
        super().__init__()
        self.shape, self.value = shape, value

    def forward(self, a: Tensor) -> Tensor:
        return torch.full((a.shape[0], *self.shape), self.value) + 0 * a.mean()


class Pair(Constant):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.full((a.shape[0], *self.shape), self.value) + 0 * b.mean()


def saved(file: Path, net: nn.Module) -> Path:
    torch.jit.save(torch.jit.trace(net, (torch.rand(2, 3, 32, 32),) * (2 if isinstance(net, Pair) else 1)), file)
    return file


class Grey(nn.Module):
    """The mean colour of each picture, as a vector."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


class Near(nn.Module):
    """How near the mean colours of two pictures are."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return 1 - (a.mean((2, 3)) - b.mean((2, 3))).abs().mean(1)


def test_memory_takes_the_networks_that_are_given_and_names_the_scores_by_them(tmp_path: Path) -> None:
    files = {n: saved(tmp_path / f"{n}.pt", Grey()) for n in ("dino", "vpr", "clip")}
    for n in ("points", "distance"):
        torch.jit.save(torch.jit.trace(Near(), (torch.rand(2, 3, 32, 32),) * 2), tmp_path / f"{n}.pt")
        files[n] = tmp_path / f"{n}.pt"
    tools = Backbones(**files)  # pyright: ignore[reportArgumentType]
    check_networks(tools, VIEW)
    there_and_back = replace(suite().trials[0], keys="d*8,a*8")
    truth = true_clip(there_and_back, VIEW, tmp_path)
    given, without = (measure(truth.video, truth, t, "memory").scores for t in (tools, Backbones()))
    names = {"gain LPIPS", "gain DINO", "gain VPR", "gain SP-Match", "CLIP-V"}
    assert names <= set(given) and not any("(for" in name for name in given)
    assert not names & set(without) and {"gain layout (for DINO)", "steadiness (for CLIP-V)"} <= set(without)
    assert given["gain DINO"] >= 0 and 0.9 < given["CLIP-V"] <= 1
    assert all(tools.names[n].startswith(f"{n}.pt ") for n in files)
    assert set(STAND_INS) >= set(files)


@pytest.mark.parametrize(
    ("name", "net", "said"),
    [
        ("quality", Constant((2,)), r"quality: .* answers 2 pictures with \(2, 2\) where \(2,\) is wanted"),
        ("dino", Constant(()), r"dino: .* answers 2 pictures with \(2,\) where \(2, 'D'\) is wanted"),
        ("flow", Pair((3, 32, 32)), r"flow: .* where \(2, 2, 32, 32\) is wanted"),
        ("points", Constant(()), r"points: .* cannot take pictures \[2, 3, 32, 32\]"),
        ("clip", Constant((4,), float("nan")), "clip: .* answers with NaN"),
    ],
)
def test_a_network_that_answers_otherwise_is_found_before_the_first_trial(
    name: str, net: nn.Module, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        check_networks(Backbones(**{name: saved(tmp_path / "net.pt", net)}), VIEW)  # pyright: ignore[reportArgumentType]


def test_a_machine_that_cannot_draw_is_found_before_the_first_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*_: int) -> None:
        raise CannotDraw("the simulator cannot draw on this machine")

    monkeypatch.setattr(preflight, "gl", blind)
    with pytest.raises(ValueError, match="cannot draw"):
        fly(plan(tmp_path))
    monkeypatch.setattr(preflight, "truths_are_cached", lambda *_: True)
    assert fly(plan(tmp_path)) == [], "who has the renders need not draw"


def test_videos_that_are_missing_are_found_before_the_first_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "truths_are_cached", lambda *_: True)
    (tmp_path / "theirs").mkdir()
    p = plan(tmp_path / "out", (Videos("theirs", tmp_path / "theirs"),))
    with pytest.raises(ValueError, match=r"videos: .*theirs holds no video of the suite's 4 trials; .* as 000-push-in.mp4"):
        fly(p)
    video_files.save_video(tmp_path / "theirs" / "001-pan-left.mkv", torch.zeros(3, 3, 32, 32, dtype=torch.uint8), FPS)
    assert fly(p) == [f"{tmp_path / 'theirs'}: 3 of 4 videos are missing, as 000-push-in.mp4"]
    with pytest.raises(ValueError, match="models: two are called 'ours'"):
        fly(plan(tmp_path / "out", (Haze(0.3), Haze(0.5))))


def test_all_failed_is_exit_code_1_and_the_first_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows(model: str, *reasons: str) -> list[TrialRow]:
        return [TrialRow(model, f"{i:03d}", "walk", why, "", Measured()) for i, why in enumerate(reasons)]

    assert all_failed(rows("ours", "no light", "") + rows("truth", "", "")) == ""
    broken = rows("truth", "", "") + rows("ours", "no light", "no room")
    assert all_failed(broken) == "all 2 trials of ours failed; the first, 000: no light"
    about = ReportInfo("basic", 1, 0, "", 2, 2, (8, 8), FPS, {"ours": "", "truth": ""}, {}, "", "", "", "", "")
    fail_if_all_failed(build_report(about, rows("ours", "", "no room")))
    with pytest.raises(SystemExit) as end:
        fail_if_all_failed(build_report(about, broken))
    assert end.value.code == 1 and "no light" in capsys.readouterr().err


def measured_by(**measures: str) -> Report:
    scores = {c.score: 50.0 for c in (*PAPER, OVERALL)}
    about = ReportInfo("basic", 1, 0, "", 1, 1, (8, 8), FPS, {"ours": ""}, measures, "", "", "", "", "")
    return build_report(about, [TrialRow("ours", "0", "walk", "", "", Measured(scores))])


def test_a_mean_of_stand_ins_is_no_overall_and_one_of_none_is() -> None:
    tools = {c.tool: "a network 123" for c in PAPER if c.tool}
    assert "Overall" in report_markdown(measured_by(**tools)) and "(for Overall)" not in report_markdown(measured_by(**tools))
    title, columns = table_layout(measured_by(**(tools | {"flow": STAND_INS["flow"]})))[0]
    assert title == BY_STAND_INS
    assert [c.head for c in columns] == [
        "Camera", "Quality", "Trans.", "Flicker", "Smooth.", "Lucas-Kanade (for Dynamic)", "Artifact",
        "Mean of these (for Overall)",
    ]  # fmt: skip


def test_the_error_of_cameras_by_flow_is_that_of_the_suites_own_truths() -> None:
    def row(model: str, degrees: float, metres: float, score: float) -> TrialRow:
        scores = {"degrees by flow": degrees, "metres by flow": metres, "camera by flow": score}
        return TrialRow(model, "0", "walk", "", "", Measured(scores))

    rows = [row("ours", 9, 0.9, 1), row("truth", 2, 0.1, 80), row("truth", 4, 0.3, 60)]
    said = camera_readers(rows)["sight itself"]
    assert said.startswith("on the true renders of these paths (2) it is itself off by 3.00 degrees and 0.200 m in the mean")
    assert "the truth scores 70.00" in said
    assert "add truth to the models" in camera_readers(rows[:1])["sight itself"]


def test_a_run_says_how_far_it_is_also_within_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A film in the making is noted by its frames, and the line has it."""
    lines: list[str] = []
    at = tmp_path / "at"
    bar = Progressing("measuring", 4, lambda: (1 + read_notes(at)[0], read_notes(at)[1]), every=3600)
    monkeypatch.setattr(progress, "_NOTE", 0.0)
    with bar, note_progress(at, "001 of ours", 0.2, 0.4):
        report_frames(20, 80)
        lines.append(bar.line())
    assert lines[0].startswith("measuring: 1.3 of 4 after ") and lines[0].endswith("; now 001 of ours, frame 20 of 80")
    assert read_notes(at) == (0, "")
    quick = Progressing("measuring", 4, lambda: (2.0, "002 of ours"), every=0.01)
    said = ""
    with quick:
        while "now 002 of ours" not in said:  # ends at the first line
            said += capfd.readouterr().err
    assert "measuring: 2.0 of 4 after" in said


def test_the_runner_notes_what_it_is_at_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def looking(*given: object) -> object:
        seen.append(read_notes(tmp_path / "at")[1])
        return real(*given)  # pyright: ignore[reportArgumentType]

    real = runner.measure
    monkeypatch.setattr(runner, "true_clip", true_clip)
    monkeypatch.setattr(runner, "measure", looking)
    run_plan(plan(tmp_path, (Haze(0.3), Truth()), 2), 1)
    assert seen == ["000-push-in of ours", "000-push-in of truth", "001-pan-left of ours", "001-pan-left of truth"]
    assert not (tmp_path / "at").exists()
    assert json.loads(next((tmp_path / "rows" / "ours").glob("*.json")).read_text())["failed"] == ""
