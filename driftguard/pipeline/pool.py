"""Runs one piece of work for each of many environments, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    at_a_time: int,
    on_done: Callable[[Item, Result], None],
) -> list[Result]:
    """The results in the order of the items.

    Args:
        work: must not raise.
        on_done: called in this thread as each item is finished.
    """
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(max_workers=max(1, at_a_time), thread_name_prefix="environment") as executor:
        futures: dict[Future[Result], int] = {executor.submit(work, item): i for i, item in enumerate(items)}
        pending = set(futures)
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                pending.discard(future)
                index = futures[future]
                results[index] = future.result()
                on_done(items[index], results[index])
    return [results[index] for index in range(len(items))]
