"""A walk in a world is the official rollout: every pass of every chunk, on the official implementation's weights and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dreamx import released, rollout, session_state
from dreamx.checkpoints.lent_text import LentText
from dreamx.conformance import read
from dreamx.conformance.transformer_vectors import _cameras, _text, _transformer
from dreamx.conformance.vectors import Vectors
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import from_keys
from dreamx.model.attention import Attend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.rollout import Sampler
from dreamx.session import Switches, WorldConfig
from dreamx.world import World
from repo import TESTS

PASSES = 5  # of a chunk, that which writes included


class Heard(nn.Module):
    """The transformer, and what it was asked and answered."""

    def __init__(self, dit: nn.Module) -> None:
        super().__init__()
        self.dit = dit
        self.calls: list[tuple[Frames, Tensor]] = []

    def forward(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        v = self.dit(frames, text, attend)
        self.calls.append((frames, v))
        return v


class OfficialNoise:
    """Gives the noise that the official run drew, worked out from the latents that it met."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self.drawn = vectors, 0

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        chunk, at = divmod(self.drawn, PASSES)
        self.drawn += 1
        latents, flow, sigma = (self._of(PASSES * chunk + max(0, at - 1), kind) for kind in ("latents", "flow", "timesteps"))
        if at == 0:  # of the whole chunk: what the first pass met
            return latents
        if at == PASSES - 1:  # the finished chunk becomes history as it is
            return x
        following = float(self.vectors[f"call{PASSES * chunk + at:02d}.timesteps"][-1]) / 1000
        clean = latents - sigma * flow
        return (self._of(PASSES * chunk + at, "latents") - (1 - following) * clean) / following

    def _of(self, call: int, kind: str) -> Tensor:
        x = self.vectors[f"call{call:02d}.{kind}"]
        return (x / 1000)[None, :, None, None, None] if kind == "timesteps" else x.movedim(1, 2)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["causal_camera_sink1", "causal_nocam_sink3"])
def test_a_walk_meets_and_answers_the_official_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = read(TESTS / f"files/{name}.safetensors")
    seen = bool(vectors.word("camera"))
    window, sinks = vectors.word("config", "local_attn_size"), vectors.word("config", "sink_size")
    rows, cols = vectors["first_latent"].shape[-2:]
    vae = WanVAEConfig(8, 8, 8, (1, 1, 1, 1), 1, mean=(0.0,) * 8, std=(1.0,) * 8)
    config = WorldConfig(
        rows * vae.shrink,
        cols * vae.shrink,
        (1.0, 1.0, 0.5, 0.5),
        sampler=Sampler(PASSES - 1, 5.0, True, 3, window, sinks, 1e-4),
        upright=False,
        past=CausalConfig(3, window, sinks),
    )
    text = LentText(Path("nowhere"), 16, 32, "cpu")
    text.keep("a place", _text(vectors)[0], "")
    heard = Heard(_transformer(vectors, causal=True, camera=seen))
    it = World(config, heard, WanVAE(vae), text)  # pyright: ignore[reportArgumentType]
    it.switches = Switches(camera=seen)
    noise = OfficialNoise(vectors)
    monkeypatch.setattr(rollout, "noise_like", noise)
    monkeypatch.setattr(session_state, "noise_like", noise)
    monkeypatch.setattr(released, "encoded", lambda vae, image: vectors["first_latent"].movedim(1, 2))
    it.reset(torch.zeros(3, *it.size, dtype=torch.uint8), "a place", 0)
    chunks = int(vectors["num_calls"]) // PASSES
    for n in range(chunks):
        if seen:  # as the file gives them: how they follow from a walk is tested in test_generate_released
            here = _cameras(vectors, 3 * n, 3).map(lambda x: x[None])
            monkeypatch.setattr(it, "_latents", lambda path, group, here=here, n=n: (tail(here, 1 if n == 0 else 0), it._before))
            if n == 0 and it._known is not None:
                it._known = Frames(it._known.z, it._known.sigma, it._known.index, here[:, :1])
        it.denoise(from_keys(["w"] * it.frames_per_step, config.speed))
    assert len(heard.calls) == int(vectors["num_calls"]) == PASSES * chunks
    for i, (frames, flow) in enumerate(heard.calls):
        call = f"call{i:02d}"
        torch.testing.assert_close(frames.z.movedim(1, 2), vectors[f"{call}.latents"], atol=1e-4, rtol=0, msg=call)
        torch.testing.assert_close(flow.movedim(1, 2), vectors[f"{call}.flow"], atol=1e-4, rtol=0, msg=call)
        assert float((1000 * frames.sigma[0] - vectors[f"{call}.timesteps"]).abs().max()) < 1e-3, call


def tail(camera: Camera, start: int) -> Camera:
    return camera[:, start:]
