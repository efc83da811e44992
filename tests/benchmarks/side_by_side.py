"""Does a training of the lab's model gain more from a second thread, or from a neighbour? Notebook 05's runs, both ways.

python -m tests.benchmarks.side_by_side [--processes 2] [--rounds 3]

"one by one": as many trainings as processes, each with all threads. "side by side": the same, forked, one thread each
(`src.parallel`). In turns in one process, after a first training that does not count; medians of the rounds. Run by hand.
"""

import argparse
import statistics
from functools import partial

import torch

from src import runtime
from src.config import ROOT, load_config
from src.data import examples, load_instructions, usable_rows
from src.evaluation import evaluate
from src.models import load_model, load_tokenizer
from src.parallel import run_forked
from src.sft import SFTSettings, train_sft
from src.templates import SINGLE
from tests.benchmarks.common import positive


def training(seed: int) -> None:
    """A run as notebook 05 makes many of them: trained on its largest set at its middle rate, then measured."""
    cfg = load_config("05", "lab", environ={})
    source = ROOT / cfg.base_model
    model, tokenizer = load_model(source), load_tokenizer(source)
    size = max(cfg.sweep.sizes)
    rows = usable_rows(load_instructions(cfg.instruction_data, 2 * size, seed=seed))[0].select(range(size))
    settings = SFTSettings(
        max_steps=cfg.sweep.steps,
        batch_size=cfg.sweep.batch_size,
        learning_rate=sorted(cfg.sweep.rates)[len(cfg.sweep.rates) // 2],
        warmup=cfg.sweep.warmup,
        max_length=cfg.sweep.max_length,
        too_long="skip",
        precision=cfg.precision,
        seed=seed,
    )
    train_sft(model, tokenizer, examples(rows, [SINGLE], seed), settings)
    evaluate(model, tokenizer, cfg, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=positive, default=runtime.thread_count())
    parser.add_argument("--rounds", type=positive, default=3)
    options = parser.parse_args()
    runtime.setup(load_config("05", "lab", environ={}))
    calls = [partial(training, seed) for seed in range(options.processes)]
    training(0)
    serial, forked = [], []
    for _ in range(options.rounds):
        watch = runtime.Stopwatch()
        for call in calls:
            call()
        serial.append(watch.seconds)
        watch = runtime.Stopwatch()
        assert len(run_forked(calls, options.processes, dict)) == len(calls), "a process died"
        forked.append(watch.seconds)
    one, beside = statistics.median(serial), statistics.median(forked)
    print(
        f"{len(calls)} trainings, {runtime.resolve_precision('auto')}: one by one on {torch.get_num_threads()} threads "
        f"{one:.1f} s, side by side on one thread each {beside:.1f} s: {one / beside:.2f} times as fast "
        f"(rounds: {', '.join(f'{a / b:.2f}' for a, b in zip(serial, forked, strict=True))})"
    )


if __name__ == "__main__":
    main()
