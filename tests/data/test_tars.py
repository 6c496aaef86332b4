"""WebDataset tars: out and in again is the same dataset; those of others, and those that are damaged."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from data_stages import walk_clip
from dreamx.cli import main
from dreamx.data import dataset
from dreamx.data.clip_list import shots
from dreamx.data.dataset import Coding, Dataset
from dreamx.data.dataset.picture_coding import encode_seen
from dreamx.data.dataset.tars import Tars
from dreamx.data.engine import run_engine
from test_dataset import a_clip
from test_engine import INLINE, prints


@pytest.mark.parametrize("crf", [None, 20])
def test_out_and_in_again_is_the_same_dataset(tmp_path: Path, crf: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [("a/b.c", a_clip(0, size=(17, 21))), ("ü", a_clip(1, 5, size=(17, 21), full=False))]
    dataset.write(str(tmp_path / "d"), clips, Coding(crf))
    main(["data", "export", str(tmp_path / "d"), "--out", str(tmp_path / "t"), "--clips-a-tar", "1"])
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["shard-000000.tar", "shard-000001.tar", "tars.json"]
    first = prints(tmp_path / "t")
    main(["data", "export", str(tmp_path / "d"), "--out", str(tmp_path / "t"), "--clips-a-tar", "1"])
    main(["data", "export", str(tmp_path / "d"), "--out", str(tmp_path / "again"), "--clips-a-tar", "1"])
    assert prints(tmp_path / "t") == prints(tmp_path / "again") == first
    main(["data", "import-wds", str(tmp_path / "t"), "--out", str(tmp_path / "back"), "--processes", "1"])
    before, after = prints(tmp_path / "d"), prints(tmp_path / "back")
    told = {"meta/info.json"} | (set() if crf is None else {"meta/stats.json"})  # who made it; the pictures that were encoded
    assert {k: v for k, v in before.items() if k not in told} == {k: v for k, v in after.items() if k not in told}
    assert "2 clips of 25 frames" in capsys.readouterr().out


def foreign(folder: Path, samples: dict[str, dict[str, bytes]], name: str = "x.tar") -> None:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / name, "w") as tar:
        for key, files in samples.items():
            for suffix, data in files.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def npy(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bytes:
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def a_sample(seed: int, poses: int = 12) -> dict[str, bytes]:
    clip = walk_clip(seed)
    k = np.array([[24.0, 0, 12], [0, 16, 8], [0, 0, 1]])
    return {
        "video.mp4": encode_seen(clip.video.permute(0, 2, 3, 1).contiguous().numpy(), 24.0, Coding(20)),
        "poses_c2w.npy": npy(clip.camera.pose.double().numpy()[:poses]),
        "intrinsics.npy": npy(np.broadcast_to(k, (12, 3, 3))),
        "json": json.dumps({"caption": "somebody's room", "license": "CC-BY"}).encode(),
    }


def test_tars_of_others(tmp_path: Path) -> None:
    lame = a_sample(2)
    del lame["poses_c2w.npy"]
    bent = a_sample(3) | {"intrinsics.npy": npy(np.zeros((7, 4)))}
    foreign(tmp_path / "t", {"one": a_sample(0), "two": a_sample(1, poses=11), "three": lame, "four": bent})
    whole = (tmp_path / "t/x.tar").read_bytes()
    (tmp_path / "t/y.tar").write_bytes(whole[: len(whole) // 5])
    (tmp_path / "t/z.tar").write_bytes(b"no tar at all")
    count = run_engine(Tars(str(tmp_path / "t"), from_whom="a friend"), (), str(tmp_path / "d"), INLINE)
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, Dataset) and got.names == ["one"] and count.kept == 1
    row, clip = got.row(0), got.clip(0)
    assert (row.caption, row.licence, row.source, row.fps) == ("somebody's room", "CC-BY", "a friend", 24.0)
    assert clip.camera.lens[0].tolist() == [1.0, 1.0, 0.5, 0.5]
    torch.testing.assert_close(clip.camera.pose, walk_clip(0).camera.pose)
    said = {d["name"]: d["reason"] for d in got.dropped}
    assert "(11, 4, 4) for 12 frames" in said["two"] and "no .poses_c2w.npy" in said["three"] and "(7, 4)" in said["four"]
    assert "cannot be read to its end" in said["y.tar"] and "cannot be read to its end" in said["z.tar"]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "X.TGZ", "x.tar.xz"])
def test_a_tar_given_itself(tmp_path: Path, name: str) -> None:
    packed = {"gz": gzip.compress, "GZ": gzip.compress, "xz": lzma.compress}.get(name[-2:], bytes)
    (tmp_path / "t").mkdir()
    with tarfile.open(tmp_path / "plain", "w") as tar:  # as `tar cf x.tar ./*` names its files
        for key in ("one", "two"):
            for suffix, data in a_sample(0).items():
                info = tarfile.TarInfo(f"./{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    (tmp_path / "t" / name).write_bytes(packed((tmp_path / "plain").read_bytes()))
    foreign(tmp_path / "t", {"other": a_sample(1)}, "other.tar")
    clips = pickle.loads(pickle.dumps(dataset.read(str(tmp_path / "t" / name))))
    assert clips.names == ["one", "two"] and clips.rows[1].frames == len(clips.clip(1).video) == 12
    assert torch.equal(clips.cameras(1).lens, clips.clip(1).camera.lens) and len(clips.window(0, 3, 5).video) == 5
    assert run_engine(clips, (), str(tmp_path / "d"), INLINE).kept == 2
    assert [str(s).rpartition(": ")[2] for s in shots(tmp_path / "t" / name)] == ["clip 0", "clip 1"]
    assert sorted(dataset.read(str(tmp_path / "t")).names) == ["one", "other", "two"]
    whole = (tmp_path / "t" / name).read_bytes()
    (tmp_path / "t" / name).write_bytes(whole[: len(whole) // 3])
    cut = dataset.read(str(tmp_path / "t" / name))
    with pytest.raises(ValueError, match="cannot be read to its end"):
        cut.clip(0)


def test_no_tars_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        main(["data", "import-wds", str(tmp_path), "--out", str(tmp_path / "d")])
    assert e.value.code == 2 and "no tars (*.tar)" in capsys.readouterr().err
