"""A trial in which something happens: the truth with it and without, and the words for it, in ways that nobody trains on."""

from __future__ import annotations

from dataclasses import replace
from math import atan, degrees
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.data.scene.scene import scene
from dreamx.data.sim.clips import film, still
from dreamx.data.sim.event_catalogue import COMPOSED, SINGLE
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.take import SimulatedShot, Take, event
from dreamx.eval.estimators.events.event_accuracy import recognised, shipped_classifier
from dreamx.eval.metrics import event_recognition
from dreamx.eval.suites.suite import PromptChange, Trial
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.events import HOLD, Story, going_on, prompt, told
from dreamx.model.word_encoder import split

KINDS = {k.name: k for k in (*SINGLE, *COMPOSED)}
_READ = 64  # words and marks that the smallest world reads; the law of a suite has its own number
_MARGIN = 3  # pixels around a thing that its shadow may reach


def take_of(seed: int, place: str, style: str, happens: str, attempt: int, shot: SimulatedShot) -> Take:
    """The take that the simulator draws. ValueError: with the reason why there is none."""
    rng = np.random.default_rng([seed, attempt, *happens.encode()])
    try:
        return event(scene(seed, style, place), replace(shot, held_out=True), rng, KINDS[happens])
    except (Rejected, ArithmeticError) as e:
        raise ValueError(str(e)) from e


def shot_of(view: VideoFormat, frames: int) -> SimulatedShot:
    """Return the format in which a trial is filmed."""
    return SimulatedShot(frames, view.fps, view.width, view.height, 2 * degrees(atan(0.5 / view.lens[1])))


def render_take(take: Take, shot: SimulatedShot) -> Clip:
    """The clip of a take. ValueError: what must be seen is hidden."""
    try:
        return film(take, "events", shot)
    except Rejected as e:
        raise ValueError(str(e)) from e


def with_event(trial: Trial, view: VideoFormat) -> Clip:
    """The truth with the event."""
    shot = shot_of(view, trial.frames)
    take = take_of(trial.seed, trial.kind, trial.style, trial.happens, trial.attempt, shot)
    return replace(render_take(take, shot), caption=trial.prompt)


def without_event(trial: Trial, view: VideoFormat) -> Clip:
    """The same without: everything stays as it was in the first frame."""
    shot = shot_of(view, trial.frames)
    take = take_of(trial.seed, trial.kind, trial.style, trial.happens, trial.attempt, shot)
    return render_take(still(take), shot)


def trial_words(story: Story, style: str) -> tuple[str, tuple[PromptChange, ...]]:
    """Return the opening prompt and the changes on the way: each record at its start; empty when none goes on any more.

    What stands about in the scene is left out, the last sentence first, where it is all more than the smallest world reads.
    ValueError: it still is.
    """
    moments = sorted({e.start for e in story.events} | {max(e.end, e.start + HOLD) for e in story.events})
    said: list[PromptChange] = []
    for moment in moments:
        words = told(going_on(story.events, moment, moment))
        if not said or said[-1].words != words:
            said.append(PromptChange(moment, words))
    sentences = story.scene.rstrip(".").split(". ")
    for count in range(len(sentences), 0, -1):
        opening = prompt(Story(". ".join(sentences[:count])), style)
        if all(len(split(f"{opening} {s.words}")) <= _READ for s in said):
            return opening, tuple(said)
    raise ValueError(f"the words of the event are more than {_READ}")


def event_scores(video: Tensor, no_prompt: Tensor, with_it: Clip, without: Clip) -> dict[str, float]:
    """Did it happen, when it was said, does it last, and what else did the words change: see ``events``; and is it recognised as
    what was said (``classify``).

    ``no_prompt`` is the model's own video of the trial without the words. The span is that of all records together.
    """
    story, segments = with_it.story, with_it.segments
    assert story is not None
    assert segments is not None
    assert without.segments is not None
    span = (min(e.start for e in story.events), min(max(e.end for e in story.events), (len(video) - 1) / with_it.fps))
    ids = set(with_it.entities)
    region = (
        event_recognition.dilated_region([segments, without.segments], ids, _MARGIN)
        if ids
        else torch.ones_like(segments, dtype=torch.bool)
    )
    got = event_recognition.score(video, no_prompt, with_it.video, without.video, region, with_it.fps, span)
    found: dict[str, float | None] = {
        "happened": 100 * got.happened,
        "delay": got.delay,
        "lasted": None if got.lasted is None else 100 * got.lasted,
        "leakage": got.leakage,
        "focus": None if got.focus is None else 100 * got.focus,
    }
    net, _ = shipped_classifier("evaluation")
    answers = recognised(net, video, with_it, without)
    found["recognised"] = 100 * fmean(yes for _, yes in answers)
    return {name: value for name, value in found.items() if value is not None}


def classifier_note() -> str:
    """Describe the classifier that recognises events, and its own accuracy."""
    _, own = shipped_classifier("evaluation")
    return f"a small classifier of eight moments of a record (eval/estimators/events); {own}"
