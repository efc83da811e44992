"""The solutions of all exercises, run as they are printed: `python -m tests.solutions FOLDER [MINUTES]`.

Each `python -m src.run …` in a collapsed solution of a notebook is executed in a copy of the project, in the shortened
setting of `smoke.py`, after a first run of all stages; what the solution tells the reader to write into a file is
written. A solution fails when its run fails or its settings are not those of the result. About twenty minutes on two
cores; when MINUTES are over no further exercise is begun, and those left out are named. With MINUTES each day begins with
another exercise, so that none is always left out.
"""

import itertools
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import nbformat
import yaml

from src.jsonio import read_json
from src.runtime import Stopwatch
from src.workspace import ROOT, STAGES
from tests.smoke import SMOKE, environment

COPIED = ("src", "configs", "notebooks", "models/lab-gpt2", "outputs/reference", "tests/questions.jsonl")


@dataclass(frozen=True)
class Solution:
    """One exercise: where it stands, its commands, and the template that the reader is told to add ("" for none)."""

    stage: str
    stars: str
    commands: tuple[tuple[str, ...], ...]
    template: str = ""


def solutions(stage: str) -> list[Solution]:
    """The exercises of a stage's notebook, in order; a solution's commands are split into words."""
    path = ROOT / "notebooks" / f"{STAGES[stage].notebook}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = []
    for stars, text in re.findall(r"(?m)^\**(★+) .*?(<details>.*?</details>)", prose, flags=re.DOTALL):
        lines = re.findall(r"(?m)^python -m (src\.run [^\n]*)", text)
        commands = tuple(tuple(shlex.split(line, comments=True)) for line in lines)
        added = re.search(r'Add `("\w+": ".*?")` to `TEMPLATES`', text)
        found.append(Solution(stage, stars, commands, added[1] if added else ""))
    return found


def settings_of(command: tuple[str, ...]) -> list[str]:
    """What follows each `--set`."""
    return [after for word, after in itertools.pairwise(command) if word == "--set"]


def copy_project(folder: Path) -> None:
    """What a run needs, so that no solution touches the reader's own files and results."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)


def run(folder: Path, command: tuple[str, ...]) -> str:
    """Execute a command in the copy, shortened; "" or why it failed."""
    stages = [n for n in STAGES if n in plain(command) or "all" in plain(command)]
    short = dict.fromkeys(
        text for n in stages for text in SMOKE if ":" not in text or text.startswith(f"{n}:")
    )
    words = [sys.executable, "-m", command[0], *plain(command)]
    words += [part for text in short for part in ("--set", text)]
    for text in settings_of(command):
        words += ["--set", text]  # behind the shortened setting: the last value counts
    done = subprocess.run(
        words, cwd=folder, env=environment(folder / "outputs"), capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-2000:]


def plain(command: tuple[str, ...]) -> list[str]:
    """The stages or the name of the command, without options."""
    return [word for word in command[1:] if re.fullmatch(r"0[1-7]|all|report", word)]


@contextmanager
def template_added(folder: Path, solution: Solution) -> Iterator[None]:
    """In the copy, the template that a solution tells the reader to add; gone again afterwards."""
    path = folder / "src" / "templates.py"
    before = path.read_text(encoding="utf-8")
    if solution.template:
        start = before.index("{\n", before.index("TEMPLATES")) + 2
        path.write_text(f"{before[:start]}    {solution.template},\n{before[start:]}", encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def without_effect(folder: Path, command: tuple[str, ...]) -> list[str]:
    """The settings of a command that are in none of the results it made."""
    numbers = [n for n in STAGES if n in plain(command) or "all" in plain(command)]
    manifests = [read_json(folder / "outputs" / "lab" / STAGES[n].name / "manifest.json") for n in numbers]
    values = [made["config"] | {"seeds": made["seeds"]} for made in manifests]
    missing = []
    for text in settings_of(command):
        key, _, value = text.split(":", 1)[-1].partition("=")
        if not any(
            as_number(yaml.safe_load(value)) == as_number(made[key]) for made in values if key in made
        ):
            missing.append(text)
    return missing


def as_number(value):
    """YAML takes 3e-4 for a word: lists and words become numbers where they can."""
    if isinstance(value, list):
        return [as_number(part) for part in value]
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def main(folder: Path, minutes: float = math.inf) -> int:
    """Run what can be begun within `minutes`; 1 when a run fails, which is named with the end of its output."""
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: name a new folder")
    copy_project(folder)
    watch = Stopwatch()
    if problem := run(folder, ("src.run", "all")):
        print(problem)
        return 1
    print(f"all stages, shortened: {watch.seconds:.0f} s", flush=True)
    return check(
        folder, 60 * minutes - watch.seconds, 0 if math.isinf(minutes) else 5 * date.today().toordinal()
    )


def check(folder: Path, seconds: float = math.inf, first: int = 0) -> int:
    """Run the solutions, in a copy whose stages have run, until `seconds` are over; 1 when one fails. `first` counts round."""
    failed, whole = [], Stopwatch()
    found = list(itertools.chain.from_iterable(map(solutions, STAGES)))
    first %= len(found)
    for solution in found[first:] + found[:first]:
        if whole.seconds > seconds:
            print(f"no time left for {solution.stage} {solution.stars}")
            continue
        for command in solution.commands:
            watch = Stopwatch()
            with template_added(folder, solution):
                problem = run(folder, command)
            problem = problem or "; ".join(
                f"{text} is not in the result" for text in without_effect(folder, command)
            )
            label = f"{solution.stage} {solution.stars} {' '.join(command)}"
            print(f"{'FAILED ' * bool(problem)}{label}: {watch.seconds:.0f} s", flush=True)
            if problem:
                print(problem)
                failed.append(label)
        touched = list(dict.fromkeys(word for command in solution.commands for word in plain(command)))
        some = [word for word in touched if word not in ("all", "report")]  # a change of all fits together
        if len(some) > 1 and (problem := run(folder, ("src.run", *some))):
            print(problem)  # the next exercises need the stages as they were, which the cache has
            failed.append(f"{solution.stage} {solution.stars}, putting the stages back")
    return bool(failed)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
