"""Output folders of an evaluation: one for its report and one for true renders, each its own or refused before work begins."""

from __future__ import annotations

from pathlib import Path

from dreamx import manifest
from dreamx.interrupt import sweep_at_end

#: Names of what the commands write at the top of their folders.
SUITE = (r"films", r"rows", r"at", r"report\.(json|md|html)", r"suite\.json", r"sheet\.png")
ABLATION = (*SUITE, r"ablation\.(json|md)")
QUICK, SPEED, CLIPS = (r"quick\.(json|png)",), (r"speed\.(json|md)",), (r"clips\.json",)
_TRUTH = (
    r".+-(true|plain|features)-[0-9a-f]{12}-[0-9a-f]+\.safetensors",
    r"\d+-\w+-\d+x\d+-[0-9a-f]+-[0-9a-f]+(\.warp)?\.safetensors",
)


def claim(out: Path, name: str, files: tuple[str, ...], truth: Path | None = None) -> None:
    """Make ``out`` the folder of ``dreamx eval NAME``, and ``truth`` one of true renders, or find that they are.

    A report of an earlier run of the command is replaced; ValueError, one sentence, for anything else that lies there.
    """
    for write in (False, True):  # look at both before one of them is made
        manifest.claim(out, f"a report of dreamx eval {name}", files, write=write)
        if truth is not None:
            manifest.claim(truth, "true renders of dreamx eval", _TRUTH, flag="truth", write=write)
            sweep_at_end(truth)
