"""What the exercises' solutions give, measured: `python -m tests.outcomes FOLDER` writes outputs/reference/exercises.json.

Every solution is run as it is printed, at full size and with one training seed, as a reader runs it, in a copy of the
project in FOLDER; what it changes against the default run of the same seed is what the notebooks show below their
solutions (`show_outcomes`). About two hours on two slow cores. FOLDER keeps what has run: called again, it goes on where it was.
"""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.claims import CLAIMS, ledger
from src.config import load_config
from src.evaluation import values
from src.jsonio import read_json, write_json
from src.metrics import paired_difference
from src.workspace import REFERENCE, STAGES
from tests.smoke import environment
from tests.solutions import Solution, copy_project, plain, solutions, template_added

Metrics = dict[str, Any]
FILE = REFERENCE / "exercises.json"
MEASURES = {
    "exact match": "exact",
    "facts known": "cloze",
    "prose (nats a token)": "prose_nll",
    "answers that loop": "loops",
    "judge, greedy": "judge",
    "judge, sampled": "judge_sampled",
}


# --- Running ---------------------------------------------------------------------------------------------------


def run_all(folder: Path) -> None:
    """The default run and every solution, each kept in `folder/kept`; what is kept already is not run again."""
    project, kept = folder / "project", folder / "kept"
    if not project.is_dir():
        copy_project(project)
    kept.mkdir(exist_ok=True)
    if not (kept / "default").is_dir():
        run(project, ("src.run", "all"))
        keep(project, kept / "default", list(STAGES))
    for solution in itertools.chain.from_iterable(map(solutions, STAGES)):
        for number, command in enumerate(commands_of(solution)):
            target = kept / name_of(solution, number)
            if not target.is_dir():
                with template_added(project, solution):
                    run(project, command)
                keep(project, target, stages_of(command))
                run(project, ("src.run", *stages_of(command)))  # later stages build on the default


def commands_of(solution: Solution) -> list[tuple[str, ...]]:
    """What a solution trains; `report` only shows it."""
    return [command for command in solution.commands if stages_of(command)]


def stages_of(command: tuple[str, ...]) -> list[str]:
    """The stages that a command runs."""
    return [number for number in STAGES if number in plain(command) or "all" in plain(command)]


def name_of(solution: Solution, number: int) -> str:
    """A folder name: stage, place among the stage's exercises and place of the command, from 1."""
    return f"{solution.stage}-{solutions(solution.stage).index(solution) + 1}-{number + 1}"


def run(project: Path, command: tuple[str, ...]) -> None:
    """Execute a command in the copy; CalledProcessError when it fails."""
    print(" ".join(command), flush=True)
    subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment(project / "outputs"), check=True
    )


def keep(project: Path, target: Path, stages: list[str]) -> None:
    """Copy the results of stages, without weights."""
    unfinished = target.with_name(f".{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for number in stages:
        folder = project / "outputs" / "lab" / STAGES[number].name
        for file in ("metrics.json", "manifest.json"):
            (unfinished / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, unfinished / folder.name / file)
    unfinished.rename(target)


# --- Comparing -------------------------------------------------------------------------------------------------


def outcomes(kept: Path) -> dict[str, Any]:
    """Stage number -> its exercises in order: stars, command, rows (figure, default run, exercise, difference), and what is
    as it was."""
    default = results(kept / "default")
    found = {}
    for stage in STAGES:
        found[stage] = []
        for solution in solutions(stage):
            for number, command in enumerate(commands_of(solution)):
                changed = results(kept / name_of(solution, number))
                rows = verdicts(changed) if "all" in plain(command) else compared(stage, default, changed)
                shown = f"python -m {' '.join(command)}"
                found[stage].append({"stars": solution.stars, "command": shown} | changes(list(rows)))
    configs = {stage: load_config(stage, "lab", (), environ={}).hash() for stage in STAGES}
    return {"config_hashes": configs, "exercises": found}


def changes(rows: list[dict[str, str]]) -> dict[str, Any]:
    """The rows in which the two runs differ, and the others in one line."""
    same = [row for row in rows if row["default"] == row["with the change"]]
    unchanged = "; ".join(f"{row['figure']} {row['default']}" for row in same)
    return {"rows": [row for row in rows if row not in same], "unchanged": unchanged}


def results(folder: Path) -> dict[str, Metrics]:
    """Stage name -> metrics.json of what is kept in a folder."""
    return {path.parent.name: read_json(path) for path in folder.glob("*/metrics.json")}


def compared(
    stage: str, default: dict[str, Metrics], changed: dict[str, Metrics]
) -> Iterator[dict[str, str]]:
    """One row a figure: both runs and their difference, with an interval where both have one value a prompt."""
    before, after = (figures(stage, found[STAGES[stage].name]) for found in (default, changed))
    for name in {**before, **after}:
        a, b = (found.get(name) for found in (before, after))
        row = {"figure": name, "default": text(a), "with the change": text(b), "difference": "–"}
        if all(isinstance(value, np.ndarray) for value in (a, b)) and a.shape == b.shape:
            row["difference"] = str(paired_difference(b, a))
        elif all(isinstance(value, float | np.ndarray) for value in (a, b)):
            row["difference"] = f"{round(np.mean(b) - np.mean(a), 3) + 0.0:+.3f}"
        yield row


def text(value: Any) -> str:
    """A number, the mean of an array, an interval as the notebooks store it, or a text, as it is shown."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return value if isinstance(value, str) else f"{np.mean(value):.3f}"


def figures(stage: str, found: Metrics) -> dict[str, Any]:
    """What an exercise of a stage is about, from the stage's metrics."""
    return {"01": tiny, "02": templates, "03": adapters, "04": stages_compared, "05": analysis, "06": instructed,
            "07": preferred}[stage](found)  # fmt: skip


def model(found: Metrics) -> dict[str, np.ndarray]:
    """The first seed's model: one value a prompt, fact or paragraph."""
    return {name: values(found["evaluation"][0], measure) for name, measure in MEASURES.items()}


def tiny(found: Metrics) -> dict[str, Any]:
    recall, loss = found["recall"][0], found["heldout_loss"][0]
    return {
        "its own rows, as taught": np.array(recall["trained"]),
        "the same, reworded": np.array(recall["paraphrased"]),
        "answers borrowed from its rows": np.array(recall["borrowed"]),
        "held-out loss, lowest (after epoch)": f"{min(loss):.3f} ({int(np.argmin(loss))})",
        "held-out loss, last": float(loss[-1]),
    } | model(found)


def templates(found: Metrics) -> dict[str, Any]:
    by_format = found["templates"]["exact"][-1]
    return {
        "exact match, alpaca format (heat map)": float(by_format[0]),
        "exact match, mean of the other four formats": float(np.mean(by_format[1:])),
    } | model(found)


def adapters(found: Metrics) -> dict[str, Any]:
    equal = found["equal_quality"]
    return {
        "parameters that train (%)": float(found["parameters"]["lab"]["percent"]),
        "LoRA minus its control, facts known": equal["lora_minus_full"],
        "the control": equal["control"],
    } | model(found)


def stages_compared(found: Metrics) -> dict[str, Any]:
    by_stage = {
        f"{name}, {what}": found[part][name][what]
        for name in found["stages"]
        for part, what in (("gained", "judge, sampled ↑"), ("kept", "loop rate, sampled ↓"))
    }
    gaps = [gap for row in found["against_base"].values() for gap in row.values()]
    seen = sum(gap["verdict"] != "not distinguishable" for gap in gaps)
    agreement = {
        f"judge's τ with {name}": other["tau"]
        for name, other in found["agreement"].items()
        if name in ("the lab's rubric", "exact match", "non-repetition", "shortness")
    }
    return by_stage | {"“stage minus base”: distinguishable": f"{seen} of {len(gaps)}"} | agreement


def analysis(found: Metrics) -> dict[str, Any]:
    top = max(cell["rate"] for cell in found["grid"])
    shown: dict[str, Any] = {}
    for learned in (True, False):
        cells = [cell for cell in found["grid"] if cell["rate"] == top and cell["eos"] == learned]
        for name, key in (("loops", "loops"), ("exact match", "exact"), ("facts known", "cloze")):
            label = f"highest rate, EOS {'learned' if learned else 'masked'}: {name}"
            shown[label] = float(np.mean([cell[key]["value"] for cell in cells]))
    shown["highest rate"] = f"{top:g}"
    names, cosine = found["cosines"]["templates"], np.array(found["cosines"]["base"])
    new = names.index("alpaca2") if "alpaca2" in names else None
    old = [i for i in range(len(names)) if i != new]
    among = cosine[np.ix_(old, old)]
    one, two = np.diag(among).mean(), among[~np.eye(len(old), dtype=bool)].mean()
    shown["gradient cosine"] = f"one template {one:.3f}, two formats {two:.3f}"
    if new is not None:
        shown["gradient cosine"] += f", alpaca and its rewording {cosine[names.index('alpaca'), new]:.3f}"
    return shown


def instructed(found: Metrics) -> dict[str, Any]:
    anchors = {
        f"{anchor}, largest β (facts known, exact match)": f"{points[-1][2]}: {points[-1][1]:.3f}, {points[-1][0]:.3f}"
        for anchor, points in found["frontier"].items()
    }
    written = found["augment"]
    own = {"rows written by the model and kept": str(written["kept"][0]),
           "what they add to exact match": written["effect"]["exact"]} if written else {}  # fmt: skip
    return model(found) | anchors | own


def preferred(found: Metrics) -> dict[str, Any]:
    history, points = (found["ppo"]["recommended"][0][name] for name in ("history", "points"))
    course = lambda name: " → ".join(f"{point[name]:.2f}" for point in points)
    best = found["best_of_n"]["with log p"][0]
    n = max(best, key=int)
    return {
        "recommended run, measured at steps": " → ".join(str(point["step"]) for point in points),
        "distance from SFT (nats)": course("kl"),
        "learned reward": course("proxy"),
        "judge, sampled": course("gold"),
        "judge, greedy": course("greedy"),
        "clip fraction, mean": float(np.mean([row["clip_fraction"] for row in history])),
        "entropy, first and last step": f"{history[0]['entropy']:.2f} → {history[-1]['entropy']:.2f}",
        **{f"reward model {form}, right by the true labels": found["accuracy, true labels"][form]
           for form in found["accuracy, true labels"]},
        f"judge, best of {n} by the reward model with log p": float(best[n]["gold"]),
    }  # fmt: skip


def verdicts(changed: dict[str, Metrics]) -> Iterator[dict[str, str]]:
    """The ledger of a run of all stages beside that of the committed rendering, where they differ, and how many do not."""
    rendered = results(REFERENCE)
    mine, theirs = ({row["measured as"]: row for row in ledger(found)} for found in (changed, rendered))
    seeds = [max(row["seeds"] for row in rows.values()) for rows in (theirs, mine)]
    same = [name for name in theirs if mine[name]["verdict"] == theirs[name]["verdict"]]
    yield {
        "figure": "training seeds",
        "default": str(seeds[0]),
        "with the change": str(seeds[1]),
        "difference": "–",
    }
    yield {"figure": "verdicts that are the same", "default": str(len(theirs)), "with the change": str(len(same)),
           "difference": "–"}  # fmt: skip
    for claim in CLAIMS:
        a, b = theirs[claim.effect], mine[claim.effect]
        if a["verdict"] != b["verdict"]:
            shown = [f"{row['verdict']}, {row['effect [95 % interval]']}" for row in (a, b)]
            yield {
                "figure": claim.statement,
                "default": shown[0],
                "with the change": shown[1],
                "difference": "–",
            }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run_all(Path(sys.argv[1]))
    write_json(FILE, outcomes(Path(sys.argv[1]) / "kept"))
    print(f"written: {FILE}")
