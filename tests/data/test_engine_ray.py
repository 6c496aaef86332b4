"""Ray Data and the local pool make the same files. Slow: Ray takes its time to start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from data_stages import Darker, NotEvery, Walks
from dreamx.data.engine import Ray, run_engine
from test_engine import INLINE, prints


@pytest.mark.slow
def test_ray_and_the_local_pool_make_the_same_files(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    path = os.pathsep.join(sys.path)  # workers import our stages
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    try:
        source, stages = Walks(9, bad=(5,), flaky=(6,)), (NotEvery(4), Darker())
        count = run_engine(source, stages, str(tmp_path / "ray"), Ray(workers=2), megabytes=0.01)
    finally:
        ray.shutdown()
    assert count == run_engine(source, stages, str(tmp_path / "local"), INLINE, megabytes=0.01)
    assert prints(tmp_path / "ray") == prints(tmp_path / "local")
