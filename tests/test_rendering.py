"""What GitHub shows belongs together: README, notebooks and outputs/reference are those of one rendering, made by the
code, the settings and the base model that are committed beside them."""

import base64
import io
import platform
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from src.config import ROOT, load_config
from src.fingerprint import base_model_hash, notebook_code
from src.jsonio import read_json
from src.report import (
    EXPECTED,
    HEADLINE,
    expected_cost,
    readme_kills,
    readme_results,
    readme_speed,
    write_headline,
)
from src.workspace import REFERENCE, STAGES
from tests.edits import unedited

AGAIN = "not what the committed rendering was made of or gave (`python -m src.run render` makes a new one, with five seeds)"
each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def manifest(name):
    return read_json(REFERENCE / name / "manifest.json")


def changed(was, now):
    return sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))


@unedited
@each_stage
def test_the_settings_and_the_base_model_are_those_of_the_rendering(stage):
    made, cfg = manifest(stage.name), load_config(stage.number, "lab", environ={})
    assert changed(made["result_values"], cfg.result_values()) == [], AGAIN
    assert made["base_model_hash"] == base_model_hash(cfg.base_model), AGAIN
    assert made["parents"] == {name: manifest(name)["identity"] for name in made["parents"]}, AGAIN


@unedited
@each_stage
def test_the_code_is_that_of_the_rendering(stage):
    made = manifest(stage.name)
    if platform.python_version_tuple()[:2] != tuple(made["versions"]["python"].split(".")[:2]):
        pytest.skip("code is hashed as the parser prints it, and another Python prints it in another way")
    now = notebook_code(ROOT / "notebooks" / f"{stage.notebook}.ipynb")
    assert changed(made["code"], now) == [], AGAIN


@unedited
@each_stage
def test_the_notebook_shows_the_figures_of_its_stage_and_no_others(stage):
    notebook = nbformat.read(ROOT / "notebooks" / f"{stage.notebook}.ipynb", as_version=4)
    data = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [base64.b64decode(found["image/png"]) for found in data if "image/png" in found]
    kept = [file.read_bytes() for file in (REFERENCE / stage.name / "figures").glob("*.png")]
    assert len(shown) == len(kept) and set(shown) == set(kept), AGAIN


@unedited
@each_stage
def test_the_notebook_begins_with_the_cost_of_its_own_rendering(stage):
    notebook = nbformat.read(ROOT / "notebooks" / f"{stage.notebook}.ipynb", as_version=4)
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    said = [
        found["text/markdown"] for found in outputs if found.get("text/markdown", "").startswith(EXPECTED)
    ]
    made = manifest(stage.name)
    assert said == [expected_cost(made, made["seeds"])], AGAIN


@unedited
def test_the_headline_figure_is_drawn_from_the_committed_results(tmp_path):
    for stage in STAGES.values():
        (tmp_path / stage.name).mkdir()
        for name in ("metrics.json", "manifest.json"):
            (tmp_path / stage.name / name).write_bytes((REFERENCE / stage.name / name).read_bytes())
    write_headline(tmp_path)
    ours, kept = (
        np.asarray(Image.open(io.BytesIO((folder / HEADLINE).read_bytes())).convert("L"), dtype=float)
        for folder in (tmp_path, REFERENCE)
    )
    assert ours.shape == kept.shape and np.abs(ours - kept).mean() < 0.5, AGAIN
    assert kept.std() > 10  # not a blank page


@unedited
def test_the_readme_shows_the_committed_results_and_links_to_what_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme_results() in text, AGAIN
    assert readme_speed() in text and readme_kills() in text, AGAIN
    linked = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert linked and [target for target in linked if not (ROOT / target).exists()] == []
