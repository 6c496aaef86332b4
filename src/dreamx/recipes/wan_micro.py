"""wan_micro: the released architecture in every detail, at toy size, written as it would be downloaded.

The files of DreamX-World-5B and of what it needs (``Wan2.2_VAE.pth``, ``models_t5_umt5-xxl-enc-bf16.pth``, the tokenizer), with
random weights: 300 thousand numbers instead of 11 billion. What opens, plays, scores or trains it opens the released one as well.
Weights are drawn so that pictures have contrast and depend on words, cameras and the past; they mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Size, Tensor

from dreamx import atomic
from dreamx.bounds import OutputFolder, Seed
from dreamx.checkpoints import components, official_names, release
from dreamx.checkpoints.components import CheckpointPart
from dreamx.model import umt5, wan_vae
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.model.umt5 import UMT5Config
from dreamx.model.wan_vae import WanVAEConfig
from dreamx.recipes.step import Recipe, Step

VAE = WanVAEConfig(encoder=8, decoder=12)  # 48 channels, as the statistics of the latents are no part of the file
TEXT = UMT5Config(rows=512, width=32, heads=4, head=8, mlp=64, layers=2)
DIT = DiTConfig(channels=VAE.latent, width=96, heads=4, layers=3, mlp=256, text=TEXT.width, view=ViewConfig(48, 4))
CAM = replace(DIT, view=ViewConfig(48, 2))  # the bidirectional one has heads of equal width
PAST = CausalConfig(chunk=3, window=12, sinks=3)
WORDS = "a an the of in on to at by with and is it its road house tree wall door sky sea red blue green white old small day night"


@dataclass(frozen=True)
class StandIn:
    """Write a toy checkpoint as DreamX-World-5B (or -Cam) is downloaded."""

    out: OutputFolder
    """The folder to write."""
    kind: Literal["causal", "cam"] = "causal"
    """DreamX-World-5B, or the bidirectional DreamX-World-5B-Cam."""
    seed: Seed = 0
    """Of the weights."""


def curriculum(root: Path, threads: int = 1) -> Recipe:
    """The only step: write ``root / "world"``. ``threads`` is not used."""
    return (Step("world", write, StandIn(root / "world")),)


def write(cfg: StandIn) -> None:
    """Write the transformer, the autoencoder, the text encoder and its tokenizer to ``cfg.out``."""
    cfg.out.mkdir(parents=True, exist_ok=True)
    dit, past = (DIT, PAST) if cfg.kind == "causal" else (CAM, None)
    release.write(cfg.out, drawn(official_names.our_shapes(dit), cfg.seed), dit, TransformerMeta(TEXT.words, past), None, 10**9)
    tokenizer = cfg.out / "google" / "umt5-xxl" / "tokenizer.json"
    tokenizer.parent.mkdir(parents=True, exist_ok=True)
    write_tokenizer(tokenizer)
    for part in (
        CheckpointPart(drawn(wan_vae.shapes(VAE), cfg.seed + 1), VAE),
        CheckpointPart(drawn(umt5.shapes(TEXT), cfg.seed + 2), TEXT),
    ):
        components.write_pickled(cfg.out, part, None)


def drawn(shapes: Mapping[str, Size], seed: int) -> dict[str, Tensor]:
    """Random weights by name: gains about 1, biases small, kernels such that the variance of what they read is kept."""
    rng = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}
    for name, shape in sorted(shapes.items()):
        x = torch.randn(shape, generator=rng)
        gain = ("norm" in name and "bias" not in name) or name.endswith("gamma")
        out[name] = 1 + 0.1 * x if gain else x / (x[0].numel() ** 0.5 if x.ndim > 1 else 10.0)
    return out


def write_tokenizer(file: Path) -> None:
    """Write a tokenizer of a few words and all letters, closed by token 1 as umT5's is. ValueError without tokenizers."""
    try:
        from tokenizers import Tokenizer
        from tokenizers.models import Unigram
        from tokenizers.pre_tokenizers import Metaspace
        from tokenizers.processors import TemplateProcessing
    except ImportError as e:
        raise ValueError("wan_micro needs tokenizers: pip install '.[wan]' in the checkout") from e
    words = ["<pad>", "</s>", "<unk>", *("\u2581" + w for w in WORDS.split()), "\u2581", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(Unigram([(w, -float(i)) for i, w in enumerate(words)], unk_id=2))
    tokenizer.pre_tokenizer = Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    closing = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.post_processor = closing  # pyright: ignore[reportAttributeAccessIssue]
    with atomic.whole(file) as temporary:
        tokenizer.save(str(temporary))
