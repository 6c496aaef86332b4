"""The small text encoder."""

import pytest
import torch

from dreamx.model.word_encoder import WordConfig, WordEncoder


@pytest.fixture
def encoder() -> WordEncoder:
    torch.manual_seed(0)
    return WordEncoder(WordConfig(width=16, heads=2, rows=64, words=8)).eval()


def test_shape_and_silence(encoder: WordEncoder) -> None:
    tokens = encoder(["A red room.", ""])
    assert tokens.shape == (2, 8, 16)
    assert bool((tokens[0, :4] != 0).any(-1).all())
    assert bool((tokens[0, 4:] == 0).all())
    assert bool((tokens[1] == 0).all()), "an empty prompt says nothing"


def test_words_matter_and_so_does_their_order(encoder: WordEncoder) -> None:
    a, b, c, d = encoder(["red sofa blue wall", "blue sofa red wall", "RED sofa Blue wall", "red sofa blue"])
    assert not torch.allclose(a, b)
    assert torch.equal(a, c)
    assert not torch.allclose(a, d)


def test_the_company_of_other_prompts_changes_nothing(encoder: WordEncoder) -> None:
    alone = encoder(["a red room"])
    assert torch.allclose(encoder(["a red room", "one two three four five six"])[:1], alone, atol=1e-6)


def test_too_long(encoder: WordEncoder) -> None:
    with pytest.raises(ValueError, match=r"prompt: 9 words and marks are more than the 8 this world reads; shorten it"):
        encoder(["one two three four five six seven eight nine"])
