"""How fast is `src.preference.train_dpo` against stock `trl.DPOTrainer`?

    python -m tests.benchmarks.dpo --data hh_rlhf.jsonl.gz --pairs 100 --tokenizer models/gpt2

GPT-2-124M's shape with random weights, the same token ids in the same (random, seeded) order, batches, beta and learning rate
(notebook 07's). Every run is a process of its own, and the variants alternate. Run by hand; nothing is asserted.

  stock       DPOTrainer with its defaults and use_cpu: bf16 autocast, activation checkpointing
  stock-best  the same with what its documentation offers on a CPU: no checkpointing, bf16 only if native. (Reference
              log-probabilities computed beforehand save memory, but no time in a single epoch.)
  ours        src.preference, which is DPOTrainer with these settings, the fused GELU and copies that keep the caller's model
              clean; its seconds include tokenising and copying, which the others are given for nothing
"""

import argparse
import tempfile

from tests.benchmarks import common
from tests.benchmarks.common import Line, Runs

VARIANTS = ("stock", "stock-best", "ours")


def main(arguments: list[str] | None = None) -> list[Line]:
    parser = common.make_parser(__doc__, VARIANTS)
    parser.add_argument("--data", required=True, type=common.existing, help="HH-format .jsonl or .jsonl.gz")
    parser.add_argument("--pairs", type=common.positive, default=100)
    return common.benchmark("dpo", parser, run, report, summary, arguments)


def report(runs: Runs) -> str:
    return f"{common.training_table(runs, 'stock', 'pairs')}\n{common.curve_gaps(runs)}"


def summary(runs: Runs) -> list[Line]:
    work = f"DPO epoch, {next(iter(runs.values()))[0]['rows']} pairs"
    return [
        *common.compare(work, runs, "ours", "stock"),
        *common.compare(work, runs, "ours", "stock-best"),
    ]


def run(name: str, options: argparse.Namespace) -> dict:
    """One epoch of one variant in this process."""
    from src.config import load_config
    from src.models import load_tokenizer
    from src.preference import DPOSettings, train_dpo
    from src.reward_model import encode_pairs

    cfg = load_config("07", profile="gpt2")
    tokenizer = load_tokenizer(options.tokenizer)
    pairs = common.preferences(options.data, options.pairs)
    settings = DPOSettings(
        beta=cfg.dpo.beta,
        learning_rate=cfg.dpo.learning_rate,
        batch_size=cfg.dpo.batch_size * cfg.dpo.gradient_accumulation_steps,
        max_length=cfg.reward.max_length,
    )
    encoded, _ = encode_pairs(tokenizer, pairs, settings.max_length)
    if name == "ours":
        trained = train_dpo(common.gpt2(name), None, tokenizer, pairs, settings)
        result = {"seconds": trained.seconds, "losses": [row["loss"] for row in trained.history]}
    else:
        result = run_stock(name, tokenizer, encoded, settings)
    responses = sum(len(p.chosen) + len(p.rejected) for p in encoded)
    tokens = sum(2 * len(p.prompt) for p in encoded) + responses
    needed = common.flops(tokens, responses) + common.flops(tokens, responses, factor=2)  # the reference
    return result | {"rows": len(encoded), "tokens": tokens, "flops": needed}


def run_stock(name: str, tokenizer, encoded, settings) -> dict:
    from datasets import Dataset
    from trl import DPOConfig

    from src.preference import _EncodedDPOTrainer

    rows = [{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in encoded]
    with tempfile.TemporaryDirectory() as folder:
        best = name == "stock-best"
        shared = common.stock_settings(folder, settings.batch_size, settings.learning_rate, best)
        # it would look for an in-memory model on the Hub
        trainer = _EncodedDPOTrainer(  # the stock trainer but for tokenising, so that the tokens are the same
            model=common.gpt2(name),
            ref_model=common.gpt2(name).requires_grad_(False),
            args=DPOConfig(**shared, beta=settings.beta),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        return common.train_stock(trainer)


if __name__ == "__main__":
    common.start(main)
