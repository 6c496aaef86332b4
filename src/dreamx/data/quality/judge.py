"""All rules on one clip: keep it, or why not, with what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from dreamx.clip import Clip
from dreamx.data.quality import basic, description, geometric
from dreamx.data.quality.description import Tags, tags
from dreamx.data.quality.limits import Limits

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


@dataclass(frozen=True)
class Verdict:
    """reasons: by rule, empty where the clip is kept. measures: by name; what is not finite is left out. scale: the factor to
    metres. content: a hash of the pictures, by which the same video is known again."""

    reasons: dict[str, str]
    measures: dict[str, float]
    tags: Tags | None
    content: str
    scale: float = 1.0


def judge(clip: Clip, limits: Limits) -> Verdict:
    """Every rule on a clip; a pure function of both."""
    reasons = {name: why for name, rule in RULES.items() if (why := rule(clip, limits)) is not None}
    measures: dict[str, float] = {}
    sound = "rotations" not in reasons
    for name, (measure, _) in MEASURES.items():
        if sound or measure.__module__ != geometric.__name__:
            measures[name] = round(measure(clip), 6)
    content = blake2b(clip.video.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
    return Verdict(reasons, measures, tags(clip) if sound else None, content)
