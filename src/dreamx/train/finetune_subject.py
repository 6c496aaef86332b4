"""The transformer to fine-tune, from a released checkpoint or from a world of ours, and the latents that it can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from dreamx.checkpoints import beside, native, release, transformer
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.data import text_embeddings
from dreamx.data.text_embeddings import TextEmbeddings
from dreamx.geometry.camera import Camera, stack
from dreamx.geometry.official import autoregressive_latents, bidirectional_latents
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT
from dreamx.model.prompt import shorten
from dreamx.model.vae import fingerprint
from dreamx.model.word_encoder import WordEncoder
from dreamx.networks import load_dit_and_text
from dreamx.session import WorldConfig, find
from dreamx.train.latents import LatentClips

Kind = Literal["wan", "cam", "causal"]


@dataclass(frozen=True, eq=False)
class Subject:
    """``dit`` as it is stored; ``past``: how it sees the past (None: both ways in time); ``vae``: the fingerprint of its
    autoencoder; ``weights``: that of its own weights; ``shift``, ``history_noise``: as it is sampled.

    checkpoint: of a released one; text: the text encoder of a world of ours. One of them is None.
    """

    place: Path
    dit: DiT
    past: CausalConfig | None
    vae: str
    weights: str
    shift: float
    history_noise: float
    checkpoint: Checkpoint | None = None
    text: WordEncoder | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """Clips, and the embeddings of their captions where no text encoder is at hand."""

    clips: LatentClips
    words: TextEmbeddings | None


def open_subject(world: Path, vae: Path | None, kind: Kind | None) -> Subject:
    """A transformer by the folder of its world, a checkpoint in any layout, or the name of a shipped world.

    vae: the autoencoder of a released one, where it does not lie beside it; kind: as in ``dreamx convert``. ValueError, one
    sentence, where a part is missing.
    """
    place = world if world.exists() else find(str(world))
    return _ours(place, vae, kind) if native.holds(place, "world") else _released(place, vae, kind)


def _ours(place: Path, vae: Path | None, kind: Kind | None) -> Subject:
    for flag, value in (("vae", vae), ("kind", kind)):
        if value is not None:
            raise ValueError(f"{flag}: {place} is a world of ours and says that itself; leave {flag} out")
    cfg = native.read_config(place, "world", WorldConfig).sampler
    dit, text = load_dit_and_text(place)
    known = fingerprint(beside.open_autoencoder(place))
    past = CausalConfig(cfg.chunk, cfg.window, cfg.sinks, alone=())
    text = text.requires_grad_(False).eval()
    return Subject(place, dit, past, known, fingerprint(dit), cfg.shift, cfg.context_noise, text=text)


def _released(place: Path, vae: Path | None, kind: Kind | None) -> Subject:
    inner = place / "transformer"
    family = None if kind is None else release.FAMILIES[kind]
    found = transformer.read(inner if transformer.is_ours(inner) else place, family=family)
    codec = vae or beside.find(place, beside.VAE_NAMES)
    if codec is None:
        names = " or ".join(beside.VAE_NAMES)
        raise ValueError(
            f"vae: {place} holds a transformer without its autoencoder, so nobody can tell whether the latents are of that; "
            f"put {names} beside it, or give --vae"
        )
    known = fingerprint(beside.open_autoencoder(codec))
    dit = transformer.build(found)  # with its LoRA, where it has one apart
    return Subject(place, dit, found.kind.past, known, fingerprint(dit), 5.0, 0.0, checkpoint=found)


def open_lesson(subject: Subject, file: Path, frames: int | None) -> Lesson:
    """The latents for a transformer, with the cameras as it wants them. ValueError where they are not of its autoencoder, or
    have no embeddings of their captions."""
    clips = LatentClips(file, frames)
    if clips.vae != subject.vae:
        raise ValueError(
            f"data: {file} was encoded by another autoencoder ({clips.vae or 'nobody knows which'}) than that of {subject.place} "
            f"({subject.vae}); encode the clips again with that one"
        )
    clips.refuse_other(subject.dit.config.channels)
    _whole_chunks(clips, subject.past, file, frames)
    if subject.checkpoint is None:
        return Lesson(clips, None)
    if clips.path is None:
        raise ValueError(f"data: {file} has no cameras of its video frames; encode the clips again with `dreamx data encode`")
    clips.camera = _cameras(clips.path, subject.past)
    clips.anywhere = False  # the first latent is of one video frame, all others of four: a later one cannot be the first
    said = text_embeddings.file_beside(file)
    if not said.is_file():
        raise ValueError(f"data: {file} has no embeddings of its captions ({said.name}); encode the clips again with --text")
    words = TextEmbeddings.load(said)
    if lost := next((c for c in (*clips.captions, "") if c not in words.rows), None):
        raise ValueError(f"data: {said} does not have the caption {lost[:60]!r}; encode the clips again with --text")
    if "" not in words.rows:
        raise ValueError(f"data: {said} does not have the empty caption; encode the clips again with --text")
    if words.width != subject.dit.config.text:
        raise ValueError(
            f"data: {said} holds embeddings of {words.width} channels, and the transformer reads {subject.dit.config.text}; "
            "encode the clips again with its own text encoder"
        )
    return Lesson(clips, words)


def embed(subject: Subject, words: TextEmbeddings | None, prompts: Sequence[str], device: torch.device) -> Tensor:
    """Captions ``[B, L, D]`` as the transformer reads them; no gradient goes to a text encoder."""
    if words is not None:
        assert subject.checkpoint is not None
        return words.batch(prompts, subject.checkpoint.kind.words).to(device)
    assert subject.text is not None
    with torch.no_grad():
        return subject.text([shorten(p, subject.text.config.words) for p in prompts])  # as at play


def as_trained(dit: DiT, parts: Sequence[str] | None, spare: bool, device: torch.device | str = "cpu") -> None:
    """Give a network weights of its own in float32 on ``device``, not those of the mapped file; in place, one by one.

    parts: what is going to be trained, as in ``Run.own``; spare: linear layers that stay frozen stay as they are stored, too.
    """
    for name, module in dit.named_modules():
        learns = parts is None or any(f".{part}." in f".{name}." for part in parts)
        if spare and not learns and isinstance(module, nn.Linear):
            continue
        for key, p in module.named_parameters(recurse=False):
            setattr(module, key, nn.Parameter(p.detach().to(device, torch.float32, copy=True)))


def _whole_chunks(clips: LatentClips, past: CausalConfig | None, file: Path, frames: int | None) -> None:
    """Cut the clips to whole chunks; ValueError where ``frames`` asks for something else, or none fits."""
    chunk = 1 if past is None else past.chunk
    if frames is not None and frames % chunk:
        raise ValueError(
            f"frames: {frames} latents are no whole number of chunks of {chunk}; take {frames // chunk * chunk or chunk}"
        )
    clips.frames = clips.frames // chunk * chunk
    if not clips.frames:
        raise ValueError(f"data: the clips of {file} are shorter than a chunk of {chunk} latents; encode longer ones")


def _cameras(path: Camera, past: CausalConfig | None) -> Camera:
    """The cameras ``[N, T]`` of latents, from those of video frames ``[N, F]``, as the official scripts have them."""
    # In float64, as theirs are: a chunk is seen from the one before it.
    rows = [path[i].map(torch.Tensor.double) for i in range(len(path))]
    seen = [bidirectional_latents(p) if past is None else autoregressive_latents(p, past.chunk) for p in rows]
    return stack(seen).to(dtype=torch.float32)


def without_window(past: CausalConfig, frames: int) -> CausalConfig:
    """The same past with a window, which ``TeachingConfig`` wants; as long as the clip where there is no limit."""
    return past if past.window is not None else replace(past, window=frames + past.sinks + past.chunk)
