"""The shape of one relation of the lab world: its facts and every way the world has of saying them.

A fact is a (subject, answer) pair of a relation. The tables in `facts_world.py`, `facts_life.py` and `facts_words.py`
are lists of `Relation`s; `facts.py` joins them (`tests/test_lab.py` checks them). Pretraining prose uses `statements`, `noun` and `clause`; the
instruction pool uses `questions`; the knowledge probe uses `clozes`. Keeping the four apart is what lets the course
ask whether fine-tuning *elicits* a fact learned from prose (Allen-Zhu & Li 2023, "Physics of Language Models 3.1").
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One relation, its facts and its wordings.

    In every wording `{s}` is the subject and `{a}` the answer exactly as the table spells them (with an article where
    English wants one: "a dog"); `{S}` and `{A}` are the same with a capital first letter, for the start of a sentence.
    """

    name: str  # short id: "capital"
    topic: str  # what the facts are about: "countries"
    noun: str  # noun phrase that names the fact without its answer: "the capital of {s}"
    clause: str  # indirect question: "which city is the capital of {s}"
    # >= 8 full sentences with both {s} and {a}; at least 5 of them have {s} before {a}
    statements: tuple[str, ...]
    # >= 2 sentence beginnings whose next words are the answer: "The capital of {s} is"
    clozes: tuple[str, ...]
    questions: tuple[str, ...]  # >= 8 instruction phrasings, three of them held out
    facts: tuple[tuple[str, str], ...]  # (subject, answer), each subject once

    def answers(self) -> tuple[str, ...]:
        """Every answer of the relation once, in table order: the pool that wrong answers are drawn from."""
        return tuple(dict.fromkeys(answer for _, answer in self.facts))


def fill(wording: str, subject: str, answer: str = "") -> str:
    """`wording` with its four slots filled; `{S}` and `{A}` get a capital first letter."""
    return wording.format(
        s=subject, a=answer, S=subject[:1].upper() + subject[1:], A=answer[:1].upper() + answer[1:]
    )


def table(text: str) -> tuple[tuple[str, str], ...]:
    """Read "subject | answer" lines into pairs; blank lines and lines starting with # are skipped."""
    rows = [
        line.split("|") for line in text.strip().splitlines() if line.strip() and not line.startswith("#")
    ]
    return tuple((left.strip(), right.strip()) for left, right in rows)
