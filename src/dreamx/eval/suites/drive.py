"""Play a path as a player would, chunk by chunk: what is measured is what is played."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval.progress import report_frames
from dreamx.eval.suites.suite import PromptChange
from dreamx.eval.suites.true_clips import held_keys
from dreamx.geometry.controls import Speed, from_keys
from dreamx.standpoint import Standpoint
from dreamx.world import World


def drive(world: World, truth: Clip, said: tuple[PromptChange, ...] = ()) -> Tensor:
    """Open the world with the first true picture and hold the clip's keys: uint8 ``[F, 3, H, W]``, the opening frame first.

    Words of ``said`` come with the first chunk that begins at their second or later, as a player's words would.
    """
    keys = held_keys(truth.actions)
    at = Standpoint(truth.scene, truth.camera.pose[0].float())  # used where the world knows that place by heart
    shown = [world.reset(truth.video[0], truth.caption, truth.seed, at)[-1:]]
    waiting = sorted(said, key=lambda s: s.at)
    done = 0
    while done < len(keys):
        due = world.frames_per_step
        now = keys[done : done + due] + [""] * max(0, done + due - len(keys))  # the last chunk may be longer than the path
        words = None
        while waiting and waiting[0].at * truth.fps <= done:
            words = waiting.pop(0).words
        shown.append(world.step(from_keys(now, Speed(fps=truth.fps)), words))
        done += due
        report_frames(min(done, len(keys)), len(keys))
    return torch.cat(shown)[: len(truth.video)]
