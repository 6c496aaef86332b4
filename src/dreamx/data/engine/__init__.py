"""Runs of stages over clips: from a dataset to a dataset, resumable, every dropped clip with its reason.

    from dreamx.data.engine import Drop, Local, run_engine

    @dataclass(frozen=True)
    class Bright:
        least: float = 20.0                                   # of 255; a stage's numbers are its fields

        def __call__(self, clip: Clip) -> Clip | Drop:
            mean = float(clip.video.float().mean())
            return clip if mean >= self.least else Drop(f"its mean brightness is {mean:.0f}", rule="dark")

    run_engine(dataset.read("clips"), (Bright(),), "bright-clips")     # the same with engine=Ray() on Ray Data

A source is anything with ``names`` and ``clip(i)``, so importers and simulators run in the same way.
"""

from __future__ import annotations

from dreamx.data.engine.engine_runner import Count, Local, run_engine
from dreamx.data.engine.engine_stage import Drop, Halt, Shots, Source, Stage
from dreamx.data.engine.on_ray import Ray

__all__ = ["Count", "Drop", "Halt", "Local", "Ray", "Shots", "Source", "Stage", "run_engine"]
