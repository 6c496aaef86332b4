"""The flags of ``dreamx generate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Lt

from dreamx.bounds import FrameCount, InputFile, NonNegativeFloat, PositiveInt, Probability, Threads
from dreamx.released import AS_IT_IS, Choice


@dataclass(frozen=True)
class GenerateConfig:
    """Make a video from a start picture and an action file, from a replay file, or one for each entry of an eval.json."""

    out: Path
    """The video to write, an .mp4, with its record beside it as .json (a replay is its own record); of an eval.json, a folder."""
    actions: str | None = None
    """An action file (one span a line: KEYS FRAMES), or the actions themselves: "w*16,wj*32,-*8"."""
    replay: InputFile | None = None
    """A replay file, which the page shares, instead of actions; it brings its own start, prompt and seed."""
    timeline: InputFile | None = None
    """A file of what is said when, beside actions or a replay: lines as "at 3.0 s: fog"; times are rounded down to a chunk."""
    start: InputFile | None = None
    """The picture to begin from; without it the world begins from the prompt alone."""
    prompt: str = ""
    """What there is to see."""
    seed: Annotated[int, Ge(0), Lt(2**31)] = 0
    """The same seed, picture, prompt and actions make the same video."""
    world: str | None = None
    """Name of a shipped world, or path of a checkpoint; by default that of the replay, or "tiny"."""
    overwrite: bool = False
    """Replace the video if there is one."""
    threads: Threads | None = None
    """CPU threads of the model; by default what torch chooses."""
    input: Annotated[InputFile | None, tyro.conf.Positional] = None
    """An eval.json of the official release, unchanged; or the record of a video made from one, to make it again as it was."""
    dialect: str | None = None
    """How the eval.json is read: dreamx-ar or dreamx-cam; by default as the world's kind of checkpoint reads it."""
    frames: FrameCount | None = None
    """Frames of each video of an eval.json, 4 k + 1; by default 81."""
    resume: bool = False
    """Go on with the unfinished videos of an eval.json, bit for bit."""
    part: PositiveInt = 64
    """Frames of an eval.json's video after which its session is saved: at most so many are made again after a kill."""
    guidance: NonNegativeFloat | None = None
    """Of a bidirectional model, towards the caption; by default 3. The causal model takes none."""
    choice: Annotated[Choice, tyro.conf.arg(name="")] = AS_IT_IS
    """Settings of a released model."""
    colour: Probability | None = None
    """Pull the colours of an eval.json's video back to the opening picture's (Lab), 0 to 1; off by default, as in evaluation."""

    def __post_init__(self) -> None:
        if self.input is None and self.out.suffix != ".mp4":
            raise ValueError(f"out: {self.out} does not end in .mp4; name the video something.mp4")
        if sum(x is not None for x in (self.actions, self.replay, self.input)) != 1:
            raise ValueError('give either actions, as "w*16,wj*32", or a replay file, or an eval.json')
        if self.input is None and (self.dialect, self.frames, self.colour, self.guidance, self.resume) != (None,) * 4 + (False,):
            raise ValueError("dialect, frames, colour, guidance and resume go with an eval.json; leave them out")
        if self.input is not None and self.timeline is not None:
            raise ValueError("timeline goes with actions or a replay; an eval.json brings its own captions, so leave it out")
        if self.input is not None and (self.start, self.prompt) != (None, ""):
            raise ValueError("input: it brings its own pictures and captions; leave start and prompt out")
        if self.input is not None and (self.out.suffix == ".mp4" or self.out.is_file()):
            raise ValueError(f"out: {self.out} would be a folder of videos; name one without .mp4 that is no file")
        if self.resume and self.overwrite:
            raise ValueError("resume and overwrite: say one of them")
        if self.replay is not None and (self.start, self.prompt, self.seed) != (None, "", 0):
            raise ValueError("replay: it brings its own start, prompt and seed; leave yours out")
