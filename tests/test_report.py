"""The report page and the README's results block are made from result files, and only from them."""

import html
import itertools
import json
from pathlib import Path

import nbformat
import pytest

from src.claims import BY_ID
from src.config import ROOT
from src.jsonio import read_json, write_json
from src.report import (
    MARKERS,
    build_report,
    claim_rows,
    expected_cost,
    read_stages,
    readme_results,
    stage_rows,
    with_own_cost,
    write_readme,
)  # fmt: skip
from src.workspace import REFERENCE, STAGES
from tests.edits import unedited


@pytest.fixture
def outputs(tmp_path):
    folder = tmp_path / "lab" / "stage2_instruction"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "loss.png").write_bytes(b"\x89PNG fake")
    claim = {"effect": 0.25, "low": 0.2, "high": 0.3, "seeds": 3}
    write_json(folder / "metrics.json", {"key_figure": "exact <0.5>", "claims": {"degenerate": claim}})
    manifest = {"seeds": 3, "duration_seconds": 90.0, "peak_memory_mb": 1500, "profile": "lab"}
    write_json(folder / "manifest.json", manifest)
    return tmp_path / "lab"


def test_the_page_is_self_contained_and_escaped(outputs):
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert "exact &lt;0.5&gt;" in page and "data:image/png;base64" in page and "supported" in page
    assert "http" not in page.replace("https://www.w3.org", "")


@unedited
def test_the_page_has_every_table_figure_and_caption_of_the_notebooks(tmp_path):
    page = build_report(REFERENCE, tmp_path / "report.html").read_text(encoding="utf-8")
    tables = figures = 0
    for stage in STAGES.values():
        notebook = json.loads((ROOT / "notebooks" / f"{stage.notebook}.ipynb").read_text(encoding="utf-8"))
        data = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
        tables += sum("".join(found.get("text/html", "")).count("<table") for found in data)
        for found, after in itertools.pairwise(data):
            if "image/png" in found:
                figures += 1
                caption = html.escape("".join(after["text/markdown"]).strip("* \n"))
                assert f"<figcaption>{caption}</figcaption>" in page
    assert figures > 40 and page.count("<figure>") == page.count("data:image/png;base64,") == figures
    assert tables > 60 and page.count("<table") == tables + 2  # stages and ledger
    assert "<h2>07_rlhf_reward_model_ppo</h2>" in page and "</h3>\n<h3>" not in page


def test_key_figures_stand_beside_those_of_the_reference(outputs):
    theirs = read_stages(REFERENCE)
    (row,) = stage_rows(read_stages(outputs), theirs)
    assert row["key figure"] == "exact <0.5>"
    assert row["reference"] == theirs["stage2_instruction"]["metrics"]["key_figure"]
    assert "reference" not in stage_rows(theirs)[0]
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert html.escape(row["reference"]) in page
    file = outputs / "stage2_instruction" / "manifest.json"
    write_json(file, read_json(file) | {"profile": "gpt2"})  # another model on other rows
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert html.escape(row["reference"]) not in page and "<th>reference</th>" not in page


def test_a_rendered_notebook_begins_with_its_own_cost():
    machine = {"training_gflops": 93.4}
    made = {"duration_seconds": 450.0, "seeds": 5, "peak_memory_mb": 900, "machine": machine}
    before = expected_cost(made | {"machine": {"training_gflops": 4.0}, "seeds": 1}, 5)
    other = nbformat.v4.new_output("display_data", {"text/markdown": "A sentence."})
    said = nbformat.v4.new_output("display_data", {"text/markdown": before})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[other, said])])
    with_own_cost(notebook, made)
    assert other["data"]["text/markdown"] == "A sentence."
    text = said["data"]["text/markdown"]
    assert "93 GFLOP/s" in text and "90 seconds" not in text and "2 minutes a training seed" in text
    assert "5 seeds" in text and "0.9 GB" in text


def test_a_changed_result_changes_the_report(outputs):
    assert claim_rows(read_stages(outputs))[0]["verdict"] == "supported"
    claim = {"effect": -0.25, "low": -0.3, "high": -0.2, "seeds": 3}
    write_json(outputs / "stage2_instruction" / "metrics.json", {"claims": {"degenerate": claim}})
    assert claim_rows(read_stages(outputs))[0]["verdict"] == "not supported"


def test_claims_that_cannot_be_shown_are_named_and_the_rest_is_reported(outputs):
    good = {"effect": 0.25, "low": 0.2, "high": 0.3, "seeds": 3}
    claims = {
        "degenerate": good,
        "of_an_older_version": good,
        "forgetting": {"effect": 0.1},
        "lower_loss": [1],
    }
    claims["overfits"] = good | {"effect": "0.25"}
    file = outputs / "stage2_instruction" / "metrics.json"
    write_json(file, {"claims": claims})
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert BY_ID["degenerate"].statement in page and "+0.250 [+0.200, +0.300]" in page
    assert "of_an_older_version of stage2_instruction (src/claims.py does not list it)" in page
    for name in ("forgetting", "lower_loss", "overfits"):
        assert f"{name} of stage2_instruction (its numbers are damaged)" in page
        assert BY_ID[name].statement not in page
    write_json(file, {"claims": None})
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert "Left out: the claims of stage2_instruction (damaged)" in page


def test_the_readme_refuses_a_claim_that_is_not_listed(outputs, tmp_path):
    claim = {"effect": 0.25, "low": 0.2, "high": 0.3, "seeds": 3}
    write_json(outputs / "stage2_instruction" / "metrics.json", {"claims": {"of_an_older_version": claim}})
    readme = tmp_path / "README.md"
    readme.write_text(f"{MARKERS[0]}\nold\n{MARKERS[1]}\n", encoding="utf-8")
    with pytest.raises(KeyError, match="of_an_older_version"):
        write_readme(readme, outputs)
    assert "old" in readme.read_text(encoding="utf-8")


def test_the_results_say_what_they_were_made_with(outputs):
    assert "Made with" not in readme_results(outputs)
    file = outputs / "stage2_instruction" / "manifest.json"
    made = json.loads(file.read_text(encoding="utf-8"))
    made |= {"versions": {"python": "3.11.7", "torch": "2.13.0"}, "machine": {"training_gflops": 93.4}}
    write_json(file, made | {"precision": "bf16"})
    said = "Made with Python 3.11.7, torch 2.13.0, in bf16, on a machine that trained at 93 to 93 GFLOP/s."
    assert said in readme_results(outputs)


def test_damaged_stages_are_left_out_and_nothing_is_an_error(outputs):
    (outputs / "stage2_instruction" / "metrics.json").write_text("{")
    assert read_stages(outputs) == {}
    with pytest.raises(FileNotFoundError, match="src.run all"):
        build_report(outputs, outputs / "report.html")


@pytest.mark.parametrize("manifest", [{}, {"seeds": 3}, [1]])
def test_a_manifest_that_is_not_ours_is_left_out(outputs, manifest):
    write_json(outputs / "stage2_instruction" / "manifest.json", manifest)
    assert read_stages(outputs) == {}


def test_the_readme_block_is_renewed_between_its_markers(outputs, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKERS[0]}\nold\n{MARKERS[1]}\nafter\n", encoding="utf-8")
    write_readme(readme, outputs)
    text = readme.read_text(encoding="utf-8")
    assert (
        text == f"before\n{readme_results(outputs)}\nafter\n" and "\nold\n" not in text and "+0.250" in text
    )
    readme.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="markers"):
        write_readme(readme, outputs)


def test_no_committed_result_names_a_folder_of_the_machine_that_made_it():
    def strings(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, (dict, list)):
            for part in value.values() if isinstance(value, dict) else value:
                yield from strings(part)

    for file in REFERENCE.rglob("*.json"):
        named = [
            text
            for text in strings(json.loads(file.read_text(encoding="utf-8")))
            if Path(text).is_absolute() and "\n" not in text
        ]
        assert not named, (file.name, named[:2])
