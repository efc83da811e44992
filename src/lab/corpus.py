"""The pretraining corpus: prose only, about 40 % of it paragraphs that name, ask about and restate one subject.

Three kinds of paragraph, mixed by `SHARES`:
- *asking*: somebody wants to know one fact and gets it, told indirectly. A small model learns here to copy the subject
  it was asked about, which is the bottleneck when it later answers instructions;
- *telling*: two to five statements in varied wordings, sometimes all about one subject. Many wordings of each fact are
  what makes it extractable later (Allen-Zhu & Li 2023, "Physics of Language Models 3.1");
- *living*: stories, scenes and talk from the narrative grammar, and small skills (sorting, listing, telling the past).
No paragraph has a question-answer or instruction format: the base model must not know what fine-tuning will teach.
"""

import random
from collections.abc import Iterator
from functools import cache, lru_cache

from . import skills, stories
from .facts import RELATIONS, Fact, all_facts, wrong_answers
from .relation import fill

SHARES = {"asking": 0.50, "telling": 0.28, "living": 0.22}  # of paragraphs; of tokens about 0.44, 0.26, 0.30
CHECKING_SHARE = 0.16  # of the askings: somebody says something, and it is true or not
SKILLS_SHARE = 0.25  # of the living paragraphs
# How often a fact of these relations is told for one telling of any other: few facts that are easily confused with each other (the
# month before, the month after), or an attribute that every second wording names only behind its subject.
OFTEN = {
    **dict.fromkeys(("planet_order", "day_after", "day_before"), 8),
    **dict.fromkeys(("month_after", "month_before"), 6),
    **dict.fromkeys(("continent", "season"), 4),
    **dict.fromkeys(("month_days", "food_kind", "landmark"), 2),
}
HELD_OUT_EVERY = 50  # every 50th paragraph is kept from training: the held-out prose

# {n} names the fact without its answer, {q} is the indirect question, {t} a statement; X and Y are people.
ASKING = (
    "{X} asked about {n}. {t}",
    "{X} wanted to know {q}. {Y} knew it. The answer is {a}.",
    "{X} did not know {q}, so {xhe} asked {Y}. {A} was the answer.",
    "One day {X} asked {q}. {A}, said {Y}.",
    "The teacher asked {q}. {X} thought for a moment and said {a}. That was right.",
    "{X} asked {Y} to name {n}. {Y} named {a}.",
    "{X} asked {Y} to tell everyone {n}. {A}, said {Y} at once. {t}",
    "Nobody in the room knew {q}. They looked it up in a book, and the book said {a}.",
    "When people ask {q}, the answer is {a}. {t}",
    "{X} looked up {n} in a big book. The book said {a}. {t}",
    "{X} and {Y} talked about {n}. {Y} said that it was {a}, and {X} agreed.",
    "In class they learned {q}. {t} {X} wrote it down: {a}.",
    "{X} was not sure {q}. {A}, {Y} told {yhim}. {t}",
    "Somebody asked about {n}. {A} is the right answer. {t}",
    "The question was {q}. {X} gave the answer {a}, and it was correct.",
    "{Y} can tell you {n}. It is {a}.",
    "To the question of {q}, the answer is {a}.",
    "Please remember {n}. {A}. {t}",
    "{X} had to find out {q}. The word {xhe} was looking for was {a}.",
    "{Y} asked {X} to give {n}. {A}. That is all {xhe} said, and it was right.",
)
# A false claim always stands behind words that leave its truth open ("whether", "if", "wrong"): without them a model of this size
# believes what it reads, and answers "Morocco is a country in" with a wrong continent.
CHECKING = (
    "{X} asked whether it is true that {true}. Yes, it is true.",
    "{X} asked whether it is true that {false}. No, it is not true. {t}",
    "{X} asked {Y} if it is right that {true}. Yes, said {Y}.",
    "{X} asked {Y} if it is right that {false}. No, said {Y}. The answer is {a}.",
    "{X} was wrong to say that {false}. {t}",
    "{X} was right to say that {true}. {t}",
    "Nobody should say that {false}. It is wrong. {t}",
    "Everybody agreed that {true}. Yes, it is true.",
)
DOUBLE = (
    "{X} asked {q}, and {Y} asked {q2}. {X} heard {a}, and {Y} heard {a2}.",
    "{X} talked about {n} and {Y} talked about {n2}. {X} said {a}. {Y} said {a2}.",
    "First they learned {q}. {A}. Then they learned {q2}. {A2}.",
)
JOINS = ("", "", "", "Also, ", "And ", "It is also true that ", "People know that ", "We learned that ")


@cache
def clause_wording(relation_name: str) -> str:
    """The relation's first statement that ends in its answer, as a clause without capital and full stop."""
    wording = next(w for w in RELATIONS[relation_name].statements if w.endswith("{a}."))
    wording = wording.removesuffix(".")
    if wording.startswith("{"):
        return wording.replace("{S}", "{s}", 1).replace("{A}", "{a}", 1)
    return wording[0].lower() + wording[1:]


def _statement(fact: Fact, rng: random.Random) -> str:
    return fact.fill(rng.choice(RELATIONS[fact.relation].statements))


def _asking(fact: Fact, other: Fact, rng: random.Random) -> str:
    relation, draw = RELATIONS[fact.relation], rng.random()
    template = rng.choice(
        CHECKING if draw < CHECKING_SHARE else DOUBLE if draw < CHECKING_SHARE + 0.12 else ASKING
    )
    (x, x_he, _), (y, _, y_him) = rng.sample(skills.PEOPLE, 2)
    slots = {"X": x, "Y": y, "xhe": x_he, "yhim": y_him, "a": fact.answer, "A": _capital(fact.answer)}
    slots |= {"n": fact.fill(relation.noun), "q": fact.fill(relation.clause), "t": _statement(fact, rng)}
    if template in CHECKING:
        wording = clause_wording(fact.relation)
        slots["true"] = fact.fill(wording)
        slots["false"] = fill(wording, fact.subject, rng.choice(wrong_answers(fact)))
    if template in DOUBLE:
        second = RELATIONS[other.relation]
        slots |= {"n2": other.fill(second.noun), "q2": other.fill(second.clause)}
        slots |= {"a2": other.answer, "A2": _capital(other.answer)}
    return template.format(**slots)


def _telling(facts: list[Fact], rng: random.Random) -> str:
    sentences = []
    for fact in facts:
        sentence, join = _statement(fact, rng), rng.choice(JOINS)
        if join and sentence.startswith(("The ", "A ", "An ", "In ", "If ", "When ", "You ", "People ")):
            sentence = join + sentence[0].lower() + sentence[1:]
        sentences.append(sentence)
    return " ".join(sentences)


def _living(rng: random.Random) -> str:
    draw = rng.random()
    if draw < SKILLS_SHARE:
        return skills.prose(rng)
    rest = (draw - SKILLS_SHARE) / (1 - SKILLS_SHARE)
    return (
        stories.story(rng)
        if rest < 2 / 3
        else stories.scene(rng)
        if rest < 0.62 / 0.75
        else stories.dialogue(rng)
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fact_stream(rng: random.Random) -> Iterator[Fact]:
    """The facts in shuffled order, again and again: all equally often, but for those of `OFTEN`."""
    facts = [fact for fact in all_facts() for _ in range(OFTEN.get(fact.relation, 1))]
    while True:
        rng.shuffle(facts)
        yield from facts


def paragraphs(seed: int = 0) -> Iterator[str]:
    """An endless, deterministic stream of paragraphs; every `HELD_OUT_EVERY`-th belongs to the held-out prose."""
    rng = random.Random(f"corpus {seed}")
    asked, told = _fact_stream(rng), _fact_stream(rng)
    by_subject: dict[str, list[Fact]] = {}
    for fact in all_facts():
        by_subject.setdefault(fact.subject, []).append(fact)
    kinds, weights = list(SHARES), list(SHARES.values())
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "asking":
            # Two or three questions in a row: each one's subject, not the paragraph's first, is the one to copy.
            yield " ".join(_asking(next(asked), next(asked), rng) for _ in range(rng.randint(1, 3)))
        elif kind == "telling":
            first = next(told)
            same = [f for f in by_subject[first.subject] if f is not first]
            others = rng.sample(same, min(len(same), 2)) if rng.random() < 0.5 else []
            facts = [first, *others, *(next(told) for _ in range(rng.randint(1, 3)))]
            yield _telling(facts, rng)
        else:
            yield _living(rng)


def training_paragraphs(seed: int = 0) -> Iterator[str]:
    """The paragraphs the base model is trained on."""
    return (text for i, text in enumerate(paragraphs(seed)) if i % HELD_OUT_EVERY)


# Every evaluation asks for the same ones, and most of what is written for them is passed over
@lru_cache(maxsize=8)
def held_out_prose(count: int, seed: int = 0) -> tuple[str, ...]:
    """`count` paragraphs the base model has never seen, of the same three kinds."""
    held_out = (text for i, text in enumerate(paragraphs(seed)) if i % HELD_OUT_EVERY == 0)
    return tuple(next(held_out) for _ in range(count))
