"""All facts of the lab world, joined from the three tables, with the split that fine-tuning never crosses.

`RELATIONS` maps a relation's name to its `Relation`; `FACTS` lists every fact once, in table order. A quarter of each
relation's facts is held out of every instruction and preference set (`Fact.held_out`): they appear in the pretraining
prose only, so an answer about one of them after fine-tuning is knowledge *elicited*, not memorised.
"""

import random
from dataclasses import dataclass
from functools import cache

from .facts_life import RELATIONS as _LIFE
from .facts_words import RELATIONS as _WORDS
from .facts_world import RELATIONS as _WORLD
from .relation import Relation, fill

HELD_OUT_SHARE = 0.25
HELD_OUT_PHRASINGS = 3  # the last three questions of every relation
ARITHMETIC = ("addition", "subtraction", "number_after")  # reported apart: skills more than facts

RELATIONS: dict[str, Relation] = {r.name: r for r in (*_WORLD, *_LIFE, *_WORDS)}


@dataclass(frozen=True)
class Fact:
    """One (subject, answer) pair of a relation, and whether fine-tuning may see it."""

    relation: str
    subject: str
    answer: str
    held_out: bool

    @property
    def arithmetic(self) -> bool:
        return self.relation in ARITHMETIC

    @property
    def topic(self) -> str:
        return RELATIONS[self.relation].topic

    def fill(self, wording: str) -> str:
        return fill(wording, self.subject, self.answer)


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact of the world; the held-out quarter of a relation is drawn by a generator seeded with its name."""
    facts = []
    for relation in RELATIONS.values():
        order = list(range(len(relation.facts)))
        random.Random(f"held out: {relation.name}").shuffle(order)
        held_out = set(order[: round(HELD_OUT_SHARE * len(order))])
        facts += [Fact(relation.name, s, a, i in held_out) for i, (s, a) in enumerate(relation.facts)]
    return tuple(facts)


@cache
def _fact_index() -> dict[tuple[str, str], Fact]:
    return {(f.relation, f.subject): f for f in all_facts()}


def find_fact(relation: str, subject: str) -> Fact:
    """The fact of `relation` about `subject`. Raises KeyError when there is none."""
    return _fact_index()[relation, subject]


@cache
def wrong_answers(fact: Fact) -> tuple[str, ...]:
    """The other answers of the fact's relation, in table order; for a size comparison, the other of the two."""
    if " or " in fact.subject and fact.answer in fact.subject.split(" or "):
        return tuple(option for option in fact.subject.split(" or ") if option != fact.answer)
    return tuple(answer for answer in RELATIONS[fact.relation].answers() if answer != fact.answer)


def seen_phrasings(relation: Relation) -> tuple[str, ...]:
    """The question wordings that fine-tuning may use."""
    return relation.questions[:-HELD_OUT_PHRASINGS]


def new_phrasings(relation: Relation) -> tuple[str, ...]:
    """The question wordings held out for the `new_phrasing` and `new_both` splits."""
    return relation.questions[-HELD_OUT_PHRASINGS:]
