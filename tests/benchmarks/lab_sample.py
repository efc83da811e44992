"""Print rows of the lab's data for reading: instruction rows with label and gold score, and preference pairs.

python -m tests.benchmarks.lab_sample [--seed 0] [--rows 200] [--pairs 40]
"""

import argparse

from src.lab import gold_score
from src.lab.instructions import pool
from src.lab.preferences import pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=40)
    arguments = parser.parse_args()
    for number, row in enumerate(pool(arguments.rows, arguments.seed), start=1):
        asked = f"{row.task.instruction}\n{row.task.input}".strip()
        gold = gold_score(asked, row.output).total
        label = row.bad or f"good, {row.style}"
        print(
            f"{number:3} [{row.task.kind}; {label}; gold {gold:.2f}] {' / '.join(asked.splitlines())}\n      -> {row.output!r}"
        )
    for number, pair in enumerate(pairs(arguments.pairs, arguments.seed), start=1):
        flip = ", FLIPPED" if pair.flipped else ""
        print(f"\nPair {number} [flaw: {pair.flaw}{flip}]{pair.prompt}")
        print(f"   chosen   {pair.gold_chosen:.2f}  {pair.chosen!r}")
        print(f"   rejected {pair.gold_rejected:.2f}  {pair.rejected!r}")


if __name__ == "__main__":
    main()
