"""The report of an outputs folder: one self-contained HTML page, the claims ledger, and the results block of the README.

Everything is read from the stages' `metrics.json`, `manifest.json` and figures; nothing is computed twice and no number is typed. Where
the committed reference measured the same claim, its interval stands beside yours. A stored claim that cannot be shown is named and left out
of the page; in the README's block it is an error.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.claims import BY_ID, ledger
from src.config import ROOT
from src.jsonio import JSONFileError, read_json
from src.workspace import BY_NAME, NOT_OURS, REFERENCE, STAGES

MARKERS = ("<!-- results: written by python -m src.run render -->", "<!-- end of results -->")
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left}
img{max-width:100%}h2{margin-top:2.5rem}figure{margin:1.5rem 0}figcaption{color:#555;font-size:14px}"""


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


def stage_rows(stages: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a stage: notebook, key figure, training seeds, minutes, peak memory."""
    return [
        {
            "notebook": BY_NAME[name].notebook,
            "key figure": str(stage["metrics"].get("key_figure", "")),
            "seeds": str(stage["manifest"]["seeds"]),
            "minutes": f"{stage['manifest']['duration_seconds'] / 60:.1f}",
            "peak memory (GB)": f"{stage['manifest']['peak_memory_mb'] / 1000:.1f}",
        }
        for name, stage in stages.items()
    ]


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
    parts = [f"<h1>LLM post-training: report of {html.escape(root.name)}</h1>"]
    parts += ["<h2>Stages</h2>", _html_table(stage_rows(stages))]
    parts += ["<h2>Claims ledger</h2>", _html_table(claim_rows(stages, reference))]
    if left_out:
        told = f"Left out: {'; '.join(left_out)}. To see these claims, run the stages again."
        parts.append(f"<p>{html.escape(told)}</p>")
    for name, stage in stages.items():
        parts.append(f"<h2>{html.escape(BY_NAME[name].notebook)}</h2>")
        for image in sorted((stage["folder"] / "figures").glob("*.png")):
            data = base64.b64encode(image.read_bytes()).decode()
            caption = html.escape(image.stem.replace("_", " "))
            source = f"data:image/png;base64,{data}"
            parts.append(
                f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
            )
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>LLM post-training report</title><style>{_STYLE}</style>"
    temporary = out.with_suffix(".tmp")
    temporary.write_text(page + "\n".join(parts) + "</html>\n", encoding="utf-8")
    temporary.replace(out)
    return out


def _html_table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "<p>Nothing measured yet.</p>"
    head = "".join(f"<th>{html.escape(column)}</th>" for column in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in row.values()) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def readme_results(reference: Path = REFERENCE) -> str:
    """The README's results block, markers included, from the committed reference. Raises what `ledger` raises for a
    claim that is not listed or is damaged."""
    stages = read_stages(reference)
    parts = [markdown_table(stage_rows(stages)), "**Claims ledger**", markdown_table(claim_rows(stages))]
    return "\n\n".join([MARKERS[0], *parts, MARKERS[1]])


def write_readme(readme: Path = ROOT / "README.md", reference: Path = REFERENCE) -> None:
    """Renew the results block of the README. Raises ValueError when its markers are missing, and what
    `ledger` raises for a claim that is not listed or is damaged."""
    text = readme.read_text(encoding="utf-8")
    start, end = (text.find(marker) for marker in MARKERS)
    if start < 0 or end < start:
        raise ValueError(f"{readme} lacks the markers {MARKERS[0]} … {MARKERS[1]} around its results")
    renewed = text[:start] + readme_results(reference) + text[end + len(MARKERS[1]) :]
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(renewed, encoding="utf-8")
    temporary.replace(readme)
