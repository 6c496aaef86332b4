"""Several sessions of one world that step together: one pass of the network, or of the decoder, serves all whose shapes agree.

Every session stays a ``World`` of its own, that can be saved, forked and stepped alone at any time. Its numbers are those that it
would have alone, but for the order of sums: latents agree to 1e-5 (``tests/test_world_batch.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamx.chunk_request import answer_requests
from dreamx.decoding import decode_chunks
from dreamx.geometry.controls import Controls
from dreamx.model.vae import VAE
from dreamx.plaintext import named
from dreamx.session import Dream
from dreamx.session_state import Telling
from dreamx.world import World


@torch.inference_mode()
def denoise_together(worlds: Sequence[World], controls: Sequence[Controls], events: Sequence[str | None]) -> list[Dream]:
    """Denoise the next chunk of each of several sessions, forks of one world (``World.denoise``).

    ValueError where one of them is refused, by its number: then none of them has moved.
    """
    _refuse_uneven(worlds, controls, events)
    readings: list[Telling] = []
    for i, (world, held, event) in enumerate(zip(worlds, controls, events, strict=True)):
        with named(f"session {i}"):
            world.refuse_frames("controls", len(held))
            readings.append(world.read_event(event))
    look_ahead_together(worlds)
    plans = [w.plan_steps(c, e, r) for w, c, e, r in zip(worlds, controls, events, readings, strict=True)]
    asked = [plan.request for plan in plans if plan.request is not None]
    answers = iter(answer_requests(asked))
    return [w.finish_chunk(p, None if p.request is None else next(answers)) for w, p in zip(worlds, plans, strict=True)]


@torch.inference_mode()
def look_ahead_together(worlds: Sequence[World]) -> None:
    """Remember the views ahead of several sessions (``World.look_ahead``)."""
    plans = [(world, plan) for world in worlds if (plan := world.plan_ahead()) is not None]
    made = answer_requests([plan.request for _, plan in plans])
    for (world, plan), (frames, _) in zip(plans, made, strict=True):
        world.finish_ahead(plan, frames)


@torch.inference_mode()
def decode_together(worlds: Sequence[World], dreams: Sequence[Dream]) -> list[Tensor]:
    """Decode one dream of each session: uint8 ``[F, 3, H, W]`` each (``World.decode``)."""
    vae, first = worlds[0].vae, worlds[0]
    _refuse_uneven(worlds, dreams, dreams)
    if not isinstance(vae, VAE):  # the stream of a released decoder has no batch
        return [world.decode(dream) for world, dream in zip(worlds, dreams, strict=True)]
    decoded = decode_chunks(vae, dreams, first.size, [w.decoder_state for w in worlds], first.depth is not None)
    return [world.finish_dream(frames) for world, frames in zip(worlds, decoded, strict=True)]


def _refuse_uneven(worlds: Sequence[World], *each: Sequence[object]) -> None:
    if not worlds or any(len(x) != len(worlds) for x in each):
        raise ValueError(f"worlds: {len(worlds)} sessions step together; give at least one, and something for each of them")
    if len({id(world) for world in worlds}) < len(worlds):
        raise ValueError("worlds: one session is named twice; fork it")
    if any(world.vae is not worlds[0].vae or world.dit is not worlds[0].dit for world in worlds):
        raise ValueError("worlds: these sessions have different networks; give forks of one world")
