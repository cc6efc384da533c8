"""Reads parts of a file ahead of who wants them.

In: parts, and what reads one. Out: what is read, in the order of the parts. Guaranteed: no more than a few parts are in memory;
when the reader stops, or breaks, no thread is left.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

_MOST_THREADS = 4

Part = TypeVar("Part")
Found = TypeVar("Found")


def read_ahead(parts: Iterable[Part], read: Callable[[Part], Found]) -> Iterator[Found]:
    """The parts read by several threads, in their order: Arrow and numpy hold no lock while they work."""
    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST_THREADS)
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(threads, "bmc-read") as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(read, part))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
