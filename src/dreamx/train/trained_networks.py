"""The two networks that stages train together: the transformer and, at small scale, its text encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dreamx.checkpoints import native
from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.model.dit import DiT, DiTBlock, DiTConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder

#: Networks, or anything that answers like them: ``(frames, prompts, attend) -> velocity``.
Predictor = Callable[[Frames, list[str], Attend], Tensor]


class Networks(nn.Module):
    """Transformer and text encoder under one optimiser."""

    def __init__(self, dit: DiT, text: WordEncoder) -> None:
        super().__init__()
        self.dit, self.text = dit, text
        self._heard: dict[tuple[str, ...], Tensor] | None = None  # within `words_kept`

    @staticmethod
    def new(dit: DiTConfig, text: WordConfig) -> Networks:
        """Make networks of random weights."""
        return Networks(DiT(dit), WordEncoder(text))

    def forward(self, frames: Frames, prompts: Sequence[str], attend: Attend) -> Tensor:
        """Velocity ``[B, T, C, H, W]`` of frames under prompts."""
        # Gradients reach the text encoder: at this scale it is trained from nothing, unlike umT5.
        if self._heard is None or torch.is_grad_enabled():
            return self.dit(frames, self.text(prompts), attend)
        key = tuple(prompts)
        if key not in self._heard:
            self._heard[key] = self.text(prompts)
        return self.dit(frames, self._heard[key], attend)

    @contextmanager
    def words_kept(self) -> Iterator[None]:
        """Passes without gradient encode the same prompts once. No weight may change within.

        A cache then keeps what each block hears of them, too (docs/LOG.md). Where weights are sharded, all of these networks are
        gathered as one: processes read different words, and so the text encoder different numbers of times.
        """
        self._heard = {}
        try:
            yield
        finally:
            self._heard = None

    def parts(self) -> dict[str, tuple[nn.Module, object]]:
        """Each network with its config, as a checkpoint wants them."""
        return {"dit": (self.dit, self.dit.config), "text": (self.text, self.text.config)}


def load(folder: Path) -> Networks:
    """The networks of a checkpoint folder that a stage exported."""
    return Networks(native.load(folder, "dit", DiT, DiTConfig), native.load(folder, "text", WordEncoder, WordConfig))


def renew_text(nets: Networks, config: WordConfig) -> Networks:
    """The same transformer with a new text encoder, which it does not hear yet: the output of its attention to words is zero.

    For words that were never needed: where memory showed all, words of `tiny` shrank to a deviation of 0.0003 (docs/LOG.md).
    """
    new = Networks.new(replace(nets.dit.config, text=config.width), config)
    kept = {k: v for k, v in nets.dit.state_dict().items() if not _of_words(k)}
    missing, unexpected = new.dit.load_state_dict(kept, strict=False)
    assert not unexpected and all(map(_of_words, missing)), "the rest is of the same sizes"
    for block in new.dit.blocks:
        assert isinstance(block, DiTBlock)
        nn.init.zeros_(block.text.o.weight)
        nn.init.zeros_(block.text.o.bias)
    return new


def _of_words(name: str) -> bool:
    return "text" in name.split(".")
