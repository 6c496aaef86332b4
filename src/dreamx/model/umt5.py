"""umT5-XXL, the text encoder of Wan2.2 and DreamX-World: words to ``[B, 512, 4096]``, zeros after the last token.

The network is the one of transformers, whose names ours are; the tokenizer is the ``tokenizer.json`` of google/umt5-xxl, which
lies beside the released weights. Has the interface of ``model.word_encoder``. Needs the extra ``wan``. In bf16 it weighs 11 GB
and is needed once a prompt: ``fast.offload.lend`` keeps it off the device in between. Source: Chung et al.
2023 (umT5); the prompt is cleaned as Wan2.2 cleans it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dreamx.bounds import Heads, Layers, Rows, Width, Words


@dataclass(frozen=True)
class UMT5Config:
    """Sizes; the defaults are those of umT5-XXL."""

    rows: Rows = 256384
    """Tokens of the vocabulary."""
    width: Width = 4096
    """Channels of a token."""
    heads: Heads = 64
    """Attention heads."""
    head: Width = 64
    """Channels of a head."""
    mlp: Width = 10240
    """Hidden channels of the feed-forward layers."""
    layers: Layers = 24
    """Transformer blocks."""
    buckets: Width = 32
    """Buckets of relative positions."""
    distance: Width = 128
    """Relative position from which all share the last bucket."""
    words: Words = 512
    """Tokens of a prompt; unused ones are zeros."""


class UMT5(nn.Module):
    """The encoder; parameters have the names of transformers' ``UMT5EncoderModel``."""

    def __init__(self, config: UMT5Config, tokenizer: Path | None = None) -> None:
        """``tokenizer``: a ``tokenizer.json``, or None where only ``tokens`` are encoded."""
        super().__init__()
        self.config = config
        net = _network(config)
        self.shared, self.encoder = net.shared, net.encoder
        self.encoder.embed_tokens = nn.Identity()  # tied to ``shared``: once is enough
        self._tokenizer = None if tokenizer is None else _tokenizer(tokenizer, config.words)

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> ``[B, words, width]``. What is longer than ``words`` is cut, as in the released code."""
        return self.encode([self.ids(p) for p in prompts])

    def ids(self, prompt: str) -> list[int]:
        """The tokens of a cleaned prompt, the closing one included. ValueError without a tokenizer."""
        if self._tokenizer is None:
            raise ValueError("tokenizer: none was given, so no words can be read; give the tokenizer.json of google/umt5-xxl")
        return self._tokenizer.encode(cleaned(prompt)).ids

    def cut_note(self, prompt: str, most: int) -> str:
        """One sentence on a prompt that is longer than ``most`` tokens, or than are read at all; ``""`` where it is not."""
        if self._tokenizer is None:
            return ""
        text = cleaned(prompt)
        # Tokens beyond the limit lie in `overflowing`; each piece has a closing token of its own.
        pieces = [(found := self._tokenizer.encode(text)), *found.overflowing]
        total = sum(mask.count(0) for mask in (piece.special_tokens_mask for piece in pieces))
        kept = [
            end for (_, end), special in list(zip(found.offsets, found.special_tokens_mask, strict=True))[:most] if not special
        ]
        if len(kept) == total:
            return ""
        whole = text[: max(kept, default=0)]
        words = f"{len(whole.split())} of {len(text.split())} words"
        return f'The prompt has {total} tokens and the text encoder reads {len(kept)}: {words}, to "{whole[-40:]}".'

    def encode(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Rows of tokens -> ``[B, words, width]``. Padding is not computed: no token attends to it, and it ends as zeros."""
        weight, longest = self.shared.weight, max(map(len, tokens))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in tokens], device=weight.device)
        used = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens], device=weight.device)  # [B, longest]
        x = self.encoder(inputs_embeds=self.shared(ids), attention_mask=used).last_hidden_state
        out = x.new_zeros(len(tokens), self.config.words, self.config.width)
        out[:, :longest] = x * used[..., None]  # zeros after the last token: the released transformer was trained so
        return out


def cleaned(prompt: str) -> str:
    """A prompt as Wan2.2 reads it: broken letters mended, HTML entities resolved, white space made single."""
    try:
        import ftfy
    except ImportError as e:
        raise ValueError("the text encoder umT5 needs ftfy: pip install '.[wan]' in the checkout") from e
    # Unescaped twice, as Wan2.2 does: "&amp;amp;" on a web page is "&".
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()


def shapes(config: UMT5Config) -> dict[str, torch.Size]:
    """Our names and shapes; nothing is allocated."""
    with torch.device("meta"):
        return {k: x.shape for k, x in UMT5(config).state_dict().items()}


def transformers_arguments(config: UMT5Config) -> dict[str, Any]:
    """Return the arguments of a ``UMT5EncoderModel``; all of them are also in its config.json."""
    return {
        "vocab_size": config.rows,
        "d_model": config.width,
        "num_heads": config.heads,
        "d_kv": config.head,
        "d_ff": config.mlp,
        "num_layers": config.layers,
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.distance,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
    }


def load(state: Mapping[str, Tensor], config: UMT5Config, tokenizer: Path | None) -> UMT5:
    """Build the network around these tensors, without a copy: they keep their dtype and device."""
    with torch.device("meta"):
        text = UMT5(config, tokenizer)
    text.load_state_dict(state, assign=True)
    return text.requires_grad_(False).eval()


def _network(config: UMT5Config) -> Any:
    try:
        from transformers import UMT5Config as Theirs
        from transformers import UMT5EncoderModel
    except ImportError as e:
        raise ValueError("the text encoder umT5 needs transformers: pip install '.[wan]' in the checkout") from e
    return UMT5EncoderModel(Theirs(**transformers_arguments(config)))


def _tokenizer(file: Path, words: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as e:
        raise ValueError("the text encoder umT5 needs tokenizers: pip install '.[wan]' in the checkout") from e
    if not file.is_file():
        raise ValueError(f"{file}: no such file; copy the tokenizer.json of google/umt5-xxl there")
    try:
        found = Tokenizer.from_file(str(file))
    except Exception as e:
        raise ValueError(f"{file}: not a tokenizer ({e}); copy the tokenizer.json of google/umt5-xxl again") from e
    found.no_padding()  # encoding 512 tokens of a prompt of 20 would cost some 25 times as much
    found.enable_truncation(words)
    return found
