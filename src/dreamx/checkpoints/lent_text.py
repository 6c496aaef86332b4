"""The text encoder of a released checkpoint: opened to read a prompt, and dropped. umT5-XXL weighs 11 GB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dreamx.checkpoints import components
from dreamx.model.broken import refuse_broken
from dreamx.model.umt5 import UMT5, UMT5Config

_KEPT = 8  # prompts whose tokens stay: 2 MB each at 4096 channels and 64 words


class LentText(nn.Module):
    """Reads prompts as tokens ``[B, words, channels]``, float32 on the CPU; has no weights of its own.

    file: the text encoder's file or folder, in any layout. words, channels: those that the transformer reads.
    """

    def __init__(self, file: Path, words: int, channels: int, device: str) -> None:
        super().__init__()
        self.file, self.words, self.channels, self.device = file, words, channels, device
        self._read: dict[str, tuple[Tensor, str]] = {}  # the prompts read last: tokens that are used, and the note

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> ``[B, words, channels]``, zeros after the last token."""
        return torch.cat([x for x, _ in self.read(prompts)])

    def check_file(self) -> None:
        """ValueError, one sentence, where its file will not be read: cut, of other shapes or channels, or without a tokenizer.

        Headers are looked at, no weights.
        """
        part = components.look(self.file, "text_encoder")
        if part is None or not isinstance(part.config, UMT5Config):
            raise ValueError(f"world: {self.file} holds no umT5 text encoder")
        if part.tokenizer is None:
            raise ValueError(f"world: {self.file} has no tokenizer; copy the tokenizer.json of google/umt5-xxl beside it")
        self._refuse_other(part.config.width)

    def _refuse_other(self, channels: int) -> None:
        if channels != self.channels:
            raise ValueError(f"world: its text encoder has {channels} channels, and its transformer reads {self.channels}")

    @torch.inference_mode()
    def read(self, prompts: Sequence[str]) -> list[tuple[Tensor, str]]:
        """Read prompts, each as ``[1, words, channels]`` with one sentence on what is beyond what is read, or ``""``.

        The encoder is opened for those that it has not read before. ValueError where the file holds none, or one of other sizes.
        """
        new = [p for p in dict.fromkeys(prompts) if p not in self._read]
        if new:
            part = components.read(self.file, "text_encoder")
            text = None if part is None else components.build(part, torch.device(self.device))
            if not isinstance(text, UMT5):
                raise ValueError(f"world: {self.file} holds no umT5 text encoder")
            said = text(new).float().cpu()
            refuse_broken(said, "reading the prompt", text)
            self._refuse_other(said.shape[2])
            for prompt, x in zip(new, said, strict=True):
                used = int((x != 0).any(-1).sum())
                self.keep(prompt, x[:used], text.cut_note(prompt, self.words))
        found = [self._read[p] for p in prompts]
        for prompt in list(self._read)[: max(0, len(self._read) - _KEPT)]:
            del self._read[prompt]
        return [(self.padded(x), note) for x, note in found]

    def keep(self, prompt: str, tokens: Tensor, note: str) -> None:
        """Remember what a prompt was read as: ``tokens [n, channels]``. ValueError for another shape."""
        self._read[prompt] = self.checked(tokens[: self.words]).clone(), note

    def checked(self, tokens: Tensor) -> Tensor:
        """The same tokens ``[n, channels]``, float32. ValueError for another shape or dtype, NaN and infinity."""
        if (
            tokens.dtype != torch.float32
            or tokens.ndim != 2
            or tokens.shape[1] != self.channels
            or not 0 < len(tokens) <= self.words
        ):
            raise ValueError(
                f"words: {tokens.dtype} {list(tokens.shape)} are no float32 tokens of {self.channels} channels, "
                f"{self.words} at most"
            )
        if not bool(torch.isfinite(tokens).all()):
            raise ValueError("words holds NaN or infinity")
        return tokens

    def tokens(self, prompt: str) -> Tensor:
        """Return the tokens ``[n, channels]`` of a prompt, without the zeros after them."""
        self.read([prompt])
        return self._read[prompt][0]

    def padded(self, tokens: Tensor) -> Tensor:
        """Tokens ``[n, channels]`` as ``[1, words, channels]``, with zeros after them."""
        out = tokens.new_zeros(1, self.words, self.channels)
        out[0, : len(tokens)] = tokens
        return out
