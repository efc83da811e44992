"""What the notebooks show with: live source code, tables, captioned figures, and sentences made from results.

Every notebook starts with `cfg, run = open_stage("01")` and ends with `run.finish(metrics)`. A sentence that contains a measured
number is written by `say(f"…")` from the results of this very run; none is typed. Nothing here computes a result.
"""

import html
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from src import plots, runtime
from src.claims import BY_ID, MIN_SEEDS, claim_table
from src.config import Config, load_config
from src.jsonio import read_json
from src.report import expected_cost
from src.schema import NOTEBOOKS
from src.workspace import REFERENCE, Run, Workspace


def open_stage(stage: str) -> tuple[Config, Run]:
    """The stage's configuration and its open run, with threads, seeds, precision and figure style set.

    Profile, outputs folder and overrides come from the environment (`COURSE_PROFILE`, `COURSE_OUTPUTS`, `COURSE_SET`), which is how
    `python -m src.run` passes them; in Jupyter they are simply not set. Raises ConfigError or WorkspaceError with what to do.
    """
    runtime.quiet_libraries()
    cfg = load_config(stage)
    runtime.setup(cfg)
    plots.use_course_style()
    run = Workspace(cfg.profile).begin(cfg)
    show_expected_cost(cfg, run)
    if cfg.instruction_data != "lab":
        say(
            "Every evaluation of a single model grades with the lab's rubric, which knows none of these rows: its columns "
            f"named *judge* mean nothing here. (Rankings and policies, in 04 and 07, are graded by `{cfg.judge}`.) Read exact match, "
            "loops, facts and prose."
        )
    return cfg, run


def show_expected_cost(cfg: Config, run: Run) -> None:
    """What to expect before anything is computed: time and memory of the rendering that is in outputs/reference."""
    manifest = REFERENCE / run.stage.name / "manifest.json"
    if cfg.profile == "lab" and manifest.is_file():
        say(expected_cost(read_json(manifest), cfg.seeds))


def say(text: str) -> None:
    """Show a sentence (Markdown) made from results."""
    display(Markdown(text))


def show_cost(run: Run) -> None:
    """Time and peak memory of this run, from the manifest that `run.finish` has just written."""
    made = read_json(run.folder / "manifest.json")
    say(
        f"Time for all of this from an empty cache: {made['duration_seconds'] / 60:.1f} minutes ({made['seeds']} training seed"
        f"{'s' * (made['seeds'] > 1)}); peak memory {made['peak_memory_mb'] / 1000:.1f} GB. A second run reads its trainings from the cache."
    )


def show_source(*objects: Callable) -> None:
    """Show the source of functions or classes as it is in `src/` now: what you read is what runs."""
    for thing in objects:
        module = inspect.getmodule(thing).__name__.replace(".", "/")
        display(Markdown(f"`{module}.py`\n```python\n{inspect.getsource(thing).rstrip()}\n```"))


def show_table(
    rows: pd.DataFrame | Iterable[Mapping[str, Any]], caption: str = "", decimals: int = 3
) -> None:
    """Show a table with a caption; floats are rounded for reading, the saved results keep every digit."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    with pd.option_context("display.max_colwidth", None):
        body = frame.to_html(index=False, float_format=lambda x: f"{x:.{decimals}f}", border=0, na_rep="–")
    if any(
        frame[column].map(lambda value: isinstance(value, str) and len(value) > 25).any() for column in frame
    ):
        body = _left(body)
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(caption))
    display(HTML((f"<p><b>{code}</b></p>" if caption else "") + body))


def show_recipe(cfg: Config) -> None:
    """The training settings of a supervised stage, one row."""
    plain = {
        name: f"{value:g}" if isinstance(value, float) else value for name, value in vars(cfg.train).items()
    }
    show_table(
        [{"rows": cfg.data.rows} | plain],
        f"This run's recipe (`configs/{NOTEBOOKS[cfg.stage]}.yaml` explains each value)",
    )


def show_claims(claims: Mapping[str, Mapping[str, Any]]) -> None:
    """The claims that a notebook measured, with the verdict that follows from each effect."""
    show_table(claim_table(claims), "Claims of the source, tested")
    if any(f["seeds"] < MIN_SEEDS and not BY_ID[name].exact for name, f in claims.items()):
        say(f"With fewer than {MIN_SEEDS} training seeds a verdict is *inconclusive*, whatever the effect.")


def show_samples(samples: Mapping[str, Sequence[str]], prompts: Sequence[str], caption: str = "") -> None:
    """Answers of several models to the same prompts, one row a prompt and one column a model, exactly as generated."""
    rows = [
        {"prompt": p} | {name: answers[i] for name, answers in samples.items()} for i, p in enumerate(prompts)
    ]
    frame = pd.DataFrame(rows)
    with pd.option_context("display.max_colwidth", None):
        body = frame.to_html(index=False, border=0, escape=True)
    body = _left(body)
    display(HTML((f"<p><b>{html.escape(caption)}</b></p>" if caption else "") + body))


def show_outcomes(run: Run) -> None:
    """What this notebook's exercises gave, folded away like their solutions: from `exercises.json` in outputs/reference,
    which `python -m tests.outcomes` measures. Nothing outside the lab, or where that file is missing."""
    path = REFERENCE / "exercises.json"
    if run.cfg.profile != "lab" or not path.is_file():
        return
    parts = []
    for made in read_json(path)["exercises"][run.stage.number]:
        table = _left(pd.DataFrame(made["rows"]).to_html(index=False, border=0))
        unchanged = f"<p>Unchanged: {html.escape(made['unchanged'])}.</p>" if made["unchanged"] else ""
        parts.append(
            f"<details><summary>{made['stars']} what came out</summary><p><code>{html.escape(made['command'])}</code></p>{table}{unchanged}</details>"
        )
    say(
        "Below each star is what its solution gave with the configuration as committed and one training seed, beside the "
        "default run of the same seed: what your own two runs should show, but for rounding. Intervals are over prompts and "
        "say nothing about other trainings."
    )
    display(HTML("".join(parts)))


def _left(table: str) -> str:
    """Sentences are read from the left; numbers keep pandas' alignment to the right."""
    start = ' align="left" style="text-align: left;"'  # GitHub keeps the attribute, Jupyter needs the style
    return (
        table.replace(' style="text-align: right;"', start)
        .replace("<th>", f"<th{start}>")
        .replace("<td>", f"<td{start}>")
    )


def show_figure(run: Run, figure: Figure, name: str, caption: str) -> None:
    """Save a figure with the stage's results and show it once, with a caption that says what to see in it."""
    path = run.figure(figure, name)
    plt.close(figure)
    display(Image(filename=str(path), alt=caption))
    display(Markdown(f"*{caption}*"))
