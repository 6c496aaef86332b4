"""``dreamx doctor``: is everything here that dreamx needs? One line a thing, and what to do where something is amiss.

And of one world or checkpoint: is it whole, does it fit into memory, how fast will it be. torch is imported where it is used, so
that one that does not load is a finding.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from dreamx.budget.plan import Plan

WORLDS = Path(__file__).parent / "worlds"


@dataclass(frozen=True)
class DoctorConfig:
    """Is everything here that dreamx needs, and how will a world do on this machine?"""

    world: str = "tiny"
    """A world by its name or folder, a transformer's checkpoint, or w5b (DreamX-World-5B, as if its weights were here)."""
    size: str | None = None
    """Picture size, HEIGHTxWIDTH in pixels; by default the world's, 704x1280 for released models."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """What to compute in; by default what the weights are in."""
    device: str | None = None
    """cuda, cuda:1 or cpu; by default the GPU where there is one."""
    json: bool = False
    """Print JSON alone."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``good`` None: not there, and only needed for what ``words`` says."""

    name: str
    good: bool | None
    words: str


def main(cfg: DoctorConfig) -> None:
    """Print the findings; exit code 1 where something that ``dreamx play`` needs is amiss, or the world is or does not fit."""
    findings, device = [python(), library()], None
    if findings[1].good:
        from dreamx.budget import plan
        from dreamx.devices import device_of

        device = device_of(cfg.device)
        plan.read_size(cfg.size)  # what is asked wrongly is said before the machine is looked at
    findings += [video(), worlds(), drawing(), disk()]
    if device is not None:
        findings += [memory(device), attention(device), training(device), complete(cfg.world)]
        findings += predictions(cfg, device) if findings[-1].good is not False else []
    if cfg.json:
        print(json.dumps([asdict(f) for f in findings]))
    for f in [] if cfg.json else findings:
        sign = {True: "ok", False: "NO", None: "--"}[f.good]
        print(f"{sign}  {f.name:10} {f.words}")
    if any(f.good is False for f in findings):
        raise SystemExit(1)


def python() -> Finding:
    """The interpreter and the machine."""
    good = sys.version_info >= (3, 11)
    words = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", good, words if good else f"{words}; 3.11 or newer is needed")


def library() -> Finding:
    """The library, its threads and the devices that it sees."""
    try:
        import torch
    except (ImportError, OSError) as e:
        return Finding("torch", False, f"does not load ({e}); install dreamx again")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["no GPU"]
    return Finding(
        "torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()}, {', '.join(devices)}"
    )


def video() -> Finding:
    """Check the library that reads and writes mp4."""
    try:
        import av
    except (ImportError, OSError) as e:
        return Finding("av", False, f"does not load ({e}); install dreamx again")
    good = "libx264" in av.codecs_available
    words = f"{av.__version__} with FFmpeg's libraries, H.264 {'is there' if good else 'is missing; install the wheel of av'}"
    return Finding("av", good, words)


def worlds(folder: Path = WORLDS) -> Finding:
    """The worlds that came with the package."""
    names = sorted(p.parent.name for p in folder.glob("*/config.json"))
    return Finding("worlds", bool(names), ", ".join(names) if names else f"none in {folder}; install dreamx again or train one")


def drawing() -> Finding:
    """Can the simulator draw off-screen? Tried in processes of their own, since a failing driver may take one along."""
    if find_spec("mujoco") is None:
        return Finding(
            "simulator", None, "not installed; only `dreamx data` and its tests need it: pip install '.[sim]' in the checkout"
        )
    code = "import mujoco as m; m.Renderer(m.MjModel.from_xml_string('<mujoco/>'), 8, 8).close()"
    backends = ("egl", "osmesa") if sys.platform == "linux" else ("",)
    for backend in backends:
        environment = os.environ | ({"MUJOCO_GL": backend} if backend else {})
        if subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60).returncode == 0:
            return Finding("simulator", True, f"draws off-screen{f' with {backend}' if backend else ''}")
    return Finding("simulator", None, "cannot draw; only `dreamx data` needs it: install libegl1 libegl-mesa0 libgl1-mesa-dri")


def disk(folder: Path = Path()) -> Finding:
    """Room for videos and checkpoints, where we are."""
    free = shutil.disk_usage(folder).free
    words = f"{free / 1e9:.1f} GB free here"
    return Finding("disk", True if free > 1e9 else None, words if free > 1e9 else f"{words}; only short videos fit, so make room")


def memory(device: torch.device) -> Finding:
    """Report the free memory of the device that computes."""
    from dreamx.budget import fit, machine

    free, main = machine.free_memory(device), machine.free_memory(machine.CPU)
    if free is None:
        return Finding("memory", None, "how much is free cannot be seen on this system")
    beside = f", {fit.gigabytes(main)} in main memory" if device.type == "cuda" and main is not None else ""
    return Finding("memory", True, f"{fit.gigabytes(free)} free on {device.type}{beside}")


def attention(device: torch.device) -> Finding:
    """Report the kernels of attention that run here, and which one torch takes. Other libraries are named, and not used."""
    from torch import bfloat16, float32

    from dreamx.model.attention_backends import BACKENDS, chosen_by_torch

    runs = [b.name for b in BACKENDS.values() if b.runs_on(device, float32)]
    used = [f"{chosen_by_torch(device, d, 128)} in {str(d).removeprefix('torch.')}" for d in (float32, bfloat16)]
    others = [name for name, module in _OTHERS.items() if find_spec(module) is not None]
    beside = f"; {', '.join(others)} lies here, too, and is not used" if others else ""
    return Finding(
        "attention", True, f"torch's own on {device.type}: {', '.join(used)}; these run here: {', '.join(runs)}{beside}"
    )


_OTHERS = {"flash-attn": "flash_attn", "sageattention": "sageattention", "xformers": "xformers"}


def training(device: torch.device) -> Finding:
    """Recommend the faster dtype of a training run's products here: ``--run.dtype``."""
    from torch import bfloat16, float32

    from dreamx.budget import machine

    share = machine.probe(device, bfloat16).flop / machine.probe(device, float32).flop
    faster = "--run.dtype bfloat16" if share > _WORTH else "float32, which is what runs take"
    return Finding("training", True, f"products in bfloat16 run {share:.1f} times as fast as in float32: train in {faster}")


def complete(world: str) -> Finding:
    """Is every tensor of the world or checkpoint there, in its shape?"""
    from dreamx.budget import plan
    from dreamx.checkpoints import transformer
    from dreamx.world import World

    if world == "w5b":
        return Finding(
            "weights", None, "none: w5b is the released DreamX-World-5B by its sizes; name a folder to have it checked"
        )
    try:
        folder = plan.folder_of(world)
        if plan.is_world(folder):
            World.open(folder)
        else:
            transformer.read(folder)
    except ValueError as e:
        return Finding("weights", False, str(e))
    return Finding("weights", True, f"all of {folder.name} are there")


def predictions(cfg: DoctorConfig, device: torch.device) -> list[Finding]:
    """Does it fit, and how fast will it be?"""
    from dreamx.budget import fit, machine, plan

    p = plan.on(plan.plan_of(cfg.world, plan.read_size(cfg.size)), device)
    p = p if cfg.dtype is None else replace(p, dtype=plan.DTYPES[cfg.dtype])
    need = fit.need(p)
    what = f"{p.name} at {p.size[0]}x{p.size[1]} in {str(p.dtype).removeprefix('torch.')}"
    parts = {"transformer": need.weights, "decoder": need.decoder, "its past": need.past, "decoding": need.decode_peak}
    fits = f"{what} needs {fit.gigabytes(need.most)}: {', '.join(f'{k} {fit.gigabytes(v)}' for k, v in parts.items())}"
    refusal = fit.refusal(p, device, fit.usable_memory(device), fit.usable_memory(machine.CPU))
    return [Finding("fits", refusal is None, refusal or fits), speed(cfg, p, device, refusal is None)]


def speed(cfg: DoctorConfig, p: Plan, device: torch.device, fits: bool) -> Finding:
    """Predict the speed, on a quiet machine and with what else runs on it now.

    A world that plays here is walked for a few chunks, as ``dreamx bench play`` does. Others are counted, by a speed that half a
    second of measuring gives: without losses.
    """
    from dreamx.bench import PlayBenchConfig, measure
    from dreamx.budget import fit, machine

    quiet, now = (fit.pace(p, s, device) for s in machine.probe_both(device, p.dtype))
    slower, seconds = now.chunk / quiet.chunk, _WALKED * now.frames / p.fps
    own = p.world and p.folder is not None and cfg.size is None and cfg.dtype is None and device.type == "cpu"
    if own and fits and now.chunk * _WALKED < _PATIENCE:
        walked = measure(PlayBenchConfig(str(p.folder), seconds=seconds))
        chunk, share = walked.chunk_ms_p50 / 1000, now.frames / p.fps / (walked.chunk_ms_p50 / 1000)
        words = f"{fit.duration(chunk)} a chunk of {now.frames} frames, walked just now; {_live(share)}"
        others = f"without what else runs here now: {_live(share * slower)}"
    else:
        share = quiet.share
        words = f"about {fit.duration(quiet.one_pass)} a pass, {fit.duration(quiet.chunk)} a chunk of {quiet.frames} frames; "
        words += _live(share)
        others = f"with what else runs here now, about {slower:.1f} times as long"
    words += f" ({others})" if slower > _BUSY else ""
    return Finding("speed", True if share >= 1 else None, words)


def _live(share: float) -> str:
    """``share``: seconds of video by seconds of work."""
    from dreamx.budget import fit

    return f"{share:.1f} times real time" if share >= 1 else f"not live: a second takes {fit.duration(1 / share)}"


_WALKED = 8  # chunks
_PATIENCE = 20.0  # seconds that walking them may take, as counted
_WORTH = 1.3  # times as fast, before a run gives up digits for it
_BUSY = 1.2  # times as slow as a quiet machine, before it is worth a word
