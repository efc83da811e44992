"""How fast is `src.reward_model.train_reward_model` against stock `trl.RewardTrainer`?

    python -m tests.benchmarks.reward --data hh_rlhf.jsonl.gz --pairs 500 --tokenizer models/gpt2

GPT-2-124M's shape with random weights and the same scalar head, the same token ids in the same order, batches and learning
rate (notebook 07's). Every run is a process of its own, and the variants alternate. Run by hand; nothing is asserted.

  stock       RewardTrainer with its defaults and use_cpu: bf16 autocast, activation checkpointing
  stock-best  the same with what its documentation offers on a CPU: no checkpointing, bf16 only if native
  ours        src.reward_model; its seconds include tokenising, which the others are given for nothing

All read our order, batches of similar length, which spares stock the padding of the random order that is its default. The
curves can only be alike with one learning rate for trunk and head, one epsilon, and the score read at the EOS: stock takes
the last token that is not the pad token, so it pads with a token that no answer ends with.
"""

import argparse
import tempfile

from tests.benchmarks import common
from tests.benchmarks.common import Line, Runs

VARIANTS = ("stock", "stock-best", "ours")
TARGET = 4.0  # times faster than stock


def main(arguments: list[str] | None = None) -> list[Line]:
    parser = common.make_parser(__doc__, VARIANTS)
    parser.add_argument("--data", required=True, type=common.existing, help="HH-format .jsonl or .jsonl.gz")
    parser.add_argument("--pairs", type=common.positive, default=500)
    return common.benchmark("reward", parser, run, report, summary, arguments)


def report(runs: Runs) -> str:
    return f"{common.training_table(runs, 'stock', 'pairs')}\n{common.curve_gaps(runs)}"


def summary(runs: Runs) -> list[Line]:
    work = f"reward-model epoch, {next(iter(runs.values()))[0]['rows']} pairs"
    return [
        *common.compare(work, runs, "ours", "stock", TARGET),
        *common.compare(work, runs, "ours", "stock-best"),
    ]


def run(name: str, options: argparse.Namespace) -> dict:
    """One epoch of one variant in this process."""
    from src.config import load_config
    from src.models import load_tokenizer
    from src.reward_model import GPT2RewardModel, RewardSettings, encode_pairs, train_reward_model

    cfg = load_config("07", profile="gpt2")
    tokenizer = load_tokenizer(options.tokenizer)
    pairs = common.preferences(options.data, options.pairs)
    settings = RewardSettings(
        learning_rate=cfg.reward.learning_rate,
        batch_size=cfg.reward.batch_size,
        micro_batch_size=cfg.reward.micro_batch_size,
        max_length=cfg.reward.max_length,
        head_lr_multiplier=1.0,
        adam_eps=1e-8,
    )
    encoded, _ = encode_pairs(tokenizer, pairs, settings.max_length)
    model = GPT2RewardModel(common.gpt2(name))
    if name == "ours":
        trained = train_reward_model(model, tokenizer, pairs, settings)
        result = {"seconds": trained.seconds, "losses": [row["loss"] for row in trained.history]}
    else:
        result = run_stock(model, tokenizer, encoded, settings, name == "stock-best")
    tokens = sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in encoded)  # of the data
    read = tokens - sum(len(p.prompt) for p in encoded) * (name == "ours")  # which reads a prompt once
    return result | {"rows": len(encoded), "tokens": tokens, "flops": common.flops(read)}


def run_stock(ours, tokenizer, encoded, settings, best: bool) -> dict:
    """RewardTrainer on the library's own classifier with the weights of `ours`."""
    import torch
    from datasets import Dataset
    from transformers import GPT2ForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    from src.sft import GroupedSampler

    # the order in which ours reads
    lengths = [len(p.prompt) + len(p.chosen) + len(p.rejected) for p in encoded]
    ordered = [encoded[i] for i in GroupedSampler(lengths, settings.batch_size, settings.seed)]
    rows = [{"chosen_ids": p.prompt + p.chosen, "rejected_ids": p.prompt + p.rejected} for p in ordered]
    ours.trunk.config.num_labels = 1
    model = GPT2ForSequenceClassification(ours.trunk.config)
    model.transformer = ours.trunk
    with torch.no_grad():
        model.score.weight.copy_(ours.reward_head.weight)
    pad = 0 if tokenizer.eos_token_id else 1
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    with tempfile.TemporaryDirectory() as folder:
        shared = common.stock_settings(folder, settings.batch_size, settings.learning_rate, best)
        arguments = RewardConfig(**shared, train_sampling_strategy="sequential")
        data = Dataset.from_list(rows)
        return common.train_stock(
            RewardTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        )


if __name__ == "__main__":
    common.start(main)
