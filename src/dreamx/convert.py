"""``dreamx convert``: released networks into our folder, and back into the released layout or that of diffusers.

Wan2.2-TI2V-5B, DreamX-World-5B-Cam and DreamX-World-5B are one network; what they are is found in their config or said with
``--kind``, and is kept in ours. The autoencoder and the text encoder that go with them are known by their tensors
(``checkpoints.components``). Every key of the source is accounted for, and nothing is written unless all of them fit.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from dreamx.bounds import InputFile, InputPath, OutputFolder, PositiveFloat
from dreamx.checkpoints import components, contents, lora, lora_file, release, transformer
from dreamx.checkpoints.components import CheckpointPart
from dreamx.checkpoints.contents import SAID
from dreamx.checkpoints.release import Family
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.locks import alone
from dreamx.model.wan_vae import WanVAEConfig

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
LICENCE = "apache-2.0"


@dataclass(frozen=True)
class ConvertConfig:
    """Convert the weights of a released transformer, autoencoder or text encoder. The result is a new folder."""

    source: Annotated[InputPath, tyro.conf.Positional]
    """A .safetensors or .gguf file, an index of shards, a .pth or .pt file, a folder with one of them, or our own folder."""
    out: OutputFolder
    """The folder to write; it must not exist yet."""
    to: Literal["dreamx", "official", "official-pth", "diffusers"] = "dreamx"
    """The layout to write: ours, the released one as safetensors or as a torch checkpoint, or that of diffusers."""
    part: Literal["transformer", "vae", "text_encoder"] | None = None
    """Which network of a file that holds several; by default the transformer, where there is one."""
    kind: Literal["wan", "cam", "causal"] | None = None
    """What the source is, where no config.json says so: Wan2.2-TI2V-5B, DreamX-World-5B-Cam or DreamX-World-5B."""
    config: InputFile | None = None
    """The config.json of the source, where it does not lie beside it."""
    lora: InputPath | None = None
    """A LoRA for the source. Our folder keeps it apart, unless --merge is given."""
    merge: float | None = None
    """Add the LoRA to the weights, at this strength; 1 is what it was trained for."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """What to round the weights to; by default they stay as they are, bit for bit."""
    shard: PositiveFloat = 5.0
    """Most gigabytes in one file of the released or the diffusers layout."""


def main(cfg: ConvertConfig) -> None:
    """Convert; ValueError, one sentence, when the source or what is asked of it does not fit, and then nothing is written."""
    found = convert(cfg)
    print(f"{cfg.source}: {describe(found) if isinstance(found, Checkpoint) else describe_part(found)}")
    if found.others:
        print(f"left behind, tensors of others: {', '.join(found.others)}")
    if any(said in x for x in found.others for said in (SAID["vae"], SAID["text_encoder"])):
        print("--part vae and --part text_encoder take the other networks out of the same file")
    if isinstance(found, CheckpointPart) and found.name == "text" and found.tokenizer is None:
        print("its tokenizer was not found; copy the tokenizer.json of google/umt5-xxl beside it before it reads words")
    print(f"wrote {cfg.out} ({cfg.to})")


def convert(cfg: ConvertConfig) -> Checkpoint | CheckpointPart:
    """Read, change and write; what was written."""
    if cfg.out.exists():
        raise ValueError(f"--out: {cfg.out} is there already; give the name of a new folder")
    if cfg.part in ("vae", "text_encoder") and cfg.kind is not None:
        raise ValueError(
            f"--kind: says what a transformer is, but --part asks for the {cfg.part.replace('_', ' ')}; leave one out"
        )
    if not cfg.shard > 0:
        raise ValueError(f"--shard: must be more than 0 gigabytes, not {cfg.shard}")
    family = None if cfg.kind is None else release.FAMILIES[cfg.kind]
    found = _read(cfg, family, None if cfg.dtype is None else DTYPES[cfg.dtype])
    if isinstance(found, Checkpoint):
        found = _with_lora(found, cfg)
    elif cfg.lora is not None or cfg.merge is not None:
        raise ValueError(f"--lora and --merge: {cfg.source} is no transformer; leave them out")
    elif cfg.to == "official":
        raise ValueError("--to: this network was released as a torch checkpoint alone; say official-pth")
    dtype = None if cfg.dtype is None else DTYPES[cfg.dtype]
    size = sum(x.numel() * (dtype or x.dtype).itemsize for x in found.tensors.values())
    missing = [folder for folder in cfg.out.parents if not folder.exists()]
    cfg.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write_new(cfg, found, dtype, size)
    except BaseException:
        for folder in missing:  # the innermost first; what is not empty stays
            with suppress(OSError):
                folder.rmdir()
        raise
    return found


def _write_new(cfg: ConvertConfig, found: Checkpoint | CheckpointPart, dtype: torch.dtype | None, size: int) -> None:
    """The folder ``--out``, whole or not at all. ``size``: bytes that it needs."""
    free = shutil.disk_usage(cfg.out.parent).free
    if size > free:
        raise ValueError(f"--out: {cfg.out} needs {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free there")
    temporary = cfg.out.with_name(f".{cfg.out.name}.tmp")
    with alone(cfg.out, "--out"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            if isinstance(found, CheckpointPart):
                _write_part(temporary, found, cfg, dtype)
            else:
                _write(temporary, found, cfg, dtype)
            os.replace(temporary, cfg.out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _read(cfg: ConvertConfig, family: Family | None, dtype: torch.dtype | None) -> Checkpoint | CheckpointPart:
    """The network that was asked for: the transformer of the source, or what else it holds. ``dtype``: of what is quantised."""
    if components.is_ours(cfg.source) and not transformer.is_ours(cfg.source):
        return components.ours(cfg.source)
    if transformer.is_ours(cfg.source):
        return transformer.read(cfg.source, cfg.config, family, dtype)
    held = contents.read(cfg.source, dtype)
    part = None if family is not None or cfg.part == "transformer" else components.part_from(held, cfg.part, dtype)
    return transformer.checkpoint_from(held, cfg.config, family, dtype) if part is None else part


def describe(found: Checkpoint) -> str:
    """Describe a checkpoint in one line."""
    c, past = found.config, found.kind.past
    count = sum(x.numel() for x in found.tensors.values())
    dtypes = ", ".join(sorted({str(x.dtype).removeprefix("torch.") for x in found.tensors.values()}))
    view = "no camera lane" if c.view is None else f"a camera lane {c.view.width} wide with {c.view.heads} heads"
    seen = "bidirectional" if past is None else f"causal, chunks of {past.chunk}, window {past.window}, sinks {past.sinks}"
    apart = "" if found.lora is None else f"; a LoRA of rank {found.lora.config.rank} apart"
    return (
        f"{seen}; {c.layers} layers {c.width} wide with {c.heads} heads, {view}; "
        f"{count:,} parameters in {len(found.tensors)} tensors, {dtypes}{apart}"
    )


def describe_part(found: CheckpointPart) -> str:
    """Describe an autoencoder or a text encoder in one line."""
    c, count = found.config, sum(x.numel() for x in found.tensors.values())
    if isinstance(c, WanVAEConfig):
        return f"an autoencoder of Wan2.2; {c.latent} channels, {c.shrink}x{c.shrink} pixels a place; {count:,} parameters"
    return f"a text encoder umT5; {c.layers} layers {c.width} wide with {c.heads} heads; {count:,} parameters"


def _write_part(folder: Path, found: CheckpointPart, cfg: ConvertConfig, dtype: torch.dtype | None) -> None:
    if cfg.to == "dreamx":
        components.write(folder, found, dtype)
        (folder / "README.md").write_text(_part_card(found, cfg))
    elif cfg.to == "diffusers":
        components.write_diffusers(folder, found, dtype, int(cfg.shard * 1e9))
    else:
        components.write_pickled(folder, found, dtype)


def _part_card(found: CheckpointPart, cfg: ConvertConfig) -> str:
    return f"""---
license: {LICENCE}
library_name: dreamx
---

# {cfg.out.name}

{describe_part(found)[0].upper()}{describe_part(found)[1:]}. Converted by `dreamx convert` from the released weights in
`{cfg.source.resolve().name}`, whose licence and limits it shares; stored as {cfg.dtype or "the source"}.
Read it with `dreamx.checkpoints.components.open_{found.name}(Path("{cfg.out.name}"))`.
"""


def _with_lora(found: Checkpoint, cfg: ConvertConfig) -> Checkpoint:
    if cfg.lora is not None:
        if found.lora is not None:
            raise ValueError(f"--lora: {cfg.source} has a LoRA already; merge that one first")
        read = lora_file.read(cfg.lora, found.config)
        beside = (f"{read.left} beside the LoRA",) if read.left else ()
        found = replace(found, lora=read, others=(*found.others, *beside))
    if cfg.merge is not None:
        if found.lora is None:
            raise ValueError("--merge: there is no LoRA to add; give one with --lora")
        return replace(found, tensors=lora.merge(found.tensors, found.lora, cfg.merge), lora=None)
    if found.lora is not None and cfg.to != "dreamx":
        raise ValueError("--to: only our own folder keeps a LoRA apart; add it to the weights with --merge 1")
    return found


def _write(folder: Path, found: Checkpoint, cfg: ConvertConfig, dtype: torch.dtype | None) -> None:
    given, limit = (folder, found.tensors, found.config, found.kind, dtype), int(cfg.shard * 1e9)
    match cfg.to:
        case "dreamx":
            transformer.write(folder, found, _card(found, cfg), dtype)
        case "official":
            release.write(*given, limit)
        case "official-pth":
            release.write_pickled(*given)
        case "diffusers":
            release.write_diffusers(*given, limit)


def _card(found: Checkpoint, cfg: ConvertConfig) -> str:
    c = found.config
    past = found.kind.past
    rows = {
        "made from": f"`{cfg.source.resolve().name}`" + ("" if cfg.lora is None else f" and the LoRA `{cfg.lora.name}`"),
        "made by": "`dreamx convert`",
        "kind": describe(found),
        "reads": f"latents of {c.channels} channels, {found.kind.words} text tokens of {c.text} channels",
        "the past": "all frames see all frames" if past is None else "`kind` in config.json says how a `KVCache` keeps it",
        "stored as": cfg.dtype or "the source",
        "LoRA": "none" if found.lora is None else "apart, in `lora.safetensors`; added when the network is built",
    }
    if cfg.merge is not None:
        rows["LoRA"] = f"added at strength {cfg.merge:g}"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
license: {LICENCE}
library_name: dreamx
---

# {cfg.out.name}

A video transformer for `dreamx`, converted from released weights, whose licence and limits it shares.

| | |
|---|---|
{table}

```python
from pathlib import Path

from dreamx.checkpoints import transformer

found = transformer.read(Path("{cfg.out.name}"))
dit = transformer.build(found)
```
"""
