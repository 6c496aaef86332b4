"""Metrics of many servers as one page for Prometheus: each sample says by its label ``replica`` whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from dreamx.plaintext import brief


class _Pages(Collector):
    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for replica, text in self._pages.items():
            for found in text_string_to_metric_families(text):
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for s in found.samples:
                    family.add_sample(s.name, {**s.labels, "replica": replica}, s.value)
        yield from families.values()


def merge_metrics(pages: Mapping[str, str]) -> bytes:
    """One page of the metrics of all, given by the name of the replica. ValueError, one sentence, where one cannot be read."""
    try:
        registry = CollectorRegistry()
        registry.register(_Pages(pages))
        return generate_latest(registry)
    except (ValueError, KeyError, IndexError) as e:
        raise ValueError(f"metrics of a replica cannot be read ({brief(str(e))})") from e
