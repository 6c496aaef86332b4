"""How long a thread of torch that waits for the others spins before it sleeps: OpenMP's own default is for empty machines.

GNU's spins for some milliseconds: beside two busy programs two such threads played at 0.02 of real time, and at 0.75 when they
slept at once. OpenMP reads the environment once, when torch is loaded, so this is set before; nothing here loads torch.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

#: Any of these says how to wait: then that is done.
ASKED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep, in this process and in all that it starts, unless the environment says how to wait.

    Where torch is loaded already it is too late for this process.
    """
    if not any(name in environment for name in ASKED):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
