"""Check a suite's needs before its first minute: networks that answer, a judge, videos, a renderer."""

from __future__ import annotations

import sys
from collections import Counter

import torch
from torch import Tensor

from dreamx.data.opengl import gl
from dreamx.eval import folders
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.models import Videos
from dreamx.eval.runner import EvalPlan, TrialRow, run_plan
from dreamx.eval.suites.ground_truth import truths_are_cached
from dreamx.eval.suites.reference_features import references_are_cached
from dreamx.eval.suites.true_clips import VideoFormat

_PAIRS = ("flow", "middle", "distance", "points")  # networks that are given two batches of pictures


def run_checked(plan: EvalPlan, command: str, files: tuple[str, ...], processes: int) -> list[TrialRow]:
    """All rows of a plan that is checked first; its folder is claimed for ``files`` of ``dreamx eval COMMAND``."""
    for note in preflight(plan):
        print(note, file=sys.stderr)
    folders.claim(plan.out, command, files, plan.truth)
    return run_plan(plan, processes)


def preflight(plan: EvalPlan) -> list[str]:
    """Notes for the player on what is not whole. ValueError, one sentence, for what would fail every trial."""
    twice = [name for name, n in Counter(m.name for m in plan.models).items() if n > 1]
    if twice:
        raise ValueError(f"models: two are called {twice[0]!r}; give the folder of videos another name")
    check_networks(plan.tools, plan.view)
    if plan.tools.judge is not None:
        plan.tools.judge.check()
    found = [note for model in plan.models if isinstance(model, Videos) if (note := check_videos(model, plan))]
    cached = truths_are_cached(plan.suite, plan.view, plan.truth)
    if plan.suite.name == "hold":
        places = {(t.kind, t.style) for t in plan.suite.trials}
        cached = references_are_cached(places, plan.view, plan.tools.features_of()[0], plan.truth) and cached
    if not cached:
        gl(plan.view.width, plan.view.height)  # ValueError says what to install
    return found


def check_networks(tools: Backbones, view: VideoFormat) -> None:
    """ValueError, naming the flag, for a network that does not answer two pictures of the world's size as it must."""
    n, h, w = 2, view.height, view.width
    pictures = torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(0))
    wants = {"flow": (n, 2, h, w), "middle": (n, 3, h, w), **dict.fromkeys(("quality", "distance", "points"), (n,))}
    for name, file in tools.files.items():
        run = tools.network(file)
        try:
            answer = run(pictures, pictures) if name in _PAIRS else run(pictures)
        except Exception as e:  # networks of others break in many ways
            raise ValueError(f"{name}: {file} cannot take pictures [{n}, 3, {h}, {w}] ({_first_line(e)})") from e
        want = wants.get(name, (n, "D"))
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__  # pyright: ignore[reportUnnecessaryIsInstance]
        if got != want and not (name not in wants and len(got) == 2 and got[0] == n):
            raise ValueError(f"{name}: {file} answers {n} pictures with {got} where {want} is wanted; export it so")
        if not bool(answer.isfinite().all()):
            raise ValueError(f"{name}: {file} answers with NaN or infinity; export it in float32")


def check_videos(model: Videos, plan: EvalPlan) -> str:
    """A note where videos of the suite are missing. ValueError where all are."""
    missing = [t.id for t in plan.suite.trials if model.file(t) is None]
    if len(missing) == len(plan.suite.trials):
        raise ValueError(
            f"videos: {model.folder} holds no video of the suite's {len(missing)} trials; name them by trial, as {missing[0]}.mp4"
            f" (all names stand in suite.json, which `dreamx eval draw {plan.suite.name} --out suite.json` writes)"
        )
    return (
        f"{model.folder}: {len(missing)} of {len(plan.suite.trials)} videos are missing, as {missing[0]}.mp4" if missing else ""
    )


def _first_line(e: Exception) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]
