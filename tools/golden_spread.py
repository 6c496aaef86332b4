"""How far do the golden curves move with the instruction set and the number of threads? Prints the largest relative difference.

`python tools/golden_spread.py`: each variant is a process of its own, for libraries read their environment when they are loaded.
A variant that this processor lacks runs as its nearest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from golden_stages import GOLDEN

VARIANTS = {
    "default": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "no vectors": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
}


def main() -> None:
    golden = json.loads(GOLDEN.read_text())
    print(f"{'instructions':16}{'threads':>8}  " + "".join(f"{stage:>14}" for stage in golden))
    for name, variables in VARIANTS.items():
        for threads in (1, 2):
            with TemporaryDirectory() as folder:
                out = Path(folder) / "curves.json"
                subprocess.run(
                    [sys.executable, str(Path(__file__).with_name("golden_curves.py")), str(out)],
                    env={**os.environ, "OMP_NUM_THREADS": str(threads), **variables},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                found = json.loads(out.read_text())
            off = [max(abs(a - b) / abs(b) for a, b in zip(found[s], golden[s], strict=True)) for s in golden]
            print(f"{name:16}{threads:8}  " + "".join(f"{x:14.1e}" for x in off), flush=True)


if __name__ == "__main__":
    main()
