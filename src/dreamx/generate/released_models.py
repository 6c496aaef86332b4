"""The released models to make video with: a folder with ``transformer``, ``vae`` and ``text_encoder``, each in any layout.

So a repository of diffusers is one as it is, and so are three folders that ``dreamx convert`` wrote. What is opened stays mapped
until it is used; the text encoder goes again when it has read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dreamx.budget import fit
from dreamx.budget.fit import must_fit
from dreamx.budget.machine import best, device_of
from dreamx.budget.plan import on, plan_of
from dreamx.checkpoints import components, transformer
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.fast.offload import border, offload
from dreamx.generate.health import refuse_broken
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiT
from dreamx.model.umt5 import UMT5
from dreamx.model.vae import fingerprint
from dreamx.model.wan_vae import WanVAE, WanVAEConfig

TRANSFORMER, VAE, TEXT = "transformer", "vae", "text_encoder"
#: What Wan2.2 says a video should not be: the other side of its guidance, in the words that the model was taught with.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
#: Pixels of the released models, rows and columns, and frames a second of both scripts.
SIZE, FPS = (704, 1280), 16.0


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


@dataclass(frozen=True, eq=False)
class ReleasedNetworks:
    """A released model, opened. ``texts``: where its text encoder is read from, once."""

    dit: DiT
    vae: WanVAE
    kind: TransformerMeta
    texts: Path
    identity: str


def is_released(world: str) -> bool:
    """Is it a folder of a released model?"""
    return (Path(world) / TRANSFORMER).is_dir()


def read(world: str) -> Checkpoint:
    """Its transformer, mapped. ValueError names what is missing in the folder."""
    missing = [name for name in (VAE, TEXT) if not (Path(world) / name).is_dir()]
    if missing:
        raise ValueError(
            f"world: {world} has no folder {' and no '.join(missing)}; see docs/generate.md for what belongs into it"
        )
    return transformer.read(Path(world) / TRANSFORMER)


def defaults(kind: TransformerMeta) -> Sampling:
    """Those of the official scripts: 4 passes and no guidance if causal, 50 Euler steps and guidance 3 if bidirectional."""
    device = best().type
    if kind.past is None:
        return Sampling(SIZE, 50, 5.0, 3.0, NEGATIVE, 0.0, device)
    return Sampling(SIZE, 4, 5.0, None, "", 1e-4, device)


def chosen(
    kind: TransformerMeta, size: tuple[int, int] | None, steps: int | None, guidance: float | None, device: str | None
) -> Sampling:
    """The defaults but for what was said."""
    found = defaults(kind)
    if guidance is not None and kind.past is not None:
        raise ValueError("guidance: the causal model is distilled and takes none; leave it out")
    return replace(
        found,
        size=size or found.size,
        steps=found.steps if steps is None else steps,
        guidance=found.guidance if guidance is None else guidance,
        device=device or found.device,
    )


def build(world: str, found: Checkpoint, sampling: Sampling, latents: int, spare: bool) -> ReleasedNetworks:
    """The networks on the device. ``spare``: the blocks of the transformer come there one by one (``fast.offload``).

    On a CPU 16-bit weights are always taken one block at a time, in float32: it is slow at 16 bits. ``latents``: frames of a
    video, in latents. ValueError, which says what to change, where all of it does not fit.
    """
    device, part = device_of(sampling.device), components.read(Path(world) / VAE, "vae")
    vae = None if part is None else components.build(part, device, torch.float32 if device.type == "cpu" else None)
    if not isinstance(vae, WanVAE):
        raise ValueError(f"world: {Path(world) / VAE} holds no autoencoder of Wan2.2")
    step = vae.config.shrink * found.config.patch
    if any(side < step or side % step for side in sampling.size):
        near = " ".join(str(max(step, round(side / step) * step)) for side in sampling.size)
        given = "{} rows and {} columns".format(*sampling.size)
        raise ValueError(f"size: {given} are not both multiples of {step}; the nearest that are: --size {near}")
    few = any(x.dtype != torch.float32 for x in found.tensors.values())
    _fits(world, found, sampling, latents, spare, device, vae.config)
    if spare or (device.type == "cpu" and few):
        dit = transformer.as_stored(found)
        offload(dit, device, torch.float32 if device.type == "cpu" else found.dtype, ahead=device.type == "cuda")
    else:
        dit = transformer.build(found, device)
        border(dit)
    identity = f"{fingerprint(vae)}-{_fingerprint(found)}"
    return ReleasedNetworks(dit.requires_grad_(False).eval(), vae, found.kind, Path(world) / TEXT, identity)


def _fits(
    world: str, found: Checkpoint, sampling: Sampling, latents: int, spare: bool, device: torch.device, decoder: WanVAEConfig
) -> None:
    past = found.kind.past or CausalConfig(latents, latents, 0)
    plan = replace(plan_of(world, sampling.size), past=past, decoder=decoder, reader=0, lent=spare)
    need = fit.need(on(plan, device))
    # All frames at once keep nothing for later. The text encoder is gone by then.
    must_fit(on(plan, device), device, need.making - (need.past if found.kind.past is None else 0.0))


def _fingerprint(found: Checkpoint) -> str:
    """Of the weights as they are stored, wherever they are going to be."""
    holder = torch.nn.Module()
    for i, name in enumerate(sorted(found.tensors)):
        holder.register_buffer(str(i), found.tensors[name])
    return fingerprint(holder)


@torch.inference_mode()
def encode_prompts(nets: ReleasedNetworks, prompts: list[str], device: str) -> tuple[Tensor, str]:
    """Prompts ``[B, words, channels]``, float32 on the CPU; the text encoder is opened for them and dropped.

    And what of the first of them is beyond what it reads, in one sentence, or ``""``.
    """
    part = components.read(nets.texts, "text_encoder")
    text = None if part is None else components.build(part, torch.device(device))
    if not isinstance(text, UMT5):
        raise ValueError(f"world: {nets.texts} holds no umT5 text encoder")
    said = text(prompts).float().cpu()
    refuse_broken(said, "reading the prompt", text)
    words, channels = nets.kind.words, nets.dit.config.text
    if said.shape[2] != channels:
        raise ValueError(f"world: its text encoder has {said.shape[2]} channels, and its transformer reads {channels}")
    out = said.new_zeros(len(prompts), words, channels)
    out[:, : said.shape[1]] = said[:, :words]
    return out, text.cut_note(prompts[0], words)


def shown(rgb: Tensor, vae: WanVAE) -> Tensor:
    """Pixels ``[B = 1, n, 3, H, W]`` in [-1, 1] -> uint8 ``[n, 3, H, W]`` on the CPU. ValueError where they are no numbers."""
    refuse_broken(rgb, "decoding", vae)
    return ((rgb[0] + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def encoded(vae: WanVAE, image: Tensor) -> Tensor:
    """A picture, uint8 ``[3, H, W]``, as one latent frame ``[1, 1, C, h, w]``, float32 on the CPU."""
    z = vae.encode(image[None, None].float() / 127.5 - 1).float().cpu()
    refuse_broken(z, "encoding the picture", vae)
    return z
