"""All speed benchmarks and one table of them.

    python -m tests.benchmarks --alpaca alpaca.json --pairs hh_rlhf.jsonl.gz --tokenizer models/gpt2 [--publish]

SFT, reward model and DPO against stock TRL, KL-regularised against plain SFT, and a PPO step, all at GPT-2-124M's shape, with
the targets of the design. Takes an hour or more on two cores; a benchmark that fails is named at the end and does not stop the
others. Nothing is asserted: the exit code is 0 unless one failed to run. `--publish` keeps the table in outputs/reference and
shows it in README.md.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from src.config import ROOT
from src.jsonio import write_json
from src.report import SPEED_FILE, write_readme
from src.workspace import REFERENCE
from tests.benchmarks import common, dpo, kl, ppo, reward, sft

MAINS: dict[str, Callable[[list[str]], list[common.Line]]] = {
    "sft": sft.main,
    "kl": kl.main,
    "reward": reward.main,
    "dpo": dpo.main,
    "ppo": ppo.main,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--alpaca", required=True, type=common.existing, help="Alpaca-format .json or .jsonl")
    parser.add_argument("--pairs", required=True, type=common.existing, help="HH-format .jsonl or .jsonl.gz")
    parser.add_argument("--tokenizer", required=True, help="folder with GPT-2's tokenizer")
    parser.add_argument("--rows", type=common.positive, default=200, help="of Alpaca, for sft and kl")
    parser.add_argument("--reward-pairs", type=common.positive, default=500)
    parser.add_argument("--dpo-pairs", type=common.positive, default=100)
    parser.add_argument("--steps", type=common.positive, default=3, help="of PPO")
    parser.add_argument("--rounds", type=common.positive, default=1, help="the best of so many runs counts")
    parser.add_argument("--only", nargs="+", choices=MAINS, default=list(MAINS))
    parser.add_argument("--publish", action="store_true", help="renew outputs/reference and README.md")
    options = parser.parse_args(arguments)
    if options.publish and options.only != list(MAINS):
        parser.error("--publish takes all benchmarks: leave --only out")
    lines, failed = [], []
    for name in options.only:
        try:
            lines += MAINS[name](command(name, options))
        except common.BenchmarkError as error:
            print(f"\n{error}\n", file=sys.stderr, flush=True)
            failed.append(name)
    if lines:
        print("\nAll together\n" + common.show(lines))
    if failed:
        sys.exit(f"failed to run: {', '.join(failed)} (messages above)")
    if options.publish:
        publish(lines, options)


def publish(
    lines: list[common.Line],
    options: argparse.Namespace,
    reference: Path = REFERENCE,
    readme: Path = ROOT / "README.md",
) -> None:
    """Keep the table beside the committed results, with its command, and renew README from both. Raises what `write_readme`
    raises."""
    sizes = ("rows", "reward_pairs", "dpo_pairs", "steps", "rounds")
    asked = " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in sizes)
    files = "--alpaca alpaca.json --pairs hh_rlhf.jsonl.gz --tokenizer models/gpt2"
    found = {
        "command": f"python -m tests.benchmarks {files} {asked}",
        "machine": common.machine(lines),
        "rows": [common.cells(line) for line in lines],
    }
    write_json(reference / SPEED_FILE, found)
    write_readme(readme, reference)


def command(name: str, options: argparse.Namespace) -> list[str]:
    """The arguments with which one benchmark is called."""
    own = {
        "sft": ["--data", options.alpaca, "--rows", str(options.rows)],
        "kl": ["--data", options.alpaca, "--rows", str(options.rows)],
        "reward": ["--data", options.pairs, "--pairs", str(options.reward_pairs)],
        "dpo": ["--data", options.pairs, "--pairs", str(options.dpo_pairs)],
        "ppo": ["--data", options.pairs, "--steps", str(options.steps)],
    }
    return [*own[name], "--tokenizer", options.tokenizer, "--rounds", str(options.rounds)]


if __name__ == "__main__":
    main()
