"""Is a stage ever half-written? Real stages, killed with SIGKILL at random moments.

    python -m tests.benchmarks.kill_stages --times 20 --seed 0 [--publish]

Runs the stages once in the shortened setting of `tests/smoke.py`, into a scratch folder, to have results and to know how long
each takes. Then, again and again: starts a random stage, kills it at a moment drawn uniformly from that time, looks at every
stage's folder (it must be the old result, byte for byte, or a new one with nothing missing and weights that are those of its
manifest), and runs the stage once more, which must succeed and be fresh. Who is killed is drawn too: the whole process group
with its kernel, as when the power fails; the command alone, as by `kill -9`; or the kernel alone, as when memory runs out.
The exit code is 1 when anything was not as it must be; the scratch folder is kept then. `--publish` keeps the counts, good or
bad, in outputs/reference and shows them in README.md. Linux and macOS.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from src.config import ROOT, load_config
from src.fingerprint import folder_hashes
from src.headless import table
from src.jsonio import JSONFileError, read_json, write_json
from src.report import KILL_FILE, write_readme
from src.workspace import BY_NAME, REFERENCE, STAGES, Stage, Workspace
from tests.smoke import environment, overrides_of

VICTIMS = ("all", "command", "kernel")
HEAD = ("", "stage", "killed", "at second", "what was left", "next run")
Contents = dict[str, tuple[str, int]]


# --- What is in a folder ------------------------------------------------------------------------------------------


def contents(folder: Path) -> Contents:
    """Path below `folder` → (sha256, time of writing in ns) of every file, temporary copies of the notebook left out."""
    hashes = folder_hashes(folder, ("*",))
    return {
        name: (sha256, (folder / name).stat().st_mtime_ns)
        for name, sha256 in hashes.items()
        if not Path(name).name.startswith(".")
    }


def verdict(before: Contents, folder: Path, notebook: str) -> str:
    """ "old", "new", "new, without its executed notebook" or "MIXED: …", given what the folder held before the kill.

    Times of writing tell the files of two equal runs apart. The executed notebook is put beside a result that is complete
    already, so it may be missing from a new one.
    """
    now = contents(folder) if folder.is_dir() else {}
    if now == before:
        return "old"
    if kept := [name for name in now if before.get(name) == now[name]]:
        return f"MIXED: {kept[0]} is of the old result, other files are not"
    copy = f"{notebook}.ipynb"
    if differ := sorted((before.keys() ^ now.keys()) - {copy}):
        return f"MIXED: {differ[0]} is {'new' if differ[0] in now else 'missing'}"
    try:
        for name in now:
            if name.endswith(".json"):
                _read_any(folder / name)
        weights = read_json(folder / "manifest.json")["weights"]
    except (JSONFileError, ValueError, KeyError) as err:
        return f"MIXED: {err}"
    if weights != folder_hashes(folder):
        return "MIXED: the weights are not those of the manifest"
    return "new" if copy in now else "new, without its executed notebook"


def _read_any(path: Path) -> None:
    """A JSON file of any kind (samples are lists); ValueError or JSONFileError when it is damaged."""
    json.loads(path.read_text(encoding="utf-8"))


def damaged_cache(root: Path) -> list[str]:
    """Entries of the cache that a later run would take for results and that cannot be read."""
    bad = []
    for entry in sorted((root / "cache").glob("[!.]*")):
        try:
            read_json(entry / "result.json")
        except JSONFileError as err:
            bad.append(f"cache/{entry.name}: {err}")
    return bad


# --- Running and killing ------------------------------------------------------------------------------------------


class Course:
    """The shortened course in a scratch folder."""

    def __init__(self, outputs: Path):
        self.workspace, self.environment = Workspace("lab", outputs), environment(outputs)
        self.log = outputs / "log.txt"
        self.command: subprocess.Popen | None = None

    def start(self, stage: Stage) -> subprocess.Popen:
        """`python -m src.run NN`, in a process group of its own."""
        sets = [part for text in overrides_of(stage.number) for part in ("--set", text)]
        command = [sys.executable, "-m", "src.run", stage.number, *sets]
        with self.log.open("a", encoding="utf-8") as log:
            self.command = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self.command

    def stop(self) -> None:
        """End what still runs when this program itself is stopped."""
        if self.command and self.command.poll() is None:
            self.kill(self.command, "all")

    def run(self, stage: Stage) -> tuple[bool, float]:
        """(whether it succeeded, seconds)."""
        start = time.monotonic()
        return self.start(stage).wait() == 0, time.monotonic() - start

    def kernels(self) -> list[psutil.Process]:
        """The notebook kernels of this course: sessions of their own, so the process group does not hold them."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                kernel = "ipykernel_launcher" in (process.info["cmdline"] or [])
                if kernel and process.environ().get("COURSE_OUTPUTS") == self.environment["COURSE_OUTPUTS"]:
                    found.append(process)
            except psutil.Error:  # it ended meanwhile, or is somebody else's
                continue
        return found

    def kill(self, command: subprocess.Popen, victim: str) -> str:
        """SIGKILL; returns who was hit. A kernel that has not started yet cannot be: then all are."""
        kernels = self.kernels()
        victim = "all" if victim == "kernel" and not kernels else victim
        if victim != "kernel":
            os.killpg(command.pid, signal.SIGKILL)
        if victim != "command":
            for kernel in kernels:
                with contextlib.suppress(psutil.NoSuchProcess):  # it ended since it was listed
                    kernel.kill()
        command.wait(timeout=300)  # without its kernel, the command reports the death and ends
        return victim

    def outlived(self, seconds: float = 60) -> bool:
        """Whether a kernel is still there after that time; each looks for its command once a second."""
        end = time.monotonic() + seconds
        while self.kernels():
            if time.monotonic() > end:
                return True
            time.sleep(0.1)
        return False

    def next_run(self, stage: Stage) -> str:
        """ "ok", or what was wrong with running the stage again."""
        good, _ = self.run(stage)
        if not good:
            return f"FAILED, see the end of {self.log}"
        configs = {n: load_config(n, "lab", overrides_of(n), environ={}) for n in STAGES}
        status = {s.stage.name: s for s in self.workspace.status(configs)}[stage.name]
        if status.state != "fresh":
            return f"{status.state}: {status.reason}"
        left = [p.name for p in self.workspace.root.glob(f".{stage.name}.*") if p.suffix != ".lock"]
        return f"LEFT {', '.join(left)}" if left else "ok"


def with_parents(numbers: list[str]) -> list[Stage]:
    """The stages and all that they build on, in order."""
    wanted = {STAGES[number].name for number in numbers}
    for stage in reversed(STAGES.values()):
        if stage.name in wanted:
            wanted.update(stage.parents)
    return [stage for name, stage in BY_NAME.items() if name in wanted]


def kill_once(course: Course, stage: Stage, moment: float, victim: str) -> tuple[str, str, str] | float:
    """(who was hit, what was left, how the next run went), or the seconds of a run that ended before `moment`."""
    shutil.rmtree(course.workspace.root / "cache", ignore_errors=True)  # else a second run has little to do
    before = {other: contents(course.workspace.folder(other.name)) for other in STAGES.values()}
    start, command = time.monotonic(), course.start(stage)
    try:
        command.wait(timeout=moment)
        return time.monotonic() - start
    except subprocess.TimeoutExpired:
        hit = course.kill(command, victim)
    if course.outlived():
        return hit, "MIXED: its kernel lives on", "not tried"
    left = verdict(before[stage], course.workspace.folder(stage.name), stage.notebook)
    for other in STAGES.values():
        if other != stage and contents(course.workspace.folder(other.name)) != before[other]:
            left = f"MIXED: {other.name} changed"
    if bad := damaged_cache(course.workspace.root):
        left = f"MIXED: {bad[0]}"
    return hit, left, course.next_run(stage)


def kill_often(course: Course, options: argparse.Namespace) -> list[tuple[str, ...]]:
    """Run, kill and print: a row a kill, as `HEAD` names them; none when a stage cannot even be run undisturbed."""
    generator = random.Random(options.seed)
    seconds = {}
    for stage in with_parents(options.stages):
        good, seconds[stage.number] = course.run(stage)
        if not good:
            print(course.log.read_text(encoding="utf-8")[-3000:], file=sys.stderr)
            return []
        print(f"{stage.number} {stage.name}: {seconds[stage.number]:.1f} s undisturbed", flush=True)
    rows: list[tuple[str, ...]] = []
    while len(rows) < options.times:
        number = generator.choice(options.stages)
        stage, moment = STAGES[number], generator.uniform(0, seconds[number])
        found = kill_once(course, stage, moment, generator.choice(options.victims))
        if isinstance(found, float):  # the machine is faster now: no kill, but a better idea of the time
            seconds[number] = found
            print(f"{number} {stage.name}: over in {found:.1f} s, before the kill; drawn again", flush=True)
            continue
        hit, left, after = found
        where = f"{moment:.1f} of {seconds[number]:.1f}"
        rows.append((str(len(rows) + 1), f"{number} {stage.name}", hit, where, left, after))
        print("  ".join(rows[-1]), flush=True)
    return rows


def counts(rows: list[tuple[str, ...]]) -> dict[str, Any]:
    """How many kills there were, what they left, and how many next runs were as they must be."""
    left = Counter(row[4].split(":")[0] for row in rows)
    return {
        "kills": len(rows),
        "left": dict(sorted((what, count) for what, count in left.items() if what != "MIXED")),
        "mixed": left["MIXED"],
        "next run ok": sum(row[5] == "ok" for row in rows),
    }


def publish(found: dict[str, Any], options: argparse.Namespace) -> None:
    """Keep the counts beside the committed results, with their command, and renew README from both."""
    command = f"python -m tests.benchmarks.kill_stages --times {options.times} --seed {options.seed}"
    write_json(REFERENCE / KILL_FILE, {"command": command} | found)
    write_readme()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of stages, moments and victims")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=list(STAGES), help="which to kill (default: all)"
    )
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--publish", action="store_true", help="renew outputs/reference and README.md")
    options = parser.parse_args(arguments)
    if options.publish and (options.stages != list(STAGES) or options.victims != list(VICTIMS)):
        parser.error("--publish takes all stages and victims: leave --stages and --victims out")
    if os.name != "posix":
        parser.error("needs process groups and SIGKILL: Linux or macOS")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    outputs = Path(tempfile.mkdtemp(prefix="kill-stages-"))
    course = Course(outputs)
    try:
        rows = kill_often(course, options)
    finally:
        course.stop()
    found = counts(rows)
    print(f"\n{table([HEAD, *rows])}\n\n{found}")
    if options.publish and rows:
        publish(found, options)
    if not rows or found["mixed"] or found["next run ok"] < len(rows):
        print(f"everything is kept in {outputs}", file=sys.stderr)
        return 1
    shutil.rmtree(outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
