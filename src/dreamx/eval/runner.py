"""Runs models through a suite: film, score, keep. Killed anywhere and run again, it goes on, and the report is the same.

Everything that is kept is named by a hash of what it was made from (trial, view, simulator, model, code of the scores), so that
nothing old is ever taken for something new. A trial that cannot be filmed or scored has failed, with a reason; the run goes on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dreamx import atomic
from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data import workers
from dreamx.data.opengl import CannotDraw
from dreamx.eval import video_files
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.measure import Measured, measure, measure_hold, scoring_hash
from dreamx.eval.models import Truth, VideoModel
from dreamx.eval.progress import Progressing, note_progress, read_notes
from dreamx.eval.suites import event_trials
from dreamx.eval.suites.ground_truth import no_event_truth, true_clip
from dreamx.eval.suites.reference_features import reference_features
from dreamx.eval.suites.suite import Suite, Trial
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.plaintext import read_json
from dreamx.source_hash import source_hash


@dataclass(frozen=True)
class EvalPlan:
    """An evaluation to run. ``out`` gets films and rows, ``truth`` keeps the true renders.

    ``code``: hashes of the simulator's code and of that of the scores, as they were when the run began.
    """

    suite: Suite
    models: tuple[VideoModel, ...]
    view: VideoFormat
    out: Path
    truth: Path
    tools: Backbones
    code: tuple[str, str]


@dataclass(frozen=True)
class TrialRow:
    """Result of one trial. ``failed``: the reason; empty where it did not fail. ``truth``: a hash of the true video."""

    model: str
    trial: str
    path: str
    failed: str
    truth: str
    measured: Measured


def code_hashes() -> tuple[str, str]:
    """Hashes of the simulator's code and of that of the scores, for ``EvalPlan.code``."""
    return source_hash("dreamx.eval.suites.ground_truth"), scoring_hash()


def run_plan(plan: EvalPlan, processes: int) -> list[TrialRow]:
    """All rows, in the order of the models and of the suite. ``processes`` 1 works in this process."""
    trials, at, done = plan.suite.trials, plan.out / "at", 0

    def state() -> tuple[float, str]:
        parts, words = read_notes(at)
        return done + parts, words

    shutil.rmtree(at, ignore_errors=True)  # of a run that was killed
    try:
        with Progressing("measuring", len(trials), state):
            if processes == 1:
                for trial in trials:
                    run_trial(plan, trial)
                    done += 1
            else:
                with closing(_pool(plan, processes)) as measured:
                    for _ in measured:
                        done += 1
    finally:
        shutil.rmtree(at, ignore_errors=True)
    return [_kept(plan, model, trial) for model in plan.models for trial in trials]


def _pool(plan: EvalPlan, processes: int) -> Generator[Trial, None, None]:
    """Each trial when it is done. A process that dies takes only the trials with it that were being worked on: they fail."""
    waiting = list(plan.suite.trials)
    deaths: dict[str, int] = {}
    while waiting:
        count = min(processes, len(waiting))
        with workers.pool(count) as pool:
            jobs = {pool.submit(run_trial, plan, trial): trial for trial in waiting}
            for job in as_completed(jobs):
                trial = jobs[job]
                try:
                    job.result()
                except BrokenProcessPool:
                    continue
                waiting.remove(trial)
                yield trial
        suspects = waiting[:count]
        for trial in suspects:
            deaths[trial.id] = deaths.get(trial.id, 0) + 1
            if deaths[trial.id] > 2:
                for model in plan.models:
                    if not row_file(plan, model, trial).exists():
                        _keep(plan, model, trial, TrialRow(model.name, trial.id, trial.path, "the process died", "", Measured()))
                waiting.remove(trial)
                yield trial


def run_trial(plan: EvalPlan, trial: Trial) -> None:
    """Film and score one trial for all models, but for what is there already. Failures are rows, too."""
    if all(_done(plan, model, trial) for model in plan.models):
        return
    truth: Clip | str
    at, part = plan.out / "at", 1 / (1 + len(plan.models))
    try:
        with note_progress(at, f"the truth of {trial.id}", 0, part):
            truth = true_clip(trial, plan.view, plan.truth)
    except CannotDraw:  # nor can any other trial be
        raise
    except Exception as e:  # whatever it is, the other trials go on
        truth = f"the truth: {_words(e)}"
    for number, model in enumerate(plan.models, 1):
        if _done(plan, model, trial):
            continue
        if isinstance(truth, str):
            row = TrialRow(model.name, trial.id, trial.path, truth, "", Measured())
        else:
            try:
                with note_progress(at, f"{trial.id} of {model.name}", number * part, part):
                    row = TrialRow(model.name, trial.id, trial.path, "", _of(truth), _measured(plan, model, trial, truth))
            except CannotDraw:
                raise
            except Exception as e:
                row = TrialRow(model.name, trial.id, trial.path, _words(e), _of(truth), Measured())
        _keep(plan, model, trial, row)


def _measured(plan: EvalPlan, model: VideoModel, trial: Trial, truth: Clip) -> Measured:
    video = _film(plan, model, trial, truth)
    if plan.suite.name == "hold":
        reference = reference_features(trial.kind, trial.style, plan.view, plan.tools.features_of(), plan.truth)
        return measure_hold(video, truth, plan.tools, trial.path, reference)
    measured = measure(video, truth, plan.tools, plan.suite.name)
    if not trial.happens:
        return measured
    without = no_event_truth(trial, plan.view, plan.truth)
    unsaid = replace(trial, said=())
    # The truth and the baselines know no words: their run without words is the truth without the event, theirs is themselves.
    no_prompt = without.video if isinstance(model, Truth) else _film(plan, model, unsaid, truth)
    return Measured(measured.scores | event_trials.event_scores(video, no_prompt, truth, without), measured.curves)


def film_file(plan: EvalPlan, model: VideoModel, trial: Trial) -> Path:
    """Return the file of the video."""
    what = f"{to_json(trial)} {plan.view} {plan.code[0]} {model.identity}"
    return plan.out / "films" / model.name / f"{trial.id}-{_hash(what)}.mkv"


def row_file(plan: EvalPlan, model: VideoModel, trial: Trial) -> Path:
    """Return the file of the row."""
    how = _hash(f"{plan.suite.name} {plan.tools.names} {plan.code[1]}")
    return plan.out / "rows" / model.name / f"{film_file(plan, model, trial).stem}-{how}.json"


def _film(plan: EvalPlan, model: VideoModel, trial: Trial, truth: Clip) -> torch.Tensor:
    file = film_file(plan, model, trial)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        video = model.film(trial, truth)
        if video.shape != truth.video.shape:
            raise ValueError(f"the video is {tuple(video.shape)} where the trial is {tuple(truth.video.shape)}")
        video_files.save_video(file, video, truth.fps)
    return video_files.load_video(file).video


def _keep(plan: EvalPlan, model: VideoModel, trial: Trial, row: TrialRow) -> None:
    file = row_file(plan, model, trial)
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(file, to_json(row), indent=None)


def _kept(plan: EvalPlan, model: VideoModel, trial: Trial) -> TrialRow:
    return from_json(TrialRow, read_json(row_file(plan, model, trial)))


def _done(plan: EvalPlan, model: VideoModel, trial: Trial) -> bool:
    """Tell whether a trial has a row that did not fail: failures are tried again, the disk may have been full."""
    return row_file(plan, model, trial).exists() and not _kept(plan, model, trial).failed


def _words(e: Exception) -> str:
    return str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"


def _of(truth: Clip) -> str:
    return hashlib.sha256(truth.video.numpy().tobytes()).hexdigest()[:12]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
