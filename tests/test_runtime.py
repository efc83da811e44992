"""src/runtime.py: pinning, seeds, precision, memory, progress."""

from __future__ import annotations

import os
import random
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from src import runtime
from src.config import load_config


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item(), torch.nn.Linear(2, 2).weight[0, 0].item()


def test_setup_pins_the_cpu_and_seeds(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    before = torch.get_num_threads()
    try:
        runtime.setup(load_config("01", overrides=["threads=1", "seed=5"], environ={}))
        first = draw()
        assert torch.get_num_threads() == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == ""
        runtime.seed_everything(5)
        assert draw() == first
        runtime.seed_everything(6)
        assert draw() != first
        runtime.seed_everything(2**40)  # NumPy takes 32 bits only
    finally:
        torch.set_num_threads(before)


def test_thread_count(monkeypatch):
    assert runtime.thread_count(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert runtime.thread_count(0) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert 1 <= runtime.thread_count(0) <= os.cpu_count()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(runtime.psutil, "cpu_count", lambda logical: None)
    assert runtime.thread_count(0) >= 1


def test_native_bf16_is_guarded(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    for flags, answer in (("fpu avx512_bf16", True), ("fpu amx_bf16 sse", True), ("fpu avx2 avx512f", False)):
        text = f"model name : x\nflags\t\t: {flags}\nbugs : y\n"
        monkeypatch.setattr(runtime.Path, "read_text", lambda self, text=text, **_: text)
        assert runtime.native_bf16() is answer
    monkeypatch.setattr(runtime.platform, "machine", lambda: "arm64")
    assert runtime.native_bf16() is False


def test_precision(monkeypatch):
    monkeypatch.setattr(runtime, "native_bf16", lambda: True)
    assert runtime.resolve_precision("auto") == "bf16"
    monkeypatch.setattr(runtime, "native_bf16", lambda: False)
    assert runtime.resolve_precision("auto") == "fp32"
    a = torch.randn(4, 4)
    with runtime.autocast("bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with runtime.autocast("fp32"):
        assert (a @ a).dtype == torch.float32
    with pytest.raises(ValueError, match="auto, fp32 or bf16, not 'fp16'"):
        runtime.autocast("fp16")


def test_peak_memory_only_grows():
    before = runtime.peak_memory_mb()
    now = runtime.psutil.Process().memory_info().rss / 1e6
    block = np.ones(int((before - now + 150) * 1e6 / 8))  # 150 MB above the peak so far
    after = runtime.peak_memory_mb()
    del block
    # Linux counts pages per processor in batches: a few MB of slack
    assert 20 < before and after >= before + 100 and runtime.peak_memory_mb() >= after - 5


def test_stopwatch():
    watch = runtime.Stopwatch()
    time.sleep(0.02)
    assert 0.02 <= watch.seconds < 5


def test_progress_goes_to_the_file_and_not_to_the_output(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "p"))
    runtime.progress("epoch 1\nof 2")
    runtime.progress("loss 2.5")
    assert (tmp_path / "p").read_text().splitlines() == ["epoch 1 of 2", "loss 2.5"]
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    runtime.progress("silent in a pipe")
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "ipykernel", runtime)
    runtime.progress("in Jupyter")
    out = capsys.readouterr().out
    assert out.startswith("\rin Jupyter") and not out.endswith("\n")


def test_measuring_the_machine_leaves_the_random_state_alone():
    runtime.seed_everything(1)
    with torch.no_grad():
        measured = runtime.measure_machine(0.05)
    after = draw()
    runtime.seed_everything(1)
    assert draw() == after
    assert set(measured) == {"gflops", "tokens_per_second", "training_gflops"} and min(measured.values()) > 0


def test_quiet_libraries_and_malloc(monkeypatch):
    for name in runtime.QUIET:
        monkeypatch.delenv(name, raising=False)
    runtime.quiet_libraries()
    assert all(os.environ[name] == value for name, value in runtime.QUIET.items())
    import tqdm.auto

    assert tqdm.auto.tqdm is tqdm.std.tqdm
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    assert runtime.malloc_environment() == {}
    monkeypatch.setattr(runtime.sys, "platform", "linux")
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert runtime.malloc_environment()["MALLOC_TOP_PAD_"] == "67108864"
    assert runtime.malloc_environment().items() < runtime.memory_environment().items()


@pytest.mark.skipif(not runtime.malloc_environment(), reason="only glibc has malloc_trim")
def test_memory_is_given_back():
    process = psutil.Process()
    # 200 MB in blocks that malloc keeps when they are freed
    pieces = [bytearray(50_000) for _ in range(4000)]
    pin = bytearray(50_000)  # above them, so that the heap cannot shrink from its end
    held = process.memory_info().rss
    del pieces
    runtime.release_memory()
    assert held - process.memory_info().rss > 100e6 and len(pin) == 50_000
