"""Settings of ``dreamx serve`` that fit each other, or are refused; replicas that never join."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

from dreamx.flags import parse
from dreamx.play.play_config import PlayConfig
from dreamx.released import Choice
from dreamx.serve import serve_command
from dreamx.serve.front import Front
from dreamx.serve.serve_command import ServeConfig, main, wait_for
from dreamx.serve.shared_store import SharedStore
from repo import ROOT
from test_replica_directory import said


def test_flags_of_play_and_of_serve_stand_beside_each_other() -> None:
    words = "--world tiny --port 0 --sessions 3 --size 32 64 --replicas 5 --most-replicas 9 --store s3://bucket/x"
    cfg = parse(ServeConfig, words.split(), "dreamx serve")
    assert cfg.play == PlayConfig(world="tiny", port=0, sessions=3, choice=Choice((32, 64)))
    assert (cfg.replicas, cfg.most_replicas, cfg.store) == (5, 9, "s3://bucket/x")


def test_replicas_of_other_machines_must_reach_front_and_storage() -> None:
    open_host = PlayConfig(host="0.0.0.0")
    address, store = "http://10.0.0.1:8800", "s3://bucket/x"
    ServeConfig(open_host, ray_address="auto", front_address=address, store=store)
    for named, wrong in (
        ("--front-address", lambda: ServeConfig(open_host, ray_address="auto", store=store)),
        ("--host", lambda: ServeConfig(PlayConfig(), ray_address="auto", front_address=address, store=store)),
        ("--store", lambda: ServeConfig(open_host, ray_address="auto", front_address=address)),
    ):
        with pytest.raises(ValueError, match=named):
            wrong()


def test_a_released_model_wants_the_gpu_that_it_computes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("is_released", True), ("world_must_fit", None), ("find", None)):
        monkeypatch.setattr(serve_command, name, lambda *_, value=value: value)
    with pytest.raises(ValueError, match="gpus_per_replica is 0"):
        main(ServeConfig(PlayConfig(port=0)))


def test_replicas_that_do_not_join_are_told_of() -> None:
    front = Front(4)
    front.record_announcement(said("a"))
    wait_for(front, 1, "http://nowhere")
    with pytest.raises(ValueError, match="front_address: .* http://nowhere"):
        wait_for(front, 2, "http://nowhere", seconds=0.1)


def test_folders_of_killed_replicas_go_and_those_in_use_or_new_stay(tmp_path: Path) -> None:
    used = SharedStore(str(tmp_path / "shared"), tmp_path / "root/used", "used", 64)
    killed = SharedStore(str(tmp_path / "shared"), tmp_path / "root/killed", "killed", 64)
    killed.close()
    (tmp_path / "root/new").mkdir()
    for name in ("used", "killed"):
        os.utime(tmp_path / "root" / name, (0, 0))
    code = "from pathlib import Path; from dreamx.serve.replica_server import remove_unused; remove_unused(Path('root'))"
    run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
    )  # within one process a lock may be taken again
    assert {p.name for p in (tmp_path / "root").iterdir()} == {"used", "new"}
    used.close()
