"""The quality filter of notebook 06: transparent rules, each with its count and examples of what it removed.

Scraped instruction data holds empty, cut-off, repeated, copied and wrong answers; a small clean set beats a large raw one
(LIMA, Zhou et al. 2023, arXiv 2305.11206; AlpaGasus, Chen et al. 2023, arXiv 2307.08701). A row is removed by the first
rule, in the order of `RULES`, that it breaks. Most rules read the row alone or compare rows as texts. Two
also ask a base model (`likelihood.py`): whether the answer ends where it stops, and whether it belongs to its instruction.
In the lab, where the bad rows are known, `score_filter` gives precision and recall.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from src import lab
from src.duplicates import duplicates, words
from src.likelihood import Likelihood, Reading, is_cut_off, is_mismatch, odd_lengths, read_rows

RULES = {
    "empty": "no answer, or a placeholder such as N/A",
    "length": "fewer or more words than allowed",
    "language": "mostly letters of another script",
    "echo": "the answer only repeats the instruction",
    "repetition": "the same sentence or word pairs again and again",
    "truncation": "breaks off in the middle of a sentence",
    "duplicate": "the same row stood earlier in the data",
    "near-duplicate": "almost the same row stood earlier",
    "odd length": "far shorter or longer than the answers to instructions worded like it",
    "mismatch": "the base model finds that the answer does not belong to the instruction",
}
_PLACEHOLDER = re.compile(
    r"[\s.\-–—_?]*|\W*(no ?(input|output|answer|response)|n/?a|null|nan|tbd|todo|undefined)\W*", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|approx|e\.g|i\.e|[A-Za-z])|^\W*\d+)\.$", re.IGNORECASE
)
_CODE = re.compile(r"[{}<>=;\\|`]|\w\(\)|https?:")
_LIST_ITEM = re.compile(r"\s*(?:[-*•]|\(?(?:\d{1,2}|[A-Za-z])[.)])\s")
# a hashtag, or who said it
_SIGNATURE = re.compile(r"#\w+$|@\w+$|[-–—~]\s?[A-Z][\w.]*(?:\s[A-Z][\w.]*){0,3}$")
_OPEN_END = ",;:-–—(&/"  # nobody ends an answer with one of these
# Words that ask for another one. (Not "in", "up", "not", "are": short answers do end with those.)
_OPEN_WORDS = frozenset(
    words(
        "a an the and or but nor of to with for from because that which whose who if when while until as at than into "
        "onto is was were am will would can could shall should may might must has had its their your my his our "
        "every between during such where how what why i"
    )
)


@dataclass(frozen=True)
class FilterReport:
    """What the filter kept, and the row numbers (of `rows`, from 0) that each rule removed, every rule listed.

    `readings` is what the base model said of every row that came to it; empty without a base model.
    """

    rows: Dataset
    removed: dict[str, list[int]]
    readings: dict[int, Reading] = field(default_factory=dict)

    @property
    def kept(self) -> Dataset:
        """The rows that broke no rule, in their order."""
        gone = self.gone
        return self.rows.select([i for i in range(len(self.rows)) if i not in gone])

    @property
    def gone(self) -> set[int]:
        """Numbers of all removed rows."""
        return {i for numbers in self.removed.values() for i in numbers}

    def table(self) -> list[dict[str, object]]:
        """One line a rule with its count and share, then the kept rows; ready for a data frame or a Markdown table."""
        lines = [(rule, len(numbers), RULES[rule]) for rule, numbers in self.removed.items()]
        lines.append(("kept", len(self.rows) - len(self.gone), "breaks no rule"))
        total = len(self.rows)
        return [
            {"rule": r, "rows": n, "share": n / total if total else 0.0, "meaning": m} for r, n, m in lines
        ]

    def examples(self, rule: str, count: int = 3) -> list[dict[str, str]]:
        """The first rows that `rule` removed. Raises KeyError for an unknown rule."""
        return [self.rows[i] for i in self.removed[rule][:count]]


def quality_filter(
    dataset: Dataset,
    *,
    min_words: int = 1,
    max_words: int = 200,
    max_repetition: float = 0.3,
    near_duplicate: float = 0.9,
    min_ascii: float = 0.7,
    base: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    likelihood: Likelihood | None = None,
    seed: int = 0,
) -> FilterReport:
    """Apply `RULES` in order to rows of instruction, input and output.

    min_words, max_words: of an output. max_repetition: share of word pairs that stood before in the same output.
    near_duplicate: Jaccard similarity of word triples. min_ascii: share of ASCII among an output's letters.
    With `base` and `tokenizer` the base model reads what the other rules left: the mismatch rule runs, and answers that
    the base would not end where they end join "truncation". `likelihood` holds the thresholds of both.
    Raises ValueError for one of `base` and `tokenizer` without the other.
    """
    if (base is None) != (tokenizer is None):
        raise ValueError("The mismatch rule needs both `base` and `tokenizer`.")
    removed: dict[str, list[int]] = {rule: [] for rule in RULES}
    rows, left = dataset.to_list(), []
    for number, row in enumerate(rows):
        rule = broken_rule(row, min_words, max_words, max_repetition, min_ascii)
        (removed[rule] if rule else left).append(number)
    for number, rule in duplicates([rows[i] for i in left], near_duplicate).items():
        removed[rule].append(left[number])
    gone = {i for numbers in removed.values() for i in numbers}
    left = [i for i in left if i not in gone]
    removed["odd length"] = [
        i for i, odd in zip(left, odd_lengths([rows[i] for i in left]), strict=True) if odd
    ]
    left = [i for i in left if i not in set(removed["odd length"])]
    if base is None or not left:
        return FilterReport(dataset, removed)
    settings = likelihood or Likelihood()
    readings = dict(
        zip(left, read_rows(base, tokenizer, [rows[i] for i in left], settings, seed), strict=True)
    )
    for number, reading in readings.items():
        if is_cut_off(rows[number]["output"], reading, settings):
            removed["truncation"].append(number)
        elif is_mismatch(reading, settings):
            removed["mismatch"].append(number)
    return FilterReport(dataset, {rule: sorted(numbers) for rule, numbers in removed.items()}, readings)


# --- Rules that read one row -----------------------------------------------------------------------------------


def broken_rule(
    row: Mapping[str, str], min_words: int, max_words: int, max_repetition: float, min_ascii: float
) -> str | None:
    """The first rule that the row breaks on its own, or None."""
    output = row["output"].strip()
    if _PLACEHOLDER.fullmatch(output) or not row["instruction"].strip():
        return "empty"
    if not min_words <= len(output.split()) <= max_words:
        return "length"
    letters = [c for c in output if c.isalpha()]
    if sum(c.isascii() for c in letters) < min_ascii * len(letters):
        return "language"
    if is_echo(row["instruction"], output):
        return "echo"
    if is_repetitive(output, max_repetition):
        return "repetition"
    return "truncation" if is_truncated(output) else None


def is_echo(instruction: str, output: str) -> bool:
    """Whether the output says the instruction again and adds fewer than three words.

    Repeating the *input* is no echo: a sorted list or a correct sentence may have nothing to change.
    """
    asked, said = words(instruction), words(output)
    return len(asked) > 1 and said[: len(asked)] == asked and len(said) < len(asked) + 3


def is_repetitive(output: str, max_repetition: float) -> bool:
    """Whether one sentence makes up three or more sentences and half of the output, or too many word pairs return."""
    sentences = Counter(tuple(words(s)) for s in _SENTENCE_END.split(output) if words(s))
    most = max(sentences.values(), default=0)
    if most >= 3 and 2 * most >= sentences.total():
        return True
    said = words(output)
    pairs = [pair for pair in itertools.pairwise(said) if "".join(pair).isalpha()]  # calculations do repeat
    # Pairs of a short text say little; and in a long one "of the" returns by right, hence a share.
    return len(pairs) >= 12 and 1 - len(set(pairs)) / len(pairs) > max_repetition


def is_truncated(output: str) -> bool:
    """Whether the output breaks off: it has no closing mark *and* what stands there cannot be an end.

    Without a mark, an output breaks off when it ends in a comma or in a word that asks for another one, or when its
    last line is running text: a complete sentence with the beginning of a further one. Short answers, titles, list items
    and code need no mark and are kept.
    """
    line = output.rstrip().splitlines()[-1].rstrip()
    if line[-1] in _OPEN_END:
        return not _CODE.search(output)
    if not line[-1].isalnum() or _CODE.search(line):
        return False
    said = words(line)
    if line.count('"') % 2 or line.count("“") > line.count("”"):
        return True
    if len(said) > 1 and said[-1] in _OPEN_WORDS:
        return True
    if item := _LIST_ITEM.match(line):
        line = line[item.end() :]
    *finished, last = _sentences(line)
    return bool(finished) and not _SIGNATURE.search(last)


def _sentences(line: str) -> list[str]:
    """The sentences of one line; the full stop of an abbreviation ends none."""
    pieces, start = [], 0
    for match in _SENTENCE_END.finditer(line):
        if not _ABBREVIATION.search(line[start : match.start()].rstrip("\"'”’)]")):
            pieces.append(line[start : match.start()])
            start = match.end()
    return [*pieces, line[start:]]


# --- Measuring the filter --------------------------------------------------------------------------------------


def true_labels(rows: Dataset, labels: Sequence[str]) -> list[str]:
    """`labels` with "duplicate" for every good row that equals an earlier one in all its columns.

    A generator draws the same row twice by chance; a copy is a copy, however it came about, and no filter could tell.
    Raises ValueError for rows and labels of unequal number.
    """
    if len(rows) != len(labels):
        raise ValueError(f"{len(rows)} rows but {len(labels)} labels: they must be of the same pool.")
    seen: set[tuple] = set()
    truth = []
    for row, label in zip(rows, labels, strict=True):
        key = tuple(row.values())
        truth.append("duplicate" if not label and key in seen else label)
        seen.add(key)
    return truth


def known_labels(source: str, rows: int, seed: int = 0) -> list[str]:
    """What `score_filter` needs for the rows of `load_instructions(source, rows, seed=seed)`; [] where nobody knows."""
    return lab.pool_labels(rows, seed) if source == "lab" else []


def score_filter(report: FilterReport, labels: Sequence[str]) -> dict[str, object]:
    """How well the filter found the rows whose label is not "": precision, recall and, per kind, recall.

    "per kind" -> {kind: (found, of)}; "wrongly removed" -> {rule: good rows it took}. `labels` are
    `lab.pool_labels` of the same rows and seed, read through `true_labels`. Precision is nan when nothing was removed.
    """
    truth, gone = true_labels(report.rows, labels), report.gone
    bad = {i for i, label in enumerate(truth) if label}
    hit = len(gone & bad)
    found = Counter(truth[i] for i in gone & bad)
    return {
        "precision": hit / len(gone) if gone else float("nan"),
        "recall": hit / len(bad) if bad else float("nan"),
        "per kind": {
            kind: (found[kind], of) for kind, of in Counter(label for label in truth if label).items()
        },
        "wrongly removed": {rule: n for rule, rows in report.removed.items() if (n := len(set(rows) - bad))},
    }
