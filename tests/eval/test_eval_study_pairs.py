"""A study of two models of one run: its films pair, and people read what the models were told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dreamx.eval.models import CopyFirst, Truth
from dreamx.eval.runner import film_file
from dreamx.eval.study.trials import pair_videos
from dreamx.eval.suites.suite import PromptChange
from eval_house import plan


def test_films_of_a_run_pair_with_what_they_were_told(tmp_path: Path) -> None:
    run = plan(tmp_path, (Truth(), CopyFirst()), 2)
    spoken = replace(run.suite.trials[0], said=(PromptChange(1.5, "the ball rolls"), PromptChange(2.0, "")))
    run = replace(run, suite=replace(run.suite, trials=(spoken, run.suite.trials[1])))
    for model in run.models:
        for trial in run.suite.trials:
            file = film_file(run, model, trial)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"film")
    first = film_file(run, run.models[0], spoken)
    older = first.with_name(f"{spoken.id}-ffffffffffff.mkv")  # of another model of that name, or of other code
    older.write_bytes(b"old")
    os.utime(older, (1, 1))
    run.suite.save(tmp_path / "suite.json")
    found = pair_videos(tmp_path / "films" / "truth", tmp_path / "films" / "copy-first")
    assert [p.name for p in found] == [t.id for t in run.suite.trials]
    assert found[0].a == first
    assert [p.words for p in found] == ["a\nat 1.5 s: the ball rolls\nat 2 s: no more of it", "a"]
