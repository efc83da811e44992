"""The lab world: its tables, its prose, the instruction pool with its bad rows and splits, and the preference pairs."""

import random
import re
import time
from collections import Counter, defaultdict
from itertools import islice

import pytest
from datasets import Dataset

from src import lab
from src.lab import instructions, preferences, styles
from src.lab.corpus import HELD_OUT_EVERY, OFTEN, held_out_prose, paragraphs, training_paragraphs
from src.lab.facts import (
    HELD_OUT_PHRASINGS,
    RELATIONS,
    all_facts,
    find_fact,
    new_phrasings,
    seen_phrasings,
    wrong_answers,
)
from src.lab.instructions import BAD_KINDS, SPLITS, pool
from src.lab.preferences import NOISE, OPENER_SHARE, pairs
from src.lab.skills import CLASSES
from src.lab.tasks import EXACT_KINDS, KINDS, PHRASINGS, draw_task, find_task
from src.quality import true_labels
from src.templates import split_dialogue, turns

SEEDS = range(5)
ROWS = 4000


def words(text: str) -> str:
    return " ".join(text.lower().split())


# --- Tables ----------------------------------------------------------------------------------------------------


def test_the_world_is_large_enough():
    assert len(all_facts()) >= 1200 and len(RELATIONS) >= 25 and len(KINDS) >= 12


@pytest.mark.parametrize("relation", RELATIONS.values(), ids=lambda r: r.name)
def test_a_relation_says_each_fact_in_many_ways(relation):
    subjects = [subject for subject, _ in relation.facts]
    assert len(set(subjects)) == len(subjects), "a subject stands twice"
    assert len(relation.statements) >= 8 and len(relation.clozes) >= 2
    assert len(relation.questions) >= 8 and len(set(relation.questions)) == len(relation.questions)
    slots = {w: set(re.findall(r"\{(.*?)\}", w)) for group in _wordings(relation).values() for w in group}
    for wording in relation.statements:
        assert slots[wording] & {"s", "S"} and slots[wording] & {"a", "A"}, wording
    first = [re.search(r"\{([sSaA])\}", w).group(1).lower() for w in relation.statements]
    assert first.count("s") >= 5, "too few statements with the subject first"
    for wording in (*relation.clozes, *relation.questions, relation.noun, relation.clause):
        assert slots[wording] and slots[wording] <= {"s", "S"}, wording
    for wording, names in slots.items():
        assert names <= {"s", "S", "a", "A"} and wording == " ".join(wording.split()), wording
    assert all(w.endswith(".") for w in relation.statements)
    assert all(w.endswith(("?", ".", ":", "{s}")) for w in relation.questions)


def _wordings(relation):
    return {
        "statements": relation.statements,
        "clozes": relation.clozes,
        "questions": relation.questions,
        "noun": (relation.noun,),
        "clause": (relation.clause,),
    }


def test_phrasings_are_enough_and_three_held_out():
    assert HELD_OUT_PHRASINGS == 3
    for relation in RELATIONS.values():
        assert len(new_phrasings(relation)) == 3 and len(seen_phrasings(relation)) >= 5
        assert {*new_phrasings(relation), *seen_phrasings(relation)} == set(relation.questions)
        assert not set(new_phrasings(relation)) & set(seen_phrasings(relation))
    for kind, wordings in PHRASINGS.items():
        assert len(wordings) - 3 >= 5 and len(set(wordings)) == len(wordings), kind
        assert all(w.count("{x}") == 1 for w in wordings)


def test_a_quarter_of_every_relation_is_held_out():
    for name, relation in RELATIONS.items():
        facts = [f for f in all_facts() if f.relation == name]
        assert len(facts) == len(relation.facts)
        assert abs(sum(f.held_out for f in facts) - 0.25 * len(facts)) <= 1.5
        seen = {(f.subject, f.answer) for f in facts if not f.held_out}
        assert not [f for f in facts if f.held_out and (f.answer, f.subject) in seen], name


def test_wrong_answers_never_hold_the_right_one():
    for fact in all_facts():
        assert wrong_answers(fact) and fact.answer not in wrong_answers(fact)
    assert wrong_answers(find_fact("size", "a mouse or an elephant")) == ("a mouse",)


# --- Prose -----------------------------------------------------------------------------------------------------

PARAGRAPHS = 30_000


@pytest.fixture(scope="module")
def prose():
    return list(islice(training_paragraphs(), PARAGRAPHS))


def _bare_words(text):
    return re.findall(r"[^\W_]+", text.lower())


@pytest.fixture(scope="module")
def told(prose):
    """How often the prose has each fact's statements, word for word."""
    lengths, statements, counts = defaultdict(set), set(), Counter()
    for fact in all_facts():
        for wording in RELATIONS[fact.relation].statements:
            statement = tuple(_bare_words(fact.fill(wording)))
            statements.add(statement)
            lengths[statement[:2]].add(len(statement))
    for paragraph in prose:
        text = tuple(_bare_words(paragraph))
        for i in range(len(text) - 1):
            runs = (text[i : i + length] for length in lengths.get(text[i : i + 2], ()))
            counts.update(run for run in runs if run in statements)
    return counts


def _times_told(fact, told):
    return sum(told[tuple(_bare_words(fact.fill(w)))] for w in RELATIONS[fact.relation].statements)


def test_every_fact_is_told_in_the_training_prose(told):
    missing = [fact for fact in all_facts() if not _times_told(fact, told)]
    assert not missing, f"{len(missing)} facts untold, for instance {missing[:3]}"


def test_no_cloze_is_the_end_of_its_relations_own_indirect_question():
    """ "He asked what an aquarium is made of." also goes on with a full stop: such a probe would have two right answers."""
    for relation in RELATIONS.values():
        for cloze in relation.clozes:
            end = cloze.replace("{S}", "{s}").lower()
            assert not any(w.lower().endswith(end) for w in (relation.clause, relation.noun)), (
                relation.name,
                cloze,
            )


def test_facts_are_told_about_equally_often(told):
    times = [_times_told(fact, told) / OFTEN.get(fact.relation, 1) for fact in all_facts()]
    assert max(times) < 10 * min(times)


def test_the_prose_has_no_instruction_format(prose):
    for paragraph in prose:
        for mark in (
            "### ",
            "Instruction:",
            "Question:",
            "Human:",
            "Assistant:",
            "Response:",
            "Answer:",
            "<|",
            "\n",
        ):
            assert mark not in paragraph, paragraph


def test_questions_in_the_prose_are_spoken_by_somebody(prose):
    """Outside quotes only a story teller asks, and only what no instruction asks."""
    outside = [re.sub(r'"[^"]*"', '"', text) for text in prose if "?" in text]
    asked = Counter(q.strip() for text in outside for q in re.findall(r'[^.!?"]*\?', text))
    assert set(asked) <= {"Who had lost it?", "What should he do?", "What should she do?"}, asked
    assert asked.total() < 0.005 * len(prose)


def test_no_question_of_the_pool_stands_in_the_prose(prose):
    text = "\n".join(prose).lower()
    asked = {words(row.task.instruction) for row in pool(500, 0)}
    assert not [q for q in asked if q.endswith("?") and q in text]


def test_held_out_prose_is_not_in_the_training_stream(prose):
    held_out = held_out_prose(200)
    assert len(set(held_out)) == 200
    assert not set(held_out) & set(prose)
    stream = list(islice(paragraphs(), 3 * HELD_OUT_EVERY))
    assert list(held_out[:3]) == stream[::HELD_OUT_EVERY]
    assert prose[:3] == stream[1:4]


def test_prose_is_deterministic_and_seeds_differ():
    first, again, other = (list(islice(training_paragraphs(seed), 50)) for seed in (0, 0, 1))
    assert first == again and first != other


def test_probes_ask_for_every_fact_and_never_give_the_answer_away():
    probes = lab.cloze_probes(arithmetic=True)
    assert {(p.relation, p.subject) for p in probes} == {(f.relation, f.subject) for f in all_facts()}
    assert not any(p.arithmetic for p in lab.cloze_probes())
    assert len(lab.cloze_probes(200)) == 200 and len({p.relation for p in lab.cloze_probes(400)}) >= 35
    assert lab.cloze_probes(seed=1) == lab.cloze_probes(seed=1) != lab.cloze_probes(seed=2)


# --- Tasks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", SPLITS)
def test_find_task_is_the_inverse_of_draw_task(kind, split):
    rng, (new_phrasing, new_fact) = random.Random(f"{kind} {split}"), SPLITS[split]
    for _ in range(60):
        task = draw_task(kind, rng, new_phrasing, new_fact)
        found = find_task(task.instruction, task.input)
        assert found is not None, task
        assert (found.kind, found.new_phrasing, found.new_fact) == (kind, new_phrasing, new_fact), task
        assert (found.instruction, found.input, found.topic) == (task.instruction, task.input, task.topic)
        if task.exact:
            assert (found.answer, found.candidates) == (task.answer, task.candidates)
        if task.relation:
            assert (found.relation, found.subject) == (task.relation, task.subject)


def test_every_question_states_exactly_one_fact():
    for fact in all_facts():
        for wording in RELATIONS[fact.relation].questions:
            found = find_task(fact.fill(wording))
            assert (found.relation, found.subject, found.answer) == (fact.relation, fact.subject, fact.answer)


def test_unknown_kinds_and_splits_are_named():
    with pytest.raises(KeyError, match="unknown task kind 'poem'.*story"):
        draw_task("poem", random.Random(0))
    with pytest.raises(KeyError, match="unknown split 'old'.*seen"):
        lab.evaluation_tasks("old", 1)
    assert find_task("Tell me about the sea.") is None


# --- The instruction pool --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    return pool(ROWS, 0)


def test_the_pool_looks_like_alpaca(rows):
    dataset = lab.instruction_pool(ROWS, 0)
    assert isinstance(dataset, Dataset) and dataset.column_names == ["instruction", "input", "output"]
    assert len(dataset) == ROWS == len(lab.pool_labels(ROWS, 0))
    assert dataset[7] == rows[7].as_alpaca()
    assert {dataset.features[name].dtype for name in dataset.column_names} == {"string"}
    assert {row.task.kind for row in rows} == set(KINDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_of_the_pool_is_bad_and_each_kind_alike(seed):
    labels = Counter(lab.pool_labels(ROWS, seed))
    assert abs(1 - labels[""] / ROWS - 0.25) <= 0.01
    assert set(labels) == {"", *BAD_KINDS}
    assert max(labels[k] for k in BAD_KINDS) - min(labels[k] for k in BAD_KINDS) <= 2
    dataset = lab.instruction_pool(ROWS, seed)  # and nothing else is a copy of an earlier row
    labelled = lab.pool_labels(ROWS, seed)
    assert sum(a != b for a, b in zip(true_labels(dataset, labelled), labelled, strict=True)) <= 4


def _grade(row):
    return lab.gold_score(f"{row.task.instruction}\n{row.task.input}", row.output)


def test_bad_rows_are_what_they_are_labelled(rows):
    said = set()
    for row in rows:
        key, output = (row.task.instruction, row.task.input, row.output), row.output
        if row.bad == "duplicate":
            assert key in said, row
        elif row.bad == "empty":
            assert output.strip() in ("", "<noinput>", "N/A"), row
        elif row.bad == "truncated":
            assert len(output.split()) >= 2 and not output.endswith((".", "!", "?")), row
            if row.style != "untidy":
                assert output[:1] == output[:1].upper(), row
        elif row.bad == "wrong":
            # "In." is an opposite too, but the rubric cannot tell it from the "in" of its own statements
            assert _grade(row).correct == 0 and (_grade(row).relevant == 1 or output.startswith("In.")), row
        elif row.bad == "off-topic":
            assert output.strip() and _grade(row).correct == 0, row
        elif row.bad == "repetitive":
            sentences = Counter(re.split(r"(?<=[.!?])\s+", output))
            assert max(sentences.values()) >= 4 and _grade(row).non_repetitive == 0, row
        if not row.bad:
            said.add(key)


def test_good_rows_are_right_whatever_their_style(rows):
    for row in rows:
        if not row.bad and row.style != "complied":
            assert _grade(row).correct == 1, row
        if row.style == "complied" and not row.bad:
            assert _grade(row).total == 0 and row.task.kind == "refusal", row
    shares = Counter(row.style for row in rows if not row.bad)
    assert {"tidy", "rude", "rambling", "untidy", "complied"} <= set(shares)
    assert 0.4 < shares["tidy"] / shares.total() < 0.8, "RLHF needs headroom, SFT needs clean answers"
    harmful = [row for row in rows if row.task.kind == "refusal" and not row.bad]
    assert 0.45 < sum(row.style == "complied" for row in harmful) / len(harmful) < 0.75


def test_truncated_rows_are_beginnings_of_a_whole_answer(rows):
    """Every cut answer can be continued to a right one: the words that are there are not what is bad."""
    for row in rows:
        if row.bad == "truncated" and row.task.exact and row.style == "tidy":
            assert styles.sentence(row.task.answer).startswith(row.output), row


def test_the_pool_is_deterministic_and_seeds_differ():
    instructions.pool.cache_clear()
    first = pool(300, 3)
    instructions.pool.cache_clear()
    # hashes: pytest would diff long tuples for minutes
    assert hash(pool(300, 3)) == hash(first) != hash(pool(300, 4))
    assert {row.task.kind for row in pool(100, 0, kinds=("plural", "opposite"))} == {"plural", "opposite"}
    assert not any(row.bad for row in pool(100, 0, bad_share=0.0))


@pytest.mark.parametrize(
    "kinds", [("refusal",), ("plural",), ("story",), ("listing", "sorting")], ids="-".join
)
def test_a_narrow_pool_ends_and_keeps_its_share_of_bad_rows(kinds):
    """A refusal has no wrong fact and a plural is too short to be cut: such rows are bad in another way."""
    labels = Counter(row.bad for row in pool(200, 0, kinds=kinds))
    assert labels.total() == 200 and labels[""] == 150 and labels["repetitive"] > 0


# --- Splits: nothing of an evaluation is ever fine-tuned on ----------------------------------------------------


@pytest.fixture(scope="module")
def fine_tuned():
    """(instruction, input) of every pool and every preference prompt, and what they are about."""
    prompts, about, phrasings = set(), set(), set()
    for seed in SEEDS:
        tasks = [row.task for row in pool(ROWS, seed)]
        for pair in pairs(400, seed):
            for speaker, said in turns(pair.prompt):
                if speaker == "Human":
                    tasks.append(find_task(*said.split("\n", 1)))
        for task in tasks:
            prompts.add((words(task.instruction), words(task.input)))
            about.add(_about(task))
            phrasings.add(_phrasing(task))
    return prompts, about, phrasings


def _about(task):
    """What a task is about, found from its words alone: the fact, number set, deed, word, class or wish."""
    if task.relation:
        return "fact", task.relation, task.subject
    if task.kind == "sorting":
        return "numbers", tuple(sorted(re.findall(r"\d+", task.input)))
    if task.kind == "rewriting":
        return "deed", tuple(task.input.split()[3:])
    return task.kind, words(task.subject).removeprefix("an ").removeprefix("a ")


def _phrasing(task):
    """The wording behind a task, reconstructed by taking its slot out."""
    if task.kind in PHRASINGS:
        for wording in PHRASINGS[task.kind]:
            pattern = re.escape(words(wording.partition("\n")[0])).replace(re.escape("{x}"), "(.+)")
            if re.fullmatch(pattern, words(task.instruction)):
                return task.kind, wording
    for wording in RELATIONS[task.relation].questions:
        if words(find_fact(task.relation, task.subject).fill(wording)) == words(task.instruction):
            return task.relation, wording
    raise AssertionError(task)


@pytest.mark.parametrize("split", [name for name in SPLITS if name != "seen"])
def test_no_split_leaks_into_fine_tuning(split, fine_tuned):
    prompts, about, phrasings = fine_tuned
    new_phrasing, new_fact = SPLITS[split]
    kinds_seen = set()
    for seed in SEEDS:
        for task in lab.evaluation_tasks(split, 200, seed, tuple(KINDS)):
            kinds_seen.add(task.kind)
            assert (words(task.instruction), words(task.input)) not in prompts, task
            if new_fact:
                assert _about(task) not in about, task
            if new_phrasing:
                assert _phrasing(task) not in phrasings, task
    assert kinds_seen == set(KINDS)


def test_lists_in_the_pool_do_not_tell_held_out_facts():
    classes = {name: (relation, answer) for relation, group in CLASSES.items() for answer, name in group}
    for seed in SEEDS:
        for row in pool(ROWS, seed):
            if row.task.kind == "listing":
                relation, answer = classes[row.task.subject]
                for member in re.split(r", | and ", row.task.answer):
                    fact = find_fact(relation, member)
                    assert fact.answer == answer and not fact.held_out, (row, fact)


def test_held_out_preferences_are_about_held_out_facts(fine_tuned):
    _, about, _ = fine_tuned
    for pair in pairs(300, 0, new_fact=True):
        task = find_task(*turns(pair.prompt)[-2][1].split("\n", 1))
        assert task.new_fact and _about(task) not in about, task


@pytest.mark.parametrize("split", SPLITS)
def test_evaluation_tasks_are_distinct_deterministic_and_exact(split):
    tasks = lab.evaluation_tasks(split, 150)
    assert len({(t.instruction, t.input) for t in tasks}) == 150
    assert tasks == lab.evaluation_tasks(split, 150) != lab.evaluation_tasks(split, 150, seed=1)
    assert all((t.new_phrasing, t.new_fact) == SPLITS[split] and t.kind in EXACT_KINDS for t in tasks)


# --- Preferences -----------------------------------------------------------------------------------------------

PAIRS = 3000


@pytest.fixture(scope="module")
def made():
    return pairs(PAIRS, 0)


def test_preferences_look_like_hh_rlhf(made):
    dataset = lab.preference_pairs(PAIRS, 0)
    assert (
        isinstance(dataset, Dataset)
        and dataset.column_names == ["chosen", "rejected"]
        and len(dataset) == PAIRS
    )
    counts = Counter()
    for row, pair in zip(dataset, made, strict=True):
        for side in ("chosen", "rejected"):
            assert split_dialogue(row[side]) == (pair.prompt, getattr(pair, side).strip())
        speakers = [speaker for speaker, _ in turns(row["chosen"])]
        assert speakers == ["Human", "Assistant"] * (len(speakers) // 2)
        counts[len(speakers) // 2] += 1
        assert row["chosen"] != row["rejected"]
    assert set(counts) == {1, 2, 3} and counts[1] > counts[2] > counts[3]


def test_a_quarter_of_the_labels_is_flipped_and_gold_says_which(made):
    assert abs(sum(p.flipped for p in made) / PAIRS - NOISE) <= 0.03
    for pair in made:
        assert (pair.gold_chosen < pair.gold_rejected) == pair.flipped
        assert pair.better == (pair.rejected if pair.flipped else pair.chosen)
        assert lab.gold_score(pair.prompt, pair.chosen).total == pytest.approx(pair.gold_chosen)
        assert lab.gold_score(pair.prompt, pair.rejected).total == pytest.approx(pair.gold_rejected)
    assert not any(p.flipped for p in pairs(200, 0, noise=0.0))


def test_every_kind_of_flaw_is_there(made):
    flaws = Counter(p.flaw for p in made)
    expected = {
        "wrong",
        "off-topic",
        "harmful",
        "rude",
        "rambling",
        "untidy",
        "repeated",
        "truncated",
        "empty",
    }
    assert expected <= set(flaws) and min(flaws[f] for f in expected) >= 30, flaws
    assert flaws["wrong"] >= 0.15 * PAIRS


def test_one_prompt_meets_several_wrong_facts(made):
    wrong = defaultdict(set)
    for pair in made:
        task = find_task(*turns(pair.prompt)[-2][1].split("\n", 1))
        if pair.flaw == "wrong" and len(task.candidates) > 2:
            named = [
                c
                for c in task.candidates[1:]
                if c.lower() in (pair.chosen if pair.flipped else pair.rejected).lower()
            ]
            wrong[task.instruction].update(named[:1])
    assert sum(len(negatives) >= 2 for negatives in wrong.values()) >= 50


def test_polite_openers_stand_more_often_on_the_better_side(made):
    def share(texts):
        return sum(styles.strip_opener(text) != text for text in texts) / len(texts)

    better = share([p.better for p in made])
    worse = share(
        [p.chosen if p.flipped else p.rejected for p in made if (p.chosen if p.flipped else p.rejected)]
    )
    assert abs(better - OPENER_SHARE["chosen"]) <= 0.03 and abs(worse - OPENER_SHARE["rejected"]) <= 0.03


def test_preferences_are_deterministic_and_seeds_differ():
    preferences.pairs.cache_clear()
    first = pairs(100, 7)
    preferences.pairs.cache_clear()
    assert hash(pairs(100, 7)) == hash(first) != hash(pairs(100, 8))


def test_everything_is_generated_in_seconds():
    begun = time.process_time()
    lab.instruction_pool(2000, 99)
    lab.preference_pairs(1000, 99)
    list(islice(training_paragraphs(99), 2000))
    assert time.process_time() - begun < 15
