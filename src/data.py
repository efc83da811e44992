"""Instruction and preference data from the lab, a file or the Hub, checked row by row before any training sees it.

All seven notebooks read their data here. Instructions have the columns of Alpaca (Taori et al. 2023): instruction, input,
output. Preferences have those of HH-RLHF (Bai et al. 2022, arXiv 2204.05862): chosen and rejected, two whole dialogues
with the same prompt. A source is "lab", a local file or folder, or a Hub name; the code after this module cannot tell
which it was. What cannot be read is an error that names file and row (`files.py`); what can be read but not used is
skipped, counted and said.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from src import lab
from src.duplicates import similar_instructions
from src.files import DataError, load_table, read_file
from src.fingerprint import local_path
from src.lab.corpus import training_paragraphs
from src.templates import (
    SINGLE,
    build_prompt,
    choose_templates,
    encode_prompt,
    encode_response,
    split_dialogue,
    turns,
)

INSTRUCTION_COLUMNS = ("instruction", "input", "output")
PREFERENCE_COLUMNS = ("chosen", "rejected")
LAB_ROWS = 4000  # of the endless lab, when no number of rows is asked for
TEST_SHARE = 0.1  # of every real source: kept from training, chosen by a hash of the prompt
PROBES = 400  # paragraphs of general prose that are kept apart from the anchors
POLITE_FRAMES = ("Please answer: {}", "Can you help me with this? {}", "Here is my next request. {}")
NO_INPUT = re.compile(r"\W*(no ?input|none|n/?a)\W*", re.IGNORECASE)  # how scraped data writes an empty input


@dataclass(frozen=True)
class EvalPrompt:
    """A held-out instruction. `answer` is a reference; `exact` says whether it is the only right one."""

    instruction: str
    input: str
    answer: str
    exact: bool


@dataclass(frozen=True)
class Preference:
    """One comparison in the template that SFT, reward model and PPO share; answers are stripped and may be empty."""

    prompt: str
    chosen: str
    rejected: str


# --- Instructions ----------------------------------------------------------------------------------------------


def load_instructions(
    source: str, rows: int | None = None, *, seed: int = 0, max_characters: int = 100_000
) -> Dataset:
    """`rows` instruction rows (all when None), drawn by `seed` from the training part of `source`.

    "lab" gives `lab.instruction_pool(rows, seed)` as it is, bad rows included. Of a file or Hub name a tenth is never
    returned: it belongs to `instruction_splits`. A field longer than `max_characters` is taken for a damaged file.
    Raises DataError: unreadable file, wrong columns, a row that is not text, fewer rows than asked, no network.
    """
    if source == "lab":
        return lab.instruction_pool(_asked(rows), seed)
    training = [row for row in _instruction_table(source, max_characters) if not _is_test(_question(row))]
    return _dataset(_draw(training, rows, seed, source, "training rows"), INSTRUCTION_COLUMNS)


def instruction_splits(source: str, count: int, seed: int = 0) -> dict[str, list[EvalPrompt]]:
    """Evaluation prompts by split, `count` in each, no instruction twice and none that `load_instructions` returns.

    The lab has the four of `lab.SPLITS` ("seen" is seen in phrasing and fact). Any other source has "held out", rows
    of its reserved tenth that have an answer. Raises DataError when there are fewer than `count`.
    """
    if source == "lab":
        return {
            split: [
                EvalPrompt(task.instruction, task.input, task.answer, task.exact)
                for task in lab.evaluation_tasks(split, count, seed)
            ]
            for split in lab.SPLITS
        }
    by_question = {_question(row): row for row in _instruction_table(source) if row_problem(row) is None}
    test = [row for question, row in by_question.items() if _is_test(question)]
    drawn = _draw(test, count, seed, source, "held-out prompts")
    return {"held out": [EvalPrompt(*(row[name] for name in INSTRUCTION_COLUMNS), False) for row in drawn]}


def row_problem(
    row: Mapping[str, str], max_prompt_characters: int | None = None, max_output_characters: int | None = None
) -> str | None:
    """Why training cannot use this row at all, or None. (Whether it *should* is the quality filter's question.)"""
    if not row["instruction"].strip():
        return "empty instruction"
    if not row["output"].strip():
        return "empty output"
    if max_prompt_characters and len(row["instruction"]) + len(row["input"]) > max_prompt_characters:
        return "long prompt"
    if max_output_characters and len(row["output"]) > max_output_characters:
        return "long output"
    return None


def usable_rows(
    dataset: Dataset, *, max_prompt_characters: int | None = None, max_output_characters: int | None = None
) -> tuple[Dataset, dict[str, int]]:
    """(the rows that training can use, in order; how many were skipped for each reason of `row_problem`).

    Lengths are in characters; None is no limit. Raises DataError when nothing is left.
    """
    problems = [row_problem(row, max_prompt_characters, max_output_characters) for row in dataset]
    counts = Counter(problem for problem in problems if problem)
    kept = [i for i, problem in enumerate(problems) if problem is None]
    if not kept:
        raise DataError(f"None of the {len(problems)} rows can be used: {describe(counts)}.")
    return dataset.select(kept), dict(counts)


def narrow_rows(dataset: Dataset, count: int) -> Dataset:
    """The `count` rows of `dataset` that are most alike: a narrow task, found in any data by the words of its instructions.

    Instructions are compared by tf-idf cosine (rare words weigh more); the rows are the nearest neighbours of the row
    whose neighbourhood is densest, most alike first. Raises DataError when there are fewer than `count` rows.
    """
    if not 1 <= count <= len(dataset):
        raise DataError(
            f"{count} narrow rows asked for, but there are {len(dataset)} rows: ask for 1 to that many."
        )
    likeness, others = similar_instructions(dataset.to_list(), count - 1)
    densest = int(likeness.sum(1).argmax())
    return dataset.select([densest, *others[densest].tolist()])


def examples(dataset: Dataset, templates: Sequence[str], seed: int = 0) -> list[tuple[str, str]]:
    """(prompt, response) for every row; of several templates one is drawn for each row, by `seed`.

    Raises DataError, naming the row, for a row without instruction or output: `usable_rows` skips and counts those.
    """
    if isinstance(templates, str) or not templates:
        raise ValueError(f"`templates` is a list of template names, got {templates!r}")
    names = choose_templates(len(dataset), seed, templates)
    pairs = []
    for number, (row, name) in enumerate(zip(dataset, names, strict=True)):
        if problem := row_problem(row):
            raise DataError(
                f"Row {number}: {problem}. Call usable_rows first; it skips such rows and counts them."
            )
        pairs.append((build_prompt(row["instruction"], row["input"], name), row["output"].strip()))
    return pairs


def paraphrases(source: str, dataset: Dataset) -> list[list[tuple[str, str]]]:
    """For every row, the same request in other words, as (instruction, input) pairs.

    In the lab these are the task's held-out phrasings, which no training row uses. Any other source gets a polite frame
    around its own words, the mildest paraphrase there is: whoever fails on that has learned words, not a task.
    """
    if source == "lab":
        return [lab.rephrase(row["instruction"], row["input"]) for row in dataset]
    return [[(frame.format(row["instruction"]), row["input"]) for frame in POLITE_FRAMES] for row in dataset]


# --- Preferences -----------------------------------------------------------------------------------------------


def load_preferences(
    source: str,
    rows: int | None = None,
    *,
    split: str = "train",
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> Dataset:
    """`rows` pairs (all when None) of the "train" or "test" split, drawn by `seed`; columns chosen and rejected.

    In the lab "test" is about held-out facts, and an empty answer is a meaningful, bad one. A source that has no test
    split of its own gives the tenth that a hash of the prompt picks. Real pairs that compare nothing are skipped; what
    was skipped and why is told to `report`. Raises DataError, naming file and row.
    """
    if split not in ("train", "test"):
        raise ValueError(f"`split` is 'train' or 'test', got {split!r}")
    if source == "lab":
        return lab.preference_pairs(_asked(rows), seed, new_fact=split == "test")
    table, name, own_split = load_table(source, PREFERENCE_COLUMNS, split=split, part="harmless-base")
    found = [_parsed(row, f"{name}, row {number}") for number, row in enumerate(table, start=1)]
    problems = [_pair_problem(sides) for sides in found]
    counts = Counter(problem for problem in problems if problem)
    if counts:
        report(f"{name}: {counts.total()} of {len(table)} pairs skipped ({describe(counts)}).")
    wanted = [
        row
        for row, sides, problem in zip(table, found, problems, strict=True)
        if problem is None and (own_split or _is_test(sides[0][0]) == (split == "test"))
    ]
    return _dataset(_draw(wanted, rows, seed, name, f"{split} pairs"), PREFERENCE_COLUMNS)


def preference_truth(source: str, rows: int, *, split: str = "train", seed: int = 0) -> list[dict[str, Any]]:
    """What is true of each pair of `load_preferences` with the same arguments: flaw, flipped, gold scores; [] if nobody knows.

    For measurement only: no training may see it.
    """
    if source != "lab":
        return []
    return [asdict(pair) for pair in lab.preferences.pairs(rows, seed, split == "test")]


def preference_examples(
    dataset: Dataset,
    template: str = SINGLE,
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_length: int | None = None,
) -> list[Preference]:
    """Every pair in the template of SFT, so that SFT model, reward model and PPO read one format.

    The last human turn is the instruction; earlier turns stand above it in the same field, as "Human: …" and
    "Assistant: …" lines. With `tokenizer` and `max_length` (tokens, longer answer and EOS counted) the oldest turns are
    left out until the pair fits; the last human turn always stays whole, so a pair can still be too long.
    Raises DataError, naming the row, when the two sides differ in their prompt.
    """
    if (tokenizer is None) != (max_length is None):
        raise ValueError("Give both `tokenizer` and `max_length`, or neither.")
    made = []
    for number, row in enumerate(dataset):
        (prompt, chosen), (other, rejected) = _parsed(row, f"Row {number}")
        if prompt != other:
            raise DataError(
                f"Row {number}: chosen and rejected answer different prompts. load_preferences skips those."
            )
        said = turns(prompt)[:-1]  # the last one is the assistant's open turn
        folded = [build_prompt(fold(said[start:]), template=template) for start in _human_turns(said)]
        if tokenizer is not None:
            answer = max(len(encode_response(tokenizer, text)) for text in (chosen, rejected))
            fits = (p for p in folded if len(encode_prompt(tokenizer, p)) + answer <= max_length)
            folded = [next(fits, folded[-1])]
        made.append(Preference(folded[0], chosen, rejected))
    return made


def fold(said: Sequence[tuple[str, str]]) -> str:
    """A dialogue as one instruction: the last human turn, below the earlier turns with their speakers."""
    return "\n".join([*(f"{speaker}: {words}" for speaker, words in said[:-1]), said[-1][1]])


def _human_turns(said: Sequence[tuple[str, str]]) -> list[int]:
    """Where the dialogue may begin: its start, then every human turn."""
    return [0, *(i for i, (speaker, _) in enumerate(said) if speaker == "Human" and i)]


def _parsed(row: Mapping[str, str], where: str) -> list[tuple[str, str]]:
    """[(prompt, response) of chosen, the same of rejected]; DataError when one is no dialogue that can be answered."""
    try:
        sides = [split_dialogue(row[name], f"{where}, {name!r}") for name in PREFERENCE_COLUMNS]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{error} A pair is two dialogues of '\\n\\nHuman: …\\n\\nAssistant: …' turns."
        ) from error
    return sides


def _pair_problem(sides: list[tuple[str, str]]) -> str | None:
    (prompt, chosen), (other, rejected) = sides
    said = turns(prompt)
    if prompt != other:
        return "different prompts"
    if not (chosen and rejected):
        return "empty answer"
    if chosen == rejected:
        return "same answer"
    if len(said) < 2 or said[-2][0] != "Human" or not said[-2][1]:
        return "no question before the answer"
    return None


# --- Prose -----------------------------------------------------------------------------------------------------


def general_prose(count: int, seed: int = 0) -> list[str]:
    """`count` paragraphs of plain English that no model of the course was trained on: the perplexity probe.

    Both profiles use them; they are simple, but English for GPT-2 too.
    """
    return list(lab.held_out_prose(count, seed))


def anchor_prose(count: int, seed: int = 0) -> list[str]:
    """`count` paragraphs that the lab's base was pretrained on, drawn by `seed`: KL anchors and pretraining mix.

    None equals one of the first `PROBES` of `general_prose`, not even by chance: a simple grammar repeats itself.
    """
    reserved = set(lab.held_out_prose(PROBES))
    stream = (text for text in training_paragraphs() if text not in reserved)
    return random.Random(f"anchor {seed}").sample(list(islice(stream, max(4 * count, 2000))), count)


# --- Shared ----------------------------------------------------------------------------------------------------


def load_questions(path: str) -> list[str]:
    """Open questions without reference answers, for a judge: MT-Bench's `turns` (the first of them), or a `question`,
    `prompt` or `instruction`, one a row of any readable file. Raises DataError that names file and row."""
    file = local_path(path)
    if file is None or not file.is_file():
        raise DataError(f"No file {path!r} with questions. Give a path, or write `none`.")
    questions = []
    for number, row in enumerate(read_file(file), start=1):
        names = ("turns", "question", "prompt", "instruction")
        found = next((row[name] for name in names if name in row), None) if isinstance(row, Mapping) else None
        text = found[0] if isinstance(found, list) and found else found
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{file}, row {number}: no question. Every row needs one of {', '.join(names)}, as text."
            )
        questions.append(text.strip())
    if not questions:
        raise DataError(f"{file} has no rows. Check that the download was complete.")
    return questions


def describe(counts: Mapping[str, int]) -> str:
    """ "empty output 3, long prompt 1" """
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _asked(rows: int | None) -> int:
    if rows is not None and rows < 1:
        raise DataError(f"{rows} rows asked for: ask for at least 1.")
    return LAB_ROWS if rows is None else rows


def _instruction_table(source: str, max_characters: int = 100_000) -> list[dict[str, str]]:
    """All rows of a file or Hub name, with "No input" and its kin written as the empty input that they mean."""
    table, _, _ = load_table(source, INSTRUCTION_COLUMNS, max_characters=max_characters)
    return [row | {"input": "" if NO_INPUT.fullmatch(row["input"]) else row["input"]} for row in table]


def _question(row: Mapping[str, str]) -> str:
    return " ".join(f"{row['instruction']}\n{row['input']}".lower().split())


def _is_test(text: str) -> bool:
    """Whether a text belongs to the reserved tenth. A hash, so that no seed, order or number of rows can change it."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") < TEST_SHARE * 2**64


def _draw(rows: Sequence[Any], count: int | None, seed: int, source: str, what: str) -> list[Any]:
    """`count` rows without replacement. The first n of a larger draw with the same seed are the draw of n."""
    available = len(rows)
    if not available or (count is not None and not 1 <= count <= available):
        raise DataError(
            f"{source} has {available} {what}, {'some' if count is None else count} asked for."
            + (f" Ask for 1 to {available}." if available else " Use a larger file.")
        )
    order = list(range(available))
    random.Random(f"rows {seed}").shuffle(order)
    return [rows[i] for i in order[:count]]


def _dataset(rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> Dataset:
    rows = list(rows)
    return Dataset.from_dict({name: [row[name] for row in rows] for name in columns})
