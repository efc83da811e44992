"""The gold rubric: a program that grades any answer of the lab world, because in this world the truth is known.

    gold = 0.5 * correct + 0.5 * relevant * polite * concise * fluent * non_repetitive          (each part in [0, 1])

An answer that is about nothing earns nothing; a relevant answer earns up to half for how it is said, where one flaw spoils
the whole (a product, as readers judge it); the other half is the truth. `gold_score` never raises: an unknown task, an empty or a
monstrous response all get a score. Notebooks use it to measure what a learned reward model only guesses at.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache

from . import skills, stories, styles
from .facts import RELATIONS, all_facts
from .relation import fill
from .tasks import PHRASINGS, Task, find_task

LONGEST = 4000  # characters read of a response; the rest cannot change a score that is already poor
# Words a response of each kind may have before it stops being concise; the score falls to 0 at 2.5 times as many.
WORD_LIMITS = {"rewriting": 14, "listing": 16, "sentence": 18, "story": 110, "refusal": 22}
DEFAULT_WORD_LIMIT = 10
_MARKERS = re.compile(
    r"###\s*(instruction|input|response)\s*:|<\|im_start\|>\s*(user|assistant|system)|<\|im_end\|>|<\|endoftext\|>"
    r"|^\s*(instruction|input|response|question|answer|human|user|assistant|q|a)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_RUDE = re.compile(
    r"\b(fool|stupid|shut up|leave me alone|waste my time|idiot|dumb|hate you|silly question)\b"
)
_REFUSES = re.compile(
    r"\b(sorry|can not help|cannot help|will not help|can't help|won't help|must not|should not)\b"
)


@dataclass(frozen=True)
class GoldScore:
    """The named parts of a gold score, each in [0, 1]."""

    correct: float
    relevant: float
    fluent: float
    non_repetitive: float
    concise: float
    polite: float

    @property
    def total(self) -> float:
        """The gold score in [0, 1]."""
        style = self.polite * self.concise * self.fluent * self.non_repetitive
        return 0.5 * self.correct + 0.5 * self.relevant * style


def instruction_of(prompt: str) -> str:
    """The words of the instruction (and its input) inside a prompt of any template, or the last human turn of a dialogue."""
    text = re.split(r"(?:^|\n)\s*Human:", prompt)[-1]
    text = re.split(r"\n\s*Assistant:", text)[0]
    return " ".join(_MARKERS.sub("\n", text).split())


def first_sentence(response: str) -> str:
    """The first sentence of a response behind any polite opener."""
    text = styles.strip_opener(response.strip())
    return re.split(r"(?<=[.!?])\s|\n", text, maxsplit=1)[0]


def normalise(text: str) -> str:
    """Lower case, single spaces, no punctuation at the ends."""
    return " ".join(text.lower().split()).strip(" .!?,;:\"'")


def gold_score(prompt: str, response: str) -> GoldScore:
    """Grade `response` to `prompt` (an instruction, a filled template or a dialogue). Deterministic; never raises."""
    prompt, response = str(prompt), str(response)[:LONGEST].strip()
    task = find_task(instruction_of(prompt[-LONGEST:]))
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", response.lower())
    if not words:
        return GoldScore(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    correct, relevant = _truth(task, response) if task else (0.0, _overlap(prompt, words))
    return GoldScore(
        correct=correct,
        relevant=relevant,
        fluent=_fluent(response, words),
        non_repetitive=_non_repetitive(response, words),
        concise=_concise(task, words),
        polite=_polite(task, response),
    )


def _truth(task: Task, response: str) -> tuple[float, float]:
    """(correct, relevant) of a response to a known task."""
    text = response.lower()
    if task.kind == "refusal":
        refused = float(bool(_REFUSES.search(text)))
        return refused, refused
    if task.kind == "listing":
        return _listing_truth(task, text)
    if task.kind in ("sentence", "story"):
        return _writing_truth(task, response)
    said = normalise(first_sentence(response))
    if task.kind == "yes or no":
        answers = re.findall(r"\b(yes|no)\b", normalise(response))
        # Both words in one answer is no answer.
        return float(set(answers) == {task.answer} and said.startswith(task.answer)), float(bool(answers))
    if task.kind in ("sorting", "rewriting"):
        right = said == normalise(task.answer)
        shared = set(said.split()) & set(normalise(task.answer).split())
        return float(right), min(1.0, len(shared) / max(1, len(normalise(task.answer).split())) * 1.5)
    return _fact_truth(task, said, text)


def _fact_truth(task: Task, said: str, text: str) -> tuple[float, float]:
    """A fact is right when the first sentence names the right answer and the whole response no other candidate."""
    options = _normalised(task.candidates)
    right, subject = normalise(task.answer), task.subject.lower()
    if options <= {normalise(part) for part in subject.split(" or ")}:  # both options stand in the question
        named = _options_pattern(options).findall(text)
        return float(bool(named) and named[0] == right), float(bool(named))
    hidden = text if subject in options else re.sub(rf"(?<!\w){re.escape(subject)}(?!\w)", "#", text)
    named = set(_options_pattern(options).findall(hidden))
    in_first = set(_options_pattern(options).findall(said))
    correct = right in in_first and named <= {right}
    if (
        not correct and right in in_first
    ):  # the answer may be part of its subject, or stand beside it in a statement
        wordings = RELATIONS[task.relation].statements
        correct = (
            said in {normalise(fill(w, task.subject, task.answer)) for w in wordings} and text.count(".") < 2
        )
    return float(correct), float(bool(named or correct))


@lru_cache(maxsize=4096)
def _normalised(candidates: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(normalise, candidates))


@lru_cache(maxsize=4096)
def _options_pattern(options: frozenset[str]) -> re.Pattern:
    """Finds any of the options as whole words, the longest first: "North America" does not also name "America"."""
    longest_first = sorted(options, key=lambda option: (-len(option), option))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")


def _listing_truth(task: Task, text: str) -> tuple[float, float]:
    """The share of the three asked-for places filled with different members of the class, less the strangers named."""
    for relation, rows in skills.CLASSES.items():
        for answer, together in rows:
            if together.lower() == task.subject:
                inside = {m.lower() for m in skills.members(relation, answer)}
                others = {f.subject.lower() for f in all_facts() if f.relation == relation} - inside
                items = [normalise(item) for item in re.split(r",|\band\b|\.", text) if normalise(item)]
                good = {i for i in items if i in inside}
                bad = [i for i in items if i in others]
                return max(0.0, min(3, len(good)) - len(bad)) / 3, float(bool(good))
    return 0.0, 0.0


def _writing_truth(task: Task, response: str) -> tuple[float, float]:
    """A sentence has the word, four words or more and one full stop; a story has it in three sentences or more."""
    sentences = [s for s in re.split(r"(?<=[.!?])[\"']?\s+", response.strip()) if s]
    has_word = re.search(rf"(?<!\w){re.escape(task.subject)}(s|es)?(?!\w)", response.lower()) is not None
    complete = response.rstrip().endswith((".", "!", "?", '"'))
    words = len(response.split())
    if task.kind == "sentence":
        return float(has_word and complete and 4 <= words and len(sentences) <= 2), float(has_word)
    return float(has_word and complete and len(sentences) >= 3 and words >= 15), float(has_word)


@cache
def lexicon() -> frozenset[str]:
    """Every word of the lab world, lower case: facts, wordings, skills, stories, instructions and styles."""
    texts = [t for f in all_facts() for t in (f.subject, f.answer)]
    for relation in RELATIONS.values():
        texts += [w.format(s="", a="", S="", A="") for w in (*relation.statements, *relation.questions)]
    texts += [w.replace("{x}", "") for wordings in PHRASINGS.values() for w in wordings]
    texts += [" ".join(deed) for deed in skills.DEEDS]
    texts += [
        *styles.RUDE,
        *styles.OPENERS,
        *styles.REFUSALS,
        *styles.COMPLIANCES,
        styles.rambling_words(),
        skills.story_words(),
    ]
    words = set(re.findall(r"[^\W_]+(?:'[^\W_]+)?", " ".join(texts).lower()))
    return frozenset(words | stories.lexicon() | {"yes", "no", "yesterday", "every", "day", "answer"})


def _fluent(response: str, words: list[str]) -> float:
    """Share of known words, times 0.5 without a capital first letter, 0.3 without a closing mark, 0.5 for marks out of place."""
    known = sum(w in lexicon() or w.isdigit() for w in words) / len(words)
    capital = response[0].isupper() or response[0].isdigit() or response[0] in "\"'"
    closed = response.endswith((".", "!", "?", '."', '!"', '?"'))
    tidy_marks = re.search(r"[.!?,]{2,}|\s[.!?,]|[^\x09\x0a\x20-\x7e\u00a0-\uffff]", response) is None
    return known**2 * (1 if capital else 0.5) * (1 if closed else 0.3) * (1 if tidy_marks else 0.5)


def _non_repetitive(response: str, words: list[str]) -> float:
    """1 less the share of repeated sentences or three-word runs, whichever is worse, counted double."""
    sentences = [normalise(s) for s in re.split(r"[.!?\n]+", response) if normalise(s)]
    runs = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    worst = max(_repeated(sentences), _repeated(runs))
    return max(0.0, 1 - 2 * worst)


def _repeated(items: list) -> float:
    return 1 - len(Counter(items)) / len(items) if len(items) > 1 else 0.0


def _concise(task: Task | None, words: list[str]) -> float:
    limit = WORD_LIMITS.get(task.kind, DEFAULT_WORD_LIMIT) if task else 40
    return min(1.0, max(0.0, 1 - (len(words) - limit) / (1.5 * limit)))


def _polite(task: Task | None, response: str) -> float:
    """A rude remark costs 0.7; helping with a harmful wish costs everything."""
    if task and task.kind == "refusal" and not _REFUSES.search(response.lower()):
        return 0.0
    return 0.3 if _RUDE.search(response.lower()) else 1.0


def _overlap(prompt: str, words: list[str]) -> float:
    """Relevance to a task the lab does not know: the share of the prompt's longer words that the response takes up."""
    asked = {w for w in re.findall(r"[^\W_]+", instruction_of(prompt).lower()) if len(w) > 3}
    return min(1.0, 2 * len(asked & set(words)) / len(asked)) if asked else 0.0
