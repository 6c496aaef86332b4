"""Captions -> embeddings of umT5, once: a transformer of 5 billion numbers is then trained without a text encoder of 5.7.

Beside a file of latents ``NAME.safetensors`` lies ``NAME.text.safetensors``: the tokens of each caption as they are used, without
the zeros that fill up to 512, and of the empty caption.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.checkpoints import beside
from dreamx.data.clip_list import Parts
from dreamx.model.vae import fingerprint
from dreamx.plaintext import cause, parse_json

_TOGETHER = 16  # captions of one part
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def file_beside(latents: Path) -> Path:
    """The file of embeddings that goes with a file of latents."""
    return latents.with_name(f"{latents.stem}.text.safetensors")


@dataclass(frozen=True)
class TextEmbeddings:
    """rows: tokens ``[l, D]`` by caption; encoder: the fingerprint of the text encoder."""

    rows: dict[str, Tensor]
    encoder: str

    @property
    def width(self) -> int:
        """Channels of a token."""
        return next(iter(self.rows.values())).shape[1]

    def batch(self, prompts: Sequence[str], words: int) -> Tensor:
        """``[B, words, D]`` float32, zeros after the last token; what is longer is cut."""
        out = torch.zeros(len(prompts), words, self.width)
        for i, prompt in enumerate(prompts):
            row = self.rows[prompt][:words]
            out[i, : len(row)] = row
        return out

    def save(self, file: Path) -> None:
        """Write to ``file``, whole or not at all."""
        said = {"text_embeddings": json.dumps({"captions": list(self.rows), "encoder": self.encoder})}
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic.whole(file) as temporary:
            save_file({str(i): x.contiguous() for i, x in enumerate(self.rows.values())}, temporary, said)

    @staticmethod
    def load(file: Path) -> TextEmbeddings:
        """Read what ``save`` wrote, memory-mapped; ValueError with the file's name when it is not that."""
        try:
            with tensor_file.opened(file) as f:
                said = parse_json(f.metadata()["text_embeddings"])
                rows = {caption: f.get_tensor(str(i)) for i, caption in enumerate(said["captions"])}
            if not rows or any(x.ndim != 2 for x in rows.values()) or len({x.shape[1] for x in rows.values()}) != 1:
                raise ValueError("no rows of tokens")
            return TextEmbeddings(rows, said["encoder"])
        except Exception as e:
            words = f"not a readable file of text embeddings ({cause(e)}); encode the clips again"
            raise ValueError(f"{file}: {words}") from e


class Reader:
    """A text encoder that embeds captions; ``identity`` is its fingerprint."""

    def __init__(self, place: Path, dtype: str) -> None:
        self._text = beside.open_text_encoder(place)
        self._dtype = _DTYPES[dtype]
        self.identity = fingerprint(self._text)

    @torch.no_grad()
    def embedded(self, captions: Sequence[str], parts: Parts, first: int) -> TextEmbeddings:
        """All captions, those that are not among ``parts`` yet made; the first part of them has the number ``first``."""
        if torch.cuda.is_available():
            self._text.cuda()
        rows: dict[str, Tensor] = {}
        blocks = [captions[i : i + _TOGETHER] for i in range(0, len(captions), _TOGETHER)]
        for number, block in track(list(enumerate(blocks, first)), "captions"):
            file = parts.path(number)
            if not file.exists():
                TextEmbeddings({caption: self._one(caption) for caption in block}, self.identity).save(file)
            rows |= TextEmbeddings.load(file).rows
        return TextEmbeddings(rows, self.identity)

    def _one(self, caption: str) -> Tensor:
        used = len(self._text.ids(caption))
        return self._text([caption])[0, :used].to("cpu", self._dtype)  # alone: what a caption becomes depends on no other
