"""What is shown below the exercises' solutions: that it belongs to them, and that it compares what it says it compares."""

import copy
import re
from types import SimpleNamespace

import pytest

from src import notebook
from src.config import load_config
from src.evaluation import values
from src.jsonio import read_json
from src.workspace import STAGES
from tests import outcomes
from tests.edits import unedited
from tests.solutions import solutions

REFERENCE = outcomes.results(outcomes.REFERENCE)


@unedited
@pytest.mark.parametrize("stage", STAGES)
def test_the_committed_outcomes_are_those_of_the_printed_solutions(stage):
    """A changed solution or configuration needs `python -m tests.outcomes FOLDER` again."""
    committed = read_json(outcomes.FILE)
    printed = [
        (solution.stars, f"python -m {' '.join(command)}")
        for solution in solutions(stage)
        for command in outcomes.commands_of(solution)
    ]
    assert [(made["stars"], made["command"]) for made in committed["exercises"][stage]] == printed
    assert committed["config_hashes"][stage] == load_config(stage, "lab", (), environ={}).hash()
    for made in committed["exercises"][stage]:
        assert made["rows"], f"a solution without effect: {made['command']}"
        assert all(row["default"] != row["with the change"] for row in made["rows"])


@unedited
@pytest.mark.parametrize("stage", STAGES)
def test_the_default_run_of_the_outcomes_is_the_first_seed_of_the_rendering(stage):
    """Another rendering (other code, another kind of machine) makes the kept outcomes old: their default run would no longer be
    the one that is shown."""
    found, checked = REFERENCE[STAGES[stage].name].get("evaluation", [None])[0], 0
    for made in read_json(outcomes.FILE)["exercises"][stage]:
        for row in made["rows"]:
            if row["figure"] in outcomes.MEASURES and re.fullmatch(r"-?\d+\.\d+", row["default"]):
                mean = values(found, outcomes.MEASURES[row["figure"]]).mean()
                assert row["default"] == f"{mean:.3f}", (made["command"], row)
                checked += 1
    assert checked or stage in ("04", "05", "07")  # which have no row on one model alone


@pytest.mark.parametrize("stage", STAGES)
def test_every_figure_is_found_in_what_the_stage_stores(stage):
    rows = list(outcomes.compared(stage, REFERENCE, REFERENCE))
    assert rows and all(row["default"] == row["with the change"] != "–" for row in rows)
    assert all(row["difference"] == "–" or row["difference"].startswith("+0.000") for row in rows)


def test_a_difference_is_paired_prompt_by_prompt():
    changed = copy.deepcopy(REFERENCE)
    for split in changed["stage1_sft"]["evaluation"][0]["splits"].values():
        split["exact"] = [1.0] * len(split["exact"])
    rows = {row["figure"]: row for row in outcomes.compared("01", REFERENCE, changed)}
    exact, known = rows["exact match"], rows["facts known"]
    assert exact["with the change"] == "1.000" and exact["difference"].endswith("higher")
    assert known["difference"].endswith("not distinguishable")
    changed["stage1_sft"]["recall"][0]["trained"] = [1.0] * 3  # other rows: nothing to pair
    (rows,) = [
        r for r in outcomes.compared("01", REFERENCE, changed) if r["figure"] == "its own rows, as taught"
    ]
    assert "[" not in rows["difference"]


def test_verdicts_are_listed_where_they_differ():
    changed = copy.deepcopy(REFERENCE)
    for found in changed.values():
        for effect in found.get("claims", {}).values():
            effect["seeds"] = 1
    count, same, *others = outcomes.verdicts(changed)
    assert (count["default"], count["with the change"]) == ("5", "1")
    assert len(others) == int(same["default"]) - int(same["with the change"]) > 0
    assert all(row["with the change"].startswith("inconclusive") for row in others)


def test_outcomes_are_shown_folded_and_only_in_the_lab(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(notebook, "display", lambda thing: shown.append(thing.data))
    run = lambda profile: SimpleNamespace(cfg=SimpleNamespace(profile=profile), stage=STAGES["03"])
    notebook.show_outcomes(run("gpt2"))
    monkeypatch.setattr(notebook, "REFERENCE", tmp_path)
    notebook.show_outcomes(run("lab"))
    assert not shown
    monkeypatch.undo()
    monkeypatch.setattr(notebook, "display", lambda thing: shown.append(thing.data))
    notebook.show_outcomes(run("lab"))
    page = "".join(shown)
    assert page.count("<details>") == page.count("</details>") == len(solutions("03"))
    assert all(" ".join(command) in page for s in solutions("03") for command in s.commands)
