"""A judge of artifacts: a vision-language model behind an address with the chat protocol of OpenAI.

Frames, 2 a second, one question each: is anything in it critically wrong? The whole is asked twice and averaged, as in
DreamX-World 1.0, section 5.1; the paper's own words to the judge are not published.
"""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.request
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dreamx.plaintext import parse_json

KEY = "DREAMX_JUDGE_KEY"  # the environment variable that holds the key, where one is wanted
_ASKED = 2
_QUESTION = (
    "This is one frame of a video in which a camera moves through a place. Does it show a critical failure: a picture that has "
    "broken down into fog or noise, impossible or melted shapes, things cut in two, doubled limbs, things passing through each "
    "other? Answer with one word, PASS or FAIL."
)


@dataclass(frozen=True)
class VLMJudge:
    """``url`` ends before ``/chat/completions``; ``model`` is its name there."""

    url: str
    model: str
    seconds: float = 60.0

    @property
    def named(self) -> str:
        """Name of the judge in the table."""
        return f"judge {self.model}, asked {_ASKED} times"

    def rate(self, frames: Tensor) -> float:
        """The share of ``frames [N, 3, H, W]`` uint8 that pass, 0 to 100. ValueError when the judge cannot be asked."""
        verdicts = [self._passes(frame) for _ in range(_ASKED) for frame in frames]
        return 100 * sum(verdicts) / len(verdicts)

    def check(self) -> None:
        """Ask about one grey picture. ValueError when the judge cannot be asked."""
        self._passes(torch.full((3, 64, 64), 128, dtype=torch.uint8))

    def _passes(self, frame: Tensor) -> bool:
        file = io.BytesIO()
        Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()).save(file, "png")
        picture = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        parts = [{"type": "text", "text": _QUESTION}, {"type": "image_url", "image_url": {"url": picture}}]
        # Asked twice, as in the paper: answers may vary even so.
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": parts}]}
        head = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            head["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as answer:
                # At most 4 MiB of an answer are read.
                said = str(parse_json(answer.read(2**22))["choices"][0]["message"]["content"]).upper()
        except (OSError, ValueError, LookupError, TypeError) as e:
            raise ValueError(f"the judge at {self.url} did not answer ({type(e).__name__}: {e})") from e
        if ("PASS" in said) == ("FAIL" in said):  # both, or neither
            raise ValueError(f"the judge said neither PASS nor FAIL but {said[:60]!r}")
        return "PASS" in said
