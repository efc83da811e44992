"""Rows that are the same, nearly the same or worded alike, in a table of instructions.

The quality filter of notebook 06 drops the first two and holds a row against the third; notebook 05 makes a narrow task of
them. Copies waste training steps and, across a split, turn a test into a memory exercise (Lee et al. 2022, arXiv 2107.06499).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch

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


def similar_instructions(rows: Sequence[Mapping[str, str]], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the `count` others with the most similar instruction, best first: (similarity, row number), [rows, count] each.

    Similarity is the cosine of tf-idf, tf 0 or 1: 0 no word in common, 1 the same words.
    """
    bags = [sorted(set(re.findall(r"\w+", row["instruction"].lower()))) for row in rows]
    found_in = Counter(word for bag in bags for word in bag)
    place = {word: i for i, word in enumerate(found_in)}
    cells = torch.tensor([(i, place[word]) for i, bag in enumerate(bags) for word in bag]).T
    weights = torch.tensor([math.log((len(rows) + 1) / found_in[word]) for bag in bags for word in bag])
    norms = torch.zeros(len(rows)).index_add_(0, cells[0], weights**2).sqrt()
    matrix = torch.sparse_coo_tensor(
        cells, weights / norms[cells[0]], (len(rows), len(place)), check_invariants=True
    ).coalesce()
    found = []
    for start in range(0, len(rows), 256):
        part = torch.arange(start, min(start + 256, len(rows)))
        likeness = torch.sparse.mm(matrix, matrix.index_select(0, part).to_dense().T).T.contiguous()
        likeness[torch.arange(len(part)), part] = -1.0  # not itself
        found.append(likeness.topk(min(count, len(rows) - 1)))
    return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])
