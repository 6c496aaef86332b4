"""The same run on Ray Data (``pip install '.[ray]'`` in the checkout): many machines, one place that all of them can write to."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dreamx.data.engine.engine_stage import Job, Outcome
from dreamx.data.engine.pool import run_job


@dataclass(frozen=True)
class Ray:
    """A cluster by its address; None starts Ray on this machine. ``workers``: processes, 0 means one for each core there is.
    ``cpus``, ``gpus``: what each of them takes."""

    address: str | None = None
    workers: int = 0
    cpus: float = 1.0
    gpus: float = 0.0


def on_ray(job: Job, todo: list[int], engine: Ray) -> Generator[Outcome, None, None]:
    """Make the clips ``todo`` of a job; yields what came of each. ValueError where Ray is not installed."""
    try:
        ray: Any = import_module("ray")  # by its name: types are checked without it, too
        import_module("ray.data")
    except ImportError as e:
        raise ValueError("the engine Ray needs the extra: pip install '.[ray]' in the checkout") from e
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address=engine.address, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours tells more
    workers = min(engine.workers or int(ray.cluster_resources().get("CPU", 1)), len(todo))
    rows: Any = ray.data.from_items([{"i": i} for i in todo], override_num_blocks=max(1, min(len(todo), 8 * workers)))
    made = rows.map(_Maker, fn_constructor_args=(job,), concurrency=workers, num_cpus=engine.cpus, num_gpus=engine.gpus)
    for row in made.iter_rows():
        yield Outcome(int(row["i"]), int(row["frames"]), "", str(row["halt"]))


class _Maker:
    """A worker that stays: what a stage loads, it loads once."""

    def __init__(self, job: Job) -> None:
        import torch

        torch.set_num_threads(1)
        self._job = job

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = run_job(self._job, int(row["i"]))
        return {"i": outcome.i, "frames": outcome.frames, "halt": outcome.halt}
