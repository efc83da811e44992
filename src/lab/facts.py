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
HELD_OUT_PHRASINGS = 3  # of every list of phrasings, drawn once and for all, list by list
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


def _mirror_key(subject: str, answer: str) -> frozenset[str]:
    """The same for a fact and its mirror image (big/small and small/big, 2 plus 3 and 3 plus 2): both are held out, or none."""
    return frozenset(subject.split(" plus ")) if " plus " in subject else frozenset((subject, answer))


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact of the world; the held-out quarter of a relation is drawn by a generator seeded with its name.

    A fact and its mirror image stay on the same side, so that no held-out answer can be read off a trained one.
    """
    facts = []
    for relation in RELATIONS.values():
        groups: dict[frozenset[str], list[int]] = {}
        for i, (subject, answer) in enumerate(relation.facts):
            groups.setdefault(_mirror_key(subject, answer), []).append(i)
        order = list(groups.values())
        random.Random(f"held out: {relation.name}").shuffle(order)
        held_out: set[int] = set()
        for group in order:
            if len(held_out) + len(group) <= round(HELD_OUT_SHARE * len(relation.facts)):
                held_out.update(group)
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


@cache
def split_phrasings(phrasings: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(phrasings that fine-tuning may use, those held out for the `new phrasing` and `new both` splits).

    Each list is split by its own draw, so a frame such as "Tell me …" may be new for one relation and known from another.
    """
    held_out = random.Random(f"phrasings: {phrasings[0]}").sample(phrasings, HELD_OUT_PHRASINGS)
    return tuple(p for p in phrasings if p not in held_out), tuple(held_out)


def seen_phrasings(relation: Relation) -> tuple[str, ...]:
    """The question wordings that fine-tuning may use."""
    return split_phrasings(relation.questions)[0]


def new_phrasings(relation: Relation) -> tuple[str, ...]:
    """The question wordings held out for the splits "new phrasing" and "new both"."""
    return split_phrasings(relation.questions)[1]
