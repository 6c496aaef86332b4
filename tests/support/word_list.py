"""A tokenizer file for umT5, of a few words."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing


def word_list(folder: Path) -> Path:
    """A tokenizer of a few words, closed by 1 as umT5's is."""
    words = ["<pad>", "</s>", "<unk>", "▁a", "▁red", "▁car", "▁", "r", "e", "d", "'"]
    tokenizer = Tokenizer(Unigram([(w, -float(i)) for i, w in enumerate(words)], unk_id=2))
    tokenizer.pre_tokenizer = Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    closing = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.post_processor = closing  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"
