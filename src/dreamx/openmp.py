"""Let waiting threads of torch sleep at once instead of spinning: OpenMP's own default is for empty machines.

GNU's spins for some milliseconds: beside two busy programs two such threads played at 0.02 of real time, and at 0.75 when they
slept at once. OpenMP reads the environment once, when torch is loaded, so this is set before; nothing here loads torch.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

#: Any of these says how to wait: then that is done.
ASKED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
#: Rounds that GNU's OpenMP spins, 0.1 to 0.4 ms, where ``model.thread_spin`` sees to it that it only does with cores to spare.
SPINS = "10000"


def limit_spinning(environment: MutableMapping[str, str] = os.environ, seen: Path = Path("/proc/self/schedstat")) -> None:
    """Let waiting threads sleep soon, in this process and in all that it starts, unless the environment says how to wait.

    Where torch is loaded already it is too late for this process. ``seen``: what tells whether threads wait for a core.
    """
    if not any(name in environment for name in ASKED):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        if seen.exists():
            environment["GOMP_SPINCOUNT"] = SPINS


def ours(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether threads spin because ``limit_spinning`` let them."""
    return environment.get("GOMP_SPINCOUNT") == SPINS and environment.get("OMP_WAIT_POLICY") == "PASSIVE"
