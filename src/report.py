"""The report of an outputs folder: one self-contained HTML page, the claims ledger, and what the README shows of results.

Everything is read from the stages' `metrics.json`, `manifest.json`, figures and executed notebooks; nothing is computed twice and no
number is typed. Where the committed reference measured the same, its figures stand beside yours. A stored claim that cannot be shown is
named and left out of the page; in the README's block it is an error.
"""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.claims import BY_ID, ledger
from src.config import ROOT
from src.jsonio import JSONFileError, read_json
from src.workspace import BY_NAME, NOT_OURS, REFERENCE, STAGES

NOTEBOOKS_SHOWN = ROOT / "notebooks"  # the executed notebooks of the committed rendering
MARKERS = ("<!-- results: written by python -m src.run render -->", "<!-- end of results -->")
SPEED_MARKERS = ("<!-- speed: written by python -m tests.benchmarks --publish -->", "<!-- end of speed -->")
SPEED_FILE = "benchmarks.json"
KILL_MARKERS = (
    "<!-- kills: written by python -m tests.benchmarks.kill_stages --publish -->",
    "<!-- end of kills -->",
)
KILL_FILE = "kills.json"
HEADLINE = "headline.png"
EXPECTED = "*What to expect:"  # how the sentence of `expected_cost` begins
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:14px;display:block;overflow-x:auto}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left}
td{vertical-align:top}img{max-width:100%}h2{margin-top:2.5rem}figure{margin:1.5rem 0}figcaption{color:#555;font-size:14px}"""


SHOWN = {"seeds", "duration_seconds", "peak_memory_mb"}  # what the report takes from a manifest


def read_stages(root: Path) -> dict[str, dict[str, Any]]:
    """Stage name -> {"metrics", "manifest", "folder"} of every readable stage below `root`, in course order."""
    found = {}
    for stage in STAGES.values():
        folder = root / stage.name
        try:
            metrics, manifest = read_json(folder / "metrics.json"), read_json(folder / "manifest.json")
        except JSONFileError:
            continue
        if SHOWN <= manifest.keys():
            found[stage.name] = {"metrics": metrics, "manifest": manifest, "folder": folder}
    return found


def stage_rows(
    stages: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, str]]:
    """One row a stage: notebook, key figure (with `reference` also its own), training seeds, minutes, peak memory."""
    rows = []
    for name, stage in stages.items():
        row = {"notebook": BY_NAME[name].notebook, "key figure": str(stage["metrics"].get("key_figure", ""))}
        if reference is not None:
            row["reference"] = str(reference.get(name, {}).get("metrics", {}).get("key_figure", "–"))
        rows.append(
            row
            | {
                "seeds": str(stage["manifest"]["seeds"]),
                "minutes": f"{stage['manifest']['duration_seconds'] / 60:.1f}",
                "peak memory (GB)": f"{stage['manifest']['peak_memory_mb'] / 1000:.1f}",
            }
        )
    return rows


def claim_rows(
    stages: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, str]]:
    """The claims ledger as text rows; with `reference`, its effect and interval in a column of their own.

    Raises what `ledger` raises for a claim that is not listed or is damaged.
    """
    theirs = {
        row["the source says"]: row["effect [95 % interval]"]
        for row in ledger({name: stage["metrics"] for name, stage in (reference or {}).items()})
    }
    rows = []
    for row in ledger({name: stage["metrics"] for name, stage in stages.items()}):
        shown = row | {"seeds": str(row["seeds"])}
        if reference is not None:
            shown["reference"] = theirs.get(row["the source says"], "–")
        rows.append(shown)
    return rows


def without_broken_claims(
    stages: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The stages with only the claims that the ledger can show, and what was left out, with the reason: results of
    another version of the course may hold claims that are no longer listed."""
    kept, left_out = {}, []
    for name, stage in stages.items():
        claims = {}
        stored = stage["metrics"].get("claims", {})
        if not isinstance(stored, dict):
            left_out.append(f"the claims of {name} (damaged)")
            stored = {}
        for claim, found in stored.items():
            try:
                ledger({name: {"claims": {claim: found}}})
                claims[claim] = found
            except NOT_OURS:
                why = "its numbers are damaged" if claim in BY_ID else "src/claims.py does not list it"
                left_out.append(f"{claim} of {name} ({why})")
        kept[name] = {**stage, "metrics": {**stage["metrics"], "claims": claims}}
    return kept, left_out


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """GitHub-flavoured Markdown of text rows; "" when there is none."""
    if not rows:
        return ""
    head = list(rows[0])
    lines = [
        head,
        ["---"] * len(head),
        *([row[column].replace("|", "\\|") for column in head] for row in rows),
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def build_report(root: Path, out: Path) -> Path:
    """Write the page for the stages below `root` to `out`. Raises FileNotFoundError when no stage has run yet."""
    stages, left_out = without_broken_claims(read_stages(root))
    if not stages:
        raise FileNotFoundError(f"no stage has finished in {root}; first run:  python -m src.run all")
    reference = None
    if root.resolve() != REFERENCE.resolve():
        reference, _ = without_broken_claims(read_stages(REFERENCE))
        profiles = {stage["manifest"].get("profile") for stage in stages.values()}
        reference = {n: s for n, s in reference.items() if s["manifest"].get("profile") in profiles} or None
    parts = [f"<h1>LLM post-training: report of {html.escape(root.name)}</h1>"]
    parts += ["<h2>Stages</h2>", _html_table(stage_rows(stages, reference))]
    parts += ["<h2>Claims ledger</h2>", _html_table(claim_rows(stages, reference))]
    if left_out:
        told = f"Left out: {'; '.join(left_out)}. To see these claims, run the stages again."
        parts.append(f"<p>{html.escape(told)}</p>")
    for name, stage in stages.items():
        notebook = BY_NAME[name].notebook
        parts.append(f"<h2>{html.escape(notebook)}</h2>")
        executed = stage["folder"] / f"{notebook}.ipynb"
        if root.resolve() == REFERENCE.resolve():
            executed = NOTEBOOKS_SHOWN / executed.name
        parts += _shown(executed) or _figures(stage["folder"])
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>LLM post-training report</title><style>{_STYLE}</style>"
    temporary = out.with_suffix(".tmp")
    temporary.write_text(page + "\n".join(parts) + "</html>\n", encoding="utf-8")
    temporary.replace(out)
    return out


def _shown(notebook: Path) -> list[str]:
    """Headings, figures with their captions, and tables of an executed notebook, in order. Nothing where there is none: who ran
    the cells in Jupyter has the results, but no executed copy beside them."""
    if not notebook.is_file():
        return []
    parts = []
    for cell in read_json(notebook)["cells"]:
        if cell["cell_type"] == "markdown":
            titles = [line[3:] for line in "".join(cell["source"]).splitlines() if line.startswith("## ")]
            parts += [f"<h3>{html.escape(title)}</h3>" for title in titles]
        data = [output.get("data", {}) for output in cell.get("outputs", [])]
        for found, after in itertools.pairwise([*data, {}]):
            if "image/png" in found:  # `show_figure` writes the caption behind it
                parts.append(_figure("".join(found["image/png"]), "".join(after.get("text/markdown", ""))))
            parts.append("".join(found.get("text/html", "")))
    parts = [part for part in parts if part]
    # no heading with nothing below it: the page leaves the prose out
    return [
        part
        for part, after in itertools.pairwise([*parts, "<h3>"])
        if not part.startswith("<h3>") or not after.startswith("<h3>")
    ]


def _figures(folder: Path) -> list[str]:
    return [
        _figure(base64.b64encode(image.read_bytes()).decode(), image.stem.replace("_", " "))
        for image in sorted((folder / "figures").glob("*.png"))
    ]


def _figure(data: str, caption: str) -> str:
    text = html.escape(caption.strip("* \n"))
    source = f"data:image/png;base64,{''.join(data.split())}"
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _html_table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "<p>Nothing measured yet.</p>"
    head = "".join(f"<th>{html.escape(column)}</th>" for column in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in row.values()) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def expected_cost(made: Mapping[str, Any], seeds: int) -> str:
    """The sentence on what a run with so many seeds costs, from the manifest of the committed rendering."""
    seconds = made["duration_seconds"] / made["seeds"]
    time = f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    return (
        f"{EXPECTED} the committed rendering took {time} a training seed on a machine that trains at "
        f"{made['machine']['training_gflops']:.0f} GFLOP/s (`python -m src.run plan` measures yours) and "
        f"{made['peak_memory_mb'] / 1000:.1f} GB of memory at its peak; this run has {seeds} seed{'s' * (seeds > 1)}.*"
    )


def with_own_cost(notebook: Any, made: Mapping[str, Any]) -> None:
    """Let an executed notebook of the rendering begin with its own cost: when it began it knew only that of the one before."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("data", {}).get("text/markdown", "").startswith(EXPECTED):
                output["data"]["text/markdown"] = expected_cost(made, made["seeds"])


def headline(reference: Path = REFERENCE) -> Any:
    """The README's first figure: facts known against instructions followed, every model of the course, with intervals."""
    from src import plots  # with matplotlib and torch behind it, for which no other command should wait
    from src.evaluation import interval

    metrics = {name: stage["metrics"] for name, stage in read_stages(reference).items()}
    models = {"base": metrics["improved_training"]["base"]}
    models |= {
        name: metrics[name]["evaluation"] for name in metrics if name not in ("evaluation", "analysis")
    }
    models["plain_sft"] = metrics["improved_training"]["plain"]
    return plots.frontier(
        {name: [(interval(runs, "exact"), interval(runs, "cloze"))] for name, runs in models.items()},
        xlabel="instructions followed (exact match, all splits)",
        ylabel="facts known (cloze accuracy)",
        connect=False,
    )


def write_headline(reference: Path = REFERENCE) -> None:
    """Draw `headline` into the reference."""
    from src import plots

    plots.use_course_style()
    headline(reference).savefig(
        reference / HEADLINE, dpi=100, bbox_inches="tight", metadata={"Software": None}
    )


def readme_results(reference: Path = REFERENCE) -> str:
    """The README's results block, markers included, from the committed reference. Raises what `ledger` raises for a
    claim that is not listed or is damaged."""
    stages = read_stages(reference)
    parts = [markdown_table(stage_rows(stages)), _made_with(stages)]
    parts += ["**Claims ledger**", markdown_table(claim_rows(stages))]
    return "\n\n".join(filter(None, [MARKERS[0], *parts, MARKERS[1]]))


def _made_with(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Versions, precision and speed behind the results, as far as the manifests name them."""
    made = [stage["manifest"] for stage in stages.values()]
    named = {
        "Python": {m["versions"]["python"] for m in made if "versions" in m},
        "torch": {m["versions"]["torch"] for m in made if "versions" in m},
        "in": {m["precision"] for m in made if "precision" in m},
    }
    speeds = sorted(round(m["machine"]["training_gflops"]) for m in made if "machine" in m)
    told = [f"{what} {' and '.join(sorted(found))}" for what, found in named.items() if found]
    told += [f"on a machine that trained at {speeds[0]} to {speeds[-1]} GFLOP/s"] if speeds else []
    return f"Made with {', '.join(told)}." if told else ""


def readme_speed(reference: Path = REFERENCE) -> str:
    """The README's table of benchmarks, markers included, from the committed reference."""
    found = read_json(reference / SPEED_FILE)
    made = found["machine"]
    peak = " to ".join(dict.fromkeys(f"{value:.2f}" for value in made["peaks"]))
    where = f"On {made['threads']} threads in {made['precision']}, matmul peak {peak} TFLOP/s:"
    command = f"```bash\n{found['command']}\n```"
    return "\n\n".join([SPEED_MARKERS[0], command, where, markdown_table(found["rows"]), SPEED_MARKERS[1]])


def readme_kills(reference: Path = REFERENCE) -> str:
    """The README's sentence on killed stages, markers included, from the committed reference."""
    found = read_json(reference / KILL_FILE)
    left = ", ".join(f"{count} × {what}" for what, count in found["left"].items())
    after = f"{found['next run ok']} of {found['kills']} next runs succeeded"
    text = f"`{found['command']}`: {found['kills']} kills; what was left: {left}; mixtures: **{found['mixed']}**; {after}."
    return "\n\n".join([KILL_MARKERS[0], text, KILL_MARKERS[1]])


def write_readme(readme: Path = ROOT / "README.md", reference: Path = REFERENCE) -> None:
    """Renew what the README shows of results, and of benchmarks and kills if the reference has them. Raises ValueError
    when markers are missing, and what `ledger` raises for a claim that is not listed or is damaged."""
    text = _between(readme.read_text(encoding="utf-8"), MARKERS, readme_results(reference))
    for file, markers, block in (
        (SPEED_FILE, SPEED_MARKERS, readme_speed),
        (KILL_FILE, KILL_MARKERS, readme_kills),
    ):
        if (reference / file).is_file():
            text = _between(text, markers, block(reference))
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(readme)


def _between(text: str, markers: tuple[str, str], block: str) -> str:
    start, end = (text.find(marker) for marker in markers)
    if start < 0 or end < start:
        raise ValueError(f"README.md lacks the markers {markers[0]} … {markers[1]}")
    return text[:start] + block + text[end + len(markers[1]) :]
