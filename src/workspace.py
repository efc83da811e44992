"""Where a stage reads and writes, and whether what lies there is still true.

Every notebook opens its stage with `cfg, run = open_stage(…)`, which calls `Workspace(cfg.profile).begin(cfg)`, and closes it with
`run.finish(metrics)`. In between it writes into a hidden folder beside the final one; `finish` adds the
manifest and swaps the folders. Killing the process at any instant leaves the old result or the new one,
never a mixture:

    outputs/lab/.stage1_sft.<pid>.tmp    being written        (deleted at the next begin)
    outputs/lab/stage1_sft               the result
    outputs/lab/.stage1_sft.old          the previous result, between two renames (put back if need be)
    outputs/lab/cache/<name>-<hash>      results of `run.cached`: a sweep over seeds resumes where it stopped
    outputs/lab/cache/.….partial         what an interrupted computation left to go on from (deleted when its stage ends)

The manifest says what the result was made from (configuration, base model, code, parents), so `status` can
say what changed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from src import fingerprint, parallel, runtime
from src.config import NOTEBOOKS, PROFILES, ROOT, Config, check_profile
from src.jsonio import JSONFileError, read_json, to_jsonable, write_json
from src.locks import Lock, Locked

PACKAGES = [
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "tokenizers",
    "safetensors",
    "numpy",
]

# stages that look at a source; all look at any other setting
READERS = {"preference_data": ("07",), "judge": ("04", "06", "07")}
REFERENCE = ROOT / "outputs" / "reference"  # what the committed notebooks show

# what reading a manifest raises that is JSON but not ours
NOT_OURS = (KeyError, TypeError, AttributeError, ValueError, OverflowError)


class WorkspaceError(RuntimeError):
    """A stage cannot start or finish, in one sentence that says what to do."""


class _NotYet(Exception):
    """`cached` was asked to look only, and has no result."""


@dataclass(frozen=True)
class Stage:
    number: str
    name: str
    parents: tuple[str, ...]  # names of stages; every stage also depends on the base model

    @property
    def notebook(self) -> str:
        return NOTEBOOKS[self.number]


_SFT = ("stage1_sft", "stage2_instruction", "stage3_lora")
STAGES: dict[str, Stage] = {
    stage.number: stage
    for stage in (
        Stage("01", "stage1_sft", ()),
        Stage("02", "stage2_instruction", ()),
        Stage("03", "stage3_lora", ()),
        Stage("04", "evaluation", _SFT),
        Stage("05", "analysis", (*_SFT, "evaluation")),
        Stage("06", "improved_training", ("evaluation",)),
        Stage("07", "rlhf_training", (*_SFT, "improved_training")),
    )
}
BY_NAME = {stage.name: stage for stage in STAGES.values()}

# Stages whose answers are compared prompt by prompt with those of earlier ones, and what decides which prompts and
# facts were asked and how; the other stages measure all that they compare themselves
COMPARED = {"04": _SFT, "06": ("evaluation",), "07": (*_SFT, "improved_training")}
SAME_QUESTIONS = ("instruction_data", "seed") + tuple(
    f"evaluation.{name}" for name in ("prompts", "probes", "paragraphs", "max_new_tokens", "temperature")
)


@dataclass(frozen=True)
class StageStatus:
    """`state` is fresh, STALE or missing; `reason` says why it is not fresh; `manifest` and `metrics` are
    {} if unreadable."""

    stage: Stage
    state: str
    reason: str
    manifest: dict[str, Any]
    metrics: dict[str, Any]


class Workspace:
    """`outputs/<profile>/` (or `<outputs>/<profile>/`, `$COURSE_OUTPUTS/<profile>/`) and the stages in it."""

    def __init__(self, profile: str = PROFILES[0], outputs: str | Path | None = None):
        self.profile = check_profile(profile)
        self.outputs = (ROOT / (outputs or os.environ.get("COURSE_OUTPUTS") or "outputs")).resolve()
        self.root = self.outputs / self.profile

    # ------------------------------------------------------------ reading
    def folder(self, stage: str) -> Path:
        """Folder of a stage's complete result (name or number); it need not exist."""
        name = find_stage(stage).name
        final, old = self.root / name, self._old(name)
        # killed between two renames: the old one counts
        return old if old.is_dir() and not final.is_dir() else final

    def manifest(self, stage: str) -> dict[str, Any]:
        """The stage's manifest; JSONFileError when it is missing or damaged."""
        return read_json(self.folder(stage) / "manifest.json")

    def status(self, configs: dict[str, Config]) -> list[StageStatus]:
        """State of every stage, in order, against the configurations as they are now (number → Config)."""
        found: dict[str, StageStatus] = {}
        for number, stage in STAGES.items():
            found[stage.name] = self._status(stage, configs[number], found)
        return list(found.values())

    def _status(self, stage: Stage, cfg: Config, parents: dict[str, StageStatus]) -> StageStatus:
        folder = self.folder(stage.name)
        if not folder.is_dir():
            return StageStatus(stage, "missing", "not run yet", {}, {})
        try:
            manifest = read_json(folder / "manifest.json")
            metrics = read_json(folder / "metrics.json")
            for key in ("duration_seconds", "peak_memory_mb"):  # `status` shows them
                int(manifest[key])
            reason = self._difference(stage, cfg, manifest, parents)
        except JSONFileError as err:
            return StageStatus(stage, "STALE", str(err), {}, {})
        except NOT_OURS as err:
            return StageStatus(
                stage, "STALE", f"its manifest.json is not one of ours ({type(err).__name__}: {err})", {}, {}
            )
        return StageStatus(stage, "STALE" if reason else "fresh", reason, manifest, metrics)

    def _difference(self, stage: Stage, cfg: Config, manifest: dict, parents: dict[str, StageStatus]) -> str:
        """The first thing that is not as it was when the result was made; "" when nothing changed."""
        was, now = dict(manifest["result_values"]), cfg.result_values()
        for key in [*now, *(key for key in was if key not in now)]:
            if was.get(key) != now.get(key) and reads(stage, key):
                source = cfg.source.get(key, "no longer a key")
                return f"{key} {_short(was.get(key))} → {_short(now.get(key))} ({source})"
        if manifest["seeds"] < cfg.seeds:
            return f"seeds {manifest['seeds']} → {cfg.seeds} ({cfg.source['seeds']})"
        if manifest["base_model_hash"] != fingerprint.base_model_hash(cfg.base_model):
            return "base model changed"
        made_of, here = dict(manifest.get("sources", {})), fingerprint.source_hashes(sources_of(cfg))
        for key in sorted(made_of.keys() | here.keys()):
            if made_of.get(key) != here.get(key) and reads(stage, key):
                what = "the contents changed" if key in here else "it is no longer there"
                return f"{key} {getattr(cfg, key)}: {what}"
        code = stage_code(stage)
        for file in sorted(manifest["code"].keys() | code.keys()):
            if manifest["code"].get(file) != code.get(file):
                return f"{file} {'changed' if file in code else 'is no longer used'}"
        for name, identity in manifest["parents"].items():
            parent = parents[name]
            if parent.state == "fresh" and parent.manifest["identity"] != identity:
                return f"parent {name} changed"
            if parent.state != "fresh":
                return f"parent {name} is {parent.state}"
        return damaged_weights(self.folder(stage.name), manifest)

    # ------------------------------------------------------------ writing
    def begin(self, cfg: Config) -> Run:
        """Open a stage for writing. WorkspaceError when a parent is missing or another process runs the
        same stage."""
        stage = STAGES[cfg.stage]
        if cfg.profile != self.profile:
            raise WorkspaceError(
                f"the configuration is of profile {cfg.profile}, the workspace of {self.profile}"
            )
        parents = self.parent_manifests(stage)
        self.check_same_questions(cfg)
        with _writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                lock = Lock(self.root / f".{stage.name}.lock")
            except Locked as err:
                raise WorkspaceError(
                    f"stage {stage.number} ({stage.name}) is already running ({err}): wait for it or stop it"
                ) from None
        try:
            with _writing(self.root):
                self._clean(stage.name)
            return Run(self, stage, cfg, lock, parents)
        except BaseException:  # nobody has the run, so nobody could free its lock
            lock.release()
            raise

    def parent_manifests(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Manifests of a stage's parents; WorkspaceError naming the command that makes those that are missing
        or damaged."""
        found: dict[str, dict[str, Any]] = {}
        missing: dict[str, str] = {}
        for name in stage.parents:
            try:
                found[name] = self.manifest(name)
                found[name]["identity"], dict(found[name]["result_values"]), range(found[name]["seeds"])
                read_json(self.folder(name) / "metrics.json")
                problem = damaged_weights(self.folder(name), found[name])
            except JSONFileError as err:
                problem = str(err)
            except NOT_OURS:
                problem = "its manifest.json is not ours"
            if problem:
                missing[name] = f"{name} ({problem})" if self.folder(name).is_dir() else name
        if missing:
            needed = [name for name in BY_NAME if name in missing or self._leads_to(name, missing)]
            numbers = " ".join(BY_NAME[name].number for name in needed)
            profile = "" if self.profile == PROFILES[0] else f" --profile {self.profile}"
            raise WorkspaceError(
                f"stage {stage.number} ({stage.name}) builds on {', '.join(missing.values())}: "
                f"not complete in the {self.profile} profile. First run:  python -m src.run {numbers}{profile}"
            )
        return found

    def check_same_questions(self, cfg: Config) -> None:
        """WorkspaceError when a stage that `cfg`'s stage is compared with, prompt by prompt, was asked other prompts or has
        fewer training seeds."""
        now = cfg.result_values()
        asked = {"01", "02", "03", *COMPARED}
        together = [n for n in STAGES if n in asked and n <= cfg.stage]
        for name in COMPARED.get(cfg.stage, ()):
            manifest = self.manifest(name)
            was = dict(manifest["result_values"])
            if manifest["seeds"] < cfg.seeds:
                raise WorkspaceError(
                    f"stage {cfg.stage} with {cfg.seeds} training seeds is compared with {name}, which has "
                    f"{manifest['seeds']}. Give all as many, for example:  "
                    f"python -m src.run {' '.join(together)} --set seeds={cfg.seeds}"
                )
            for key in SAME_QUESTIONS:
                if was.get(key) != now[key]:
                    raise WorkspaceError(
                        f"stage {cfg.stage} is compared with {name}, which ran with {key} {_short(was.get(key))}, not "
                        f"{_short(now[key])}. Give all the same, for example:  "
                        f"python -m src.run {' '.join(together)} --set {key}={_short(now[key])}"
                    )

    def _leads_to(self, name: str, missing: Iterable[str]) -> bool:
        """True when `name` has no result and one of the missing stages builds on it, however far down."""
        above = {parent for child in missing for parent in BY_NAME[child].parents}
        gone = not (self.folder(name) / "manifest.json").is_file()
        return bool(above) and gone and (name in above or self._leads_to(name, above))

    def _old(self, name: str) -> Path:
        return self.root / f".{name}.old"

    def _clean(self, name: str) -> None:
        """Put an interrupted swap right and delete what killed runs left; the stage's lock is held."""
        final, old = self.root / name, self._old(name)
        if old.is_dir():
            if final.is_dir():
                self.discard(old)
            else:
                old.rename(final)
        for path in [*self.root.glob(f".{name}.*.tmp"), *self.root.glob(f".{name}.*.trash")]:
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.root / "cache").glob(
            ".*"
        ):  # .<name>-<hash>.<pid>.tmp or .trash, or .<name>-<hash>.<stage>.partial
            pid = path.name.split(".")[-2]
            if path.suffix != ".partial" and not (pid.isdigit() and psutil.pid_exists(int(pid))):
                shutil.rmtree(path, ignore_errors=True)

    def discard(self, folder: Path) -> None:
        """Delete a folder so that a kill half-way never leaves it under its own name with files missing."""
        trash = folder.with_name(f".{folder.name.lstrip('.')}.{os.getpid()}.trash")
        shutil.rmtree(trash, ignore_errors=True)
        _rename(folder, trash)
        shutil.rmtree(trash, ignore_errors=True)

    def swap(self, temporary: Path, name: str) -> None:
        """Make `temporary` the stage's result: old away, new in, old deleted. The stage's lock is held."""
        final, old = self.root / name, self._old(name)
        if final.is_dir():
            _rename(final, old)
        _rename(temporary, final)
        if old.is_dir():
            with suppress(OSError, WorkspaceError):  # the new result stands; the next begin tries again
                self.discard(old)


class Run:
    """One execution of one stage: a folder to write to, the parents to read from, a cache for repeated
    computations."""

    def __init__(
        self, workspace: Workspace, stage: Stage, cfg: Config, lock: Lock, parents: dict[str, dict[str, Any]]
    ):
        self.workspace, self.stage, self.cfg = workspace, stage, cfg
        self._lock, self._watch = lock, runtime.Stopwatch()
        self._reused_peak = 0  # and the peak of the processes that made them
        self._reused_seconds = 0.0  # what the cached computations took when they were made …
        self._counted: set[Path] = set()  # … each of them once
        self._made: list[str] = []  # what `cached` computed itself
        # While processes are forked: how many, and this one's memory before
        self._beside, self._parent_mb = 1, 0.0
        self._only_look = False  # `cached` computes nothing: see `side_by_side`
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self.folder = workspace.root / f".{stage.name}.{os.getpid()}.tmp"
        with _writing(self.folder):
            self.folder.mkdir()
        self._parents = parents
        self._base_hash = fingerprint.base_model_hash(cfg.base_model)
        self._code = stage_code(stage)  # as it is when the work starts, not when it ends
        self._sources = fingerprint.source_hashes(sources_of(cfg))

    def save_json(self, name: str, value: Any) -> None:
        """Write `<name>.json`; NumPy and torch values become plain ones, NaN and infinities become null."""
        self._check_open()
        with _writing(self.folder):
            write_json(self.folder / (name if name.endswith(".json") else f"{name}.json"), value)

    def figure(self, figure: Any, name: str) -> Path:
        """Write a matplotlib figure to `figures/<name>.png` (100 dpi, the same bytes each time)."""
        self._check_open()
        path = self.folder / "figures" / f"{name}.png"
        with _writing(path):
            path.parent.mkdir(exist_ok=True)
            figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})
        return path

    def model_folder(self, name: str = "model") -> Path:
        """A new folder for a checkpoint; only .safetensors weights are accepted by `finish`."""
        self._check_open()
        path = self.folder / name
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def parent(self, stage: str) -> Path | str:
        """Folder of a parent stage's result (name or number); for "base" the base model's folder or Hub
        name."""
        if stage == "base":
            return fingerprint.base_model_source(self.cfg.base_model)
        name = find_stage(stage).name
        if name not in self.stage.parents:
            raise WorkspaceError(
                f"{name} is not a parent of {self.stage.name}; "
                f"its parents: {', '.join(('base', *self.stage.parents))}"
            )
        return self.workspace.folder(name)

    def cached(
        self,
        name: str,
        params: dict[str, Any],
        compute: Callable[[Path], dict[str, Any]],
        resumable: bool = False,
    ) -> dict[str, Any]:
        """`compute(folder)` once; later calls return the stored dict. `folder` may hold files (checkpoints,
        tables). With `resumable` it is what an interrupted call with the same key left in it, until the stage ends:
        `compute` looks for its own checkpoint there, and removes it at the end.

        The key is made of `name`, `params`, the base model, the parents' weights, the data sources and
        precision, and the code that `compute` reaches. Everything else that changes the result (seed,
        learning rate, rows …) must be in `params`. Returns the dict as JSON gives it back, plus "folder":
        the Path where the files are.
        """
        common = sources_of(self.cfg) | self._sources
        common["precision"] = runtime.resolve_precision(self.cfg.precision)
        made_of = [
            name,
            to_jsonable(params),
            self._base_hash,
            self._parent_results,
            common,
            fingerprint.function_hash(compute),
        ]
        cache = self.workspace.root / "cache"
        final = cache / f"{name}-{fingerprint.json_hash(made_of)}"
        try:
            result = read_json(final / "result.json")
            if final not in self._counted:
                cost = read_json(final / "seconds.json")
                self._reused_seconds += cost["seconds"]
                self._reused_peak = max(self._reused_peak, cost.get("peak_memory_mb", 0))
                self._counted.add(final)
            return result | {"folder": final}
        except JSONFileError:
            if self._only_look:
                raise _NotYet from None
        # The stage's lock is held, so nobody else goes on from a partial result at the same time
        mark = f"{self.stage.name}.partial" if resumable else f"{os.getpid()}.tmp"
        temporary = cache / f".{final.name}.{mark}"
        if not resumable:
            shutil.rmtree(temporary, ignore_errors=True)
        with _writing(cache):
            if final.is_dir():
                self.workspace.discard(final)
            temporary.mkdir(parents=True, exist_ok=resumable)
            for half_written in (
                *temporary.glob(".*"),
                *temporary.glob("*.tmp"),
            ):  # when a process was killed
                half_written.unlink()
            spent = _spent(temporary) if resumable else 0.0
        self._counted.add(final)
        watch = runtime.Stopwatch()
        runtime.release_memory()
        result = compute(temporary)
        if not isinstance(result, dict) or "folder" in result:
            raise TypeError(f"cached computation {name!r} must return a dict without the key 'folder'")
        with _writing(temporary):
            write_json(temporary / "params.json", params)
            seconds = (spent + watch.seconds) / self._beside
            cost = {"seconds": seconds, "peak_memory_mb": round(self._peak_memory_mb())}
            write_json(temporary / "seconds.json", cost)
            write_json(temporary / "result.json", result)
            try:
                _rename(temporary, final)
            except OSError:
                if not final.is_dir():
                    raise
                shutil.rmtree(temporary, ignore_errors=True)  # another process was faster with the same thing
        self._made.append(final.name)
        return read_json(final / "result.json") | {"folder": final}

    def side_by_side(self, calls: Any) -> Any:
        """Call every function in `calls`, a list or dict of them or of more of the same; their results in the same shape.

        For calls whose work is done by `cached` and of which none needs another's result: what is not in the cache yet is
        computed several at a time where that is faster (`parallel.run_forked`; `processes` in the configuration), each on
        one thread. A call is then made once more here, to fetch its result: what it does outside `cached` is done twice.
        """
        results: dict[int, Any] = {}
        missing = {}
        for place, call in enumerate(_leaves(calls)):
            self._only_look = True
            try:
                results[place] = call()
            except _NotYet:
                missing[place] = call
            finally:
                self._only_look = False
        todo, beside = list(missing.values()), min(self._processes, len(missing))
        # A call that would be alone at the end is faster here, where it has all threads
        ahead = todo[:-1] if beside and len(todo) % beside == 1 else todo
        if beside > 1:
            self._fork_for(ahead, beside)
        results |= {place: call() for place, call in missing.items()}
        return _filled(calls, iter([results[place] for place in range(len(results))]))

    def _fork_for(self, calls: list[Callable[[], Any]], beside: int) -> None:
        self._beside, self._parent_mb, self._made = beside, psutil.Process().memory_info().rss / 1e6, []
        try:
            reports = parallel.run_forked(calls, beside, self._made_here)
        finally:
            self._beside = 1
        for found in reports:
            self._counted |= {self.workspace.root / "cache" / name for name in found["made"]}
            self._reused_peak = max(self._reused_peak, round(found["peak_memory_mb"]))

    @cached_property
    def _processes(self) -> int:
        """Decided once, so that a run does not change its ways when memory gets scarce."""
        return parallel.process_count(self.cfg.processes, self.cfg.threads)

    def _made_here(self) -> dict[str, Any]:
        """What a forked process tells of itself after each call."""
        made, self._made = self._made, []
        return {"made": made, "peak_memory_mb": self._peak_memory_mb()}

    def _peak_memory_mb(self) -> float:
        """Of all processes of this run: forked ones are taken to be as large as this one, and to share with the first what
        they inherited from it (what they change of that is not counted)."""
        if self._beside == 1:
            return runtime.peak_memory_mb()
        return self._parent_mb + self._beside * max(0.0, runtime.peak_memory_mb() - self._parent_mb)

    @cached_property
    def _parent_results(self) -> dict[str, Any]:
        """What cached computations can see of the parents. A stage without weights is known by its numbers: a word
        changed in its notebook must not void what was computed after it."""
        return {
            parent: manifest.get("weights")
            or fingerprint.json_hash(read_json(self.parent(parent) / "metrics.json"))
            for parent, manifest in self._parents.items()
        }

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write metrics and manifest, put the folder in place, free the stage. `metrics["key_figure"]` is
        shown by `status`."""
        self._check_open()
        # from an empty cache, however often it ran before
        duration = self._watch.seconds + self._reused_seconds
        stray = [
            path.name
            for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl")
            for path in self.folder.rglob(pattern)
        ]
        if stray:
            raise WorkspaceError(
                f"weights are kept as .safetensors only, but the stage wrote {', '.join(stray)}"
            )
        with _writing(self.folder):
            write_json(self.folder / "metrics.json", metrics)
        weights = fingerprint.folder_hashes(self.folder)
        parents = {name: manifest["identity"] for name, manifest in self._parents.items()}
        made_of = {
            "stage": self.stage.name,
            "profile": self.cfg.profile,
            "config_hash": self.cfg.hash(),
            "seeds": self.cfg.seeds,
            "base_model_hash": self._base_hash,
            "sources": self._sources,
            "parents": parents,
            "code": self._code,
            "weights": weights,
        }
        manifest = made_of | {
            "identity": fingerprint.json_hash(made_of),
            "config": self.cfg.flat(),
            "result_values": self.cfg.result_values(),
            "config_source": self.cfg.source,
            "training_seeds": [self.cfg.seed + k for k in range(self.cfg.seeds)],
            "versions": {"python": platform.python_version()} | _versions(),
            "git_commit": _git_commit(),
            "precision": runtime.resolve_precision(self.cfg.precision),
            "started": self._started,
            "duration_seconds": round(duration, 1),
            "peak_memory_mb": max(round(runtime.peak_memory_mb()), self._reused_peak),
            "machine": runtime.measure_machine(),
        }
        with _writing(self.folder):
            write_json(self.folder / "manifest.json", manifest)
            self.workspace.swap(self.folder, self.stage.name)
        for path in (self.workspace.root / "cache").glob(f".*.{self.stage.name}.partial"):
            shutil.rmtree(path, ignore_errors=True)  # of settings that have been given up
        self.folder = self.workspace.root / self.stage.name
        self._lock.release()

    def _check_open(self) -> None:
        if not self._lock.held:
            raise WorkspaceError(f"this run of {self.stage.name} is over; start a new one with begin(cfg)")


# ---------------------------------------------------------------- helpers
def find_stage(stage: str) -> Stage:
    """`"06"` or `"improved_training"` → Stage."""
    found = STAGES.get(stage) or BY_NAME.get(stage)
    if not found:
        raise WorkspaceError(f"there is no stage {stage!r}; the stages are {', '.join(BY_NAME)}")
    return found


def reads(stage: Stage, key: str) -> bool:
    """Whether a setting can change the stage's result: all have the same file of common ones, and not all look for pairs or
    for a judge."""
    return stage.number in READERS.get(key, STAGES)


def sources_of(cfg: Config) -> dict[str, str]:
    """Where rows, pairs and grades come from, whether or not the stage reads them."""
    return {key: getattr(cfg, key) for key in ("instruction_data", "preference_data", "judge")}


def stage_code(stage: Stage) -> dict[str, str]:
    """File → hash of the code that makes a stage's result."""
    return fingerprint.notebook_code(ROOT / "notebooks" / f"{stage.notebook}.ipynb")


def damaged_weights(folder: Path, manifest: dict[str, Any]) -> str:
    """The first weight file of a result that is not the one its manifest speaks of; "" when all are."""
    for file, sha256 in manifest["weights"].items():
        try:
            if fingerprint.file_sha256(folder / file) != sha256:
                return f"its {file} is damaged (not the file that the stage wrote)"
        except FileNotFoundError:
            return f"{file} is gone"
        except OSError as err:
            return f"its {file} cannot be read ({err.strerror})"
    return ""


def _spent(folder: Path) -> float:
    """Seconds that earlier, interrupted attempts put into a partial result: from their start to the last file they wrote."""
    path = folder / "seconds.json"
    try:
        earlier = read_json(path)
        last = max(file.stat().st_mtime for file in folder.iterdir())
        spent = earlier["seconds"] + max(0.0, last - earlier["since"])
    except (JSONFileError, OSError, *NOT_OURS):  # the first attempt
        spent = 0.0
    write_json(path, {"seconds": spent, "since": time.time()})
    return spent


def _leaves(calls: Any) -> list[Callable[[], Any]]:
    """The functions in nested lists and dicts, in order."""
    if callable(calls):
        return [calls]
    inner = calls.values() if isinstance(calls, dict) else calls
    return [leaf for part in inner for leaf in _leaves(part)]


def _filled(calls: Any, results: Iterator[Any]) -> Any:
    """The same nest with `results`, in order, in the place of its functions."""
    if callable(calls):
        return next(results)
    if isinstance(calls, dict):
        return {name: _filled(part, results) for name, part in calls.items()}
    return [_filled(part, results) for part in calls]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A full disk, a read-only folder and the like as one WorkspaceError."""
    try:
        yield
    except OSError as err:
        raise WorkspaceError(
            f"cannot write {err.filename or path}: {err.strerror or err}. Make room or set COURSE_OUTPUTS to "
            "another folder, then run the stage again; the earlier result is untouched"
        ) from None


def _rename(source: Path, target: Path) -> None:
    for attempt in range(5):
        try:
            source.rename(target)
            return
        except (
            PermissionError
        ) as err:  # Windows: somebody (a virus scanner, a memory-mapped model) has a file open
            if attempt == 4:
                raise WorkspaceError(
                    f"cannot move {source} to {target.name}: {err.strerror}; is a file in it still open?"
                ) from None
            time.sleep(0.3)


def _short(value: Any) -> str:
    return "(none)" if value is None else json.dumps(value) if not isinstance(value, str) else value


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git_commit() -> str | None:
    try:
        out = subprocess.run(
            ["git", "rev-parse", "HEAD"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() if out.returncode == 0 else None
