"""Exact and near duplicates in a table of instructions, for the quality filter of notebook 06.

Copies waste training steps and, across a split, turn a test into a memory exercise (Lee et al. 2022, arXiv 2107.06499).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_TOKEN = re.compile(r"""\w+|[^\w\s.,;:!?…'"]""")  # signs such as + and # carry meaning, punctuation does not


def words(text: str) -> list[str]:
    """Lower-case words and numbers, without punctuation."""
    return _WORD.findall(text.lower())


def duplicates(rows: Sequence[Mapping[str, str]], threshold: float) -> dict[int, str]:
    """Row number -> "duplicate" or "near-duplicate" of an earlier row; the first of its kind stays.

    Exact means equal but for case, punctuation and spaces. Near means a Jaccard similarity of word triples of at least
    `threshold`, found exactly without comparing all pairs: two sets that similar must share one of the rarest few
    triples of each (prefix filtering, Bayardo et al. 2007, "Scaling up all pairs similarity search").
    """
    found: dict[int, str] = {}
    first: set[tuple] = set()
    triples: dict[int, list] = {}
    for number, row in enumerate(rows):
        key = tuple(tuple(_TOKEN.findall(row[name].lower())) for name in ("instruction", "input", "output"))
        if key in first:
            found[number] = "duplicate"
            continue
        first.add(key)
        triples[number] = list(_triples(key))
    common = Counter(triple for sets in triples.values() for triple in sets)
    index: dict[tuple, list[int]] = {}
    sets = {number: set(triples[number]) for number in triples}
    for number, own in triples.items():
        own.sort(key=lambda triple: (common[triple], triple))
        prefix = own[: len(own) - math.ceil(threshold * len(own) - 1e-9) + 1]
        earlier = {other for triple in prefix for other in index.get(triple, ())}
        if any(_jaccard(sets[number], sets[other]) >= threshold for other in earlier):
            found[number] = "near-duplicate"
            continue
        for triple in prefix:
            index.setdefault(triple, []).append(number)
    return found


def _triples(fields: tuple[tuple[str, ...], ...]) -> Iterator[tuple]:
    """The distinct word triples of a row; the field's number and edges belong to them, so short fields have some too."""
    seen = set()
    for place, said in enumerate(fields):
        padded = ("", *said, "")
        for triple in zip(padded, padded[1:], padded[2:], strict=False):
            if (place, triple) not in seen:
                seen.add((place, triple))
                yield place, triple


def _jaccard(one: set, other: set) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)
