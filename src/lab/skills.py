"""Small skills of the lab world that are not facts: sorting, telling the past, listing members of a class.

Each skill has prose for the pretraining corpus and inputs and answers for the instruction pool. A quarter of the inputs is
held out of fine-tuning, like the facts.
"""

import itertools
import random
from functools import cache

from . import stories
from .facts import HELD_OUT_SHARE, all_facts
from .relation import table

# (name, subject pronoun, object pronoun)
PEOPLE = tuple((name, he, "him" if he == "he" else "her") for name, he in sorted(stories.PRONOUN.items()))

# third person | past | the rest of the sentence
DEEDS = tuple(
    (third.strip(), past.strip(), rest.strip())
    for third, past, rest in (
        line.split("|")
        for line in """
walks | walked | to the park
goes | went | to school
eats | ate | an apple
drinks | drank | a cup of tea
writes | wrote | a letter
reads | read | a long book
sings | sang | a happy song
runs | ran | to the river
swims | swam | in the lake
makes | made | a wooden toy
buys | bought | fresh bread
brings | brought | milk to the market
sees | saw | a small bird
feeds | fed | the old dog
rides | rode | a red bicycle
draws | drew | a picture of the sea
tells | told | a funny story
finds | found | a round stone
gives | gave | a flower to a friend
takes | took | the bus to the city
cleans | cleaned | the kitchen
washes | washed | the dirty plates
opens | opened | the green door
closes | closed | the big window
cooks | cooked | soup for the family
plants | planted | a little tree
paints | painted | the wall of the house
carries | carried | a heavy box
watches | watched | the boats on the water
plays | played | with a ball
helps | helped | the farmer
visits | visited | the old castle
catches | caught | a silver fish
sleeps | slept | under the tree
stands | stood | near the bridge
wears | wore | a warm coat
breaks | broke | a glass cup
builds | built | a house of snow
sends | sent | a card to the teacher
throws | threw | a stone into the water
""".strip().splitlines()
    )
)

# class (an answer of its relation) | how its members are called together
CLASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "animal_class": table(
        "mammal | mammals\nbird | birds\nfish | fish\ninsect | insects\nreptile | reptiles"
    ),
    "food_kind": table("fruit | fruits\nvegetable | vegetables\ndrink | drinks"),
    "continent": table(
        "Africa | countries in Africa\nAsia | countries in Asia\nEurope | countries in Europe\n"
        "South America | countries in South America"
    ),
}


@cache
def members(relation: str, answer: str) -> tuple[str, ...]:
    """Every subject of `relation` whose answer is `answer`."""
    return tuple(f.subject for f in all_facts() if f.relation == relation and f.answer == answer)


def join(items: list[str]) -> str:
    """ "a crow, an owl and a duck"."""
    return ", ".join(items[:-1]) + " and " + items[-1]


def present(name: str, deed: tuple[str, str, str]) -> str:
    return f"Every day {name} {deed[0]} {deed[2]}."


def past(name: str, deed: tuple[str, str, str]) -> str:
    return f"Yesterday {name} {deed[1]} {deed[2]}."


@cache
def number_sets() -> tuple[tuple[int, ...], ...]:
    """All sets of three different one-digit numbers, in a fixed shuffled order; the first quarter is held out."""
    sets = list(itertools.combinations(range(1, 10), 3))
    random.Random("number sets").shuffle(sets)
    return tuple(sets)


@cache
def deed_order() -> tuple[int, ...]:
    """Indices of `DEEDS` in a fixed shuffled order; the first quarter is held out."""
    order = list(range(len(DEEDS)))
    random.Random("deeds").shuffle(order)
    return tuple(order)


def held_out_part(items: tuple, held_out: bool) -> tuple:
    """The held-out first quarter of `items`, or the rest of them."""
    cut = round(HELD_OUT_SHARE * len(items))
    return items[:cut] if held_out else items[cut:]


def prose(rng: random.Random) -> str:
    """A paragraph in which somebody uses one of the skills."""
    return " ".join(
        rng.choice((_sorting, _yesterday, _listing, _listing))(rng) for _ in range(rng.randint(2, 3))
    )


def _sorting(rng: random.Random) -> str:
    numbers = rng.sample(range(1, 10), 3)
    name = rng.choice(PEOPLE)[0]
    mixed, ordered = (join([str(n) for n in order]) for order in (numbers, sorted(numbers)))
    return rng.choice(
        (
            f"{name} wrote the numbers {mixed}. From smallest to largest they are {ordered}.",
            f"{name} put the numbers {mixed} in order: {ordered}.",
            f"{name} sorted {mixed}. In order, the numbers are {ordered}.",
            f"The numbers {mixed} were mixed up. {name} put the smallest first: {ordered}.",
        )
    )


def _yesterday(rng: random.Random) -> str:
    name, deed = rng.choice(PEOPLE)[0], rng.choice(DEEDS)
    sentences = [present(name, deed), past(name, deed)]
    return " ".join(sentences if rng.random() < 0.75 else reversed(sentences))


def _listing(rng: random.Random) -> str:
    relation = rng.choice(list(CLASSES))
    answer, together = rng.choice(CLASSES[relation])
    listed = join(rng.sample(members(relation, answer), 3))
    name = rng.choice(PEOPLE)[0]
    return rng.choice(
        (
            f"{listed[0].upper() + listed[1:]} are {together}.",
            f"Three {together} are {listed}.",
            f"{name} named three {together}: {listed}.",
            f"{name} made a list of {together}. {listed[0].upper() + listed[1:]} were on it.",
            f"{name} was asked for some {together} and said {listed}.",
        )
    )


_BEGINNINGS = (
    "One day {X} saw {w} near the house.",
    "One morning {X} found {w} in the garden.",
    "Last week {X} saw {w} at the market.",
    "A long time ago {X} dreamed of {w}.",
    "On a rainy day {X} found {w} by the road.",
    "One evening {X} and a friend saw {w} near the river.",
)
_MIDDLES = (
    "Nobody knew where it came from.",
    "It was small and {X} liked it at once.",
    "{X} wanted to show it to everybody.",
    "It looked old, but {X} thought that it was beautiful.",
    "{X} had never seen one like it before.",
    "A neighbour had lost it and was sad.",
)
_ENDINGS = (
    "In the end {X} gave it back and everybody was happy.",
    "{X} went home with a smile and told the story to the family.",
    "From that day on {X} came back every morning to look at it.",
    "That night {X} slept well and dreamed of it.",
    "Later {X} drew a picture of it for a friend.",
    "The next day it was gone, but {X} never forgot it.",
)


def short_story(word: str, rng: random.Random) -> str:
    """Three or four plain sentences about `word`, short enough to be sampled in every notebook."""
    name, article = rng.choice(PEOPLE)[0], "an" if word[0] in "aeiou" else "a"
    middles = rng.sample(_MIDDLES, rng.randint(1, 2))
    sentences = [rng.choice(_BEGINNINGS), *middles, rng.choice(_ENDINGS)]
    return " ".join(sentences).format(X=name, w=f"{article} {word}")


def story_words() -> str:
    """Every word a short story may use, for the rubric's lexicon."""
    return " ".join((*_BEGINNINGS, *_MIDDLES, *_ENDINGS)).format(X="", w="")
