"""Samples of clips for training, by numbers: which sample comes when is settled by the seed alone.

    sources = From("sim-clips", 3.0, Window(33)), From("walks", 1.0, Revisit(9, apart=24)), From("films", 1.0, Window(161))
    loader = Loader(LoaderConfig(sources), rank=0, ranks=2)
    for sample in loader: ...                     # without end; Sample.clips: one clip, or two that see the same place
    saved = loader.state(); Loader(LoaderConfig(sources), 0, 2).resume(saved)    # the very next sample

All ranks walk the same endless row of draws; draw n belongs to rank n modulo ranks. Each source is gone through in shuffled
order, every clip once before any comes again, so that no two ranks ever share a sample.
"""

from __future__ import annotations

from dreamx.data.loader.loader import From, LoadedSample, Loader, LoaderConfig
from dreamx.data.loader.shape import Revisit, Window

__all__ = ["From", "LoadedSample", "Loader", "LoaderConfig", "Revisit", "Window"]
