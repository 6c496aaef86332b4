"""Released checkpoints as worlds: DreamX-World-5B and what is made from it, as they are downloaded, or converted.

    FOLDER/transformer, vae, text_encoder        each in any layout: what ``dreamx convert`` writes, or a repository of diffusers
    FOLDER/config.json, *.safetensors or *.pth   as released: the transformer, with ``Wan2.2_VAE.pth``, the text encoder and its
                                                 tokenizer beside it, or in ``Wan2.2-TI2V-5B`` beside the folder

``world.json`` in the folder, where there is one, has settings of play (``session.WorldConfig``) that differ from the released
ones. What is opened stays mapped until it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dreamx.bounds import Denoising, InputPath, Pixels
from dreamx.checkpoints import beside, components, transformer
from dreamx.checkpoints.lent_text import LentText
from dreamx.checkpoints.tiny_decoder_names import with_decoder
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.config import from_json, to_json
from dreamx.devices import device_of
from dreamx.fast.offload import border, offload
from dreamx.geometry.camera import Camera, level, relative_to
from dreamx.model.broken import refuse_broken
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.dit import DiT
from dreamx.model.vae import fingerprint
from dreamx.model.wan_vae import WanVAE
from dreamx.plaintext import named, read_json
from dreamx.rollout import Sampler
from dreamx.session import WorldConfig

#: Pixels of the released models, rows and columns.
SIZE = (704, 1280)
_LONGEST = 1024  # latent frames: a window without a limit
_CHOICES = ("height", "width", "lens", "speed", "upright", "sampler")
_INNER = ("sampler.steps", "sampler.shift", "sampler.stochastic", "sampler.context_noise", "past.packed")


@dataclass(frozen=True)
class Choice:
    """Chosen when a released checkpoint is opened: of its settings those that are not None."""

    size: tuple[Pixels, Pixels] | None = None
    """Rows and columns in pixels of a released model's picture; by default 704 1280."""
    steps: Denoising | None = None
    """Passes of a released model's network; by default 4 a chunk if it is causal, 50 if it is bidirectional."""
    device: str | None = None
    """Where a released model computes, as cuda, cuda:1 or cpu; by default cuda where there is one."""
    offload: bool = False
    """Keep a released model's blocks in main memory, two of them on the device: slower, the same pictures."""
    decoder: InputPath | None = None
    """Smaller decoder in place of a released model's: the file of taew2_2, or a folder that dreamx train decoder wrote."""

    def refuse(self, world: str | Path) -> None:
        """ValueError where something is chosen but the CPU, for a world of ours, which computes there by its own settings."""
        given = {name: getattr(self, name) for name in ("size", "steps", "device", "offload", "decoder")}
        odd = [name for name, value in given.items() if value not in (None, False) and (name, value) != ("device", "cpu")]
        if odd:
            own = "computes on the CPU" if odd == ["device"] else "has its own, on the CPU"
            leave = " ".join(f"--{name}" for name in odd)
            raise ValueError(f"{', '.join(odd)}: {world} is a world of ours and {own}; leave {leave} out")


AS_IT_IS = Choice()


@dataclass(frozen=True)
class ReleasedFiles:
    """The three networks of a released checkpoint on disk: each a file or a folder."""

    transformer: Path
    vae: Path
    text: Path


@dataclass(frozen=True, eq=False)
class ReleasedNetworks:
    """A released checkpoint, opened. ``identity``: a fingerprint of its weights as they are stored."""

    dit: DiT
    vae: WanVAE
    text: LentText
    kind: TransformerMeta
    identity: str


def is_released(world: str | Path) -> bool:
    """Return whether it is a folder of a released model."""
    folder = Path(world)
    if (folder / "transformer").is_dir():
        return True
    try:
        said = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    # Ours has a config for each network; theirs is that of the transformer.
    theirs = isinstance(said, dict) and bool(said) and not all(isinstance(x, dict) for x in said.values())
    return theirs and any(p.suffix in (".safetensors", ".pth", ".pt") for p in folder.iterdir())


def files_of(world: str | Path) -> ReleasedFiles:
    """Find its files. ValueError names what is missing."""
    folder = Path(world)
    if (folder / "transformer").is_dir():
        missing = [name for name in ("vae", "text_encoder") if not (folder / name).is_dir()]
        if missing:
            raise ValueError(
                f"world: {world} has no folder {' and no '.join(missing)}; see docs/generate.md for what belongs into it"
            )
        return ReleasedFiles(*(folder / name for name in ("transformer", "vae", "text_encoder")))
    beside_it = (beside.VAE_FILE, beside.TEXT_FILE)
    if not any(p.suffix in (".safetensors", ".pth", ".pt") and p.name not in beside_it for p in folder.iterdir()):
        raise ValueError(f"world: {world} has no weights of a transformer (model.safetensors); copy them from the download")
    found: list[Path] = []
    for names in (beside.VAE_NAMES, beside.TEXT_NAMES):
        file = beside.find(folder, names)
        if file is None:
            raise ValueError(
                f"world: {world} is a transformer without its {names[0].replace('_', ' ')}; put {names[1]} of {beside.BASE} into "
                f"the folder, or {beside.BASE} beside it"
            )
        found.append(file)
    return ReleasedFiles(folder, *found)


def weights_of(world: str | Path) -> list[Path]:
    """List all files that its frames depend on, in an order that stays."""
    files = files_of(world)
    found = [p for place in (files.transformer, files.vae, files.text) for p in ([place] if place.is_file() else place.iterdir())]
    return sorted(p for p in {*found, Path(world) / "world.json"} if p.is_file())


def read(world: str | Path) -> Checkpoint:
    """Read its transformer, mapped. ValueError names what is missing in the folder."""
    return transformer.read(files_of(world).transformer)


def settings(world: str | Path, kind: TransformerMeta, size: tuple[int, int] | None = None) -> WorldConfig:
    """Return the settings of a causal one: the official script's, with those of ``world.json``; size: rows, columns.

    ValueError for a bidirectional one, which makes whole clips.
    """
    past = kind.past
    if past is None:
        raise ValueError(
            f"world: {world} is bidirectional: it makes a whole clip at once and cannot be walked in; use dreamx generate"
        )
    if past.window is not None and past.window < past.chunk + past.sinks:
        raise ValueError(
            f"world: {world}: its window of {past.window} latents does not hold {past.sinks} sinks and a chunk of {past.chunk}"
        )
    sampler = Sampler(4, 5.0, True, past.chunk, past.window or _LONGEST, past.sinks, 1e-4)
    lens = level(dtype=torch.float64).lens.tolist()
    found = WorldConfig(*SIZE, (lens[0], lens[1], lens[2], lens[3]), sampler=sampler, upright=False, past=past)
    file = Path(world) / "world.json"
    if file.is_file():
        said = read_json(file)
        _refuse_others(file, said)
        with named(file):
            found = from_json(WorldConfig, _over(to_json(found), said))
    return found if size is None else replace(found, height=size[0], width=size[1])


def open_causal(world: str | Path, choice: Choice) -> tuple[ReleasedNetworks, WorldConfig]:
    """Open one that can be walked in: its networks, and its settings. ValueError, one sentence, where it cannot be opened so."""
    found = read(world)
    config = settings(world, found.kind, choice.size)
    if choice.steps is not None:
        config = replace(config, sampler=replace(config.sampler, steps=choice.steps))
    device = device_of(choice.device)
    return build(world, found, (config.height, config.width), device, choice.offload, choice.decoder), config


def build(
    world: str | Path,
    found: Checkpoint,
    size: tuple[int, int],
    device: torch.device,
    spare: bool,
    decoder: Path | None = None,
) -> ReleasedNetworks:
    """Build the networks on the device, for pictures of ``size``. ``spare``: the transformer's blocks come there one by one;
    decoder: one in place of the autoencoder's own (``Choice``).

    On a CPU 16-bit weights are always taken one block at a time, in float32: it is slow at 16 bits. ValueError, one sentence,
    where a part is another, or the size fits no token.
    """
    files = files_of(world)
    part = components.read(files.vae, "vae")
    vae = None if part is None else components.build(part, device, torch.float32 if device.type == "cpu" else None)
    if not isinstance(vae, WanVAE):
        raise ValueError(f"world: {files.vae} holds no autoencoder of Wan2.2")
    if vae.config.latent != found.config.channels:
        raise ValueError(f"world: its autoencoder has {vae.config.latent} channels, and its transformer {found.config.channels}")
    check_size(size, vae.config.shrink * found.config.patch)
    vae = vae if decoder is None else with_decoder(vae, decoder)
    text = LentText(files.text, found.kind.words, found.config.text, str(device))
    text.check_file()  # now, and not at the first prompt
    few = any(x.dtype != torch.float32 for x in found.tensors.values())
    if spare or (device.type == "cpu" and few):
        dit = transformer.as_stored(found)
        offload(dit, device, torch.float32 if device.type == "cpu" else found.dtype, ahead=device.type == "cuda")
    else:
        dit = transformer.build(found, device)
        border(dit)
    return ReleasedNetworks(dit.requires_grad_(False).eval(), vae, text, found.kind, f"{fingerprint(vae)}-{_fingerprint(found)}")


def check_size(size: tuple[int, int], step: int) -> None:
    """ValueError where rows and columns are not both multiples of a token's pixels."""
    if any(side < step or side % step for side in size):
        near = " ".join(str(max(step, round(side / step) * step)) for side in size)
        raise ValueError(
            f"size: {size[0]} rows and {size[1]} columns are not both multiples of {step}; the nearest that are: --size {near}"
        )


def latent_cameras(path: Camera, before: Camera, group: int) -> tuple[Camera, Camera]:
    """Return the cameras ``[1, T]`` of the latents of frames ``path [n]``, seen from ``before``, and the last as it is.

    A latent has the camera of the first frame of its group, as in the official script. n is 1 + group (T - 1) where the path
    begins a clip, whose first frame is a latent of its own, and group T otherwise.
    """
    first = path.to(dtype=torch.float64)[[0, *range(1, len(path), group)] if len(path) % group else slice(None, None, group)]
    return relative_to(first, before).map(lambda x: x[None].float()), first[-1]


def encoded(vae: WanVAE, image: Tensor) -> Tensor:
    """A picture, uint8 ``[3, H, W]``, as one latent frame ``[1, 1, C, h, w]``, float32 on the CPU."""
    z = vae.encode(image[None, None].float() / 127.5 - 1).float().cpu()
    refuse_broken(z, "encoding the picture", vae)
    return z


def _refuse_others(file: Path, said: object) -> None:
    """ValueError for settings of ``world.json`` that are no choice: what the checkpoint was trained on."""
    if not isinstance(said, dict):
        raise ValueError(f'{file}: is no object of settings; write for example {{"height": 480, "width": 832}}')
    sampler = said.get("sampler")
    inner = {f"sampler.{k}": k for k in sampler} if isinstance(sampler, dict) else {}
    past = said.get("past")
    inner |= {f"past.{k}": k for k in past} if isinstance(past, dict) else {}
    known = (*_CHOICES, "past") if isinstance(past, dict) else _CHOICES
    odd = [k for k in said if k not in known] + [k for k in inner if k not in _INNER]
    if odd:
        free = ", ".join((*_CHOICES[:-1], *_INNER))
        raise ValueError(f"{file}: {odd[0]!r} cannot be set there, the checkpoint was trained with its own; {free} can")


def _over(base: Any, said: Any) -> Any:
    """``base`` with what ``said`` has in its place, object by object."""
    if not (isinstance(base, dict) and isinstance(said, dict)):
        return said
    return {**base, **{k: _over(base[k], x) if k in base else x for k, x in said.items()}}


def _fingerprint(found: Checkpoint) -> str:
    """Fingerprint of the weights as they are stored, wherever they are going to be."""
    holder = nn.Module()
    for i, name in enumerate(sorted(found.tensors)):
        holder.register_buffer(str(i), found.tensors[name])
    return fingerprint(holder)
