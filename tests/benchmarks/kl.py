"""What does the KL term of notebook 06 cost? KL-regularised SFT against our own plain SFT.

    python -m tests.benchmarks.kl --data alpaca.json --rows 200 --tokenizer models/gpt2

GPT-2-124M's shape with random weights; the same rows in the same batches (grouped by length, as the notebooks train) for
all variants, each run in a process of its own, in turns. Strength of the KL, amount of prose and epochs are notebook 06's: the
reference's states at the response tokens are computed in the first epoch and kept. Run by hand; nothing is asserted.

  plain        src.sft without KL
  kl-response  KL to the frozen base on the response tokens
  kl-prose     KL to the frozen base on prose that comes in addition to the rows
"""

import argparse

from tests.benchmarks import common
from tests.benchmarks.common import Line, Runs

VARIANTS = ("plain", "kl-response", "kl-prose")
TIME, MEMORY = 1.4, 1.5  # targets: times plain's time, GB on top of plain's memory


def main(arguments: list[str] | None = None) -> list[Line]:
    parser = common.make_parser(__doc__, VARIANTS)
    parser.add_argument("--data", required=True, type=common.existing, help="Alpaca-format .json or .jsonl")
    parser.add_argument("--rows", type=common.positive, default=200)
    parser.add_argument("--batch", type=common.positive, default=8)
    return common.benchmark("kl", parser, run, report, summary, arguments)


def report(runs: Runs) -> str:
    lines = [common.training_table(runs, "plain", "samples")]
    for name, best in common.fastest(runs).items():
        if name != "plain":
            lines.append(
                f"{name}: KL {best['kl'][0]:.4f} at the first step, {best['kl'][-1]:.4f} at the last"
            )
    return "\n".join(lines)


def summary(runs: Runs) -> list[Line]:
    best = common.fastest(runs)
    lines = []
    for name, mine in best.items():
        if name == "plain" or "plain" not in best:
            continue
        times = mine["seconds"] / best["plain"]["seconds"]
        # memory does not depend on the machine's load, so it is that of the worst run
        more = (max(r["memory"] for r in runs[name]) - max(r["memory"] for r in runs["plain"])) / 1000
        lines.append(
            Line(
                f"SFT with KL, {mine['rows']} rows in {mine['epochs']} epochs, {name.removeprefix('kl-')} anchor",
                mine["seconds"],
                common.share(mine, runs),
                mine["memory"],
                "plain SFT",
                best["plain"]["seconds"],
                f"{times:.2f} × its time, {more:+.2f} GB",
                [common.at_most(times, TIME, "× its time"), common.at_most(more, MEMORY, "GB more")],
                max(common.peaks(runs).values()),
            )
        )
    return lines


def run(name: str, options: argparse.Namespace) -> dict:
    """One variant of the recipe in this process, all its epochs."""
    from src.config import load_config
    from src.data import anchor_prose
    from src.models import load_tokenizer
    from src.sft import SFTSettings, encode_rows, train_sft
    from src.templates import IGNORE

    cfg = load_config("06", profile="gpt2")
    tokenizer = load_tokenizer(options.tokenizer)
    examples = common.instructions(options.data, options.rows)
    anchor = name.removeprefix("kl-")
    kl = {} if name == "plain" else {"kl_beta": cfg.train.kl_beta, "kl_anchor": anchor}
    settings = SFTSettings(
        batch_size=options.batch,
        max_length=1024,
        learning_rate=cfg.train.learning_rate,
        epochs=cfg.train.epochs,
        **kl,
    )
    prose = anchor_prose(cfg.filter.anchor_paragraphs) if anchor == "prose" else None
    result = train_sft(common.gpt2(name), tokenizer, examples, settings, prose=prose)

    rows, _ = encode_rows(tokenizer, examples, settings)
    tokens = sum(len(row["input_ids"]) for row in rows)
    responses = sum(x != IGNORE for row in rows for x in row["labels"])
    block = result.steps * settings.prose_batch * settings.prose_length if anchor == "prose" else 0
    needed = settings.epochs * common.flops(tokens, responses) + common.flops(block, block)
    if anchor == "response":
        needed += common.flops(tokens, responses, factor=2)
    needed += common.flops(block, block, factor=2)
    return {
        "seconds": result.seconds,
        "losses": [row["ce"] for row in result.history],
        "kl": [row["kl"] for row in result.history],
        "rows": settings.epochs * len(rows),
        "epochs": settings.epochs,
        "tokens": settings.epochs * tokens,
        "flops": needed,
    }


if __name__ == "__main__":
    common.start(main)
