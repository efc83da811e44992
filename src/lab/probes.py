"""What the base model knows and how well it writes: cloze probes, held-out prose and prompts for free prose.

Notebooks measure forgetting with these before and after every stage; `pretrain.py` measures its gates with them.
"""

import random
from dataclasses import dataclass

from .corpus import held_out_prose
from .facts import RELATIONS, all_facts

__all__ = ["PROSE_BEGINNINGS", "Probe", "cloze_probes", "held_out_prose"]

PROSE_BEGINNINGS = (
    "One day Anna",
    "In the morning the old man",
    "The weather was",
    "Tom wanted to",
    "There was a small dog",
    "The children went to",
    "Mia asked about",
    "In the garden",
    "Ben was looking for",
    "At the market",
)


@dataclass(frozen=True)
class Probe:
    """A sentence beginning whose next words should be `answer`."""

    prefix: str
    answer: str
    relation: str
    subject: str
    held_out: bool
    arithmetic: bool


def cloze_probes(count: int | None = None, seed: int = 0, arithmetic: bool = False) -> list[Probe]:
    """One cloze probe a fact, its wording chosen by `seed`; `count` draws a sample spread over all relations.

    Arithmetic facts are left out unless `arithmetic` is true: a model of this size recalls facts but computes badly, so
    the two are reported apart.
    """
    rng = random.Random(f"probes {seed}")
    probes = []
    for fact in all_facts():
        wording = rng.choice(RELATIONS[fact.relation].clozes)
        if arithmetic or not fact.arithmetic:
            probes.append(
                Probe(
                    fact.fill(wording),
                    fact.answer,
                    fact.relation,
                    fact.subject,
                    fact.held_out,
                    fact.arithmetic,
                )
            )
    if count is None or count >= len(probes):
        return probes
    step = len(probes) / count  # evenly spaced through the table order, so every relation keeps its share
    return [probes[int(i * step)] for i in range(count)]
