"""Quality control as a stage of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.data.engine.stage import Drop
from dreamx.data.quality.limits import Limits


@dataclass(frozen=True)
class Judged:
    """Drops what breaks a rule of ``limits``, by the first such rule; what stays is in metres, its tags in ``extra``, as from
    ``dreamx data curate`` (which, looking at all clips together, also drops duplicates)."""

    limits: Limits = field(default_factory=Limits)

    def __call__(self, clip: Clip) -> Clip | Drop:
        """The clip with its tags, or the first reason."""
        from dreamx.data.quality.geometric import rescaled
        from dreamx.data.quality.judge import judge

        verdict = judge(clip, self.limits)
        for rule, why in verdict.reasons.items():
            return Drop(why, rule)
        clip, _ = rescaled(clip, self.limits)
        told = {} if verdict.tags is None else {f"tag_{k}": str(v) for k, v in to_json(verdict.tags).items()}
        return replace(clip, extra={**clip.extra, **told})
