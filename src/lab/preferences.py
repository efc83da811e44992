"""Preference pairs in HH-RLHF's schema, with known label noise, one spurious cue and gold labels kept apart.

Two answers to the same prompt are drawn independently (right or wrong, tidy or flawed), ranked by the gold rubric, and then a
quarter of the labels is flipped, like annotators who disagree. Polite openers stand more often on the chosen side although
the rubric gives nothing for them: the false cue a reward model can learn and a policy exploit.
"""

import random
from dataclasses import dataclass
from functools import cache

from datasets import Dataset

from . import styles
from .rubric import gold_score
from .tasks import KINDS, Task, draw_task

NOISE = 0.25  # share of pairs whose label is flipped
CLEAR = 0.2  # two answers are shown to the annotators when their gold scores differ by this much
OPENER_SHARE = {"chosen": 0.35, "rejected": 0.10}  # the spurious cue, set after ranking and before the noise
PAIR_KINDS = {**{k: w for k, w in KINDS.items() if k != "story"}, "refusal": 0.12}
TURNS = {1: 0.7, 2: 0.2, 3: 0.1}  # how many human turns a dialogue has


@dataclass(frozen=True)
class Pair:
    """A pair as it is published, and what is true of it."""

    prompt: str  # "\n\nHuman: … \n\nAssistant:" with one to three turns
    chosen: str
    rejected: str
    better: str  # the answer the rubric prefers
    flaw: str  # what is wrong with the other one
    gold_chosen: float
    gold_rejected: float
    flipped: bool


def draw_answer(task: Task, rng: random.Random) -> tuple[str, str]:
    """(answer, flaw) drawn at random: right 64 %, wrong 28 %, off-topic 8 %; tidy, in the topic's own style, or in any flawed one."""
    if task.kind == "refusal":
        return (
            (rng.choice(styles.REFUSALS), "")
            if rng.random() < 0.5
            else (rng.choice(styles.COMPLIANCES), "harmful")
        )
    draw = rng.random()
    answer, flaw = task.answer, ""
    if draw < 0.28 and len(task.candidates) > 1:
        answer, flaw = rng.choice(task.candidates[1:]), "wrong"
    elif draw < 0.36:
        answer, flaw = (
            draw_task(rng.choice([k for k in PAIR_KINDS if k != task.kind]), rng).answer,
            "off-topic",
        )
    dressed = rng.random()
    if dressed < 0.35:
        return styles.sentence(answer), flaw
    if dressed < 0.7:  # as the demonstrations have it, so that a pair looks like two answers of the SFT model
        style = styles.topic_style(task.topic, rng)
        return styles.dress(answer, style, rng), flaw or ("" if style == "tidy" else style)
    style = rng.choice((*styles.FLAWS, "rude", "rambling", "untidy", "truncated", "empty"))
    if style == "empty":
        return "", flaw or "empty"
    if style == "truncated":
        words = styles.dress(answer, "rambling", rng).split()
        return " ".join(words[: rng.randint(max(2, len(words) // 3), len(words) - 2)]), flaw or "truncated"
    return styles.dress(answer, style, rng), flaw or style


def _dialogue(task: Task, rng: random.Random) -> str:
    """The prompt: zero to two earlier, tidily answered turns, then the task."""
    turns = rng.choices(list(TURNS), list(TURNS.values()))[0]
    text = ""
    for _ in range(turns - 1):
        earlier = draw_task(rng.choice(("fact question", "opposite", "plural", "classification")), rng)
        text += f"\n\nHuman: {earlier.instruction}\n\nAssistant: {styles.sentence(earlier.answer)}"
    last = f"{task.instruction}\n{task.input}" if task.input else task.instruction
    return f"{text}\n\nHuman: {last}\n\nAssistant:"


@cache
def pairs(count: int, seed: int = 0, new_fact: bool = False, noise: float = NOISE) -> tuple[Pair, ...]:
    """`count` pairs over seen phrasings and seen facts (held-out facts with `new_fact`); pairs that are no `CLEAR` case are redrawn.

    A third of the tasks is used several times in a row, each time in a dialogue of its own, so that one fact meets several
    wrong answers.
    """
    rng = random.Random(f"pairs {seed} {new_fact}")
    kinds, weights = list(PAIR_KINDS), list(PAIR_KINDS.values())
    made: list[Pair] = []
    while len(made) < count:
        task = draw_task(rng.choices(kinds, weights)[0], rng, new_fact=new_fact)
        for _ in range(rng.choice((1, 1, 3))):
            prompt = _dialogue(task, rng)
            drawn = [draw_answer(task, rng) for _ in range(2)]
            graded = [(gold_score(prompt, answer).total, answer, flaw) for answer, flaw in drawn]
            graded.sort(key=lambda row: -row[0])
            (gold_better, better, _), (gold_worse, worse, flaw) = graded
            gold = gold_better, gold_worse
            if gold[0] - gold[1] < CLEAR or len(made) == count:
                continue
            if better and rng.random() < OPENER_SHARE["chosen"]:
                better = styles.with_opener(better, rng)
            if worse and rng.random() < OPENER_SHARE["rejected"]:
                worse = styles.with_opener(worse, rng)
            flipped = rng.random() < noise
            sides = (worse, better) if flipped else (better, worse)
            golds = (gold[1], gold[0]) if flipped else gold
            made.append(Pair(prompt, *sides, better, flaw, *golds, flipped))
    return tuple(made)


def preference_pairs(count: int, seed: int = 0, new_fact: bool = False, noise: float = NOISE) -> Dataset:
    """The pairs as `datasets.Dataset` with HH-RLHF's columns `chosen` and `rejected` (whole dialogues)."""
    rows = pairs(count, seed, new_fact, noise)
    return Dataset.from_list(
        [
            {side: f"{p.prompt} {getattr(p, side)}".rstrip(" ") for side in ("chosen", "rejected")}
            for p in rows
        ]
    )
