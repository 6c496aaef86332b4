"""Networks from files, and the judge behind an address."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dreamx.eval.commands import SuiteConfig
from dreamx.eval.metrics.backbones import STAND_INS, Backbones
from dreamx.eval.metrics.measure import appearance_scores
from dreamx.eval.metrics.vlm_judge import KEY, VLMJudge
from eval_house import VIEW, suite, true_clip


class Bright(nn.Module):
    """A rater of pictures: 100 times their mean."""

    def forward(self, pictures: Tensor) -> Tensor:
        return 100 * pictures.mean((1, 2, 3))


def exported(path: Path) -> Path:
    n = torch.export.Dim("n", min=1, max=1024)
    torch.export.save(torch.export.export(Bright(), (torch.rand(4, 3, 32, 32),), dynamic_shapes=({0: n},)), path)
    return path


def test_without_files_everything_is_a_stand_in_and_says_so() -> None:
    assert Backbones().names == STAND_INS
    assert all("stand-in for" in what or name == "pose" for name, what in STAND_INS.items())


def test_an_exported_network_is_used_and_named_by_its_hash(tmp_path: Path) -> None:
    tools = Backbones(quality=exported(tmp_path / "bright.pt2"), trust_code=True)
    truth = true_clip(suite().trials[0], VIEW, tmp_path)
    grey = torch.full_like(truth.video, 51)
    assert appearance_scores(grey, truth, tools)["quality"] == pytest.approx(20)
    assert tools.names["quality"].startswith("bright.pt2 ")
    assert {k: v for k, v in tools.names.items() if k != "quality"} == {k: v for k, v in STAND_INS.items() if k != "quality"}


def test_bad_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quality: there is no file"):
        Backbones(quality=tmp_path / "none.pt2")
    (tmp_path / "bad.pt2").write_bytes(b"bad")
    with pytest.raises(ValueError, match="bad.pt2 is no exported program"):
        Backbones(flow=tmp_path / "bad.pt2", trust_code=True).flow_of()
    with pytest.raises(ValueError, match="judge: give both"):
        SuiteConfig(judge="http://localhost:1")
    with pytest.raises(ValueError, match="models: 'best' is not one of"):
        SuiteConfig(models=("best",))


class Asked(BaseHTTPRequestHandler):
    """A judge that fails dark pictures, and says nothing of use about red ones."""

    heads: list[str | None] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.heads.append(self.headers["Authorization"])
        url = body["messages"][0]["content"][1]["image_url"]["url"]
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
        says = "Maybe." if seen[..., 0].mean() > 3 * seen[..., 1].mean() + 1 else "FAIL" if seen.mean() < 50 else "pass."
        answer = json.dumps({"choices": [{"message": {"content": says}}]}).encode()
        self.send_response(200 if body["model"] == "eye" else 404)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Asked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/"
    server.shutdown()
    server.server_close()


def test_the_judge_is_asked_twice_about_every_frame(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    Asked.heads.clear()
    frames = torch.stack([torch.full((3, 16, 16), grey, dtype=torch.uint8) for grey in (200, 10, 120, 130)])
    judge = VLMJudge(address, "eye")
    assert judge.rate(frames) == 75
    assert Asked.heads == ["Bearer secret"] * 8
    assert "eye" in judge.named


def test_a_judge_that_does_not_judge_is_one_sentence(address: str) -> None:
    red = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    red[:, 0] = 200
    with pytest.raises(ValueError, match="neither PASS nor FAIL"):
        VLMJudge(address, "eye").rate(red)
    with pytest.raises(ValueError, match="did not answer"):
        VLMJudge(address, "ear").rate(red)
