"""What the quality filter of notebook 06 removes from a file of real instructions.

    python -m tests.benchmarks.quality --data alpaca.json [--base models/gpt2]

Without `--base` the rules that read texts run; with it also those that ask a base model. Prints the count of every rule and
examples of what it removed: nobody knows which real rows are bad, so read them.
"""

import argparse
import time

from datasets import Dataset

from src import runtime
from src.data import INSTRUCTION_COLUMNS
from src.files import load_table
from src.headless import table
from src.likelihood import Likelihood
from src.models import load_model, load_tokenizer
from src.quality import FilterReport, quality_filter
from tests.benchmarks import common


def removals(data: str, rows: int, base: str | None) -> FilterReport:
    """The filter of the gpt2 profile on the first `rows` rows of a file."""
    runtime.quiet_libraries()
    model, tokenizer = (load_model(base), load_tokenizer(base)) if base else (None, None)
    table, _, _ = load_table(data, INSTRUCTION_COLUMNS)  # every row: nothing is held out here
    return quality_filter(
        Dataset.from_list(table[:rows]),
        base=model,
        tokenizer=tokenizer,
        likelihood=Likelihood(precision="auto"),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=common.existing, help="Alpaca-format file")
    parser.add_argument("--rows", type=common.positive, default=600)
    parser.add_argument("--base", help="folder or Hub name of a base model")
    parser.add_argument("--examples", type=common.positive, default=3, help="shown of every rule")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    report = removals(options.data, options.rows, options.base)
    print(f"{len(report.rows)} rows of {options.data} in {time.perf_counter() - start:.1f} s")
    print(table([["rule", "rows", "share", "meaning"]] + [
        [line["rule"], str(line["rows"]), f"{line['share']:.1%}", line["meaning"]] for line in report.table()
    ]))  # fmt: skip
    for rule, numbers in report.removed.items():
        for row in report.examples(rule, options.examples) if numbers else []:
            asked = " ".join(f"{row['instruction']} {row['input']}".split())
            print(f"\n{rule}: {asked[:160]}\n    -> {' '.join(row['output'].split())[:240] or '(nothing)'}")


if __name__ == "__main__":
    main()
