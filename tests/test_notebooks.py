"""The seven notebooks: executed in a shortened setting, and the committed ones fit to be read on GitHub."""

import ast
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from src.config import ROOT, ConfigError, load_config
from src.evaluation import PANEL
from src.jsonio import read_json
from src.schema import NOTEBOOKS
from src.workspace import STAGES, Workspace
from tests.smoke import SMOKE, environment, overrides_of
from tests.solutions import plain, settings_of, solutions

COMMITTED = [ROOT / "notebooks" / f"{name}.ipynb" for name in NOTEBOOKS.values()]


def hygiene(path: Path) -> list[str]:
    """What would keep a notebook from rendering well on GitHub; empty when nothing does."""
    notebook, found = nbformat.read(path, as_version=4), []
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("execution counts are not 1…n")
    if path.stat().st_size > 1_500_000:
        found.append(f"{path.stat().st_size / 1e6:.1f} MB")
    if "widgets" in notebook.metadata:
        found.append("widget state")
    images = 0
    for number, cell in enumerate(code, 1):
        for output in cell.outputs:
            images += "image/png" in output.get("data", {})
            if output.output_type == "error":
                found.append(f"cell {number}: error {output.ename}")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {number}: stderr {output.text[:60]!r}")
            if any("widget" in kind for kind in output.get("data", {})):
                found.append(f"cell {number}: a widget")
            if str(ROOT) in json.dumps(output):
                found.append(f"cell {number}: a path of this machine")
    if not images:
        found.append("no figure")
    return found


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_committed_notebook_renders(path):
    assert hygiene(path) == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_no_measured_number_is_typed_into_prose(path):
    """Markdown may name settings and papers; decimals and percentages of results come from `say` and tables."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(
            r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\(https?:[^)]*\)", " ", cell.source, flags=re.DOTALL
        )
        typed = re.findall(r"(?<![\w.])\d+\.\d+(?!\.?\d|\w)|\d+ ?%", text)
        allowed = set(re.findall(r"\d+\.\d+|\d+ ?%", allowed_numbers()))
        assert [number for number in typed if number not in allowed] == [], cell.source[:200]


def allowed_numbers() -> str:
    """Numbers that prose may name: values of the configurations and of the source's own page (its losses and claims)."""
    configs = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "configs").glob("*.yaml"))
    claims = (ROOT / "src" / "claims.py").read_text(encoding="utf-8")
    return f"{configs} {claims} 3.18 2.34 2.75 1.6 1.29 % 98.7 % 65 % 0.79 24.1 10.4 15.6 95 %"


@pytest.mark.parametrize("number", STAGES)
def test_the_exercises_have_solutions_with_valid_settings(number):
    """Three grades of difficulty, each with a collapsed solution whose settings exist and are in range. (`tests.solutions`
    runs them, as many as its time allows; `tests.outcomes` ran all at full size.)"""
    found = solutions(number)
    assert {"★", "★★", "★★★"} == {solution.stars for solution in found}
    for solution in found:
        assert solution.commands, solution
        for command in solution.commands:
            stages = plain(command)
            assert stages, command
            for override in settings_of(command):
                assert any(_accepts(n, override) for n in STAGES if n in stages or "all" in stages), override


def _accepts(number: str, override: str) -> bool:
    try:
        load_config(number, overrides=[override.split(":", 1)[-1]], environ={})
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_no_cell_asks_which_profile_is_active(path):
    """The profiles differ in settings alone, so that what a reader learns in the lab is what runs on GPT-2."""
    for cell in nbformat.read(path, as_version=4).cells:
        for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
            if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Compare, ast.Match, ast.BoolOp)):
                asked = getattr(node, "test", None) or getattr(node, "subject", None) or node
                assert "profile" not in ast.unparse(asked), ast.unparse(asked)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_notebook_shows_the_fixed_prompts(path):
    outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]
    tables = [output.get("data", {}).get("text/html", "") for output in outputs]
    assert any(all(html.escape(prompt, quote=False) in table for prompt in PANEL) for table in tables)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """All seven stages, headless, in the shortened setting."""
    outputs = tmp_path_factory.mktemp("smoke")
    before = _git_status()
    command = [sys.executable, "-m", "src.run", "all", *(part for o in SMOKE for part in ("--set", o))]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(outputs), capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Workspace("lab", outputs), before, _git_status()


def _git_status() -> str:
    try:
        command = ["git", "status", "--porcelain"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""  # no git, or no repository: nothing to compare


def test_all_seven_run_and_leave_their_results(smoke):
    workspace, _, _ = smoke
    for stage in STAGES.values():
        folder = workspace.folder(stage.name)
        metrics, manifest = read_json(folder / "metrics.json"), read_json(folder / "manifest.json")
        assert metrics["key_figure"] and manifest["duration_seconds"] > 0, stage.name
        assert list((folder / "figures").glob("*.png")), stage.name
        assert hygiene(folder / f"{stage.notebook}.ipynb") == [], stage.name


def test_the_shortened_run_is_fresh_and_a_changed_key_is_named(smoke):
    workspace, _, _ = smoke
    now = {n: load_config(n, overrides=overrides_of(n), environ={}) for n in STAGES}
    assert [s.state for s in workspace.status(now)] == ["fresh"] * 7
    now["06"] = load_config("06", overrides=[*overrides_of("06"), "train.kl_beta=0.77"], environ={})
    states = {s.stage.number: s for s in workspace.status(now)}
    assert states["06"].state == states["07"].state == "STALE" and states["05"].state == "fresh"
    assert "train.kl_beta" in states["06"].reason and "improved_training" in states["07"].reason


def test_a_run_leaves_the_git_tree_as_it_was(smoke):
    _, before, after = smoke
    assert before == after
