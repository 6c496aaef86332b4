"""The released models make videos of an ``eval.json``: small ones of random weights, in the layouts of others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamx import flow, released, replay, session
from dreamx.checkpoints import components, transformer
from dreamx.checkpoints.components import CheckpointPart
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.convert import ConvertConfig, convert
from dreamx.eval.video_files import load_video
from dreamx.frames import Frames, clean
from dreamx.generate import GenerateConfig, main, sources
from dreamx.generate.cases import dialect_of
from dreamx.generate.sources import Bidirectional, Sampling, WalkedChunk, Walker
from dreamx.geometry.camera import relative_to
from dreamx.geometry.official import (
    autoregressive,
    autoregressive_latents,
    bidirectional,
    bidirectional_latents,
)
from dreamx.model import umt5, wan_vae
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.kv_cache import KVCache
from dreamx.model.umt5 import UMT5Config
from dreamx.model.vae import to_bytes
from dreamx.model.wan_vae import WanVAEConfig
from dreamx.released import Choice
from dreamx.replay import ReplayStep
from dreamx.world import World
from word_list import word_list

TEXT = UMT5Config(rows=40, width=16, heads=2, head=4, mlp=24, layers=1, words=9)
AUTO = WanVAEConfig(4, 8, 8, (1, 1, 1, 1), 1, mean=(0.0,) * 4, std=(1.0,) * 4)
SIZES = {
    "cam": (DiTConfig(4, 48, 2, 2, 96, 16, frequencies=32, view=ViewConfig(24, 1)), TransformerMeta(12)),
    "causal": (
        DiTConfig(4, 48, 2, 2, 96, 16, frequencies=32, view=ViewConfig(24, 2)),
        TransformerMeta(12, CausalConfig(3, 6, 1)),
    ),
    "wan": (DiTConfig(4, 48, 2, 2, 96, 16, frequencies=32), TransformerMeta(12)),
}
ENTRY = {"image_path": "a.png", "caption": "a red car", "action_seq": ["w", "wj"], "action_speed_list": [4, 6]}
ROWS, COLS = 32, 64


def loud(tensors: dict[str, Tensor], std: float) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {k: torch.randn(x.shape, generator=rng) * std for k, x in sorted(tensors.items())}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind: the bidirectional one as diffusers has it, the others as ``dreamx convert`` writes them."""
    top = tmp_path_factory.mktemp("released")
    ours = top / "ours"
    ours.mkdir()
    vae = CheckpointPart(loud({k: torch.empty(s) for k, s in wan_vae.shapes(AUTO).items()}, 0.1), AUTO)
    text = CheckpointPart(loud({k: torch.empty(s) for k, s in umt5.shapes(TEXT).items()}, 0.5), TEXT, word_list(ours))
    for part, name in ((vae, "vae"), (text, "text_encoder")):
        components.write(ours / name, part, None)
    found: dict[str, Path] = {}
    for kind, (config, meaning) in SIZES.items():
        found[kind] = top / kind
        found[kind].mkdir()
        tensors = loud(DiT(config).state_dict(), 0.1)
        transformer.write(top / f"{kind}-ours", Checkpoint(tensors, config, meaning), "")
        if kind == "cam":
            for source in (top / "cam-ours", ours / "vae", ours / "text_encoder"):
                convert(ConvertConfig(source, top / "one", "diffusers"))
                for inside in (top / "one").iterdir():
                    if inside.is_dir():
                        inside.rename(found[kind] / inside.name)
                        continue
                    inside.unlink()
                (top / "one").rmdir()
        else:
            (top / f"{kind}-ours").rename(found[kind] / "transformer")
            for name in ("vae", "text_encoder"):
                (found[kind] / name).symlink_to(ours / name)
        Image.effect_mandelbrot((COLS, ROWS), (-2, -1, 1, 1), 60).convert("RGB").save(found[kind] / "a.png")
        (found[kind] / "eval.json").write_text(json.dumps([ENTRY]))
    return found


def config(folder: Path, out: Path) -> GenerateConfig:
    choice = Choice((ROWS, COLS), None if folder.name == "causal" else 4, "cpu")
    return GenerateConfig(out, input=folder / "eval.json", world=str(folder), frames=41, part=8, seed=3, choice=choice)


def source(folder: Path, **changes: Any) -> Walker | Bidirectional:
    found = released.read(folder)
    sampling = replace(sources.defaults(found.kind), size=(ROWS, COLS), device="cpu", **changes)
    if found.kind.past is None:
        return Bidirectional(
            released.build(folder, found, sampling.size, torch.device("cpu"), False), sampling, lambda words: None
        )
    return Walker(World.open(folder, Choice((ROWS, COLS), sampling.steps, "cpu")))


def image() -> Tensor:
    return torch.randint(0, 256, (3, ROWS, COLS), generator=torch.Generator().manual_seed(7)).to(torch.uint8)


def test_defaults_are_the_official_ones() -> None:
    cam, causal = (sources.defaults(SIZES[k][1]) for k in ("cam", "causal"))
    assert (cam.size, cam.steps, cam.shift, cam.guidance) == ((704, 1280), 50, 5.0, 3.0)
    assert (causal.size, causal.steps, causal.shift, causal.guidance) == ((704, 1280), 4, 5.0, None)
    assert causal.context_noise == pytest.approx(0.1 / 1000)
    assert (CausalConfig().window, CausalConfig().sinks, CausalConfig().chunk, CausalConfig().alone) == (12, 3, 3, ("view",))


def test_the_kind_chooses_the_dialect(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [dialect_of(str(folders[k]))[0] for k in SIZES] == ["dreamx-cam", "dreamx-ar", "dreamx-cam"]
    main(config(folders["cam"], tmp_path / "a"))
    assert "Dialect dreamx-cam (of" in (said := capsys.readouterr().err) and "step 4 of 4" in said
    main(replace(config(folders["cam"], tmp_path / "b"), dialect="dreamx-ar"))
    assert "Dialect dreamx-ar (asked for)" in capsys.readouterr().err
    used = [json.loads((tmp_path / x / "000.cameras.json").read_text())["poses"] for x in "ab"]
    paths = [how(["w", "wj"], [4, 6], 41) for how in (bidirectional, autoregressive)]
    for got, want in zip(used, paths, strict=True):
        assert torch.allclose(torch.tensor(got).double(), relative_to(want, want[0]).pose[:, :3].flatten(1), atol=1e-6)
    main(config(folders["wan"], tmp_path / "c"))
    assert "has no camera lane" in capsys.readouterr().err


class Heard:
    """The network, and what it was called with."""

    def __init__(self, dit: DiT) -> None:
        self.dit, self.calls, self.config = dit, list[tuple[Frames, Tensor, Attend]](), dit.config

    def __call__(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        self.calls.append((frames, text, attend))
        return self.dit(frames, text, attend)


@torch.inference_mode()
def test_bidirectional_is_euler_under_guidance_with_cameras_on_both_sides(folders: dict[str, Path]) -> None:
    it = source(folders["cam"], steps=3)
    assert isinstance(it, Bidirectional)
    heard = Heard(it.nets.dit)
    it.nets = replace(it.nets, dit=heard)  # pyright: ignore[reportArgumentType]
    path = bidirectional(["w", "wj"], [4, 6], 9)
    chunks = it.walk(image(), "a red car", 5, path)
    first = next(chunks)
    assert len(heard.calls) == 6
    words, unwanted = it.nets.text(["a red car", sources.NEGATIVE]).split(1)
    here = bidirectional_latents(path).map(lambda x: x[None].float())
    x = heard.calls[0][0].z
    assert torch.equal(x[:, :1], released.encoded(it.nets.vae, image()))
    for i, (a, b) in enumerate(zip(flow.schedule(3, 5.0), flow.schedule(3, 5.0)[1:], strict=False)):
        sigma = torch.tensor([[0.0, a, a]])
        frames = clean(x, here).with_z(x, sigma)
        for (seen, text, attend), want in zip(heard.calls[2 * i : 2 * i + 2], (words, unwanted), strict=True):
            assert isinstance(attend, MaskedAttention) and torch.equal(text, want)
            assert torch.equal(seen.camera.pose, here.pose) and torch.allclose(seen.sigma, sigma)
            assert torch.allclose(seen.z, x, atol=1e-5)
        v, u = (heard.dit(frames, w, MaskedAttention()) for w in (words, unwanted))
        moved = x + (b - a) * (u + 3.0 * (v - u))
        x = torch.cat([x[:, :1], moved[:, 1:]], 1)
    shown = [first, *chunks]
    assert torch.equal(torch.cat([s.frames for s in shown]), to_bytes(it.nets.vae.decode(x).rgb[0]))
    assert torch.equal(torch.cat([s.camera.pose for s in shown]), path.pose)


@torch.inference_mode()
def test_causal_is_four_passes_a_chunk_seen_from_the_chunk_before(folders: dict[str, Path]) -> None:
    it = source(folders["causal"])
    assert isinstance(it, Walker)
    heard = Heard(it.world.dit)
    it.world.dit = heard  # pyright: ignore[reportAttributeAccessIssue]
    path = autoregressive(["w", "wj"], [4, 6], 41)
    shown = list(it.walk(image(), "a red car", 5, path))
    assert [len(s.frames) for s in shown] == [1, 8, 12, 12, 12]
    assert len(heard.calls) == 4 * 5
    latents = autoregressive_latents(path, 3)
    levels = [1.0, 0.9375, 0.8333333, 0.625, 1e-4]
    for n in range(4):
        for (frames, _, attend), sigma in zip(heard.calls[5 * n : 5 * n + 5], levels, strict=True):
            assert isinstance(attend, KVCache) and (attend.window, attend.sinks, attend.alone) == (6, 1, ("view",))
            known = [0.0 if n == 0 and sigma > 1e-3 else sigma, sigma, sigma]
            assert frames.sigma[0].tolist() == pytest.approx(known), (n, sigma)
            seen = latents[3 * n : 3 * n + 3].pose.float()
            assert torch.equal(frames.camera.pose[0, : len(seen)], seen)
            assert frames.index[0].tolist() == [3 * n, 3 * n + 1, 3 * n + 2]
    poses = torch.cat([s.camera.pose for s in shown])
    assert torch.equal(poses[:41], path.pose) and torch.equal(poses[41:], path.pose[-1:].expand(4, 4, 4))


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_sessions_go_on_bit_for_bit(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """From every place, and what is saved does not grow."""
    path = (autoregressive if kind == "causal" else bidirectional)(["w", "wj"], [4, 6], 61)
    whole: list[WalkedChunk] = []
    one, sizes = source(folders[kind], steps=2), []
    for chunk in islice(one.walk(image(), "a", 1, path), 5):
        whole.append(chunk)
        one.save(tmp_path / f"{len(whole)}.session")
        sizes.append((tmp_path / f"{len(whole)}.session").stat().st_size)
    for i in (1, 3):
        two = source(folders[kind], steps=2)
        two.load(tmp_path / f"{i}.session")
        made = next(two.walk(None, "a", 1, path, sum(len(s.frames) for s in whole[:i])))
        assert torch.equal(made.frames, whole[i].frames) and torch.equal(made.camera.pose, whole[i].camera.pose)
    assert abs(sizes[4] - sizes[3]) < 200, sizes  # one digit more here and there


def test_a_damaged_session_of_a_bidirectional_video_is_refused_when_it_is_loaded(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    it = source(folders["cam"], steps=1)
    next(chunks := it.walk(image(), "a", 1, bidirectional(["w"], [1], 9)))
    it.save(tmp_path / "whole")
    words, t = session.read(tmp_path / "whole")
    for said, tensors, why in (
        (words, {**t, "z": t["z"][:, :, 1:]}, "z is float32 .* where it must be"),
        (words, {**t, "z": t["z"] * torch.nan}, "z holds NaN or infinity"),
        (words, {k: x for k, x in t.items() if k != "z"}, "z is missing"),
        (words, {**t, "decoder.2": t["decoder.2"][:, 1:]}, "decoder.2 is float32"),
        ({"at": 2}, t, "decoder.0 is float32"),
        ({"at": "x"}, t, "decoder.0 is"),
        (words, {**t, "more": t["z"]}, "more is none of its tensors"),
    ):
        session.write(tmp_path / "bad", said, tensors)
        with pytest.raises(ValueError, match=f"bad: the session is not whole .{why}") as caught:
            it.load(tmp_path / "bad")
        assert "Error" not in str(caught.value)
    assert len(next(chunks).frames) == 8, "what was refused changed nothing"


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_a_killed_video_is_resumed_and_its_record_makes_it_again(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    words = [sys.executable, "-m", "dreamx", "generate", str(folders[kind] / "eval.json"), "--world", str(folders[kind])]
    words += ["--frames", "41", "--part", "8", "--threads", "1", "--size", str(ROWS), str(COLS), "--device", "cpu"]
    words += [] if kind == "causal" else ["--steps", "3"]
    kill = (
        "import os, signal, sys; from dreamx.generate.film import ResumableVideo as Film\n"
        "from dreamx.cli import main; commit = Film.commit\n"
        "def die(self, save):\n    commit(self, save)\n    self.parts == 2 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "Film.commit = die; main(sys.argv[1:])"
    )
    assert subprocess.run([words[0], "-c", kill, *words[3:], "--out", str(tmp_path / "a")]).returncode == -9
    assert (tmp_path / "a/000.part/progress.json").exists() and not (tmp_path / "a/000.mp4").exists()
    for more in (["--out", str(tmp_path / "a"), "--resume"], ["--out", str(tmp_path / "b")]):
        done = subprocess.run([*words, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    record = tmp_path / "000.json"
    record.write_bytes((tmp_path / "b/000.json").read_bytes())
    main(GenerateConfig(tmp_path / "c", input=record))
    for end in ("mp4", "cameras.json", "json"):
        made = [(tmp_path / x / f"000.{end}").read_bytes() for x in "abc"]
        assert made[0] == made[1] == made[2], end


def test_few_bits_and_blocks_on_loan_make_the_same_video(folders: dict[str, Path], tmp_path: Path) -> None:
    """On a processor weights of 16 bits compute in float32: rounded first, or when they are read, is the same."""
    half, whole = tmp_path / "half", tmp_path / "whole"
    for folder, dtype in ((half, torch.bfloat16), (whole, torch.float32)):
        found = released.read(folders["causal"])
        rounded = {k: x.bfloat16().to(dtype) for k, x in found.tensors.items()}
        transformer.write(folder / "transformer", replace(found, tensors=rounded), "")
        for name in ("vae", "text_encoder"):
            (folder / name).symlink_to(folders["causal"] / name)
    path = autoregressive(["w"], [1], 9)
    one, two = (next(source(f).walk(None, "a", 1, path)).frames for f in (half, whole))
    assert one.shape == (9, 3, ROWS, COLS) and torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"choice": Choice((30, 64))},
            "size: 30 rows and 64 columns are not both multiples of 32; the nearest that are: --size 32 64",
        ),
        ({"choice": Choice((1280, 720))}, "1280 rows and 720 columns .* --size 1280 704$"),
        ({"choice": Choice((1, 100))}, "--size 32 96$"),
        ({"guidance": 2.0}, "guidance: the causal model is distilled"),
        ({"choice": Choice((ROWS, COLS), 0)}, "steps is 0"),
        ({"world": "tiny"}, "tiny is a world of ours"),
        ({"choice": Choice((32000, 64000), device="cpu")}, "needs .* GB of memory, and .* are free on cpu; it"),
        ({"choice": Choice((ROWS, COLS), device="abacus")}, "device: 'abacus' is no device"),
    ],
)
def test_bad_settings_are_one_sentence(folders: dict[str, Path], tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        main(replace(config(folders["causal"], tmp_path / "out"), **change))


def test_what_is_missing_is_one_sentence(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "transformer").symlink_to(folders["causal"] / "transformer")
    with pytest.raises(ValueError, match="has no folder vae and no text_encoder;"):
        main(replace(config(folders["causal"], tmp_path / "out"), world=str(tmp_path)))
    with pytest.raises(ValueError, match="is a transformer alone"):
        main(replace(config(folders["causal"], tmp_path / "out"), world=str(folders["causal"] / "transformer")))
    with pytest.raises(ValueError, match="guidance and resume go with an eval.json"):
        GenerateConfig(tmp_path / "a.mp4", "w*4", guidance=4.0)
    with pytest.raises(ValueError, match="steps: tiny is a world of ours and has its own, on the CPU; leave --steps out"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*4", choice=Choice(steps=4)))
    assert list(tmp_path.glob("a*")) == []


def test_held_keys_and_a_replay_make_the_same_video(folders: dict[str, Path], tmp_path: Path) -> None:
    name, chosen = str(folders["causal"]), Choice((ROWS, COLS), 1, "cpu")
    main(GenerateConfig(tmp_path / "a.mp4", "w*12,j*12", prompt="a red car", world=name, choice=chosen))
    identity = World.open(name, chosen).identity
    steps = (ReplayStep("w", 12), ReplayStep("j", 12))
    replay.write(tmp_path / "walk.json", replay.Replay(1, "test", name, identity, 0, "a red car", None, None, steps))
    main(GenerateConfig(tmp_path / "b.mp4", replay=tmp_path / "walk.json", choice=chosen))
    a, b = (load_video(tmp_path / f"{x}.mp4", 16.0).video for x in "ab")
    assert a.shape == (9 + 24, 3, ROWS, COLS)
    assert torch.equal(a, b)


@pytest.mark.parametrize(("kind", "reads"), [("causal", 8), ("cam", 12)])
def test_a_caption_beyond_the_encoder_is_said(
    folders: dict[str, Path], tmp_path: Path, kind: str, reads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One encoder has nine tokens, of which one closes the prompt; of the other's 512 the transformer reads 12."""
    given = tmp_path / "eval.json"
    image = str(folders[kind] / "a.png")
    given.write_text(json.dumps([{**ENTRY, "image_path": image, "caption": "a red car " * 180}, {**ENTRY, "image_path": image}]))
    main(replace(config(folders[kind], tmp_path / "out"), input=given, frames=9))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("tokens") == 1, "a caption that fits needs no words"
    assert f"The prompt has 540 tokens and the text encoder reads {reads}: {reads} of 540 words, to" in said


def test_nan_stops_at_its_step(folders: dict[str, Path]) -> None:
    it = source(folders["cam"], steps=50)
    assert isinstance(it, Bidirectional)
    with torch.no_grad():
        it.nets.dit.head.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="in step 1 of 50 the network makes NaN or infinity"):
        next(it.walk(image(), "a", 1, bidirectional(["w"], [1], 9)))


def test_sampling_is_checked() -> None:
    with pytest.raises(ValueError, match="guidance is 0"):
        Sampling((704, 1280), 4, 5.0, 0.0, "", 0.0, "cpu")
