"""Text encoders: words to tokens ``[B, L, D]`` for the transformer's cross-attention; unused positions are zeros.

``WordEncoder`` is the small one, trained together with the transformer. Words are hashed into a fixed number of rows, so that no
prompt is out of vocabulary. An empty prompt is all zeros.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

import torch
from torch import Tensor, nn

from dreamx.bounds import Heads, Layers, Rows, Width, Words
from dreamx.config import LATER


@dataclass(frozen=True)
class WordConfig:
    """Sizes of the small text encoder."""

    width: Width = 96
    """Channels of a token."""
    heads: Heads = 4
    """Attention heads."""
    layers: Layers = 1
    """Transformer layers."""
    rows: Rows = 2048
    """Rows of the hashed word table."""
    words: Words = 64
    """Most words of a prompt."""
    repeat: bool = field(default=False, metadata=LATER)
    """Repeat the words where a shorter prompt ends, so that no attention can go past them; else there are zeros."""

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"text.width {self.width} does not divide over text.heads {self.heads}; take a multiple of it")


def split(prompt: str) -> list[str]:
    """The words and marks of a prompt, in small letters."""
    return re.findall(r"[a-z0-9]+|[^\sa-z0-9]", prompt.lower())


class WordEncoder(nn.Module):
    """Hashed words, positions, a small transformer."""

    def __init__(self, config: WordConfig) -> None:
        super().__init__()
        self.config = c = config
        self.table = nn.Embedding(c.rows + 1, c.width, padding_idx=0)  # row 0 is padding
        self.position = nn.Parameter(nn.init.normal_(torch.empty(c.words, c.width), std=0.02))
        layer = nn.TransformerEncoderLayer(c.width, c.heads, 2 * c.width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, c.layers, nn.LayerNorm(c.width), enable_nested_tensor=False)

    def ids(self, prompt: str) -> list[int]:
        """Rows of the word table, 1 and up; ValueError when the prompt is too long."""
        words = split(prompt)
        if len(words) > self.config.words:
            raise ValueError(
                f"prompt: {len(words)} words and marks are more than the {self.config.words} this world reads; shorten it"
            )
        # half of a surrogate pair, as broken JSON holds, is a word like any other
        # crc32, not hash(): Python's is salted and differs from process to process.
        return [1 + crc32(w.encode("utf-8", "surrogatepass")) % self.config.rows for w in words]

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> ``[B, words, width]``."""
        rows = [self.ids(p) for p in prompts]
        ids = torch.tensor([r + [0] * (self.config.words - len(r)) for r in rows], device=self.position.device)  # [B, words]
        unused = ids == 0
        # A prompt without words would leave attention nothing to look at: let it look at its padding, then zero it.
        x = self.layers(self.table(ids) + self.position, src_key_padding_mask=unused & unused.logical_not().any(1, keepdim=True))
        x = x.masked_fill(unused[..., None], 0.0)  # [B, words, width]
        if not self.config.repeat:
            return x
        count = unused.logical_not().sum(1, keepdim=True).clamp(min=1)  # [B, 1]
        again = torch.arange(self.config.words, device=x.device) % count  # [B, words]
        return x.gather(1, again[..., None].expand_as(x))
