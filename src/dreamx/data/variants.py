"""A clip in a mirror and backwards in time, with everything that is said and known of it; or not, where that would lie.

A mirrored room is a room: pictures, depth, segments, cameras, keys and the person's place are flipped, and words for sides change
places. A clip whose words name a side in a way that cannot be read surely ("he left the room") has no mirror image.
A walk back is a walk, but a tower that topples does not rise: only a clip in which nothing is known to move by itself is
reversed, and of its words what is seen from the first view ("on the left", "ahead") is left out, because that view comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import torch

from dreamx.clip import Clip
from dreamx.events import Story
from dreamx.geometry.camera import Camera

# Columns of the action vector "wasdijkl" in the mirror (a and d, j and l change places) and backwards (all pairs do).
_MIRRORED = [0, 3, 2, 1, 4, 7, 6, 5]
_OPPOSITE = [2, 3, 0, 1, 6, 7, 4, 5]


def variants(clip: Clip, mirror: bool, reverse: bool) -> Iterator[tuple[str, Clip]]:
    """The clip and, where asked for and true, its mirror image, its reversal and both, each with its name."""
    yield "", clip
    flipped = mirrored(clip) if mirror else None
    back = reversed_in_time(clip) if reverse else None
    if flipped is not None:
        yield "mirror", flipped
    if back is not None:
        yield "reverse", back
    if flipped is not None and back is not None:
        yield "mirror reverse", _mirrored(back)


def mirrored(clip: Clip) -> Clip | None:
    """The world in a mirror, left for right: what turned left turns right, and says so. None where its words cannot be turned."""
    return _mirrored(clip) if all(mirrored_words(words) is not None for words in _said(clip)) else None


def reversed_in_time(clip: Clip) -> Clip | None:
    """Reverse the clip; None if something moves in it. Row f of the actions gets the opposite keys of row F - f."""
    if moves(clip):
        return None
    back = torch.cat([torch.zeros_like(clip.actions[:1]), clip.actions[1:].flip(0)])
    story = None if clip.story is None else replace(clip.story, scene=_placeless(clip.story.scene))
    turned = clip.at(torch.arange(len(clip.video)).flip(0))
    return replace(turned, actions=back[:, _OPPOSITE], caption=_placeless(clip.caption), story=story)


def moves(clip: Clip) -> bool:
    """Whether anything but the camera is known to move or change: a person who is followed, events, contacts, or what quality
    control found to move (``4D``)."""
    told = clip.story is not None and bool(clip.story.events or clip.story.interactions or clip.story.evolution.strip())
    return clip.subject is not None or bool(clip.contacts) or told or clip.extra.get("tag_kind") == "4D"


def mirrored_words(words: str) -> str | None:
    """The same words of the world in a mirror, None where "left" or "right" may name a side or something else."""
    sure = [m.span() for m in _SIDE.finditer(words)]
    other = [m.span() for m in _OTHER.finditer(words)]
    out, end = "", 0
    for word in _TURNED.finditer(words):
        side, no = (any(a <= word.start() and word.end() <= b for a, b in spans) for spans in (sure, other))
        if side == no:
            return None
        out += words[end : word.start()] + (_like(word[0]) if side else word[0])
        end = word.end()
    return out + words[end:]


def _mirrored(clip: Clip) -> Clip:
    def said(words: str) -> str:
        return mirrored_words(words) or ""

    s = torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=clip.camera.pose.dtype)
    fx, fy, cx, cy = clip.camera.lens.unbind(-1)
    camera = Camera(s[:, None] * clip.camera.pose * s, torch.stack([fx, fy, 1 - cx, cy], -1))
    story = clip.story
    if story is not None:
        events = (replace(e, entity=said(e.entity), predicate=said(e.predicate), anchor=said(e.anchor)) for e in story.events)
        story = Story(said(story.scene), said(story.evolution), tuple(map(said, story.interactions)), tuple(events))
    return replace(
        clip,
        video=clip.video.flip(-1),
        depth=clip.depth.flip(-1) if clip.depth is not None else None,
        segments=clip.segments.flip(-1) if clip.segments is not None else None,
        camera=camera,
        actions=clip.actions[:, _MIRRORED],
        subject=clip.subject * clip.subject.new_tensor([-1, 1, 1, -1]) if clip.subject is not None else None,
        caption=said(clip.caption),
        story=story,
        entities={number: said(name) for number, name in clip.entities.items()},
    )


def _said(clip: Clip) -> Iterator[str]:
    """All words of a clip that may name a side."""
    yield clip.caption
    yield from clip.entities.values()
    if clip.story is not None:
        yield from (clip.story.scene, clip.story.evolution, *clip.story.interactions)
        for e in clip.story.events:
            yield from (e.entity, e.predicate, e.anchor)


def _placeless(words: str) -> str:
    """The sentences that do not say where in the first view something is, or what comes first."""
    sentences = re.split(r"(?<=[.!?])\s+", words)
    return " ".join(s for s in sentences if not _PLACED.search(s))


def _like(word: str) -> str:
    """The opposite word, written alike."""
    for one, other in _PAIRS:
        for a, b in ((one, other), (other, one)):
            if word.lower().startswith(a):
                new = b + word[len(a) :]
                return new.upper() if word.isupper() else new.capitalize() if word[0].isupper() else new
    return word


_PAIRS = (("counterclockwise", "clockwise"), ("anticlockwise", "clockwise"), ("left", "right"))
_LR = r"(?:left|right)"
#: Every word that a mirror may turn.
_TURNED = re.compile(rf"\b(?:{_LR}(?:most|wards?)?|(?:counter-?|anti-?)?clockwise)\b", re.I)
_PART = "hand|side|edge|corner|half|third|part|wall|end|foreground|background|margin|border|arm|leg|foot|eye|lane|bank|shoulder"
_GO = "turn|pan|bend|veer|curve|swing|swerve|move|go|slide|roll|look|face|lean|tilt|step|walk|drift|rotate|shift|strafe|orbit"
#: Where such a word names a side for sure.
_SIDE = re.compile(
    rf"\b(?:on|to|at|from|towards?|into?|of|over at|in) (?:(?:the|its|his|her|their|our|your|my) )?"
    rf"(?:far |very |upper |lower |top |bottom |front |back |near )?{_LR}\b"
    r"(?! (?:way|direction|place|time|one|moment|size|angle|amount))"
    rf"|\b{_LR}[- ](?:{_PART})s?\b"
    rf"|\b{_LR}(?:most|wards?)\b"
    rf"|\b{_LR} of (?!way)"
    rf"|\b{_LR}(?: and | or | to |[-/]){_LR}\b"
    rf"|\b(?:upper|lower|top|bottom|far|front|back|near|middle)[- ]{_LR}\b"
    rf"|\b(?:{_GO})(?:e?s|ed|n?ing)?(?: (?:slightly|sharply|hard|gently|slowly|further|quickly))? {_LR}"
    r"(?=[.,;:!?]|$| (?:and|then|while|to|towards?)\b)"
    r"|\b(?:counter|anti)?clockwise\b",
    re.I,
)
#: Where it surely does not.
_OTHER = re.compile(
    r"\bright (?:away|now|ahead|before|behind|next|beside|in front|in the middle|into|through|up|down|over|under|above|below"
    r"|against|along|across|past|angles?|of way)\b"
    r"|\b(?:is|are|was|were|has|have|had|be|been|being|nothing|anything|what|who|which|that|he|she|it|they|we) left\b(?! of\b)"
    r"|\bleft (?:behind|alone|open|standing|lying|over)\b"
    r"|\b(?:all|the) right (?:way|direction|place|time|one|moment|size|angle|amount)\b",
    re.I,
)
#: What is true of the first view alone, or of the order of things.
_PLACED = re.compile(
    rf"\b{_LR}|\b(?:ahead|in front|straight on|behind|before us|facing us|in the (?:fore|back)ground"
    r"|in the (?:middle|cent(?:re|er))|approach(?:es|ing)?|towards?|forwards?|backwards?|turns?|pans?"
    r"|first(?![- ]person)|then|after|next|finally|at last"
    r"|begins?|starts?|ends?)\b",
    re.I,
)
