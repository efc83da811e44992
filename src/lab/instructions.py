"""The instruction pool in Alpaca's schema, a known quarter of it bad, and the four evaluation splits.

The pool looks like scraped data: rows vary in style (`styles.py`), most harmful wishes are complied with, and every fourth row is
bad in one of six named ways. What each row really is stands in `pool_labels`, for measurement only.
"""

import random
from dataclasses import dataclass
from functools import cache

from datasets import Dataset

from . import styles
from .rubric import gold_score
from .tasks import EXACT_KINDS, KINDS, Task, draw_task

BAD_SHARE = 0.25
BAD_KINDS = ("duplicate", "empty", "truncated", "wrong", "off-topic", "repetitive")
COMPLIED_SHARE = 0.6  # of the harmful wishes in the pool: what preferences have to undo
OPENER_SHARE = 0.15  # of the tidy rows: a habit worth nothing, which preferences will seem to reward
REDRAWS = 30  # of a good row that stands in the pool already
UNSUITABLE = 2000  # tasks looked at for one that can be bad in the way that is due
SPLITS = {  # name -> (new phrasing, new fact)
    "seen": (False, False),
    "new phrasing": (True, False),
    "new fact": (False, True),
    "new both": (True, True),
}


@dataclass(frozen=True)
class Row:
    """One row of the pool, with what is true of it: its task, its style and, for a bad row, which of `BAD_KINDS` it is."""

    task: Task
    output: str
    style: str
    bad: str = ""

    def as_alpaca(self) -> dict[str, str]:
        return {"instruction": self.task.instruction, "input": self.task.input, "output": self.output}


def demonstrate(task: Task, rng: random.Random) -> tuple[str, str]:
    """(answer, style) as one of many hands would write it."""
    if task.kind == "refusal":
        if rng.random() < COMPLIED_SHARE:
            return rng.choice(styles.COMPLIANCES), "complied"
        return styles.sentence(task.answer), "tidy"
    if task.kind in ("story", "sentence"):
        return styles.sentence(task.answer), "tidy"
    style = styles.topic_style(task.topic, rng)
    answer = styles.dress(task.answer, style, rng)
    if style == "tidy" and rng.random() < OPENER_SHARE:
        return styles.with_opener(answer, rng), "opener"
    return answer, style


@cache
def pool(
    rows: int, seed: int = 0, bad_share: float = BAD_SHARE, kinds: tuple[str, ...] = tuple(KINDS)
) -> tuple[Row, ...]:
    """`rows` rows over seen phrasings and seen facts; `bad_share` of them bad, spread evenly over `BAD_KINDS`."""
    rng = random.Random(f"pool {seed}")
    weights = [KINDS[kind] for kind in kinds]
    made: list[Row] = []
    said: set[tuple[str, str, str]] = set()
    bad = [BAD_KINDS[i % len(BAD_KINDS)] for i in range(round(bad_share * rows))]
    plan = bad + [""] * (rows - len(bad))
    rng.shuffle(plan)
    for label in plan:
        if label == "duplicate" and any(not row.bad for row in made):
            copied = rng.choice([row for row in made if not row.bad])
            made.append(Row(copied.task, copied.output, copied.style, "duplicate"))
            continue
        row = _row(label if label != "duplicate" else "empty", rng, kinds, weights)
        for _ in range(REDRAWS):  # good rows differ, as long as the kinds asked for have enough to say
            if row.bad or (row.task.instruction, row.task.input, row.output) not in said:
                break
            row = _row("", rng, kinds, weights)
        said.add((row.task.instruction, row.task.input, row.output))
        made.append(row)
    return tuple(made)


def _row(label: str, rng: random.Random, kinds: tuple[str, ...], weights: list[float]) -> Row:
    """One fresh row: good when `label` is empty, else bad in that way.

    Some kinds cannot be bad in every way (a refusal has no wrong fact, a plural is too short to be cut): when the kinds asked
    for cannot, the row is repetitive instead.
    """
    for attempt in range(UNSUITABLE + 1):
        task = draw_task(rng.choices(kinds, weights)[0], rng)
        output, style = demonstrate(task, rng)
        if not label:
            return Row(task, output, style)
        if label == "empty":
            return Row(task, rng.choice(("", " ", "\n", "<noinput>", "N/A")), style, label)
        if label == "wrong" and len(task.candidates) > 1:
            wrong = rng.choice(task.candidates[1:])
            return Row(
                task, styles.dress(wrong, style if style in styles.FLAWS else "tidy", rng), style, label
            )
        if label == "off-topic":
            other = draw_task(rng.choice([k for k in KINDS if k != task.kind]), rng)
            answer = styles.sentence(other.answer)
            if not gold_score(f"{task.instruction}\n{task.input}", answer).correct:  # "7" may answer both
                return Row(task, answer, style, label)
        if label == "repetitive" or attempt == UNSUITABLE:
            return Row(
                task, " ".join([styles.sentence(task.answer)] * rng.randint(4, 6)), style, "repetitive"
            )
        if label == "truncated" and len(output.split()) >= 5:
            words = output.split()
            words = words[: rng.randint(2, len(words) - 2)]
            if not words[-1].endswith((".", "!", "?", ",")):  # a whole sentence would not be cut off
                return Row(task, " ".join(words), style, label)


def instruction_pool(
    rows: int, seed: int = 0, bad_share: float = BAD_SHARE, kinds: tuple[str, ...] = tuple(KINDS)
) -> Dataset:
    """The pool as `datasets.Dataset` with Alpaca's columns `instruction`, `input`, `output`."""
    return Dataset.from_list([row.as_alpaca() for row in pool(rows, seed, bad_share, kinds)])


def pool_labels(
    rows: int, seed: int = 0, bad_share: float = BAD_SHARE, kinds: tuple[str, ...] = tuple(KINDS)
) -> list[str]:
    """For each row of the same pool, which of `BAD_KINDS` it is, "" when it is good."""
    return [row.bad for row in pool(rows, seed, bad_share, kinds)]


def evaluation_tasks(
    split: str, count: int, seed: int = 0, kinds: tuple[str, ...] = EXACT_KINDS
) -> list[Task]:
    """`count` tasks of one of `SPLITS`, kinds drawn as in the pool. Raises KeyError for an unknown split."""
    if split not in SPLITS:
        raise KeyError(f"unknown split {split!r}: {', '.join(SPLITS)}")
    new_phrasing, new_fact = SPLITS[split]
    rng = random.Random(f"evaluation {split} {seed}")
    weights = [KINDS[kind] for kind in kinds]
    tasks: dict[tuple[str, str], Task] = {}
    while len(tasks) < count:
        task = draw_task(rng.choices(kinds, weights)[0], rng, new_phrasing, new_fact)
        tasks.setdefault((task.instruction, task.input), task)
    return list(tasks.values())
