"""Quality control as a stage of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamx.clip import Clip
from dreamx.data.engine.engine_stage import Drop, Halt, lacks_library
from dreamx.data.quality.limits import Limits

#: The word of ``Clip.extra`` by which the same video is known again; the ``once`` of a run.
CONTENT = "content"


@dataclass(frozen=True)
class Judged:
    """Drops what breaks a rule of ``limits``, by the first such rule; what stays is in metres, and what was found of it in
    ``extra``, as from ``dreamx data curate``. Duplicates are dropped by the run: ``once=CONTENT``."""

    limits: Limits = field(default_factory=Limits)

    def __call__(self, clip: Clip) -> Clip | Drop:
        """The clip with its tags, or the first reason. ``Halt`` where a library is missing: no clip could be judged."""
        from dreamx.data.quality.verdict import judge, signed, words_of

        try:
            verdict = judge(clip, self.limits)
        except ValueError as e:
            raise (Halt(str(e)) if lacks_library(e) else e) from e
        for rule, why in verdict.reasons.items():
            return Drop(why, rule, words_of(verdict))
        return signed(clip, verdict, self.limits)[0]
