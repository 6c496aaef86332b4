"""Batches of encoded clips. A batch is a pure function of its random generator, so that a run resumes to the very next sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dreamx.clip import refuse_held_out
from dreamx.data.latent_file import Latents, joined
from dreamx.events import going_on, told
from dreamx.frames import Frames, clean
from dreamx.model.prompt import shorten
from dreamx.model.vae import GROUP
from dreamx.model.word_encoder import split

#: Beside frames: those some latents further on, as memory shows them before each (``Frames`` of the same size), or None.
Ahead = Frames | None


class LatentClips:
    """A latents file in memory; batches are stretches of ``frames`` latents (None: whole clips).

    more: files whose clips are drawn from, too. ValueError when a clip is of an evaluation scene, or too short.
    """

    def __init__(self, file: Path, frames: int | None = None, more: Sequence[Path] = ()) -> None:
        data = _load(file, more) if more else Latents.load(file)
        for row in data.rows:
            refuse_held_out(row.seed)
        # All in memory, as float16.
        self.z, self.camera, self.hint, self.ahead, self.to = data.z, data.camera, data.hint, data.ahead, data.to
        self.vae, self.path = data.vae, data.path  # by whom they were encoded; cameras of all video frames, or None
        self.anywhere = True  # a stretch begins at any latent, and not only at the first
        self.frames = data.z.shape[1] if frames is None else frames
        if self.frames > data.z.shape[1]:
            raise ValueError(f"{file}: its clips have {data.z.shape[1]} latents; lower stage.frames from {frames} to that")
        self.rows, self.captions = data.rows, [row.caption for row in data.rows]
        self.eventful = any(row.events for row in data.rows)
        self.words: int | None = None  # that a prompt may have; None: any number
        self.drop_scene = 0.0  # share of rows whose scene is not told, where there are events

    def refuse_other(self, channels: int) -> None:
        """ValueError where a network that reads latents of so many channels cannot read these."""
        if self.z.shape[2] != channels:
            raise ValueError(
                f"data: its latents have {self.z.shape[2]} channels, and dit.channels is {channels}; make them alike"
            )

    def batch(self, size: int, rng: torch.Generator) -> tuple[Frames, list[str]]:
        """Return ``size`` stretches drawn at random, as clean frames, and their captions (``Frames.said`` names them, if they
        change on the way)."""
        known, _, prompts = self.both(size, rng)
        return known, prompts

    def both(self, size: int, rng: torch.Generator) -> tuple[Frames, Ahead, list[str]]:
        """``batch``, and for each frame one further on, with what memory shows of it before that frame; its index stays."""
        rows = torch.randint(len(self.z), (size,), generator=rng)
        room = self.z.shape[1] - self.frames if self.anywhere else 0
        start = torch.randint(room + 1, (size, 1), generator=rng)
        time = start + torch.arange(self.frames)  # [size, frames]
        known = clean(self.z[rows[:, None], time].float(), self.camera[rows[:, None], time])
        hint = None if self.hint is None else self.hint[rows[:, None], time].float()  # [size, frames, C + 1, h, w]
        further: Ahead = None
        if self.ahead is not None and self.to is not None:
            to = self.to[rows[:, None], time]
            # Its index counts on from the history, not from where it lies in the clip.
            further = clean(self.z[rows[:, None], to].float(), self.camera[rows[:, None], to])
            further = replace(further, hint=self.ahead[rows[:, None], time].float())
        known = replace(known, hint=hint)
        if not self.eventful:
            return known, further, [self.captions[i] for i in rows.tolist()]
        prompts: dict[str, int] = {}
        said = [
            [prompts.setdefault(w, len(prompts)) for w in self._words(int(i), k, rng)] for i, k in zip(rows, time, strict=True)
        ]
        return replace(known, said=torch.tensor(said)), further, list(prompts)

    def _words(self, row: int, time: Tensor, rng: torch.Generator) -> list[str]:
        """Return the words of each latent ``time [T]`` of a row: scene (now and then left out) and events, in any order."""
        about = self.rows[row]
        silent, turned = (torch.rand(2, generator=rng) < torch.tensor([self.drop_scene, 0.5])).tolist()
        events, scene = about.events[::-1] if turned else about.events, "" if silent else about.caption
        found: list[str] = []
        for t in time.tolist():
            event = told(going_on(events, GROUP * (t - 1) / about.fps, GROUP * t / about.fps)) if t else ""
            left = scene if self.words is None else shorten(scene, self.words - len(split(event)))
            found.append(f"{left} {event}".strip())
        return found


def _load(file: Path, more: Sequence[Path]) -> Latents:
    """All files as one. ValueError where one is of another autoencoder, has clips of another length, or shows no memory alone."""
    parts = [Latents.load(f) for f in (file, *more)]
    for other, part in zip(more, parts[1:], strict=True):
        if part.vae != parts[0].vae:
            raise ValueError(f"more: {other} is of another autoencoder than {file}; encode its clips by the same")
        if part.z.shape[1:] != parts[0].z.shape[1:]:
            raise ValueError(f"more: clips of {other} are {list(part.z.shape[1:])}, those of {file} {list(parts[0].z.shape[1:])}")
        if (part.hint is None) != (parts[0].hint is None):
            raise ValueError(f"more: {other} was encoded {'without' if part.hint is None else 'with'} memory, {file} was not so")
    return joined(parts)
