"""The command line: run notebooks in order, see what is fresh, plan a run, make the committed rendering.

    python -m src.run all          run every stage that is not fresh   [--profile gpt2] [--set key=value]
    python -m src.run 01 … 07      run the named stages
    python -m src.run status       each stage: fresh, STALE (and why) or missing; time, memory, key figure
    python -m src.run plan         what `all` would run; speed of this machine, minutes, memory, downloads
    python -m src.run report       tables and claims ledger of your outputs
    python -m src.run chat         type a prompt, see the stages answer side by side  [base 01 …] [--prompt "…"]
    python -m src.run render       run with 5 seeds [--set seeds=N], then renew notebooks/, outputs/reference, README

A notebook is executed headless in a kernel of this very interpreter, in its own folder, and does exactly
what it does when opened in Jupyter. Its executed copy goes to `outputs/<profile>/<stage>/`, so the git tree
stays as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat

from src import plan, runtime
from src.config import (
    Config,
    ConfigError,
    check_profile,
    environment_overrides,
    load_config,
    stage_number,
    takers,
)
from src.headless import (
    NOTEBOOK_FOLDER,
    Progress,
    RunError,
    clock,
    execute,
    has_copy,
    stamp,
    table,
    write_notebook,
)
from src.jsonio import JSONFileError, read_json
from src.report import build_report, with_own_cost, write_headline, write_readme
from src.schema import NOTEBOOKS, PROFILES, nearest
from src.workspace import REFERENCE, STAGES, StageStatus, Workspace, WorkspaceError

RENDER_SEEDS = 5
LARGEST = 2_000_000  # bytes of a file in outputs/reference
COMMANDS = ["all", "status", "plan", "report", "chat", "render"]


# ---------------------------------------------------------------- configuration for several stages
def configurations(profile: str | None, overrides: list[str], stages: Iterable[str]) -> dict[str, Config]:
    """Number → Config for all seven stages. Each override must apply to at least one of `stages`;
    ConfigError if not."""
    stages = list(stages)
    flags = flags_of(overrides, stages)
    return {number: load_config(number, profile, flags.get(number, ())) for number in STAGES}


def flags_of(overrides: list[str], stages: list[str]) -> dict[str, list[str]]:
    """Stage number → the overrides that apply to it."""
    taken = {text: takers(text, stages) for text in overrides}
    for text, numbers in taken.items():
        if not numbers:
            raise ConfigError(f"{text}: that stage is not among those asked for ({', '.join(stages)})")
    return {number: [text for text in overrides if number in taken[text]] for number in stages}


# ---------------------------------------------------------------- commands
def run_stages(
    numbers: list[str], profile: str | None, overrides: list[str], force: bool = True, complete: bool = False
) -> int:
    """Run stages in order; without `force` skip the fresh ones whose executed copy is there (with `complete`: and is
    that of the notebook as it is now).

    Returns the exit code: 0, or 1 when a stage failed; it has been said why, and the stages after it did not run.
    Raises ConfigError, and WorkspaceError when a stage that one of these builds on is not complete.
    """
    configs = configurations(profile, overrides, numbers)
    workspace = Workspace(configs["01"].profile)
    flags = flags_of(overrides, numbers)
    watch = runtime.Stopwatch()
    for number in numbers:
        stage = STAGES[number]
        label = f"{number} {stage.name:<18}"
        states = {status.stage.name: status for status in workspace.status(configs)}
        now = states[stage.name]
        if not force and now.state == "fresh" and has_copy(workspace, stage, current=complete):
            print(f"{label}  fresh, skipped", flush=True)
            continue
        workspace.parent_manifests(stage)
        workspace.check_same_questions(configs[number])
        for name in stage.parents:
            if states[name].state != "fresh":
                print(
                    f"{label}  note: parent {name} is {states[name].state}: {states[name].reason}", flush=True
                )
        show, before = Progress(label), stamp(workspace, stage)
        try:
            execute(stage, workspace, flags[number], show)
        except RunError as err:
            print(f"{label}  FAILED: {err}", file=sys.stderr, flush=True)
            after = stamp(workspace, stage)
            kept = "the earlier result is untouched" if after else "nothing was saved"
            kept = kept if after == before else "its new result is saved"
            print(f"\nStage {number} failed; {kept}.", file=sys.stderr)
            return 1
        manifest, metrics = (
            read_json(workspace.folder(stage.name) / f) for f in ("manifest.json", "metrics.json")
        )
        print(
            f"{label}  done in {clock(show.seconds)}, peak {manifest['peak_memory_mb']} MB"
            f"  {metrics.get('key_figure') or ''}".rstrip(),
            flush=True,
        )
    if len(numbers) > 1:
        print(f"all in {clock(watch.seconds)}; results in {workspace.root}", flush=True)
    return 0


def _without_copy(workspace: Workspace, status: StageStatus) -> str:
    fresh = status.state == "fresh"
    return "  (no executed copy beside it)" if fresh and not has_copy(workspace, status.stage) else ""


def show_status(profile: str | None, overrides: list[str]) -> int:
    """Print the state of every stage; returns the exit code 0, whatever the state. Raises ConfigError."""
    configs = configurations(profile, overrides, STAGES)
    workspace = Workspace(configs["01"].profile)
    rows = [("stage", "state", "time", "peak MB", "key figure / why")]
    for status in workspace.status(configs):
        manifest = status.manifest
        rows.append(
            (
                f"{status.stage.number} {status.stage.name}",
                status.state,
                clock(manifest["duration_seconds"]) if manifest else "",
                str(manifest["peak_memory_mb"]) if manifest else "",
                status.reason
                or f"{status.metrics.get('key_figure') or ''}{_without_copy(workspace, status)}",
            )
        )
    print(f"profile {workspace.profile}, {workspace.root}\n{table(rows)}")
    return 0


def render(seeds: int = RENDER_SEEDS) -> int:
    """Execute all notebooks of the lab profile with several seeds; then renew what is committed: notebooks/,
    outputs/reference and what the README shows of it.

    Nothing is replaced before every stage has run and the size of every file was checked; then it goes stage by
    stage, so what stops it half-way (a full disk, Ctrl-C) leaves some stages old: run it again, or take them back
    from git. Returns the exit code of `run_stages`. Raises RunError for a file that is too large, and what
    `write_readme` raises.
    """
    overrides = [f"seeds={seeds}"]
    code = run_stages(list(STAGES), PROFILES[0], overrides, force=False, complete=True)
    if code:
        return code
    workspace = Workspace(PROFILES[0])
    for stage in STAGES.values():
        for file in _promoted(workspace.folder(stage.name)):
            if file.stat().st_size > LARGEST:
                raise RunError(
                    f"{file} is {file.stat().st_size / 1e6:.1f} MB; outputs/reference takes "
                    f"files up to {LARGEST / 1e6:.0f} MB"
                )
    for stage in STAGES.values():
        folder, target = workspace.folder(stage.name), REFERENCE / stage.name
        fresh = REFERENCE / f".{stage.name}.tmp"
        shutil.rmtree(fresh, ignore_errors=True)
        for file in _promoted(folder):
            (fresh / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            _promote(file, fresh / file.relative_to(folder), workspace.root.parent)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        notebook = nbformat.read(folder / f"{stage.notebook}.ipynb", as_version=4)
        with_own_cost(notebook, read_json(target / "manifest.json"))
        write_notebook(notebook, NOTEBOOK_FOLDER / f"{stage.notebook}.ipynb")
    write_headline()
    write_readme()
    print(f"renewed notebooks/, outputs/reference and README.md ({len(STAGES)} stages, seeds: {seeds})")
    return 0


def _promote(file: Path, target: Path, outputs: Path) -> None:
    """Copy a file; in JSON, paths below `outputs` become relative, because a result does not depend on where it was made."""
    if file.suffix == ".json":
        here = json.dumps(f"{outputs}{os.sep}")[1:-1]
        text = file.read_text(encoding="utf-8").replace(f'"{here}', '"outputs/')
        target.write_text(text, encoding="utf-8")
    else:
        shutil.copyfile(file, target)


def _promoted(folder: Path) -> list[Path]:
    """What outputs/reference keeps of a stage: small files, no weights."""
    wanted = ("manifest.json", "metrics.json", "samples*.json", "figures/*")
    return sorted(path for pattern in wanted for path in folder.glob(pattern) if path.is_file())


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; returns the exit code (0 done, 1 a clear error, 130 interrupted). Wrong usage exits with 2
    (SystemExit)."""
    for stream in (sys.stdout, sys.stderr):  # → or ≈ on a Windows console that lacks them becomes ?
        with contextlib.suppress(AttributeError):  # not a text file: a notebook's output, or none at all
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m src.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", help=f"{', '.join(COMMANDS)}, or stage numbers 01 … 07")
    parser.add_argument("--profile", help=f"{' or '.join(PROFILES)} (default: $COURSE_PROFILE, then lab)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a setting (repeatable): train.kl_beta=0.2, or 06:train.kl_beta=0.2 for one stage",
    )  # fmt: skip
    parser.add_argument(
        "--force",
        action="store_true",
        help="with all and plan: the fresh stages too (a named one always runs)",
    )
    parser.add_argument("--prompt", help="with chat: answer this and end, instead of reading lines")
    parser.add_argument("--temperature", type=float, help="with chat: sample (default 0: greedy)")
    args = parser.parse_args(arguments)
    command = args.what[0]
    if command != "chat" and (args.prompt is not None or args.temperature is not None):
        parser.error("--prompt and --temperature belong to chat")
    if command in ("status", "report", "chat", "render") and args.force:
        parser.error(f"--force belongs to all and plan; {command} cannot use it")
    if command == "report" and args.overrides:
        parser.error("report shows what has run: give --set to the run itself, or to status and plan")
    try:
        if command == "chat":
            from src.chat import chat  # only here: `status` must not wait for torch

            return chat(args.what[1:], args.profile, args.overrides, args.temperature or 0.0, args.prompt)
        if command not in COMMANDS:
            numbers = sorted({_number(word) for word in args.what})
            return run_stages(numbers, args.profile, args.overrides)
        if len(args.what) > 1:
            parser.error(f"{command} takes no further words, not {' '.join(args.what[1:])}")
        if command == "all":
            return run_stages(list(STAGES), args.profile, args.overrides, args.force)
        if command == "status":
            return show_status(args.profile, args.overrides)
        if command == "plan":
            return plan.show_plan(configurations(args.profile, args.overrides, STAGES), args.force)
        if command == "render":
            seeds = [o.removeprefix("seeds=") for o in args.overrides if re.fullmatch(r"seeds=\d+", o)]
            if len(seeds) < len(args.overrides) or (args.profile or PROFILES[0]) != PROFILES[0]:
                parser.error("render makes the committed files: lab profile, nothing set but seeds")
            if environment_overrides(os.environ):
                parser.error("render makes the committed files: unset COURSE_SET, set nothing but seeds")
            return render(int(seeds[-1]) if seeds else RENDER_SEEDS)
        workspace = Workspace(check_profile(args.profile or os.environ.get("COURSE_PROFILE") or PROFILES[0]))
        out = workspace.root / "report.html"
        try:
            build_report(workspace.root, out)
        except FileNotFoundError as err:  # no stage has run yet
            raise RunError(err) from None
        except OSError as err:
            raise RunError(
                f"cannot write {out}: {err.strerror or err}. Make room or set COURSE_OUTPUTS"
            ) from None
        print(f"report: {out}")
        return 0
    except (ConfigError, WorkspaceError, JSONFileError, RunError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `… status | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted; results that were complete before are untouched", file=sys.stderr)
        return 130


def _number(word: str) -> str:
    try:
        return stage_number(word)
    except ConfigError:
        known = [*COMMANDS, *NOTEBOOKS]
        raise ConfigError(
            f"{word!r} is neither a command nor a stage{nearest(word, known)}: {', '.join(known)}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
