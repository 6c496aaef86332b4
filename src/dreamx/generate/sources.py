"""Sources of a video that goes along given cameras: a session in a world, or DreamX-World-5B-Cam, which makes it all at once.

Source of the latter's sampling: the official script of the bidirectional model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from dreamx import session
from dreamx.config import to_json
from dreamx.decoding import decode_chunk
from dreamx.devices import best
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera, cat, level, relative_to
from dreamx.geometry.controls import Controls, walk
from dreamx.geometry.formats.keys import Rule, motion_of
from dreamx.geometry.formats.path_check import angle
from dreamx.geometry.official import bidirectional_latents
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.model.broken import refuse_broken
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.vae import State, to_bytes
from dreamx.released import SIZE, Choice, ReleasedNetworks, encoded
from dreamx.rollout import Network, Sampler, denoise_chunk, noise_like
from dreamx.session import Dream
from dreamx.session_shapes import check_tensors, decoder_table
from dreamx.world import World

_AT_ONCE = 3  # latents that are shown in one go

#: What Wan2.2 says a video should not be: the other side of its guidance, in the words that the model was taught with.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


@dataclass(frozen=True)
class WalkedChunk:
    """New frames of a video: uint8 ``[n, 3, H, W]``, and the ``[n]`` cameras that they were seen from."""

    frames: Tensor
    camera: Camera


class Walker:
    """A session in a world. A released checkpoint goes where it is led; the legs of ours may not reach the cameras that a list
    asks for: ``legs`` says why. ``save`` and ``load``: those of the session."""

    def __init__(self, world: World) -> None:
        self.world, config = world, world.config
        self.size, self.fps, self.identity = world.size, world.fps, world.identity
        self.save, self.load = world.save, world.load
        self.lens = torch.tensor(config.lens, dtype=torch.float64)
        self.sampler: dict[str, Any] = to_json(config.sampler)
        walks = "walks on level ground and never rolls" if config.upright else "turns about two axes at a time"
        self.legs = walks if config.past is None else "goes where it was led"

    @property
    def note(self) -> str:
        """Sentences about words of the caption that are not read, or not known; or ``""``."""
        return self.world.note

    def walk(self, image: Tensor | None, caption: str, seed: int, path: Camera, start: int = 0) -> Iterator[WalkedChunk]:
        """Chunks of the video along ``path``, beyond which it stands still, after its first ``start`` frames.

        The opening is of ``image`` (uint8 ``[3, H, W]``) or of words alone, of which a released checkpoint makes a whole chunk.
        """
        world, config, led = self.world, self.world.config, self.world.config.past is not None

        def along(start: int, frames: int) -> Camera:
            return path[[min(i, len(path) - 1) for i in range(start, start + frames)]]

        if not start:
            chunk = along(0, 1 + world.vae.config.group * (config.sampler.chunk - 1))
            frames = world.reset(image, caption, seed, path=chunk if led else None)
            yield WalkedChunk(frames, chunk[: len(frames)] if led else world.camera.map(lambda x: x[None]))
            start = len(frames)
        while start < len(path):
            wanted = along(start, world.frames_per_step)
            dream = world.follow(wanted) if led else world.denoise(controls_to(world.camera, wanted, config.upright))
            frames = world.decode(dream)
            world.actions.clear()  # the list of actions says it all; kept for each chunk, they would grow without end
            yield WalkedChunk(frames, dream.path)
            start += len(frames)


def controls_to(here: Camera, wanted: Camera, upright: bool) -> Controls:
    """Motion ``[n]`` from the camera ``here`` through the cameras ``wanted [n]``, each step from where the last one really led.

    A walker (``upright``) stays on its level and never rolls; one that flies turns about two axes in a step, so that a roll is
    left out. What is left out of one step is not added to the next.
    """
    rule, up = Rule(1.0, 1.0, ground=upright), torch.tensor((0.0, -1.0, 0.0), dtype=torch.float64) if upright else None
    camera, steps = here.to(dtype=torch.float64), list[Controls]()
    for pose in wanted.pose.to(camera.pose):
        steps.append(motion_of(cat([x.map(lambda t: t[None]) for x in (camera, Camera(pose, camera.lens))]), rule))
        camera = walk(camera, steps[-1], up)[0]
    return Controls(torch.cat([s.move for s in steps]).float(), torch.cat([s.turn for s in steps]).float())


def missed(wanted: Camera, used: Camera) -> tuple[float, float]:
    """Return the largest distance of the used cameras from the wanted ones: metres and degrees."""
    step = relative_to(used.to(dtype=torch.float64), wanted.to(dtype=torch.float64)).pose
    return float(step[:, :3, 3].norm(dim=-1).max()), float(angle(step[:, :3, :3]).max())


@dataclass(frozen=True)
class Sampling:
    """Sampling of a released model. The defaults, which ``defaults`` gives, are those of the official scripts.

    size: rows and columns in pixels. steps: passes of the network, Euler steps if bidirectional; shift: of their noise levels.
    guidance: away from ``negative``, by how much, with cameras on both sides; None: without, as the few-step model is taught.
    context_noise: sigma that history is said to have; the official 0.1 is of 1000. device: torch's name of it.
    """

    size: tuple[int, int]
    steps: int
    shift: float
    guidance: float | None
    negative: str
    context_noise: float
    device: str

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; give at least 1")
        if self.guidance is not None and not 0 < self.guidance < 100:
            raise ValueError(f"guidance is {self.guidance:g}; give a number above 0 and below 100, or leave it out")


def defaults(kind: TransformerMeta) -> Sampling:
    """Those of the official scripts: 4 passes and no guidance if causal, 50 Euler steps and guidance 3 if bidirectional."""
    device = best().type
    if kind.past is None:
        return Sampling(SIZE, 50, 5.0, 3.0, NEGATIVE, 0.0, device)
    return Sampling(SIZE, 4, 5.0, None, "", 1e-4, device)


def chosen(kind: TransformerMeta | None, choice: Choice, guidance: float | None) -> Sampling | None:
    """The defaults but for what was said; None for a world of ours, which has its own."""
    if guidance is not None and (kind is None or kind.past is not None):
        raise ValueError("guidance: the causal model is distilled and takes none, nor does a world of ours; leave it out")
    said = {"size": choice.size, "steps": choice.steps, "guidance": guidance, "device": choice.device}
    return None if kind is None else replace(defaults(kind), **{k: x for k, x in said.items() if x is not None})


class Bidirectional:
    """One video of a bidirectional model, of a length that fits the device; ``say`` hears how far it is.

    note: what of the caption its text encoder does not read, one sentence or ``""``.
    """

    legs, lens, fps = "goes where it was led", level(dtype=torch.float64).lens, 16.0

    def __init__(self, nets: ReleasedNetworks, sampling: Sampling, say: Callable[[str], None]) -> None:
        self.nets, self.size, self.identity = nets, sampling.size, nets.identity
        self.sampler: dict[str, Any] = to_json(sampling)
        self._sampling, self._say, self.note = sampling, say, ""
        self._z, self._at, self._state = torch.empty(0), 0, cast("State | None", None)
        vae = nets.vae.config
        self._latent = vae.latent, self.size[0] // vae.shrink, self.size[1] // vae.shrink

    @torch.inference_mode()
    def walk(self, image: Tensor | None, caption: str, seed: int, path: Camera, start: int = 0) -> Iterator[WalkedChunk]:
        """Frames of a few latents at a time, after the first ``start`` frames; before the first all latents are made."""
        vae, here = self.nets.vae, bidirectional_latents(path).map(lambda x: x[None].float())
        if not start:
            self._z, self._at, self._state = self._sampled(image, caption, seed, here), 0, None
        made = clean(self._z, here)
        while (at := self._at) < len(made):
            stop = min(at + (_AT_ONCE if at else 1), len(made))
            seen = path[max(0, vae.config.group * (at - 1) + 1) : vae.config.group * (stop - 1) + 1]
            pixels, self._state = decode_chunk(vae, Dream(made[at:stop], seen, seen[:0]), self.size, self._state, False)
            self._at = stop
            yield WalkedChunk(to_bytes(torch.cat([x.rgb[0] for x, _ in pixels])), seen)

    def _sampled(self, image: Tensor | None, caption: str, seed: int, here: Camera) -> Tensor:
        """All latents ``[1, T, C, h, w]``, of the cameras ``here [1, T]``."""
        session.check_opening(image, self.size, seed)
        s = self._sampling
        read = self.nets.text.read([caption] if s.guidance is None else [caption, s.negative])
        words, self.note = torch.cat([x for x, _ in read]), read[0][1]
        z = noise_like(torch.empty(1, here.shape[1], *self._latent), torch.Generator().manual_seed(1_000_003 * seed))
        new = torch.ones(z.shape[:2])
        if image is not None:
            z[:, :1], new[:, 0] = encoded(self.nets.vae, image), 0.0
        frames, sampler = clean(z, here).with_z(z, new), Sampler(s.steps, s.shift, stochastic=False)
        return denoise_chunk(self._network(), frames, words, MaskedAttention(), sampler).z

    def _network(self) -> Network:
        """The network under guidance. Of its words the first are the caption's, the second those of what is not wanted."""
        dit, s, passes = self.nets.dit, self._sampling, count(1)

        def guided(frames: Frames, words: Tensor, attend: Attend) -> Tensor:
            v, done = dit(frames, words[:1], attend), next(passes)
            if s.guidance is not None:
                away = dit(frames, words[1:], MaskedAttention())
                v = away + s.guidance * (v - away)
            refuse_broken(v, f"in step {done} of {s.steps}", dit)
            if done % 10 == 0 or done == s.steps:
                self._say(f"step {done} of {s.steps}")
            return v

        return guided

    def save(self, file: Path) -> None:
        """The latents, and how far they were shown."""
        decoder = {f"decoder.{i}": x for i, x in enumerate(self._state or ())}
        session.write(file, {"at": self._at}, {"z": self._z, **decoder})

    def load(self, file: Path) -> None:
        """Go on from there along the same path. ValueError, one sentence, where the file is not of such a video."""
        words, t = session.read(file)
        at, made = words.get("at"), t["z"].shape[1] if "z" in t and t["z"].ndim == 5 else 0
        decoder = decoder_table(self.nets.vae.config, self._latent, at == 1)
        try:
            check_tensors(t, {"z": ((1, made, *self._latent), (torch.float32,)), **decoder})
            if not isinstance(at, int) or not 0 < at <= made:
                raise ValueError(f"at is {at!r:.40}")
        except ValueError as e:
            raise ValueError(f"{file}: the session is not whole ({e}); say --overwrite to make the video anew") from e
        self._z, self._at, self._state = t["z"], at, tuple(t[name].to(self._sampling.device) for name in decoder)
