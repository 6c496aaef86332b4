"""umT5-XXL, the text encoder of Wan2.2 and DreamX-World: words to ``[B, 512, 4096]``, zeros where nothing is said.

The network is the one of transformers, whose names ours are; the tokenizer is the ``tokenizer.json`` of google/umt5-xxl, which
lies beside the released weights. Speaks the language of ``model.text``. Needs the extra ``wan``. In bf16 it weighs 11 GB and is
needed once a prompt: ``fast.lend`` keeps it off the device in between, or drop it when all is said. Source: Chung et al. 2023
(umT5); the prompt is cleaned as Wan2.2 cleans it.
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

from dreamx.bounds import Heads, Layers, Rows, Width, Words, check_values
from dreamx.model.rename import renamed

_BETRAYALS = {
    "self_attn": "these are transformer weights, not a text encoder",
    "attn1.": "these are transformer weights, not a text encoder",
    "generator": "it is a training checkpoint of a transformer, not a text encoder",
    "decoder.block": "it is the whole umT5, with its decoder; keep what is under `encoder.` and `shared.`",
    "decoder.": "these are autoencoder weights, not a text encoder",
    "encoder.conv": "these are autoencoder weights, not a text encoder",
}


#: Of the whole umT5, of which the encoder is enough.
DECODER = ("decoder.", "lm_head.")


@dataclass(frozen=True)
class UMT5Config:
    """Sizes; the defaults are those of umT5-XXL.

    ``head`` channels each of ``heads``; ``buckets`` of relative positions up to ``distance``; ``words``: tokens of a prompt, of
    which those that are not used are zeros.
    """

    rows: Rows = 256384
    width: Width = 4096
    heads: Heads = 64
    head: Width = 64
    mlp: Width = 10240
    layers: Layers = 24
    buckets: Width = 32
    distance: Width = 128
    words: Words = 512


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
        """Rows of tokens -> ``[B, words, width]``. Padding is not computed: nobody attends to it, and it ends as zeros."""
        weight, longest = self.shared.weight, max(map(len, tokens))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in tokens], device=weight.device)
        used = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens], device=weight.device)
        x = self.encoder(inputs_embeds=self.shared(ids), attention_mask=used).last_hidden_state
        out = x.new_zeros(len(tokens), self.config.words, self.config.width)
        out[:, :longest] = x * used[..., None]
        return out


def cleaned(prompt: str) -> str:
    """A prompt as Wan2.2 reads it: broken letters mended, HTML entities resolved, white space made single."""
    try:
        import ftfy
    except ImportError as e:
        raise ValueError("the text encoder umT5 needs ftfy: pip install '.[wan]' in the checkout") from e
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()


def names(config: UMT5Config) -> dict[str, str]:
    """Every name of the released ``models_t5_umt5-xxl-enc-bf16.pth`` -> ours."""
    found = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
    for i in range(config.layers):
        a, b = f"blocks.{i}", f"encoder.block.{i}.layer"
        for theirs, ours in (
            ("norm1", "0.layer_norm"),
            *((f"attn.{x}", f"0.SelfAttention.{x}") for x in "qkvo"),
            ("pos_embedding.embedding", "0.SelfAttention.relative_attention_bias"),
            ("norm2", "1.layer_norm"),
            ("ffn.gate.0", "1.DenseReluDense.wi_0"),
            ("ffn.fc1", "1.DenseReluDense.wi_1"),
            ("ffn.fc2", "1.DenseReluDense.wo"),
        ):
            found[f"{a}.{theirs}.weight"] = f"{b}.{ours}.weight"
    return found


def from_official(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The released ``.pth`` as the state of our ``UMT5(config)``; nothing is copied.

    ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape.
    """
    return renamed(tensors, names(config), shapes(config), "the text encoder umT5", _BETRAYALS)


def from_transformers(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The same for the state of a ``UMT5EncoderModel``, whose names are ours.

    Some files hold the word table twice, some the decoder, too; ComfyUI's have a ``logit_scale``, which the network has not.
    """
    left = ("encoder.embed_tokens.weight", "logit_scale")
    own = {k: x for k, x in tensors.items() if k not in left and not k.startswith(DECODER)}
    if "shared.weight" not in own and "encoder.embed_tokens.weight" in tensors:
        own["shared.weight"] = tensors["encoder.embed_tokens.weight"]
    want = shapes(config)
    return renamed(own, {k: k for k in want}, want, "the text encoder umT5", _BETRAYALS)


def to_official(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The state of our ``UMT5(config)``, which is also that of transformers, under the released names."""
    return {a: tensors[b] for a, b in names(config).items()}


def shapes(config: UMT5Config) -> dict[str, torch.Size]:
    """Our names and shapes; nothing is allocated."""
    with torch.device("meta"):
        return {k: x.shape for k, x in UMT5(config).state_dict().items()}


def load(state: Mapping[str, Tensor], config: UMT5Config, tokenizer: Path | None) -> UMT5:
    """Our network around these very tensors, which keep their dtype and device, without a second copy of them."""
    with torch.device("meta"):
        text = UMT5(config, tokenizer)
    text.load_state_dict(state, assign=True)
    return text.requires_grad_(False).eval()


def read_config(transformers: Mapping[str, Any]) -> UMT5Config:
    """Our config for the ``config.json`` of a ``UMT5EncoderModel``. ValueError where it is another network."""
    if transformers.get("model_type") != "umt5":
        raise ValueError(f"model_type: the text encoder of the 5B models is umt5, not {transformers.get('model_type')!r}")
    given = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, **transformers}
    keys = ("vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers", *list(given)[:2])
    for key in keys:
        if not isinstance(given.get(key), int):
            raise ValueError(f"{key}: the config of a text encoder has a whole number there, not {given.get(key)!r}")
    found = UMT5Config(*(given[key] for key in keys))
    check_values(found)
    return found


def write_config(config: UMT5Config) -> dict[str, Any]:
    """The ``config.json`` that transformers and ``read_config`` understand."""
    return {"architectures": ["UMT5EncoderModel"], "model_type": "umt5", **_arguments(config)}


def config_of(official: Mapping[str, Tensor]) -> UMT5Config:
    """The config of a released ``.pth``, which says nothing but its tensors."""
    q, position = "blocks.0.attn.q.weight", "blocks.0.pos_embedding.embedding.weight"
    for key in ("token_embedding.weight", q, position, "blocks.0.ffn.fc1.weight"):
        if key not in official:
            some = next((why for part, why in _BETRAYALS.items() if any(part in k for k in official)), "it is something else")
            raise ValueError(f"has no {key!r}, so it is no text encoder umT5: {some}")
    rows, width = official["token_embedding.weight"].shape
    buckets, heads = official[position].shape
    layers = sum(re.fullmatch(r"blocks\.\d+\.norm1\.weight", k) is not None for k in official)
    return UMT5Config(rows, width, heads, len(official[q]) // heads, len(official["blocks.0.ffn.fc1.weight"]), layers, buckets)


def config_of_transformers(tensors: Mapping[str, Tensor]) -> UMT5Config:
    """The config of a file with the names of transformers (and of ComfyUI), which has no ``config.json`` beside it."""
    first = "encoder.block.0.layer"
    q, bias, up = (
        f"{first}.{x}.weight" for x in ("0.SelfAttention.q", "0.SelfAttention.relative_attention_bias", "1.DenseReluDense.wi_1")
    )
    words = next((x for x in ("shared.weight", "encoder.embed_tokens.weight") if x in tensors), "shared.weight")
    for key in (words, q, bias, up):
        if key not in tensors or tensors[key].ndim != 2:
            some = next((why for part, why in _BETRAYALS.items() if any(part in k for k in tensors)), "it is something else")
            raise ValueError(f"has no matrix {key!r}, so it is no text encoder umT5: {some}")
    layers = sum(re.fullmatch(r"encoder\.block\.\d+\.layer\.0\.layer_norm\.weight", k) is not None for k in tensors)
    if layers > 1 and f"encoder.block.1.{bias.removeprefix('encoder.block.0.')}" not in tensors:
        raise ValueError("it is a T5, with one table of positions for all layers; the text encoder of the 5B models is umT5-XXL")
    (rows, width), (buckets, heads) = tensors[words].shape, tensors[bias].shape
    return UMT5Config(rows, width, heads, len(tensors[q]) // heads, len(tensors[up]), layers, buckets)


def _network(config: UMT5Config) -> Any:
    try:
        from transformers import UMT5Config as Theirs
        from transformers import UMT5EncoderModel
    except ImportError as e:
        raise ValueError("the text encoder umT5 needs transformers: pip install '.[wan]' in the checkout") from e
    return UMT5EncoderModel(Theirs(**_arguments(config)))


def _arguments(config: UMT5Config) -> dict[str, Any]:
    """What a ``UMT5EncoderModel`` is made of; all of it is also in its config.json."""
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
    found.no_padding()
    found.enable_truncation(words)
    return found
