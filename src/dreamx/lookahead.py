"""Lookahead: when memory knows little of the view some chunks further on, generate that view now and remember it.

A turn uncovers less than a place of the latent grid with every chunk, so that what comes into view would be invented from a rim
of a few pixels, and memory would show that guess for ever. Instead, when memory knows little of the view some chunks further on,
that view is generated first, as one chunk from the same past; from then on memory shows it like everything that was seen. Our
addition to DreamX-World 1.0; the transformer learns it by `TeachingConfig.ahead`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from dreamx.bounds import Denoising, LatentCount, Probability
from dreamx.chunk_request import ChunkRequest
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Controls, walk
from dreamx.geometry.reproject import View
from dreamx.memory import Bank, add_memory_hint
from dreamx.model.vae import GROUP, VAE, State


@dataclass(frozen=True)
class LookaheadConfig:
    """Views that are dreamt before they are walked to."""

    latents: LatentCount = 6
    """Lookahead distance in latent frames."""
    unknown: Probability = 0.2
    """Share of the view there that must be unknown to memory for it to be dreamt ahead."""
    steps: Denoising = 6
    """Network passes of a lookahead; it has to invent more than a chunk does."""
    guidance: float | None = 2.0  # 3, with 8 steps, was sharper (0.34 against 0.29) and further from the truth
    """Strength of guidance by what has been seen (``rollout.guided``); None: no more than on a chunk."""


def extrapolate_path(camera: Camera, controls: Controls, latents: int, up: torch.Tensor | None) -> Camera:
    """The cameras ``[GROUP]`` of the latent frame so many further on, if the controls (of at least one frame) go on like this."""
    frames = latents * GROUP
    held = [i % len(controls) for i in range(frames)]  # the last controls over and over
    return walk(camera, Controls(controls.move[held], controls.turn[held]), up)[frames - GROUP :]  # its own 4 video frames


@dataclass(frozen=True, eq=False)
class AheadPlan:
    """A view to be dreamt ahead: the request to the network, what memory shows of it, ``[1, GROUP]``, and its cameras."""

    request: ChunkRequest
    hint: View
    path: Camera


def plan_view_ahead(cfg: LookaheadConfig, vae: VAE, bank: Bank, path: Camera, request: ChunkRequest) -> AheadPlan | None:
    """Plan to generate the view of ``path [GROUP]`` from the noise ``[1, 1]`` of a request; None where the bank knows enough."""
    chunk, _, hint = add_memory_hint(vae, bank, request.chunk, path)
    if hint is None or float(hint.known[0, -1].mean()) > 1 - cfg.unknown:  # judged by the last frame, which turns furthest
        return None
    # Guided by the past: else the colours of the place are lost to grey after half a turn.
    # Along the flow: Euler steps invent trees where stochastic ones make fog.
    sampler = replace(request.sampler, steps=cfg.steps, stochastic=False)
    return AheadPlan(replace(request, chunk=chunk, sampler=sampler, strength=cfg.guidance or 0.0, ahead=True), hint, path)


def imagine_view(vae: VAE, decoder: State | None, bank: Bank, plan: AheadPlan, made: Frames) -> None:
    """Store a view that was generated, ``[1, 1]``, in the bank. Nothing else of the past changes."""
    pixels, _ = vae.push(made.z[:, 0], decoder, plan.hint)
    bank.imagine(pixels.rgb[0, -1], pixels.depth[0, -1], plan.path[-1])  # the decoder's state is dropped: this was not shown
