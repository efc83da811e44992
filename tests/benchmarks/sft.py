"""How fast is `src.sft` against stock `trl.SFTTrainer`?

    python -m tests.benchmarks.sft --data alpaca.json --rows 200 --tokenizer models/gpt2

GPT-2-124M's shape with random weights, the same rows in the same order, the same batch size and learning
rate. Every run is a process of its own, and the variants alternate, so that a busy machine hurts them alike.
Run by hand; nothing is asserted.

  stock         SFTTrainer with its defaults and use_cpu: bf16 autocast, activation checkpointing, dropout 0.1
  stock-best    the same with what its documentation offers on a CPU: no checkpointing, no dropout, bf16 only
                if native
  ours          src.sft in the same order
  ours-grouped  src.sft as the notebooks use it: batches of similar length (another order, so no curve to
                compare)
"""

import argparse
import tempfile

from tests.benchmarks import common
from tests.benchmarks.common import Line, Runs

VARIANTS = ("stock", "stock-best", "ours", "ours-grouped")
TARGET = 8.0  # times faster than stock


def main(arguments: list[str] | None = None) -> list[Line]:
    parser = common.make_parser(__doc__, VARIANTS)
    parser.add_argument("--data", required=True, type=common.existing, help="Alpaca-format .json or .jsonl")
    parser.add_argument("--rows", type=common.positive, default=200)
    parser.add_argument("--batch", type=common.positive, default=8)
    parser.add_argument("--profile", action="store_true", help="print where the time goes in `ours`")
    return common.benchmark("sft", parser, run, report, summary, arguments)


def report(runs: Runs) -> str:
    return f"{common.training_table(runs, 'stock', 'samples')}\n{common.curve_gaps(runs)}"


def summary(runs: Runs) -> list[Line]:
    rows = next(iter(runs.values()))[0]["rows"]
    lines = []
    for name, what in (("ours", "same order"), ("ours-grouped", "grouped by length")):
        work = f"SFT epoch, {rows} rows, {what}"
        lines += common.compare(work, runs, name, "stock", TARGET, name == "ours")
        lines += common.compare(work, runs, name, "stock-best", same_batches=name == "ours")
    return lines


def run(name: str, options: argparse.Namespace) -> dict:
    """One epoch of one variant in this process."""
    from src.models import load_tokenizer
    from src.sft import GroupedSampler, SFTSettings, encode_rows
    from src.templates import IGNORE

    tokenizer = load_tokenizer(options.tokenizer)
    examples = common.instructions(options.data, options.rows)
    settings = SFTSettings(
        batch_size=options.batch, max_length=1024, schedule="linear", group_by_length=name == "ours-grouped"
    )
    rows, _ = encode_rows(tokenizer, examples, settings)
    model = common.gpt2(name)
    if name.startswith("ours"):
        result = run_ours(model, tokenizer, examples, settings, options.profile)
    else:
        order = GroupedSampler([len(row["input_ids"]) for row in rows], options.batch, 0, grouped=False)
        ordered = [rows[i] for i in order]
        result = run_stock(model, tokenizer, ordered, settings, name == "stock-best")
    tokens = sum(len(row["input_ids"]) for row in rows)
    responses = sum(x != IGNORE for row in rows for x in row["labels"])
    # what the task needs, whatever a variant spends
    return result | {"rows": len(rows), "tokens": tokens, "flops": common.flops(tokens, responses)}


def run_ours(model, tokenizer, examples, settings, profiled: bool = False) -> dict:
    from torch.profiler import ProfilerActivity, profile

    from src.sft import train_sft

    if not profiled:
        result = train_sft(model, tokenizer, examples, settings)
    else:
        with profile(activities=[ProfilerActivity.CPU]) as trace:
            result = train_sft(model, tokenizer, examples, settings)
        print(
            trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=48)
        )
    return {"seconds": result.seconds, "losses": [row["loss"] for row in result.history]}


def run_stock(model, tokenizer, rows, settings, best: bool) -> dict:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    with tempfile.TemporaryDirectory() as folder:
        shared = common.stock_settings(folder, settings.batch_size, settings.learning_rate, best)
        arguments = SFTConfig(**shared, train_sampling_strategy="sequential")
        data = Dataset.from_list(rows)
        return common.train_stock(
            SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        )


if __name__ == "__main__":
    common.start(main)
