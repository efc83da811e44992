"""The report page and the README's results block are made from result files, and only from them."""

import json
from pathlib import Path

import pytest

from src.claims import BY_ID
from src.jsonio import write_json
from src.report import MARKERS, build_report, claim_rows, read_stages, readme_results, write_readme
from src.workspace import REFERENCE


@pytest.fixture
def outputs(tmp_path):
    folder = tmp_path / "lab" / "stage2_instruction"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "loss.png").write_bytes(b"\x89PNG fake")
    claim = {"effect": 0.25, "low": 0.2, "high": 0.3, "seeds": 3}
    write_json(folder / "metrics.json", {"key_figure": "exact <0.5>", "claims": {"degenerate": claim}})
    write_json(folder / "manifest.json", {"seeds": 3, "duration_seconds": 90.0, "peak_memory_mb": 1500})
    return tmp_path / "lab"


def test_the_page_is_self_contained_and_escaped(outputs):
    page = build_report(outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert "exact &lt;0.5&gt;" in page and "data:image/png;base64" in page and "supported" in page
    assert "http" not in page.replace("https://www.w3.org", "")


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
