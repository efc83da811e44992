"""What the speed benchmarks share: runs in processes of their own, GPT-2's shape, the machine's peak, one table.

Every run of a variant is a process (`alternate`), so that none inherits another's memory, and the variants take turns, so
that a busy machine hurts them alike. A benchmark module gives `run(variant, options)` for the child, which returns numbers,
and `report(runs)` and `summary(runs)` for the parent, which print them. The parent holds no model.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from src.headless import table
from src.runtime import memory_environment, native_bf16

MARK = "RESULT "
TRUNK, HEAD = 85_054_464, 38_597_376  # GPT-2 124M: parameters of the twelve blocks, and of the tied LM head
Runs = dict[str, list[dict]]


class BenchmarkError(RuntimeError):
    """A benchmark cannot be run; the message says why."""


# --- Parent: run, compare, print -------------------------------------------------------------------------------


def make_parser(doc: str, variants: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default="models/gpt2", help="folder with GPT-2's tokenizer")
    parser.add_argument("--rounds", type=positive, default=1, help="runs of every variant; the best counts")
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants)
    parser.add_argument("--one", choices=variants, help=argparse.SUPPRESS)
    return parser


def existing(path: str) -> str:
    """argparse type: a file that is there."""
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path!r}")
    return path


def positive(text: str) -> int:
    """argparse type: a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def benchmark(
    module: str,
    parser: argparse.ArgumentParser,
    run: Callable[[str, argparse.Namespace], dict],
    report: Callable[[Runs], str],
    summary: Callable[[Runs], list["Line"]],
    arguments: Sequence[str] | None,
) -> list["Line"]:
    """The life of a benchmark: in the parent all runs, the report and the lines of the summary; in a child one run."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(arguments)
    if options.one:
        print(MARK + json.dumps(run_one(run, options)))
        return []
    runs = alternate(module, arguments, feasible(options.variants), options.rounds)
    print(report(runs))
    lines = summary(runs)
    print("\n" + show(lines) + "\n", flush=True)
    return lines


def feasible(variants: Sequence[str]) -> list[str]:
    """`variants` without those that this machine cannot do in a day: stock TRL's defaults multiply in bf16, which a CPU without
    native bf16 does about a hundred times slower than fp32 (16 rows of Alpaca were not done after 17 minutes)."""
    if "stock" not in variants or native_bf16():
        return list(variants)
    if list(variants) == ["stock"]:
        raise BenchmarkError(
            "stock alone would take a day here: its defaults are bf16, which this CPU does not multiply natively"
        )
    print(
        "stock is left out: its defaults are bf16, which this CPU does not multiply natively; see stock-best"
    )
    return [name for name in variants if name != "stock"]


def alternate(module: str, arguments: Sequence[str], variants: Sequence[str], rounds: int) -> Runs:
    """Every variant in turn, `rounds` times, each run in a process. Raises BenchmarkError with a failing run's output."""
    runs: Runs = {name: [] for name in variants}
    for number in range(rounds):
        for name in variants:
            # the allocator's setting belongs to how the course runs, so the library's defaults go without it
            extra = {} if name == "stock" else memory_environment()
            command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments, "--one", name]
            done = subprocess.run(
                command, check=False, env=os.environ | extra, capture_output=True, text=True
            )
            result, rest = parse_result(done.stdout)
            if result is None or done.returncode:
                died = f"{module}: {name} failed with code {done.returncode}"
                raise BenchmarkError("\n".join(filter(None, (died, rest, done.stderr.strip()))))
            if rest:
                print(rest)
            runs[name].append(result)
            took = f"{result['seconds']:.1f} s, {result['memory']:.0f} MB"
            print(f"{module}, round {number + 1}/{rounds}: {name} {took}", file=sys.stderr, flush=True)
    return runs


def parse_result(output: str) -> tuple[dict | None, str]:
    """(the result that a child printed last, or None; everything else that it printed)."""
    lines = output.splitlines()
    results = [line for line in lines if line.startswith(MARK)]
    rest = "\n".join(line for line in lines if not line.startswith(MARK))
    return (json.loads(results[-1][len(MARK) :]) if results else None), rest


def fastest(runs: Runs) -> dict[str, dict]:
    """The best run of every variant: other programs only ever make one slower."""
    return {name: min(several, key=lambda run: run["seconds"]) for name, several in runs.items()}


def peaks(runs: Runs) -> dict[str, float]:
    """The highest TFLOP/s that any run saw of this machine."""
    return {kind: max(run[kind] for several in runs.values() for run in several) for kind in ("fp32", "bf16")}


def share(run: dict, runs: Runs) -> float:
    """Operations the task needs per second, against the machine's matmul peak in its fastest precision."""
    return run["flops"] / run["seconds"] / 1e12 / max(peaks(runs).values())


def training_table(runs: Runs, base: str, unit: str) -> str:
    """Seconds, rates, share of the peak and memory of every variant, and how many times faster than `base` it is."""
    best, peak = fastest(runs), peaks(runs)
    threads = next(iter(best.values()))["threads"]
    rows = [("", "seconds", f"{unit}/s", "tokens/s", "of peak", "peak MB", f"× {base}")]
    for name, run in best.items():
        seconds = run["seconds"]
        ratio = f"{best[base]['seconds'] / seconds:.2f}" if base in best else "-"
        rates = (f"{run['rows'] / seconds:.2f}", f"{run['tokens'] / seconds:.0f}", f"{share(run, runs):.1%}")
        rows.append((name, f"{seconds:.1f}", *rates, f"{run['memory']:.0f}", ratio))
    head = f"\nmatmul peak: fp32 {peak['fp32']:.2f}, bf16 {peak['bf16']:.2f} TFLOP/s ({threads} threads)"
    return f"{head}\n{table(rows)}"


def curve_gaps(runs: Runs, ours: str = "ours") -> str:
    """How far the loss curves of `ours` and of the stock variants are apart, one line each."""
    best, lines = fastest(runs), []
    for name in (name for name in best if name.startswith("stock") and ours in best):
        theirs, mine = best[name]["losses"], best[ours]["losses"]
        gaps = _gaps(best[name], best[ours])
        lines.append(
            f"loss curves, {ours} against {name}: mean difference {statistics.mean(gaps):.4f}, "
            f"largest {max(gaps):.4f}, first {theirs[0]:.4f} and {mine[0]:.4f}, last {theirs[-1]:.4f} and {mine[-1]:.4f}"
        )
    return "\n".join(lines)


class Goal(NamedTuple):
    """A target of the design and whether it is reached."""

    text: str
    met: bool


def at_least(value: float, bound: float, unit: str) -> Goal:
    return Goal(f"≥ {bound:g} {unit}", value >= bound)


def at_most(value: float, bound: float, unit: str) -> Goal:
    return Goal(f"≤ {bound:g} {unit}", value <= bound)


@dataclass(frozen=True)
class Line:
    """One row of the table: a piece of work, ours, and what it is held against."""

    work: str
    seconds: float
    share: float  # of the matmul peak
    memory: float  # MB at the peak
    against: str = ""
    other_seconds: float | None = None
    ratio: str = ""
    goals: list[Goal] = field(default_factory=list)
    peak: float = 0.0  # TFLOP/s: what `share` is a share of
    gap: float | None = None  # mean distance of the two loss curves, where both read the same batches


def compare(
    work: str, runs: Runs, name: str, against: str, factor: float | None = None, same_batches: bool = True
) -> list[Line]:
    """The line "`name` is so many times faster than `against`", with `factor` as the target; none if either did not run."""
    best = fastest(runs)
    if name not in best or against not in best:
        return []
    mine, other = best[name], best[against]
    ratio = other["seconds"] / mine["seconds"]
    return [
        Line(
            work,
            mine["seconds"],
            share(mine, runs),
            mine["memory"],
            against,
            other["seconds"],
            f"{ratio:.2f} × faster",
            [] if factor is None else [at_least(ratio, factor, "× faster")],
            max(peaks(runs).values()),
            statistics.mean(_gaps(mine, other)) if same_batches else None,
        )
    ]


def _gaps(one: dict, other: dict) -> list[float]:
    """How far two runs' losses are apart, step by step. ValueError when they have not equally many."""
    return [abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True)]


def cells(line: Line) -> dict[str, str]:
    """A line of the table as texts, by column."""
    return {
        "work": line.work,
        "ours (s)": f"{line.seconds:.1f}",
        "against": line.against,
        "its (s)": "" if line.other_seconds is None else f"{line.other_seconds:.1f}",
        "ratio": line.ratio,
        "losses differ by": "" if line.gap is None else f"{line.gap:.4f}",
        "of peak": f"{line.share:.0%}",
        "memory (GB)": f"{line.memory / 1000:.1f}",
        "target": "; ".join(goal.text for goal in line.goals),
        "reached": "; ".join("yes" if goal.met else "no" for goal in line.goals),
    }


def show(lines: Sequence[Line]) -> str:
    """The table: ours against stock, ratio, share of the peak, memory, target."""
    rows = [cells(line) for line in lines]
    if not rows:
        return "nothing to compare: a line needs two of the variants"
    return table([tuple(rows[0]), *(tuple(row.values()) for row in rows)])


def machine(lines: Sequence[Line]) -> dict[str, str | int | list[float]]:
    """What a published table says of the machine: threads, precision, and the lowest and highest matmul peak (TFLOP/s) that
    the shares of its lines are shares of."""
    from src.runtime import resolve_precision, thread_count

    found = [line.peak for line in lines]
    return {
        "threads": thread_count(),
        "precision": resolve_precision("auto"),
        "peaks": [round(min(found), 3), round(max(found), 3)],
    }


def start(main: Callable[[], object]) -> None:
    """`main()` from the command line: a BenchmarkError ends it with its message, not with a traceback."""
    try:
        main()
    except BenchmarkError as error:
        sys.exit(str(error))


# --- Child: model, data, machine -------------------------------------------------------------------------------


def run_one(run: Callable[[str, argparse.Namespace], dict], options: argparse.Namespace) -> dict:
    """The numbers of one variant, with this machine's peak and this process's memory. Wrong input exits with a sentence."""
    from src.runtime import peak_memory_mb, quiet_libraries, thread_count

    quiet_libraries()
    import torch

    from src.config import ConfigError
    from src.files import DataError
    from src.models import ModelError

    torch.set_num_threads(thread_count())
    result = {"threads": torch.get_num_threads()} | matmul_peaks()
    try:
        result |= run(options.one, options)
    except (ConfigError, DataError, ModelError) as error:
        sys.exit(str(error))
    return result | {"memory": peak_memory_mb()}


def matmul_peaks() -> dict[str, float]:
    """TFLOP/s of matrix products: fp32 as `src.runtime.measure_machine` has it, bf16 (which it lacks) at GPT-2's size."""
    import torch

    from src.runtime import measure_machine

    a, b = torch.randn(1024, 768).bfloat16(), torch.randn(768, 3072).bfloat16()
    times: list[float] = []
    while len(times) < 12 and sum(times) < 5:  # seconds: without native bf16 one product takes as long
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return {"fp32": measure_machine()["gflops"] / 1e3, "bf16": 2 * 1024 * 768 * 3072 / min(times) / 1e12}


def gpt2(variant: str):
    """GPT-2 124M with random weights, the same in every variant: as the library makes it, or as the course loads it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from src.models import _deterministic

    config = GPT2Config()
    if not variant.startswith("stock"):
        config = _deterministic(config)
    elif variant != "stock":
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    torch.manual_seed(0)
    return GPT2LMHeadModel(config)


def flops(tokens: float, head_tokens: float = 0, factor: int = 6) -> float:
    """Operations on GPT-2 124M: 6 a parameter and token to train, 2 for a forward pass, attention itself left out."""
    return factor * (TRUNK * tokens + HEAD * head_tokens)


def instructions(path: str, count: int) -> list[tuple[str, str]]:
    """The first `count` usable rows of an Alpaca file in the single template. DataError if there are fewer."""
    from src.data import INSTRUCTION_COLUMNS, row_problem
    from src.files import DataError, load_table
    from src.templates import build_prompt

    rows = [row for row in load_table(path, INSTRUCTION_COLUMNS)[0] if row_problem(row) is None]
    if len(rows) < count:
        raise DataError(f"{path} has {len(rows)} usable rows, {count} asked for: ask for fewer.")
    return [(build_prompt(row["instruction"], row["input"]), row["output"]) for row in rows[:count]]


def preferences(path: str, count: int | None = None) -> list[dict[str, str]]:
    """`count` HH pairs (None: all) of the training part, as notebook 07 gives them to reward model and DPO."""
    from src.data import load_preferences, preference_examples

    rows = load_preferences(path, count, report=lambda text: None)
    return [vars(pair) for pair in preference_examples(rows)]


def stock_settings(folder: str, batch: int, learning_rate: float, best: bool) -> dict:
    """Arguments for a TRL config. What is not named stays at its default; `best` adds what helps on a CPU."""
    from src.runtime import native_bf16

    tuned = {"activation_checkpointing": False, "bf16": native_bf16()} if best else {}
    return tuned | {
        "output_dir": folder,
        "use_cpu": True,
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch,
        "learning_rate": learning_rate,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "seed": 0,
    }


def train_stock(trainer) -> dict:
    """Seconds of `trainer.train()` alone (not of its set-up) and the loss of every step."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    losses = [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]
    return {"seconds": seconds, "losses": losses}
