"""Everything that opens a file, each with a good one: what the attacker spoils, and what it then calls."""

from __future__ import annotations

import gzip
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

import micro
import official_small
from data_stages import walk_clip
from dreamx import cli, events, manifest, replay, trajectory
from dreamx.checkpoints import contents, lora_file, official_names, weight_files
from dreamx.checkpoints import transformer as transformers
from dreamx.checkpoints.exported import network
from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.conformance import vectors
from dreamx.data import dataset as dataset_files
from dreamx.data.captioner.ask import read_answer
from dreamx.data.commands import ExportConfig, export
from dreamx.data.dataset.part import ClipPart, make
from dreamx.data.dataset.picture_coding import Coding
from dreamx.data.dataset.tars import Tars
from dreamx.data.encode import EncodeConfig, Latents, encode
from dreamx.data.importers.run_import import READERS, listed
from dreamx.data.quality.curate import read_record
from dreamx.data.quality.gather import gathered
from dreamx.data.quality.limits import Limits
from dreamx.eval import video_files
from dreamx.eval.metrics.bootstrap import BootstrapMean
from dreamx.eval.metrics.measure import Measured
from dreamx.eval.models import Videos
from dreamx.eval.reporting.report import Report, ReportInfo
from dreamx.eval.runner import TrialRow
from dreamx.eval.study import answers
from dreamx.eval.suites.suite import Suite, shipped_suite
from dreamx.generate.cases import read_actions, read_input
from dreamx.generate.film import ResumableVideo
from dreamx.geometry import formats
from dreamx.geometry.controls import from_keys
from dreamx.geometry.formats import DIALECTS, MotionOptions
from dreamx.memory import MemoryConfig
from dreamx.picture import read_picture
from dreamx.plaintext import lines, read_json, read_text
from dreamx.train import checkpoint
from dreamx.world import World
from eval_house import VIEW, true_clip
from lerobot_files import resaved

ASKED = MotionOptions(fps=16.0, size=(64, 64), lens=(1.0, 1.0, 0.5, 0.5))


@dataclass(frozen=True)
class Entry:
    """files: glob patterns of what is spoilt in ``folder``; kind: of mutators, by file ending where it is a mapping."""

    name: str
    folder: Path
    files: tuple[str, ...]
    kind: str
    call: Callable[[Path], object]


class _Rater(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))


def entries(yard: Path) -> list[Entry]:
    """Build a yard of good files; every entry has been called with them once."""
    warnings.simplefilter("ignore")
    found = [*_worlds(yard), *_weights(yard), *_paths(yard), *_clips(yard), *_words(yard), *_pictures(yard)]
    names = [e.name for e in found]
    assert len(set(names)) == len(names)
    return found


def _json_file(place: Path, data: object) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(data))
    return place


def _worlds(yard: Path) -> list[Entry]:
    world = micro.world(memory=MemoryConfig(capacity=4))
    home = yard / "world"
    world.export(home)
    world.reset(micro.picture(), "a park with trees")
    for _ in range(3):
        world.step(from_keys(["wj"] * world.frames_per_step, world.config.speed), "rain")
    world.save(yard / "world/now.session")

    def walk(folder: Path) -> None:
        opened = World.open(folder)
        opened.reset(None, "a park")
        opened.step(from_keys(["w"] * opened.frames_per_step, opened.config.speed))

    def go_on(folder: Path) -> None:
        world.fork().load(folder / "now.session")
        here = world.fork()
        here.load(folder / "now.session")
        here.step(from_keys(["w"] * here.frames_per_step, here.config.speed))

    walked = replay.Replay(
        1,
        "0",
        "tiny",
        world.identity,
        0,
        "a park",
        None,
        None,
        (replay.ReplayStep("w", 4), replay.ReplayStep("", 4, (1.0, 2.0), "rain")),
    )
    _json_file(yard / "replay/a.json", to_json(walked))
    (yard / "actions").mkdir()
    (yard / "actions/a.txt").write_text("# a walk\nw 16\nwj 32\n- 8\n")
    (yard / "prompts").mkdir()
    (yard / "prompts/a.txt").write_text("A quiet park. Rain falls; nobody is there.\nA red ball rolls by.\n")

    def prompts(folder: Path) -> None:
        for _, line in lines(read_text(folder / "a.txt"))[:20]:
            world.fork().reset(micro.picture(), line[:4000])

    run = yard / "run"
    checkpoint.write(run, 3, {"a/w": torch.rand(5, 4), "a/step": torch.tensor(3.0)}, {"rng": [1, 2]}, {"seed": 0})

    def resume(folder: Path) -> None:
        newest, _ = checkpoint.newest(folder)
        if newest is not None:
            checkpoint.read(newest, {"a/w": torch.zeros(5, 4), "a/step": torch.tensor(0.0)})

    def unchecked(folder: Path) -> None:
        checkpoint.read(folder / "step-00000003", {"a/w": torch.zeros(5, 4), "a/step": torch.tensor(0.0)})

    return [
        Entry("world config", home, ("config.json",), "json", walk),
        Entry("world weights", home, ("dit.safetensors", "vae.safetensors", "text.safetensors"), "tensors", walk),
        Entry("session", home, ("now.session",), "tensors", go_on),
        Entry("replay", yard / "replay", ("a.json",), "json", lambda f: replay.read(f / "a.json")),
        Entry("actions", yard / "actions", ("a.txt",), "text", lambda f: read_actions(str(f / "a.txt"))),
        Entry("prompts", yard / "prompts", ("a.txt",), "text", prompts),
        Entry("run folder", run, ("step-*/*", "step-*/.metadata"), "bytes", resume),
        Entry("run state", run, ("step-*/.metadata", "step-*/*.distcp", "step-*/own-0.pt"), "bytes", unchecked),
        Entry("run manifest", run, ("step-*/manifest.json",), "json", resume),
    ]


def _weights(yard: Path) -> list[Entry]:
    from gguf import GGUFWriter

    tensors, (config, kind) = official_small.theirs("causal"), official_small.CAUSAL
    home = yard / "released"
    official_small.save(home / "a.safetensors", tensors)
    words = official_names.write_config(config, kind)
    _json_file(home / "config.json", words)
    (yard / "torch").mkdir()
    torch.save(tensors, yard / "torch/a.pth")
    _json_file(yard / "torch/config.json", words)
    (yard / "gguf").mkdir()
    writer = GGUFWriter(str(yard / "gguf/a.gguf"), "wan")
    for name, x in list(tensors.items())[:12]:
        writer.add_tensor(name, x.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    split = dict(list(tensors.items())[:6])
    weight_files.write(_made(yard / "shards"), "model", split, None, 3000)
    (yard / "net").mkdir()
    torch.jit.save(torch.jit.script(_Rater()), yard / "net/a.pt")
    layer = "blocks.0.ffn.0"
    down, up = torch.rand(2, 48), torch.rand(96, 2)
    official_small.save(yard / "lora/a.safetensors", {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up})
    _json_file(yard / "lora/adapter_config.json", {"r": 2, "lora_alpha": 4, "target_modules": ["ffn.0"]})
    vector = Path(__file__).parents[1] / "files/trajectories.safetensors"
    (_made(yard / "vectors") / "a.safetensors").write_bytes(vector.read_bytes())
    (yard / "vectors/a.safetensors").chmod(0o644)

    def rate(folder: Path) -> None:
        network.cache_clear()
        network(folder / "a.pt")(torch.rand(2, 3, 8, 8))

    return [
        Entry("released config", home, ("config.json",), "json", lambda f: transformers.build(transformers.read(f))),
        Entry("released weights", home, ("a.safetensors",), "tensors", lambda f: transformers.build(transformers.read(f))),
        Entry("torch checkpoint", yard / "torch", ("a.pth",), "bytes", lambda f: contents.read(f / "a.pth")),
        Entry("gguf", yard / "gguf", ("a.gguf",), "bytes", lambda f: weight_files.read(f / "a.gguf")),
        Entry("shards index", yard / "shards", ("*.index.json",), "json", lambda f: weight_files.read(f)),
        Entry("torchscript", yard / "net", ("a.pt",), "bytes", rate),
        Entry("lora", yard / "lora", ("a.safetensors",), "tensors", lambda f: lora_file.read(f / "a.safetensors", config)),
        Entry("lora settings", yard / "lora", ("*.json",), "json", lambda f: lora_file.read(f / "a.safetensors", config)),
        Entry("vectors", yard / "vectors", ("a.safetensors",), "tensors", lambda f: vectors.read(f / "a.safetensors")),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _paths(yard: Path) -> list[Entry]:
    plain = [{"image_path": "a.png", "caption": "a park", "action_seq": ["w", "wj"], "action_speed_list": [4, 4]}]
    said = {"hy-string": b"w-3, right-1, w-2", "dreamx-ar": json.dumps(plain).encode(), "dreamx-cam": json.dumps(plain).encode(),
            "minwm": b"a*4,w*8", "lingbot-string": b"w-10,iw-5,none-3"}  # fmt: skip
    walked = [formats.read(name, {"": data}, ASKED) for name, data in said.items()]
    found: list[Entry] = []
    for name, dialect in DIALECTS.items():
        home = _made(yard / "paths" / name)
        written = _written(name, walked) or {"": _SAMPLES[name]}
        for file, data in written.items():
            (home / (file or "path")).write_bytes(data)
        data = next(iter(written.values()))
        kind = (
            "archive" if data[:2] == b"PK" else "array" if data[:6] == b"\x93NUMPY" else "json" if data[:1] in b"{[" else "text"
        )
        files = tuple(n or "path" for n in written)
        place = (lambda f: f) if dialect.names else (lambda f: f / "path")

        def call(folder: Path, name: str = name, place: Callable[[Path], Path] = place) -> None:
            motion = trajectory.open_motion(str(place(folder)), name, ASKED)
            formats.write("dreamx", motion, ASKED)

        found.append(Entry(f"path {name}", home, files, kind, call))
    return found


#: Of dialects whose steps no other dialect can say.
_SAMPLES: dict[str, bytes] = {
    "matrix-game-2": b'{"keyboard_condition": [[1, 0, 0, 0], [0, 0, 0, 0]], "mouse_condition": [[0, 0], [0, 0]]}',
    "matrix-game-3": b'{"keyboard_condition": [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], "mouse_condition": [[0, 0.1], [0, 0]]}',
    "abot": b'{"total_frames": 2, "fps": 16, "frames": [{"keys": {"W": true}}, {"keys": {"W": true}}]}',
    "yume": "Person stands still (·). Camera remains still (·). A park.\n".encode(),
    "gamecraft": b'{"action_list": ["w"], "action_speed_list": [0.2]}',
}


def _written(name: str, motions: list[formats.Motion]) -> dict[str, bytes]:
    for motion in motions:
        try:
            return formats.write(name, motion, ASKED)
        except ValueError:
            continue
    return {}


def _clips(yard: Path) -> list[Entry]:
    clips = [(f"walk-{i}", walk_clip(i, 9, (32, 32))) for i in range(2)]
    story = events.Story("a room", "nothing", ("w",), ())
    home = _made(yard / "clips")
    for name, clip in clips:
        replace(clip, story=story, entities={1: "ball"}, segments=torch.zeros(9, 32, 32, dtype=torch.int16)).save(
            home / f"{name}.safetensors"
        )
    dataset_files.write(str(yard / "set"), clips)
    export(ExportConfig(str(yard / "set"), str(yard / "tars")))
    tar = next((yard / "tars").glob("*.tar"))
    (_made(yard / "packed") / "a.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))
    micro.world(memory=MemoryConfig(capacity=4)).export(yard / "vae")
    encode(EncodeConfig(home, yard / "vae", yard / "latents/a.safetensors", processes=1))
    for old in home.glob("latents"):
        old.rmdir()
    made = dataset_files.read(str(yard / "set"))
    assert len(made) == 2
    (_made(yard / "part") / "a.part").write_bytes(make("walk-0", clips[0][1], Coding()).to_bytes())
    curated = _made(yard / "curated")
    clips[0][1].save(curated / "walk-0.safetensors")
    cli.main(["data", "curate", str(home), "--out", str(yard / "kept"), "--processes", "1", "--limits.seconds", "0.1"])

    def every(folder: Path) -> None:
        clips = dataset_files.read(str(folder))
        for i in range(len(clips)):
            clips.row(i)
            clips.clip(i)

    def folder_of_clips(folder: Path) -> None:
        every(folder)
        _ = dataset_files.read(str(folder)).dropped  # pyright: ignore[reportAttributeAccessIssue]

    def tarred(folder: Path) -> None:
        clips = Tars(str(folder))
        for i in range(len(clips)):
            clips.row(i)
            clips.clip(i)

    dataset_files.write(str(yard / "foreign"), [(name, replace(clip, depth=None)) for name, clip in clips], Coding(crf=None))
    resaved(yard / "foreign", lambda _: None)
    dataset = [p.relative_to(yard / "set").as_posix() for p in (yard / "set").rglob("*") if p.is_file()]
    parquet = tuple(p for p in dataset if p.endswith((".parquet", ".mp4", ".mkv")))
    words = tuple(p for p in dataset if p.endswith(".json"))
    many = tuple(p for p in dataset if p.endswith(".jsonl"))
    return [
        Entry("clip", home, ("walk-0.safetensors",), "tensors", lambda f: Clip.load(f / "walk-0.safetensors")),
        Entry("folder of clips", home, ("*.safetensors",), "tensors", folder_of_clips),
        Entry("dataset", yard / "set", parquet, "bytes", every),
        Entry("dataset words", yard / "set", words, "json", every),
        *([Entry("dataset dropped", yard / "set", many, "lines", lambda f: dataset_files.read(str(f)).dropped)] if many else []),  # pyright: ignore[reportAttributeAccessIssue]
        Entry("foreign dataset", yard / "foreign", ("**/*.parquet",), "bytes", every),
        Entry("foreign words", yard / "foreign", ("meta/info.json",), "json", every),
        Entry("tar", yard / "tars", ("*.tar",), "bytes", tarred),
        Entry("packed tar", yard / "packed", ("a.tar.gz",), "bytes", tarred),
        Entry("latents", yard / "latents", ("a.safetensors",), "tensors", lambda f: Latents.load(f / "a.safetensors")),
        Entry("part", yard / "part", ("a.part",), "tensors", lambda f: ClipPart.from_bytes((f / "a.part").read_bytes())),
        Entry("curated", yard / "kept", ("limits.json", "records/*.json"), "json", lambda f: gathered(f, Limits())),
        Entry("record", yard / "kept", ("records/*.json",), "json", lambda f: [read_record(p) for p in f.glob("records/*.json")]),
        *_sources(yard),
    ]


def _sources(yard: Path) -> list[Entry]:
    """Other people's data sets, in small."""
    rng = np.random.default_rng(0)
    pose, k = np.tile(np.eye(4), (5, 1, 1)), np.tile(np.array([[32.0, 0, 16], [0, 32, 16], [0, 0, 1]]), (5, 1, 1))
    pose[:, 2, 3] = np.arange(5) * 0.1
    images = rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    depth = np.ones((5, 32, 32), np.float32)
    np.savez_compressed(_made(yard / "megasam") / "a.npz", cam_c2w=pose, intrinsic=k[0], images=images, depths=depth)
    vggt = _made(yard / "vggt/scene")
    np.savez_compressed(vggt / "predictions.npz", extrinsic=pose[:, :3], intrinsic=k, images=images, depth=depth[..., None])
    film = video_files.encode_small(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), 16.0)
    walked = formats.read("hy-string", {"": b"w-2"}, ASKED)
    scene = _made(yard / "colmap/scene/sparse/0")
    for name, data in formats.write("colmap", walked, ASKED).items():
        (scene / name).write_bytes(data)
    pictures = _made(yard / "colmap/scene/images")
    listed_pictures = [x.split()[-1] for x in (scene / "images.txt").read_text().splitlines() if x.endswith((".png", ".jpg"))]
    for i, name in enumerate(listed_pictures):
        Image.fromarray(images[i % 5]).resize((64, 64)).save(pictures / name)
    dl3dv = _made(yard / "dl3dv/scene")
    for data in formats.write("dl3dv", walked, ASKED).values():
        (dl3dv / "transforms.json").write_bytes(data)
    for frame in json.loads((dl3dv / "transforms.json").read_text())["frames"]:
        place = dl3dv / "images_8" / Path(frame["file_path"]).name
        Image.fromarray(images[0]).resize((64, 64)).save(_made(place.parent) / place.name)
    spatial = yard / "spatialvid"
    _made(spatial / "videos/group_0001")
    (spatial / "videos/group_0001/a.mp4").write_bytes(film)
    notes = _made(spatial / "annotations/group_0001/a")
    np.save(notes / "poses.npy", np.concatenate([pose[:, :3, 3], np.tile([0, 0, 0, 1.0], (5, 1))], 1))
    np.save(notes / "intrinsics.npy", np.tile([1.0, 1.0, 0.5, 0.5], (5, 1)))
    (notes / "indexes.txt").write_text("".join(f"{i} {i}\n" for i in range(5)))
    (notes / "caption.json").write_text(json.dumps({"SceneSummary": "a park"}))
    (spatial / "metadata.csv").write_text(
        "id,group id,video path,annotation path,fps\na,group_0001,group_0001/a.mp4,group_0001/a,16\n"
    )
    sekai = _made(yard / "sekai/videos")
    (sekai / "a.mp4").write_bytes(film)
    np.savez_compressed(_made(yard / "sekai/cameras") / "a.npz", extrinsic=pose, intrinsic=k)
    (yard / "sekai/train.csv").write_text("videoFile,cameraFile,caption,location\na.mp4,a.npz,a park,here\n")
    estate = _made(yard / "realestate")
    for data in formats.write("realestate10k", walked, ASKED).values():
        (estate / "a.txt").write_bytes(data)
    for line in (estate / "a.txt").read_text().splitlines()[1:]:
        Image.fromarray(images[0]).save(_made(estate / "frames/a") / f"{line.split()[0]}.png")
    omni = _made(yard / "omniworld/scene/camera").parent
    _json_file(omni / "split_info.json", {"split": [[0, 1, 2]]})
    turned = {
        "quats": [[1.0, 0, 0, 0]] * 3,
        "trans": [[0.0, 0, 0.1 * i] for i in range(3)],
        "focals": [30.0] * 3,
        "cx": 16.0,
        "cy": 16.0,
    }
    _json_file(omni / "camera/split_0.json", turned)
    for i in range(3):
        Image.fromarray(images[i]).save(_made(omni / "color") / f"{i:06d}.png")

    def read(kind: str) -> Callable[[Path], None]:
        def call(folder: Path) -> None:
            for _, opener in listed(kind, folder, 16.0):  # pyright: ignore[reportArgumentType]
                opener()

        return call

    assert {"megasam", "vggt", "colmap", "dl3dv", "spatialvid", "sekai"} <= set(READERS)
    return [
        Entry("import megasam", yard / "megasam", ("a.npz",), "archive", read("megasam")),
        Entry("import vggt", yard / "vggt", ("scene/predictions.npz",), "archive", read("vggt")),
        Entry("import colmap", yard / "colmap", ("scene/sparse/0/*.txt",), "text", read("colmap")),
        Entry("import dl3dv", yard / "dl3dv", ("scene/transforms.json",), "json", read("dl3dv")),
        Entry("import spatialvid", spatial, ("annotations/*/*/*.npy",), "array", read("spatialvid")),
        Entry("import spatialvid words", spatial, ("metadata.csv", "annotations/*/*/*.txt"), "text", read("spatialvid")),
        Entry("import realestate10k", estate, ("a.txt",), "text", read("realestate10k")),
        Entry("import omniworld", yard / "omniworld", ("scene/*.json", "scene/camera/*.json"), "json", read("omniworld")),
        Entry("import sekai cameras", yard / "sekai", ("cameras/a.npz",), "archive", read("sekai")),
        Entry("import sekai", yard / "sekai", ("train.csv",), "text", read("sekai")),
    ]


def _words(yard: Path) -> list[Entry]:
    suite = shipped_suite("basic").part(3)
    suite.save(_made(yard / "suite") / "suite.json")
    row = TrialRow("truth", suite.trials[0].id, "push-in", "", "abc", Measured({"psnr": 20.0}, {"psnr": [1.0, 2.0]}))
    about = ReportInfo("basic", 1, 0, suite.hash, 3, 3, (32, 32), 16.0, {"truth": "truth"}, {}, "eval", "cpu", "0", "a", "b")
    Report(about, {"truth": {"psnr": BootstrapMean(1.0, 0.0, 2.0, 3)}}, {"truth": {"psnr": [1.0]}}, {"truth": 0}, [row]).save(
        _made(yard / "report") / "report.json"
    )
    said = to_json(answers.Answer("", "me", "000", True, dict.fromkeys(answers.QUESTIONS, "tie"), 3.0))
    (_made(yard / "study") / "answers.jsonl").write_text(2 * (json.dumps(said) + "\n"))
    manifest.claim(_made(yard / "claimed") / "out", "a thing", (r"a\.txt",), {"size": 1, "of": {"seed": 0}})
    start = {"image_path": "a.png", "caption": "A park", "action_seq": ["w", "wj"], "action_speed_list": [4, 2]}
    _json_file(yard / "list/eval.json", [start, start])
    Image.new("RGB", (64, 48), "teal").save(yard / "list/a.png")
    film = ResumableVideo(_made(yard / "film") / "a.mp4", (32, 32), 16.0, {"world": "tiny", "seed": 0})
    film.begin()
    film.write(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), walk_clip(0, 4).camera)
    film.commit(Path.touch)
    answer_file = {
        "scene": "A park.", "evolution": "Nothing.", "interactions": [], "events": [], "style": "photoreal", "kind": "nature",
    }  # fmt: skip
    _json_file(yard / "caption/a.json", answer_file)
    _json_file(yard / "card/card.json", {"name": "a", "steps": 3})

    trial = suite.trials[0]
    given = true_clip(trial, VIEW, yard)
    videos = _made(yard / "videos")
    (videos / f"{trial.id}.mp4").write_bytes(video_files.encode_small(given.video, given.fps))
    seen = formats.write("dreamx", formats.Motion(given.camera, given.fps), ASKED)
    (videos / f"{trial.id}.cameras.json").write_bytes(seen[""])

    def measured(folder: Path) -> None:
        Videos("theirs", folder).film(trial, given)

    def claimed(folder: Path) -> None:
        manifest.claim(folder / "out", "a thing", (r"a\.txt",), {"size": 1, "of": {"seed": 0}})

    def filmed(folder: Path) -> None:
        film = ResumableVideo(folder / "a.mp4", (32, 32), 16.0, {"world": "tiny", "seed": 0})
        film.resume()

    return [
        Entry("suite", yard / "suite", ("suite.json",), "json", lambda f: Suite.load(f / "suite.json")),
        Entry("report", yard / "report", ("report.json",), "json", lambda f: Report.load(f)),
        Entry("study answers", yard / "study", ("answers.jsonl",), "lines", lambda f: answers.read(f / "answers.jsonl", "")),
        Entry("manifest", yard / "claimed", ("out/.dreamx.json",), "json", claimed),
        Entry("list of actions", yard / "list", ("eval.json",), "json", lambda f: read_input(f / "eval.json")),
        Entry("videos for scores", videos, ("*.json",), "json", measured),
        Entry("film", yard / "film", ("a.part/*.json",), "json", filmed),
        Entry("caption answer", yard / "caption", ("a.json",), "json", lambda f: read_answer(read_text(f / "a.json"), 5.0)),
        Entry("any json", yard / "card", ("card.json",), "json", lambda f: read_json(f / "card.json")),
    ]


def _pictures(yard: Path) -> list[Entry]:
    home = _made(yard / "pictures")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(home / "a.png")
    picture.save(home / "a.jpg", exif=exif)
    picture.save(home / "a.webp")
    picture.save(home / "a.tiff")
    picture.save(home / "a.gif")
    picture.save(home / "a.bmp")
    video = walk_clip(0, 9, (32, 48)).video
    movies = _made(yard / "movies")
    (movies / "a.mp4").write_bytes(video_files.encode_small(video, 16.0))
    video_files.save_video(movies / "a.mkv", video, 16.0)
    with av.open(out := io.BytesIO(), "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"  # pyright: ignore[reportAttributeAccessIssue]
        for image in video:
            frame = av.VideoFrame.from_ndarray(image.permute(1, 2, 0).contiguous().numpy(), "rgb24")
            file.mux(stream.encode(frame))  # pyright: ignore[reportAttributeAccessIssue]
        file.mux(stream.encode())  # pyright: ignore[reportAttributeAccessIssue]
    (movies / "a.webm").write_bytes(out.getvalue())

    def look(folder: Path) -> None:
        trouble: list[ValueError] = []
        for file in sorted(folder.iterdir()):
            try:
                read_picture(file.read_bytes(), (32, 32))
            except ValueError as e:
                trouble.append(e)
        if trouble:
            raise trouble[0]

    def watch(folder: Path) -> None:
        trouble: list[ValueError] = []
        for file in sorted(folder.iterdir()):
            try:
                video_files.load_video(file)
            except ValueError as e:
                trouble.append(e)
        if trouble:
            raise trouble[0]

    return [
        Entry("picture", home, ("*",), "bytes", look),
        Entry("video", movies, ("*",), "bytes", watch),
    ]
