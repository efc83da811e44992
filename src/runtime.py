"""The ground every run stands on: CPU only, a fixed number of threads, seeds, precision, time and memory.

`open_stage` of every notebook calls `setup(cfg)`. The same seed on the same machine then gives the same
metrics: the random generators are seeded, the number of threads (which decides the order of floating-point
sums) is fixed, and the GPU is out of sight. (Computations side by side have one thread each, and how many run so depends
on the machine's memory, too: what repeats bit for bit is `processes=1`.) Nothing here follows a paper; the speed settings were measured
(`tests/benchmarks`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import logging
import os
import platform
import random
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil

# torch is imported where it is used: `python -m src.run status` must not wait for it

QUIET = {  # read by the libraries when they are imported
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def setup(cfg) -> None:
    """Pin the CPU, set the threads, quieten the libraries, seed everything with `cfg.seed`."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    quiet_libraries()
    import torch

    torch.set_num_threads(thread_count(cfg.threads))
    seed_everything(cfg.seed)
    gc.freeze()  # what is imported stays: each training collects garbage, and need not look through it again


def thread_count(wanted: int = 0) -> int:
    """`wanted`, or for 0 the physical cores this process may use (at most OMP_NUM_THREADS, if that is
    set)."""
    if wanted > 0:
        return wanted
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(
        1, min(psutil.cpu_count(logical=False) or usable, usable, int(limit) if limit.isdigit() else usable)
    )


def seed_everything(seed: int) -> None:
    """Python's, NumPy's and torch's global generators; call again before each training seed."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def native_bf16() -> bool:
    """True where the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); False where that is
    unknown."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import torch

    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):  # private in torch: may go away
        with contextlib.suppress(Exception):
            if getattr(torch.cpu, name)():
                return True
    with contextlib.suppress(OSError):
        flags = (
            Path("/proc/cpuinfo")
            .read_text(encoding="utf-8", errors="replace")
            .partition("flags")[2]
            .split("\n")[0]
        )
        return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))
    return False


def resolve_precision(precision: str) -> str:
    """`auto` → `bf16` or `fp32`, by what this CPU does natively."""
    if precision == "auto":
        return "bf16" if native_bf16() else "fp32"
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be auto, fp32 or bf16, not {precision!r}")
    return precision


def autocast(precision: str):
    """Context manager: bf16 matrix products with fp32 weights, or nothing. Losses belong in fp32:
    `.float()` the logits."""
    if resolve_precision(precision) == "bf16":
        import torch

        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB (10⁶ bytes)."""
    with contextlib.suppress(OSError):  # Linux: ru_maxrss would include what the parent held before exec
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset / 1e6
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (peak if sys.platform == "darwin" else peak * 1024) / 1e6
    return info.rss / 1e6


@contextlib.contextmanager
def naming_a_full_disk(path: Path | str) -> Iterator[None]:
    """A full disk, which every library words in its own way, as one OSError that says so and what to do."""
    try:
        yield
    except Exception as error:  # safetensors raises an error of its own
        if not any(
            sign in str(error) for sign in ("Errno 28", "os error 28", "WinError 112", "os error 112")
        ):
            raise
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: {path} was not written; what was there before is untouched. "
            "Free some space (outputs/*/cache may be deleted) and run this again",
        ) from error


class Stopwatch:
    """Wall time from a clock that never jumps: `watch = Stopwatch(); …; watch.seconds`."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def progress(text: str) -> None:
    """One line of progress that never ends up in a notebook's stored output.

    Headless (`src.run` sets COURSE_PROGRESS): appended to that file, which the runner shows. In Jupyter or
    a terminal: the line is rewritten in place; `progress("")` clears it. Elsewhere (tests, pipes): nothing.
    """
    file = os.environ.get("COURSE_PROGRESS")
    if file:
        with open(file, "a", encoding="utf-8") as out:
            out.write(" ".join(text.split()) + "\n")
    elif "ipykernel" in sys.modules or sys.stdout.isatty():
        print(f"\r{text[:100]:<100}" + ("" if text else "\r"), end="", flush=True)


def quiet_libraries() -> None:
    """No progress bars (GitHub cannot show widgets) and no log lines below errors from the libraries.

    Best called before they are imported; what is already imported is switched off as well.
    """
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns when there are no widgets; none are wanted
        import tqdm.auto
    tqdm.auto.tqdm, tqdm.auto.trange = tqdm.std.tqdm, tqdm.std.trange  # a silenced widget is still a widget
    for name in ("transformers", "datasets", "trl", "peft", "accelerate", "huggingface_hub", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
    if "datasets" in sys.modules:
        import datasets

        datasets.disable_progress_bars()
        datasets.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(transformers|trl|peft|datasets|accelerate)\b"
    )


def malloc_environment() -> dict[str, str]:
    """glibc's allocator told to keep what it has: about a quarter more training speed. Must be set before
    Python starts, hence for child processes (`src.run` gives it to the kernels). Empty where there is no
    glibc."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return {}
    return {
        "MALLOC_MMAP_THRESHOLD_": "1073741824",
        "MALLOC_TRIM_THRESHOLD_": "1073741824",
        "MALLOC_TOP_PAD_": "67108864",
    }


def memory_environment() -> dict[str, str]:
    """`malloc_environment`, and small caches for the compiled matrix products of bf16.

    oneDNN keeps one for every shape, and batches of text have a new shape at every step: training a reward model grew by
    a gigabyte, at the same speed (measured: 1,775 MB without these limits, 1,110 MB with them).
    """
    return malloc_environment() | {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256"}


def release_memory() -> None:
    """Give what is no longer used back to the system, which glibc is told not to do by itself (`malloc_environment`).

    Called between two computations: what one has freed in pieces would else be added to the peak of the next.
    """
    gc.collect()
    if malloc_environment():
        ctypes.CDLL(None).malloc_trim(0)


def measure_machine(seconds: float = 0.4) -> dict[str, float]:
    """How fast this machine is now: `gflops` of an fp32 matrix product, and for training a small transformer
    block in fp32 `tokens_per_second` and the `training_gflops` they amount to (6 · parameters · tokens).
    Ratios of these numbers carry the time of a stage over to another machine (`src.run plan`)."""
    import torch

    # its own generator: measuring must not move the global one and so change the results it stands beside
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(512, 512, generator=generator)
    rate = _repeat(lambda: a @ a, seconds / 2)
    shapes = ((256, 1024), (1024, 256), (256, 2048))
    weights = [(torch.randn(shape, generator=generator) * 0.05).requires_grad_() for shape in shapes]
    x = torch.randn(1024, 256, generator=generator)

    @torch.enable_grad()
    def step() -> None:
        h = x + torch.nn.functional.gelu(x @ weights[0], approximate="tanh") @ weights[1]
        h = torch.nn.functional.layer_norm(h, (256,)) @ weights[2]
        torch.autograd.grad(torch.logsumexp(h, -1).mean(), weights)

    tokens = 1024 * _repeat(step, seconds / 2)
    return {
        "gflops": round(2 * 512**3 * rate / 1e9, 1),
        "tokens_per_second": round(tokens),
        "training_gflops": round(6 * sum(a * b for a, b in shapes) * tokens / 1e9, 1),
    }


def _repeat(work, seconds: float) -> float:
    """Calls per second, best of four windows (other programs only ever make it slower)."""
    work()
    best = 0.0
    for _ in range(4):
        watch, calls = Stopwatch(), 0
        while watch.seconds < seconds / 4 or not calls:
            work()
            calls += 1
        best = max(best, calls / watch.seconds)
    return best
