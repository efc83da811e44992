"""How the suite is shared between processes: `python src/quickstart.py test` starts up to four, `pytest` alone one.

A file stays in one process, because its costly fixtures serve the whole file. The longest files go first, so that no
process is left with one of them when the others have finished.
"""

import os
import signal

from src.runtime import thread_count

# The longest files, longest first, by `pytest --durations=0` with one thread: the first takes nearly half of all
LONGEST = ("test_notebooks.py", "test_benchmarks.py", "test_sharded.py", "test_lab.py", "test_distributed.py")


def pytest_configure() -> None:
    """In a worker: its share of the cores, for torch here and in the programs that its tests start. Everywhere: Ctrl-C."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, thread_count() // workers))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # what a shell starts in the background hears no Ctrl-C, and hands that on to the programs that tests interrupt
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list) -> None:
    """The tests of the longest files first; otherwise pytest's order."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))
