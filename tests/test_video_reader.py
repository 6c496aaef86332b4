"""Films as people have them: every picture as a player shows it, every time as the file says it, or one sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest
import torch

from dreamx.eval import video_files
from dreamx.video_reader import frames, timeline
from films import Picture, scene, write

SHADES = [10 + 12 * i for i in range(12)]


def read(path: Path) -> list[torch.Tensor]:
    found = list(frames(path))
    assert [n for n, _ in found] == list(range(len(timeline(path).times)))
    return [p for _, p in found]


def unlike(a: torch.Tensor, b: Picture) -> float:
    return float((a.permute(1, 2, 0).float() - torch.from_numpy(b.copy()).float()).abs().mean())


@pytest.mark.parametrize(
    ("name", "form", "codec"),
    [
        ("a.mp4", None, "libx264"),
        ("a.MKV", "matroska", "libx264"),
        ("a.mov", None, "libx264"),
        ("a.m4v", "mp4", "mpeg4"),
        ("a.avi", None, "libx264"),
        ("b.avi", None, "mpeg4"),
        ("a.mts", "mpegts", "libx264"),
        ("a.mpg", None, "mpeg2video"),
        ("a.webm", None, "libvpx"),
    ],
)
def test_frames_come_in_order_with_their_times(tmp_path: Path, name: str, form: str | None, codec: str) -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "8", "b": "2M"} if codec == "libvpx" else {"crf": "2", "bf": "2", "q": "2"}
    film = write(tmp_path / name, [scene(s) for s in SHADES], codec, form=form, options=options)
    got, line = read(film), timeline(film)
    assert [round(float(p[:, 24, 32].float().mean()) / 12 - 10 / 12) for p in got] == list(range(12))
    assert np.allclose(line.times, np.arange(12) / 30, atol=1e-3) and line.fps == 30 and not line.variable
    assert [n for n, _ in frames(film, {2, 7})] == [2, 7]


@pytest.mark.parametrize("turned", [(d, h, v) for d in (0, 90, 180, 270) for h in (False, True) for v in (False, True)])
def test_a_film_is_turned_as_its_metadata_says(tmp_path: Path, turned: tuple[int, bool, bool]) -> None:
    film = write(tmp_path / "a.mp4", [scene()] * 2, turned=turned)
    shown = np.rot90(scene(), turned[0] // 90)  # counter-clockwise, then mirrored
    shown = shown[:, ::-1] if turned[1] else shown
    shown = shown[::-1] if turned[2] else shown
    assert unlike(read(film)[0], shown) < 2
    assert (
        timeline(film).size == (shown.shape[1], shown.shape[0])
        and video_files.load_video(film).video.shape[2:] == shown.shape[:2]
    )


def test_a_turn_by_no_quarter_is_refused(tmp_path: Path) -> None:
    film = write(tmp_path / "a.mp4", [scene()] * 2, turned=(30, False, False))
    with pytest.raises(ValueError, match="no quarter of a circle"):
        timeline(film)


@pytest.mark.parametrize(("ratio", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(1, 2), (64, 96)), (Fraction(1), (64, 48))])
def test_pixels_are_made_square(tmp_path: Path, ratio: Fraction, size: tuple[int, int]) -> None:
    film = write(tmp_path / "a.mkv", [scene()] * 2, ratio=ratio)
    assert timeline(film).size == size and read(film)[0].shape == (3, size[1], size[0])
    turned = write(tmp_path / "b.mp4", [scene()] * 2, ratio=ratio, turned=(90, False, False))
    assert timeline(turned).size == size[::-1] and read(turned)[0].shape == (3, size[0], size[1])


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0.5 + t for t in (0, 1 / 30, 2 / 30, 0.2, 0.3, 0.4, 0.4, 0.5, 0.55)]  # two at one time: the later is shown
    pictures = [scene(20 * i) for i in range(9)]
    del times[6], pictures[5]
    for name in ("a.mp4", "a.mkv"):
        line = timeline(write(tmp_path / name, pictures, times=times))
        assert line.variable and np.allclose(line.times, times, atol=1e-3)
        assert line.frame_at(np.array([0.5, 0.75, 0.8])).round(1).tolist() == [0, 3.5, 4]
        assert "its rate is variable" in line.notes
    stream = timeline(write(tmp_path / "a.ts", pictures, form="mpegts", times=times))  # its clock begins anywhere
    assert np.allclose(stream.times, np.array(times) - times[0], atol=1e-3)


def test_a_clock_that_jumps_back_is_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ts", [scene()] * 60, form="mpegts", options={"bf": "0"})
    (tmp_path / "two.ts").write_bytes(one.read_bytes() * 2)
    with pytest.raises(ValueError, match="jumps back .* several films in one"):
        timeline(tmp_path / "two.ts")


def test_a_film_of_a_variable_rate_at_another_models_rate(tmp_path: Path) -> None:
    times = [i / 20 for i in range(10)] + [0.5 + i / 5 for i in range(4)]
    film = write(tmp_path / "a.mkv", [scene(round(t * 200)) for t in times], times=times)
    got = video_files.load_video(film, 10.0)
    shown = got.video[:, :, 24, 32].float().mean(1) / 200
    assert got.fps == 10 and len(got.video) == 12
    assert float((shown - torch.arange(12) / 10).abs().max()) < 0.11  # the nearest of frames 0.2 s apart


def test_interlaced_films_have_no_combs(tmp_path: Path) -> None:
    pictures: list[Picture] = []
    for i in range(8):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[::2, 8 * i : 8 * i + 8], picture[1::2, 8 * i + 4 : 8 * i + 12] = 255, 255  # the lower field is half a step later
        pictures.append(picture)
    options = {"crf": "0", "preset": "ultrafast", "x264-params": "tff=1"}
    film = write(tmp_path / "a.mkv", pictures, pixels="yuv444p", options=options)
    assert "interlaced" in timeline(film).notes[0]
    picture = read(film)[4].float().mean(0)
    assert float((picture[1:] - picture[:-1]).abs().mean()) < 10  # rows were 12 columns of 255 apart, of 64
    assert abs(float(picture.sum(1).mean()) / 255 - 8) < 1


@pytest.mark.parametrize(("trc", "white"), [("smpte2084", 0.581), ("arib-std-b67", 0.75)])
def test_high_dynamic_range_is_brought_down(tmp_path: Path, trc: str, white: float) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream: Any = file.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_trc = {"smpte2084": 16, "arib-std-b67": 18}[trc]
        stream.codec_context.color_primaries = stream.codec_context.colorspace = 9
        for i, level in enumerate((0.0, white * 0.6, white, 1.0)):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (64 + 876 * level, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
            frame.pts, frame.time_base = i, Fraction(1, 30)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert "HDR" in timeline(tmp_path / "a.mkv").notes[0]
    black, mid, reference, brightest = (p.float().mean((1, 2)) for p in read(tmp_path / "a.mkv"))
    assert black.max() < 3 and 60 < float(mid.mean()) < 160 and 235 < float(reference.mean()) < 252 < float(brightest.mean())
    assert (reference - reference.mean()).abs().max() < 2  # grey stays grey


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    for name, data, said in (
        ("empty.mp4", b"", "no video that can be read"),
        ("page.mp4", b"<html>404", "is a page of HTML, not a film"),
        ("cut.mp4", write(tmp_path / "a.mp4", [scene()] * 4).read_bytes()[:700], "may be cut short"),
        ("picture.mp4", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "picture.mp4"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=said):
            timeline(tmp_path / name)
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as file:
        stream: Any = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(ValueError, match="sound and no pictures"):
        timeline(tmp_path / "sound.m4a")
    with pytest.raises(ValueError, match="is a folder, not a film"):
        timeline(tmp_path)


def test_a_film_that_names_a_size_beyond_all_is_said_so() -> None:
    """FFmpeg calls it a lack of memory, of which it has asked for none."""
    file = Path(__file__).parent / "attack/corpus/video--a.mp4--11323"
    with pytest.raises(av.error.MemoryError):
        av.open(str(file))
    with pytest.raises(ValueError, match="is no video that can be read .it names a size that no film has."):
        timeline(file)
