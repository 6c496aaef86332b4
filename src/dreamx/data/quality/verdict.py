"""All rules on one clip: keep it, or why not, with what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import blake2b

from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.data.quality import basic, description, geometric
from dreamx.data.quality.aesthetic import SCORE, STAND_IN, aesthetic, aesthetic_of
from dreamx.data.quality.description import Tags, tags
from dreamx.data.quality.limits import Limits
from dreamx.plaintext import parse_json

#: The rules by stage, in their order. The first one that a clip breaks is the reason why it goes; all are told.
RULES: dict[str, Callable[[Clip, Limits], str | None]] = {
    "duration": basic.duration,
    "fps": basic.rate,
    "text": basic.text,
    "border": basic.border,
    "static": basic.static,
    "cut": basic.cut,
    "exposure": basic.exposure,
    "blur": basic.blur,
    "rotations": geometric.rotations,
    "intrinsics": geometric.intrinsics,
    "spikes": geometric.spikes,
    "spin": geometric.spin,
    "bounce": geometric.bounce,
    "caption": description.words,
    "aesthetic": aesthetic,
}
#: What a report shows the spread of, and the limit of each by its field.
MEASURES: dict[str, tuple[Callable[[Clip], float], str]] = {
    "seconds": (basic.seconds_of, "seconds"),
    "words over the picture": (basic.text_share, "text"),
    "black borders": (basic.border_share, "border"),
    "change": (basic.change_of, "change"),
    "brightness": (basic.brightness, "dark"),
    "blur": (basic.blurriness, "blur"),
    "roll": (geometric.roll_of, "roll"),
    "longest step": (geometric.spike_of, "spike"),
    "fastest turn": (geometric.spin_of, "spin"),
    "trembling height": (geometric.bounce_of, "bounce"),
}


#: The limit of each measure, by its field; of the two aesthetic ones a clip has one.
SPREAD = {name: limit for name, (_, limit) in MEASURES.items()} | {SCORE: "aesthetic", STAND_IN: "aesthetic_stand_in"}


@dataclass(frozen=True)
class ClipVerdict:
    """reasons: by rule, empty where the clip is kept. measures: by name; what is not finite is left out. scale: the factor to
    metres. content: a hash of the pictures, by which the same video is known again."""

    reasons: dict[str, str]
    measures: dict[str, float]
    tags: Tags | None
    content: str
    scale: float = 1.0


def judge(clip: Clip, limits: Limits) -> ClipVerdict:
    """Every rule on a clip; a pure function of both."""
    reasons = {name: why for name, rule in RULES.items() if (why := rule(clip, limits)) is not None}
    measures: dict[str, float] = {}
    sound = "rotations" not in reasons
    for name, (measure, _) in MEASURES.items():
        if sound or measure.__module__ != geometric.__name__:
            measures[name] = round(measure(clip), 6)
    name, score = aesthetic_of(clip, limits)
    measures[name] = round(score, 4)
    content = blake2b(clip.video.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
    return ClipVerdict(reasons, measures, tags(clip) if sound else None, content)


def signed(clip: Clip, verdict: ClipVerdict, limits: Limits) -> tuple[Clip, float]:
    """A clip that is kept: in metres, what was found beside its other words; and the factor to metres."""
    clip, factor = geometric.rescaled(clip, limits)
    return replace(clip, extra={**clip.extra, **words_of(verdict)}), factor


def words_of(verdict: ClipVerdict) -> dict[str, str]:
    """A verdict as words for ``Clip.extra``: ``tag_motion`` and so on, ``measures`` and ``reasons`` as JSON, ``content``."""
    said = {} if verdict.tags is None else {f"tag_{k}": str(v) for k, v in to_json(verdict.tags).items()}
    said |= {f"tag_{name}": str(verdict.measures[name]) for name in (SCORE, STAND_IN) if name in verdict.measures}
    said |= {"measures": json.dumps(verdict.measures), "content": verdict.content}
    return said | ({"reasons": json.dumps(verdict.reasons, ensure_ascii=False)} if verdict.reasons else {})


def verdict_of(extra: Mapping[str, str]) -> ClipVerdict | None:
    """Read what ``words_of`` wrote; None where it is missing or cannot be read."""
    try:
        said = {f.name: extra[f"tag_{f.name}"] for f in fields(Tags)} if "tag_kind" in extra else None
        found = None if said is None else Tags(float(said.pop("motion")), float(said.pop("moving")), **said)
        reasons = {str(k): str(v) for k, v in parse_json(extra.get("reasons", "{}")).items()}
        measures = {str(k): float(v) for k, v in parse_json(extra["measures"]).items()}
        return ClipVerdict(reasons, measures, found, extra["content"], float(extra.get("scale", 1)))
    except (KeyError, ValueError, AttributeError, TypeError):
        return None
