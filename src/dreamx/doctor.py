"""``dreamx doctor``: is everything here that dreamx needs? One line a thing, and what to do where something is amiss."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

WORLDS = Path(__file__).parent / "worlds"


@dataclass(frozen=True)
class DoctorConfig:
    """Is everything here that dreamx needs?"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``good`` None: not there, and only needed for what ``words`` says."""

    name: str
    good: bool | None
    words: str


def main(cfg: DoctorConfig) -> None:
    """Print the findings; exit code 1 where something that ``dreamx play`` needs is amiss."""
    findings = [python(), torch(), video(), worlds(), drawing()]
    for f in findings:
        sign = {True: "ok", False: "NO", None: "--"}[f.good]
        print(f"{sign}  {f.name:10} {f.words}")
    if any(f.good is False for f in findings):
        raise SystemExit(1)


def python() -> Finding:
    """The interpreter and the machine."""
    good = sys.version_info >= (3, 11)
    words = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", good, words if good else f"{words}; 3.11 or newer is needed")


def torch() -> Finding:
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
    """What reads and writes mp4."""
    try:
        import av
    except (ImportError, OSError) as e:
        return Finding("av", False, f"does not load ({e}); install dreamx again")
    good = "libx264" in av.codecs_available
    return Finding("av", good, f"{av.__version__}, H.264 {'is there' if good else 'is missing; install the wheel of av'}")


def worlds(folder: Path = WORLDS) -> Finding:
    """The worlds that came with the package."""
    names = sorted(p.parent.name for p in folder.glob("*/config.json"))
    return Finding("worlds", bool(names), ", ".join(names) if names else f"none in {folder}; install dreamx again or train one")


def drawing() -> Finding:
    """Can the simulator draw off-screen? Tried in processes of their own, since a failing driver may take one along."""
    if find_spec("mujoco") is None:
        return Finding("simulator", None, "not installed; only `dreamx data` and its tests need it: pip install 'dreamx[sim]'")
    code = "import mujoco as m; m.Renderer(m.MjModel.from_xml_string('<mujoco/>'), 8, 8).close()"
    backends = ("egl", "osmesa") if sys.platform == "linux" else ("",)
    for backend in backends:
        environment = os.environ | ({"MUJOCO_GL": backend} if backend else {})
        if subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60).returncode == 0:
            return Finding("simulator", True, f"draws off-screen{f' with {backend}' if backend else ''}")
    return Finding("simulator", None, "cannot draw; only `dreamx data` needs it: install libegl1 libegl-mesa0 libgl1-mesa-dri")
