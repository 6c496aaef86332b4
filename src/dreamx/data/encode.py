"""Clips -> latents: a folder of shots becomes one file that the transformer trains from, each shot also mirrored and reversed.

A mirrored room is a room and a walk back is a walk, so a clip counts up to four times: as it is, mirrored left to right,
backwards in time, and both, where its content and caption allow it (``variants``). Latents belong to one autoencoder;
the file names it by a hash of its weights.

With memory, every shot is also played back: each latent is decoded as at play, the decoded frames are remembered, and the view
of memory for the next latent is kept beside it, with its errors of depth and colour. With a world, that walks the path itself,
and what its memory shows is kept: copies of its own copies, which are what a transformer is given at play.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from rich.progress import track
from torch import Tensor

from dreamx.bounds import Ending, InputFolder, InputPath, NonNegativeInt, OutputFile, PositiveInt, Workers
from dreamx.checkpoints import beside, native
from dreamx.clip import Clip, latent_cameras, refuse_held_out
from dreamx.config import to_json
from dreamx.data import text_embeddings
from dreamx.data.clip_list import ListedClip, Parts, is_finished, made_from, shots, stamp
from dreamx.data.latent_file import LatentRow, Latents, joined
from dreamx.data.recall import played_back, walked_along
from dreamx.data.variants import variants
from dreamx.data.workers import pool
from dreamx.events import Story, prompt
from dreamx.geometry.camera import stack
from dreamx.locks import alone
from dreamx.memory import MemoryConfig
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.model.vae import VAE, fingerprint
from dreamx.model.wan_vae import WanVAE
from dreamx.world import World


@dataclass(frozen=True)
class EncodeConfig:
    """Encode clips into one file of latents."""

    clips: InputFolder
    """Folder of clips, or a dataset."""
    vae: InputPath
    """Folder of the trained autoencoder; or the autoencoder of Wan2.2, a file or a folder in any layout."""
    out: Annotated[OutputFile, Ending((".safetensors",))] | None = None
    """The file to write (.safetensors); None: latents/HASH.safetensors beside the clips, by the autoencoder's fingerprint."""
    most: PositiveInt | None = None
    """Clips at most, evenly from the whole folder; None takes all."""
    mirror: bool = True
    """Also write mirror images, where they are true."""
    reverse: bool = True
    """Also write clips backwards, where that is true."""
    memory: MemoryConfig | None = None
    """Also what memory shows of each latent; None where there is no memory."""
    depth: InputFolder | None = None
    """Folder of the network for the depth of opening pictures; None: the decoder's."""
    ahead: tuple[NonNegativeInt, NonNegativeInt] | None = None
    """Range (from, to) of the lookahead distance in latents: also encode what memory shows of that later latent. None: off."""
    places: InputFolder | None = None
    """Folder of fields of places known by heart: what they show of clips in these places goes before memory. None: no fields."""
    world: str | None = None
    """Name of a shipped world, or the folder of one, that walks along the clips itself: what its own memory shows it there,
    copies of copies with all its mistakes, is kept in place of what memory of true latents shows. It has memory, depth and places
    of its own: those stay None. None: memory as said above."""
    text: InputPath | None = None
    """The text encoder umT5, a file or a folder in any layout: also embed all captions, into NAME.text.safetensors beside the
    latents. With the autoencoder of Wan2.2 alone; None: no embeddings."""
    text_dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """Of the embeddings in the file."""
    processes: Workers = 0
    """Worker processes; 1: none beside this one, 0: one for each core."""

    def __post_init__(self) -> None:
        if self.places is not None and self.memory is None:
            raise ValueError("places goes with memory: what the fields show is kept where what memory shows is; give memory, too")
        if self.world is not None and (
            given := [k for k in ("memory", "depth", "ahead", "places") if getattr(self, k) is not None]
        ):
            raise ValueError(f"{given[0]} does not go with world, which has its own; leave {given[0]} out")
        if self.text is None and self.text_dtype != "bfloat16":
            raise ValueError("text_dtype goes with text: there are no embeddings without a text encoder; give text, too")
        if self.ahead is not None and (self.memory is None or self.ahead[0] > self.ahead[1]):
            raise ValueError(f"ahead must be two numbers, the smaller first, and goes with memory, not {self.ahead}")


def encode(cfg: EncodeConfig) -> Latents:
    """Encode every clip of ``cfg.clips`` and write ``cfg.out``; ValueError for held-out clips and clips of unequal length.

    Killed and run again, it goes on with the clips that are left, and ends with the same file.
    """
    every = shots(cfg.clips)
    vae, name = _vae(cfg.vae)
    _refuse(cfg, isinstance(vae, WanVAE))
    out = cfg.out or cfg.clips / "latents" / f"{name}.safetensors"
    with alone(out):
        return _encode_into(cfg, every, out, name)


def _encode_into(cfg: EncodeConfig, every: list[ListedClip], out: Path, name: str) -> Latents:
    if cfg.most is not None and cfg.most < len(every):
        every = [every[i * len(every) // cfg.most] for i in range(cfg.most)]  # evenly: neighbours are of one scene
    together = [every[i : i + _TOGETHER] for i in range(0, len(every), _TOGETHER)]
    # What the latents depend on: settings without the number of processes, weights, clips.
    about = to_json(replace(cfg, processes=0, out=out)) | {"weights": name, "variants": _RULE, "shots": [stamp(s) for s in every]}
    if cfg.places is None:
        del about["places"]  # as in files of before
    else:
        about["fields"] = fingerprint(_places(cfg.places))
    if cfg.world is None:
        del about["world"]
    else:
        about["walked_by"] = _world(cfg.world).identity
    reader = None if cfg.text is None else text_embeddings.Reader(cfg.text, cfg.text_dtype)
    if reader is None:
        del about["text"], about["text_dtype"]
    else:
        about["text"] = reader.identity
    words = text_embeddings.file_beside(out)
    finished = is_finished(out, name, *(now := made_from(out, about))) and (reader is None or words.is_file())
    parts = Parts(out, about)
    if finished:  # and killed, if at all, while it removed its parts
        parts.done()
        return Latents.load(out)
    try:
        made = _encoded(cfg, together, parts)
        if reader is not None:  # before the latents: those say that all is there
            said = sorted({row.caption for m in made for row in m.rows} | {""})  # and nothing said, for captions that are dropped
            reader.embedded(said, parts, len(together)).save(words)
    except BaseException as e:
        parts.fail(isinstance(e, ValueError))
        raise
    result = joined(made, now)
    result.save(out)
    parts.done()
    if left_out := _left_out(cfg, result.rows):
        print(left_out)
    return result


def _refuse(cfg: EncodeConfig, wan: bool) -> None:
    """ValueError where fields are for the other kind of autoencoder."""
    known = ("memory", "depth", "ahead", "places", "world")
    if wan and (given := [k for k in known if getattr(cfg, k) is not None]):
        raise ValueError(f"{given[0]}: the autoencoder of Wan2.2 sees no depth, so nothing is remembered; leave {given[0]} out")
    if cfg.world is not None and fingerprint(_world(cfg.world).vae) != _vae(cfg.vae)[1]:
        raise ValueError(f"world: {cfg.world} has another autoencoder than {cfg.vae}; give that of this world as vae")
    if cfg.world is not None and _world(cfg.world).config.memory is None:
        raise ValueError(f"world: {cfg.world} has no memory, so it shows nothing; give one that has, or memory")
    if not wan and cfg.text is not None:
        raise ValueError("text: worlds of this autoencoder have a text encoder of their own; leave text out")


def _encoded(cfg: EncodeConfig, together: list[list[ListedClip]], parts: Parts) -> list[Latents]:
    """The parts, those that are missing made. ValueError for clips of unequal length."""
    todo = [n for n in range(len(together)) if not parts.path(n).exists()]
    workers = min(cfg.processes or os.cpu_count() or 1, len(todo))
    if torch.cuda.is_available() and isinstance(_vae(cfg.vae)[0], WanVAE):
        workers = 1  # one GPU is not shared out among processes
    with ExitStack() as stack:
        work = [cfg] * len(todo), [together[n] for n in todo], [parts.path(n) for n in todo]
        results = stack.enter_context(pool(workers)).map(_encode, *work) if workers > 1 else map(_encode, *work)
        for _ in track(results, "encode", len(todo)):
            pass
    made = [Latents.load(parts.path(n)) for n in range(len(together))]
    for some, one in zip(together, made, strict=True):
        if one.z.shape[1:] != made[0].z.shape[1:]:
            raise ValueError(_unequal(some[0], one.z.shape[1], made[0].z.shape[1]))
    return made


def _left_out(cfg: EncodeConfig, rows: tuple[LatentRow, ...]) -> str:
    """Report how many clips have no mirror image or are not written backwards, and why; empty where all are."""
    count = {name: sum(row.variant == name for row in rows) for name in ("", "mirror", "reverse")}
    said = [
        f"{count[''] - count[name]} of {count['']} clips {why}"
        for name, on, why in (
            ("mirror", cfg.mirror, "are not mirrored, because their words name sides in a way that cannot be turned around"),
            ("reverse", cfg.reverse, "are not reversed, because something moves or happens in them"),
        )
        if on and count[name] < count[""]
    ]
    return "; ".join(said)


def _unequal(shot: ListedClip, latents: int, before: int) -> str:
    return f"{shot}: {4 * latents - 3} frames, the clips before had {4 * before - 3}; render alike"


def _encode(cfg: EncodeConfig, some: list[ListedClip], out: Path) -> None:
    """Encode some clips and their variants into a file."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # also where it is done in this process: the number of threads changes the bits
    try:
        _encode_alone(cfg, some, out)
    finally:
        torch.set_num_threads(threads)


def _encode_alone(cfg: EncodeConfig, some: list[ListedClip], out: Path) -> None:
    vae, name = _vae(cfg.vae)
    made: list[tuple[str, Clip]] = []
    for shot in some:
        clip = shot.load()
        refuse_held_out(clip.seed)
        if made and len(clip.video) != len(made[0][1].video):
            raise ValueError(_unequal(shot, *((len(c.video) + 3) // 4 for c in (clip, made[0][1]))))
        made += variants(clip, cfg.mirror, cfg.reverse)
    z = torch.stack([latents(vae, shot.video) for _, shot in made])  # [N, T, C, h, w], float16: half the file
    deep = None if cfg.depth is None else _depth(cfg.depth)
    played = None
    if cfg.memory is not None and isinstance(vae, VAE):
        # In a mirror it is another place.
        played_shots = [replace(shot, scene="") if "mirror" in variant else shot for variant, shot in made]
        fields = None if cfg.places is None else _places(cfg.places)
        played = played_back(vae, z, played_shots, cfg.memory, deep, cfg.ahead, fields)
    elif cfg.world is not None:
        played = walked_along(_world(cfg.world), [shot for _, shot in made]), None, None
    camera = stack([latent_cameras(shot.camera) for _, shot in made])
    rows = tuple(_row(s, variant, cfg.text is None and isinstance(vae, VAE)) for variant, s in made)
    path = stack([s.camera for _, s in made]) if isinstance(vae, WanVAE) else None
    Latents(z, camera, rows, name, *(played or (None, None, None)), path=path).save(out)


def _row(shot: Clip, variant: str, timed: bool) -> LatentRow:
    """timed: of what happens each latent has its own words; else all of it stands in the caption."""
    if timed and shot.story is not None and shot.story.events:
        scene = prompt(Story(shot.story.scene), shot.style)
        return LatentRow(scene, shot.style, shot.scene, shot.seed, variant, shot.story.events, shot.fps)
    return LatentRow(shot.caption, shot.style, shot.scene, shot.seed, variant)


@cache
def _vae(place: Path) -> tuple[VAE | WanVAE, str]:
    vae = beside.open_autoencoder(place).eval()
    name = fingerprint(vae)
    return (vae.cuda() if isinstance(vae, WanVAE) and torch.cuda.is_available() else vae), name


@cache
def _depth(folder: Path) -> Depth:
    return native.load(folder, "depth", Depth, DepthConfig).eval()


@cache
def _world(name: str) -> World:
    return World.open(name)


@cache
def _places(folder: Path) -> PlaceField:
    return native.load(folder, "places", PlaceField, PlaceFieldConfig).eval()


@torch.no_grad()
def latents(vae: VAE | WanVAE, video: Tensor) -> Tensor:
    """One video ``[F, 3, H, W]`` uint8 -> normalised latents ``[T, C, h, w]`` float16."""
    return vae.encode(video[None].float() / 127.5 - 1)[0].half().cpu().contiguous()


_TOGETHER = 8  # clips that one process encodes at a time
_RULE = 2  # of the variants: latents that were made by an earlier one are made anew
