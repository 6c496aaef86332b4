"""Metrics of many servers on one page."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dreamx.play.server_messages import ChunkReady
from dreamx.play.server_metrics import Metrics
from dreamx.serve.front import Front
from dreamx.serve.merged_metrics import merge_metrics


def test_every_sample_of_every_replica_is_there_under_its_name() -> None:
    a, b = Metrics(3), Metrics(5)
    for _ in range(2):
        a.begun(resumed=True)
    b.begun(resumed=False)
    b.said(ChunkReady(chunk=0, frames=4, held="", dream_ms=40, show_ms=1, encode_ms=1, pose=(0, 0, 0, 0), recalled=[]))
    text = merge_metrics({"front": Front(4).metrics_text().decode(), "a": a.text().decode(), "b": b.text().decode()}).decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert text.count("# TYPE dreamx_sessions_room gauge") == 1
    rooms = {s.labels["replica"]: s.value for s in families["dreamx_sessions_room"].samples}
    assert rooms == {"a": 3, "b": 5}
    begun = {
        (s.labels["replica"], s.labels["how"]): s.value
        for s in families["dreamx_sessions_begun"].samples
        if s.name.endswith("_total")
    }
    assert begun == {("a", "resumed"): 2, ("b", "started"): 1}
    stages = {
        (s.labels["replica"], s.labels["stage"]): s.value
        for s in families["dreamx_stage_seconds"].samples
        if s.name.endswith("_count")
    }
    assert stages == {("b", "dream"): 1, ("b", "show"): 1, ("b", "encode"): 1}
    assert families["dreamx_front_replicas"].samples[0].labels == {"replica": "front"}


def test_what_cannot_be_read_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="metrics of a replica cannot be read"):
        merge_metrics({"a": "dreamx_x{y="})
