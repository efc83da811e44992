"""Independent computations side by side: one forked process a core, one thread each.

A small model uses a second thread badly: two trainings of the lab's model at once, a thread each, end sooner than one
after the other with two (`python -m tests.benchmarks.side_by_side` measures by how much). GPT-2 fills
two threads and needs the memory, so its profile stays with one process (`processes` in configs/common.yaml).

Forked, not spawned: a call may close over models, rows and functions of a notebook, and finds them where they were. A
child never goes back into the notebook: it hands its results over through files (`Run.cached`), says so with one line in
a pipe, and exits. Linux only; elsewhere forking a process with threads is not safe, and callers go on one by one.
A result computed on one thread differs from one on several by rounding: `processes=1` repeats the latter.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from src.runtime import progress, thread_count

LARGEST = 4  # processes: each holds a model, its optimiser and its activations
CHILD_BYTES = 1.5e9  # free memory for each of them, or there are fewer


def process_count(wanted: int, threads: int = 0) -> int:
    """How many processes to use: `wanted`, or for 0 one for each of `thread_count(threads)`, as far as memory allows."""
    if sys.platform != "linux":
        return 1
    return max(1, min(wanted or min(thread_count(threads), LARGEST), int(free_bytes() // CHILD_BYTES)))


def free_bytes(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Memory that is free on this machine, or in this container if that has less. What only keeps files that were read counts
    as free: the system drops it when somebody needs the room."""
    free = psutil.virtual_memory().available
    try:
        limit, used, parts = ((group / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = dict(line.split() for line in parts.splitlines()).get("inactive_file", 0)
        return min(free, int(limit) - int(used) + int(cached))
    except (OSError, ValueError):  # no such files, or "max": no limit
        return free


def run_forked(calls: Sequence[Callable[[], Any]], processes: int, report: Callable[[], Any]) -> list[Any]:
    """Run `calls` in forked processes, each taking the next call when it is done with one; what they return is dropped.

    Returns what `report()` gave, as JSON, after each call that ended well, in the order in which they ended. After a call
    that raises no further one is begun; its traceback goes to stderr. A call that raised, was not begun, or whose process
    died has no report, and the caller, who lacks its result, can make it and meet the error. On an exception here, Ctrl-C
    included, the children are killed.
    """
    take, put = os.pipe()
    for index in range(len(calls)):
        os.write(put, index.to_bytes(2, "big"))  # 65,536 bytes fit into a pipe before anybody reads
    os.close(put)
    hear, say = os.pipe()
    parent, children, reports, heard = os.getpid(), [], [], b""
    try:
        try:
            with _interrupts_wait():
                for _ in range(min(processes, len(calls))):
                    child = _fork()
                    if child is None:  # no room: those that there are do the work, or the caller does
                        break
                    if not child:
                        _work(calls, take, say, hear, report, parent)
                    children.append(child)
        finally:
            os.close(take)
            os.close(say)  # the children's copies are left: the pipe ends when the last of them does
        while part := os.read(hear, 65536):
            *lines, heard = (heard + part).split(b"\n")
            reports += [json.loads(line) for line in lines]
            progress(f"{len(reports)} of {len(calls)} done, {len(children)} at a time")
    finally:
        os.close(hear)
        for child in children:
            os.kill(child, signal.SIGKILL)  # one that has said its last line has nothing left to do
            os.waitpid(child, 0)
        progress("")
    return reports


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C counts at the end of the block: between a fork and the next line it would leave a child that nobody knows of,
    or one that goes on in the notebook as if it were the parent. (A blocked signal would not do: it goes to another
    thread, and Python raises in this one.)"""
    if threading.current_thread() is not threading.main_thread():  # there Ctrl-C raises nothing
        yield
        return
    heard: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual or signal.SIG_DFL)
    if heard:
        raise KeyboardInterrupt


def _fork() -> int | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of threads: see `_become_child`
            return os.fork()
    except OSError:
        return None


def _work(
    calls: Sequence[Callable[[], Any]],
    take: int,
    say: int,
    hear: int,
    report: Callable[[], Any],
    parent: int,
) -> None:
    """A child's whole life; does not return."""
    try:
        os.close(hear)
        _become_child(parent)
        while index := os.read(take, 2):
            calls[int.from_bytes(index, "big")]()
            os.write(say, (json.dumps(report()) + "\n").encode())  # below 4096 bytes, so lines stay whole
    except BaseException:  # noqa: BLE001 - the parent makes the call again and meets the error itself
        traceback.print_exc()
        while os.read(take, 65536):  # and nobody begins another one
            pass
    finally:
        # No clean-up of the notebook's: its sockets, locks and temporary folders are the parent's
        os._exit(0)


def _become_child(parent: int) -> None:
    """One thread from here on: the pools that the parent's threads served do not exist in a forked process. Ends
    with the parent, however that ends, and keeps out of the notebook's output: stdout goes nowhere, stderr to that of
    the program that started the kernel."""
    import torch

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it ended before it could be followed
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:  # in a kernel this is the real one, and descriptor 2 a pipe into the notebook
        error = os.dup(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(error, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    torch.set_num_threads(1)
