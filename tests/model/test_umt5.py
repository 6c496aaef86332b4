"""The text encoder umT5 against plain code, its names, its tokenizer, and what it says when something is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamx.checkpoints import native, umt5_names
from dreamx.model import umt5
from dreamx.model.umt5 import UMT5, UMT5Config
from reference import official_t5
from word_list import word_list

SMALL = UMT5Config(rows=40, width=24, heads=3, head=4, mlp=36, layers=2, words=300)


def official_weights(config: UMT5Config = SMALL) -> dict[str, Tensor]:
    """Random, under the released names, loud enough that every part is heard."""
    torch.manual_seed(0)
    shapes = umt5.shapes(config)
    return {a: torch.randn(shapes[b]) * (0.5 if "norm" not in a else 1.0) for a, b in umt5_names.names(config).items()}


def test_says_what_the_description_says() -> None:
    theirs = official_weights()
    text = umt5.load(umt5_names.from_official(theirs, SMALL), SMALL, None)
    rows = [[5, 9, 1], [int(i) for i in torch.randint(2, 40, (279,))] + [1]]  # the second is longer than any exact bucket
    with torch.inference_mode():
        said = text.encode(rows)
    assert said.shape == (2, 300, 24)
    for got, ids in zip(said, rows, strict=True):
        want = official_t5.encode(theirs, ids, 2, 3)
        assert float((got[: len(ids)] - want).abs().max()) < 1e-5 * float(want.abs().max())
        assert not got[len(ids) :].any()


def test_padding_changes_nothing() -> None:
    text = umt5.load(umt5_names.from_official(official_weights(), SMALL), SMALL, None)
    with torch.inference_mode():
        both, alone = text.encode([[5, 9, 1], [7] * 40 + [1]]), text.encode([[5, 9, 1]])
    assert torch.allclose(both[:1], alone, atol=1e-5)


def test_words_become_tokens_and_tokens_vectors(tmp_path: Path) -> None:
    text = umt5.load(umt5_names.from_official(official_weights(), SMALL), SMALL, word_list(tmp_path))
    assert text.ids("a red car") == [3, 4, 5, 1]
    assert text.ids("  a\n\tred   car ") == [3, 4, 5, 1]
    assert text.ids("a &amp;lt;red") == text.ids("a <red")
    assert text.ids("a r’e") == text.ids("a r'e")  # ftfy straightens quotation marks
    assert text.ids("") == [1]
    with torch.inference_mode():
        said = text(["a red car", ""])
        assert torch.equal(said[:1, :4], text.encode([[3, 4, 5, 1], [1]])[:1, :4])
    assert said.shape == (2, 300, 24)


def test_what_is_too_long_is_cut_before_its_closing(tmp_path: Path) -> None:
    config = UMT5Config(rows=40, width=24, heads=3, head=4, mlp=36, layers=1, words=5)
    text = UMT5(config, word_list(tmp_path))
    assert text.ids("a red car a red car a") == [3, 4, 5, 3, 1]


def test_names_come_back_bit_for_bit() -> None:
    theirs = official_weights()
    assert umt5_names.config_of(theirs) == UMT5Config(40, 24, 3, 4, 36, 2)
    state = umt5_names.from_official(theirs, SMALL)
    assert all(state[b].data_ptr() == theirs[a].data_ptr() for a, b in umt5_names.names(SMALL).items())  # nothing was copied
    back = umt5_names.to_official(umt5.load(state, SMALL, None).state_dict(), SMALL)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[k], x) for k, x in theirs.items())


def test_transformers_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    from transformers import UMT5EncoderModel

    text = umt5.load(umt5_names.from_official(official_weights(), SMALL), SMALL, None)
    native.save(tmp_path, {"model": (text, SMALL)})
    (tmp_path / "config.json").write_text(json.dumps(umt5_names.write_config(SMALL)))
    theirs = UMT5EncoderModel.from_pretrained(tmp_path, local_files_only=True)
    ids = torch.tensor([[3, 8, 2, 1]])
    with torch.inference_mode():
        assert torch.allclose(theirs(ids).last_hidden_state[0], text.encode([[3, 8, 2, 1]])[0, :4], atol=1e-6)
    again = umt5_names.from_transformers(theirs.state_dict(), SMALL)
    assert all(torch.equal(again[k], x) for k, x in text.state_dict().items())
    assert umt5_names.read_config(theirs.config.to_dict()) == UMT5Config(40, 24, 3, 4, 36, 2)


def test_the_full_size_has_the_released_number_of_parameters() -> None:
    found = umt5.shapes(UMT5Config())
    assert sum(s.numel() for s in found.values()) == 5_680_910_336
    assert len(found) == 242


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blocks.0.self_attn.q.weight", "transformer weights"),
        ("encoder.conv1.weight", "autoencoder weights"),
        ("decoder.block.0.layer.0.layer_norm.weight", "whole umT5"),
        ("blocks.2.norm1.weight", "larger network"),
    ],
)
def test_an_unknown_key_is_named_with_its_likely_cause(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^'{name}' has no place in the text encoder umT5: .*{said}"):
        umt5_names.from_official({**official_weights(), name: torch.zeros(1)}, SMALL)


def test_a_missing_or_misshapen_key_is_named() -> None:
    theirs = official_weights()
    with pytest.raises(ValueError, match=r"'blocks.1.ffn.fc2.weight' is missing.*shard"):
        umt5_names.from_official({k: x for k, x in theirs.items() if k != "blocks.1.ffn.fc2.weight"}, SMALL)
    with pytest.raises(ValueError, match=r"'norm.weight' is \(3,\) where the config makes it \(24,\)"):
        umt5_names.from_official({**theirs, "norm.weight": torch.zeros(3)}, SMALL)
    with pytest.raises(ValueError, match="no text encoder umT5: these are transformer weights"):
        umt5_names.config_of({"blocks.0.self_attn.q.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="umt5, not 't5'"):
        umt5_names.read_config({"model_type": "t5"})
    with pytest.raises(ValueError, match="d_ff: "):
        umt5_names.read_config({**umt5_names.write_config(SMALL), "d_ff": None})


def test_a_tokenizer_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tokenizer: none was given"):
        UMT5(SMALL)(["a"])
    with pytest.raises(ValueError, match="no such file; copy the tokenizer.json"):
        UMT5(SMALL, tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="not a tokenizer"):
        UMT5(SMALL, tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("library", "line"),
    [
        ("diffusers", "from dreamx.model.wan_vae import *; WanVAE(WanVAEConfig())"),
        ("transformers", "from dreamx.model.umt5 import *; UMT5(UMT5Config())"),
        ("ftfy", "from dreamx.model.umt5 import *; cleaned('a')"),
    ],
)
def test_a_missing_library_is_one_sentence(library: str, line: str) -> None:
    """And nothing of them is imported before it is needed."""
    code = f"import sys; sys.modules[{library!r}] = None; {line}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"needs {library}: pip install '.[wan]'" in done.stderr.splitlines()[-1]
