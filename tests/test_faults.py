"""Faults: full disks, read-only folders, damaged results, Ctrl-C, kills, a clock that jumps, strange input.

Each must end in one clear error or in a right result, and leave the earlier result as it was. Kills at every file operation of
a stage are in test_workspace.py, single mistakes in configurations and data in test_config.py and test_data.py; whole stages
are killed by benchmarks/kill_stages.py, by hand.
"""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import psutil
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from src import data, fingerprint, headless, locks, run, workspace
from src.config import CONFIG_FOLDER, ROOT, ConfigError, load_config
from src.data import DataError
from src.jsonio import read_json
from src.models import load_model, save_model
from src.schema import NOTEBOOKS, PROFILES, schema
from src.workspace import STAGES, Workspace, WorkspaceError
from tests import test_models, test_workspace
from tests.benchmarks.kill_stages import contents, damaged_cache, verdict
from tests.test_run import BEGIN, FINISH, INTERRUPTED, notebook
from tests.test_workspace import config, configs, make, script, states

# fixtures: machine and code as constants, an empty workspace
still, ws = (
    test_workspace.still,
    test_workspace.ws,
)

PARTS = 4
CONFIGS = configs()


def write(stage_run, version, picture=None):
    """A whole stage: weights, samples, a figure (drawn, or copied to save time) and metrics, all of one version."""
    for part in range(PARTS):
        (stage_run.model_folder() / f"{part}.safetensors").write_bytes(b"%d" % version)
    stage_run.save_json("samples", [version])
    if picture:
        shutil.copy(picture, stage_run.model_folder("figures"))
    else:
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.plot([version, 2])
        try:
            stage_run.figure(figure, "loss")
        finally:
            plt.close(figure)
    stage_run.finish({"version": version})


def version_of(ws):
    """The version of stage 01's result, which must be whole and fresh."""
    folder = ws.folder("01")
    version = read_json(folder / "metrics.json")["version"]
    assert json.loads((folder / "samples.json").read_text()) == [version]
    parts = {(folder / "model" / f"{part}.safetensors").read_bytes() for part in range(PARTS)}
    assert parts == {b"%d" % version}
    assert (folder / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert states(ws)["01"] == ("fresh", "")
    return version


def leftovers(ws):
    return [path.name for path in ws.root.glob(".*") if path.suffix != ".lock"]


# --- The disk is full ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("file", ["samples.json", "figures/loss.png", "metrics.json", "manifest.json"])
def test_a_full_disk_while_saving(ws, file):
    write(ws.begin(config("01")), 1)
    before = contents(ws.folder("01"))
    stage_run = ws.begin(config("01"))
    (stage_run.folder / file).parent.mkdir(exist_ok=True)
    (stage_run.folder / file).symlink_to("/dev/full")  # whatever is written there meets "no space left"
    with pytest.raises(WorkspaceError, match="No space left on device.*Make room.*result is untouched"):
        write(stage_run, 2)
    assert contents(ws.folder("01")) == before and version_of(ws) == 1
    (stage_run.folder / file).unlink()  # room again: in Jupyter the last cells can be run once more
    write(stage_run, 2)
    assert version_of(ws) == 2 and not leftovers(ws)


@contextmanager
def no_file_above(size):
    """Real failing writes for any user: the system cuts files off at `size` bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_is_cut_off_while_saving(tmp_path):
    tokenizer = test_models.make_tokenizer()
    folder = save_model(test_models.make_gpt2(), tokenizer, tmp_path / "model")
    before = contents(folder)
    assert before["model.safetensors"] and (folder / "model.safetensors").stat().st_size > 20_000
    with no_file_above(20_000), pytest.raises(Exception, match="File too large"):
        save_model(test_models.make_gpt2(), tokenizer, folder)
    assert contents(folder) == before and [path.name for path in tmp_path.iterdir()] == ["model"]
    load_model(folder)


def test_no_room_for_even_the_lock(ws):
    make(ws, "01", loss=1)
    with (
        no_file_above(0),
        pytest.raises(WorkspaceError, match="cannot write .*lab: File too large") as caught,
    ):
        ws.begin(config("01"))
    assert read_json(ws.folder("01") / "metrics.json")["loss"] == 1
    make(ws, "01", loss=2)  # nothing that the error remembers holds the lock
    assert caught.value.__context__ and states(ws)["01"] == ("fresh", "")


def test_a_begin_that_fails_late_frees_the_stage(ws, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "base_model_hash", lambda name: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ws.begin(config("01"))
    assert ws.root / ".stage1_sft.lock" not in locks.Lock._mine
    write(ws.begin(config("01")), 1)
    assert version_of(ws) == 1


def test_no_room_for_a_cached_result(ws):
    def compute(folder):
        (folder / "table.txt").write_text("x")
        if full:
            (folder / "result.json").symlink_to("/dev/full")
        return {"answer": 3}

    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    full, stage_run = True, ws.begin(config("01"))
    with pytest.raises(WorkspaceError, match="No space left on device"):
        stage_run.cached("x", {}, compute)
    assert not list((ws.root / "cache").glob("[!.]*"))
    full = False
    assert stage_run.cached("x", {}, compute)["answer"] == 3


def test_no_room_for_the_executed_notebook(tmp_path, monkeypatch):
    path = tmp_path / "01.ipynb"
    path.write_text("old")

    def half(nb, target):
        Path(target).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(nbformat, "write", half)
    with pytest.raises(OSError, match="No space left"):
        headless.write_notebook(notebook("1"), path)
    assert [p.name for p in tmp_path.iterdir()] == ["01.ipynb"] and path.read_text() == "old"


def test_an_unusable_temporary_folder_is_one_line(ws, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COURSE_OUTPUTS", str(ws.outputs))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    make(ws, "01")
    assert run.main(["01"]) == 1
    err = capsys.readouterr().err
    assert "could not be executed" in err and "gone" in err and "untouched" in err and "Traceback" not in err


# --- Failing and interrupted at every step ---------------------------------------------------------------------


class Broken:
    """Lets the first `steps` file operations pass; the next one raises, once."""

    def __init__(self, monkeypatch, steps, make_error):
        self.left, self.make_error, self.struck = steps, make_error, False
        for owner, name in (
            (os, "unlink"),
            (os, "rmdir"),
            (Path, "rename"),
            (Path, "write_text"),
            (Path, "mkdir"),
        ):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original):
        def operation(*args, **kwargs):
            self.left -= 1
            if self.left == -1:
                self.struck = True
                raise self.make_error()
            return original(*args, **kwargs)

        return operation


FAULTS = {
    "disk full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "read-only": lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "Ctrl-C": KeyboardInterrupt,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stage_that_fails_at_any_step_leaves_old_or_new(ws, monkeypatch, fault):
    write(ws.begin(config("01")), 0)
    picture = shutil.copy(ws.folder("01") / "figures" / "loss.png", ws.outputs)
    monkeypatch.setattr(workspace, "_git_commit", lambda: None)
    monkeypatch.setattr(workspace.time, "sleep", lambda seconds: None)
    now, seen, step, struck = 0, set(), 0, True
    while struck:  # at its first, second, third … file operation, until there is none left to fail
        with monkeypatch.context() as patch:
            broken = Broken(patch, step, FAULTS[fault])
            try:
                write(ws.begin(config("01")), now + 1, picture)
                complete = True
            except (WorkspaceError, KeyboardInterrupt) as err:
                complete = False
                assert fault == "Ctrl-C" or FAULTS[fault]().strerror in str(err)
        version = version_of(ws)
        if complete or fault != "Ctrl-C":  # an error says that the earlier result is untouched
            assert version == now + complete
        assert version in (now, now + 1)
        seen.add(version - now)
        now, step, struck = version, step + 1, broken.struck
    assert seen == {0, 1} and step > 20
    write(ws.begin(config("01")), now + 1)
    assert version_of(ws) == now + 1 and not leftovers(ws)


HANGS = (
    'stage_run.save_json("half", {})\nimport os, time\nopen(%r, "w").write(str(os.getpid()))\ntime.sleep(99)'
)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_command_killed_in_mid_stage_leaves_no_trace(ws, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUTS", str(ws.outputs))
    write(ws.begin(config("01")), 1)
    before, pid = contents(ws.folder("01")), tmp_path / "pid"
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        notebook(FINISH + BEGIN, HANGS % str(pid)), tmp_path / "notebooks" / f"{NOTEBOOKS['01']}.ipynb"
    )
    command = script(INTERRUPTED, tmp_path / "notebooks", cwd=ROOT)
    assert until(lambda: pid.exists() and pid.read_text()), command.communicate()[1]
    assert len(leftovers(ws)) == 1
    with pytest.raises(WorkspaceError, match="already running"):
        ws.begin(config("01"))
    command.send_signal(signal.SIGKILL)  # only the command: its kernel must notice by itself
    command.communicate(timeout=120)
    assert until(lambda: gone(int(pid.read_text())))
    assert contents(ws.folder("01")) == before and version_of(ws) == 1
    # the system frees the lock when the last of the kernel's threads is gone
    assert until(lambda: begins(ws), 10)
    write(ws.begin(config("01")), 2)
    assert version_of(ws) == 2 and not leftovers(ws)


def begins(ws):
    try:
        ws.begin(config("01"))
    except WorkspaceError as err:
        assert "already running" in str(err)
        return False
    return True


# --- Folders that cannot be written ----------------------------------------------------------------------------


def test_an_outputs_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match=r"cannot write .*lab: Not a directory.*COURSE_OUTPUTS"):
        Workspace("lab", tmp_path / "file").begin(config("01"))


@pytest.mark.parametrize("how", ["permissions", "simulated"])
def test_a_read_only_outputs_folder(ws, monkeypatch, how):
    make(ws, "01", "02", "03", loss=1)
    before = {name: contents(ws.folder(name)) for name in ("01", "02", "03")}
    if how == "permissions":
        ws.root.chmod(0o555)
        if os.access(ws.root, os.W_OK):
            ws.root.chmod(0o755)
            pytest.skip("this user may write anywhere")
    else:

        def refuse(path, *args, **kwargs):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

        monkeypatch.setattr(locks, "open", refuse, raising=False)
    try:
        for number in ("01", "04"):
            with pytest.raises(
                WorkspaceError, match=r"cannot write .*lock: .*COURSE_OUTPUTS to another folder"
            ):
                ws.begin(config(number))
        assert [states(ws)[number][0] for number in ("01", "02", "03")] == ["fresh"] * 3  # reading goes on
        assert {name: contents(ws.folder(name)) for name in before} == before
    finally:
        ws.root.chmod(0o755)


# --- Damaged results -------------------------------------------------------------------------------------------


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "one bit": flip,
    "gone": Path.unlink,
    "a folder": replace_by_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_of_a_parent_is_noticed_before_it_is_used(ws, damage):
    make(ws, "01", "02", "03", weights=bytes(range(256)))
    DAMAGES[damage](ws.folder("02") / "model" / "model.safetensors")
    state, reason = states(ws)["02"]
    assert state == "STALE" and "model/model.safetensors" in reason
    with pytest.raises(WorkspaceError, match=r"stage2_instruction \(.*model\.safetensors .*src\.run 02$"):
        ws.begin(config("04"))
    make(ws, "02", weights=bytes(range(256)))
    make(ws, "04")
    assert [states(ws)[number][0] for number in ("01", "02", "03", "04")] == ["fresh"] * 4


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "gone", "a folder"])
@pytest.mark.parametrize("file", ["metrics.json", "manifest.json"])
def test_a_damaged_file_of_a_parent_names_the_command(ws, file, damage):
    make(ws, "01", "02", "03")
    DAMAGES[damage](ws.folder("03") / file)
    assert states(ws)["03"][0] == "STALE" and file in states(ws)["03"][1]
    with pytest.raises(WorkspaceError, match=rf"stage3_lora \(its {file} is .*src\.run 03$"):
        ws.begin(config("04"))
    make(ws, "03")
    ws.begin(config("04"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(choice=st.data())
def test_fuzz_of_a_manifest(tmp_path_factory, choice):
    """Whatever stands in a manifest: a state with a reason, and a run or a WorkspaceError; `status` prints it."""
    ws = Workspace("lab", tmp_path_factory.getbasetemp() / "manifests")
    if not ws.root.is_dir():
        make(ws, "01", "02", "03")
        shutil.copytree(ws.root, ws.outputs / "whole")
    path = ws.folder("01") / "manifest.json"
    whole = (ws.outputs / "whole" / "stage1_sft" / "manifest.json").read_bytes()
    manifest = json.loads(whole)
    kind = choice.draw(st.sampled_from(["value", "missing", "bytes"]))
    if kind == "bytes":
        at, end = (choice.draw(st.integers(0, len(whole))) for _ in range(2))
        path.write_bytes(whole[:at] + choice.draw(st.binary(max_size=6)) + whole[end:])
    else:
        inner = manifest
        key = choice.draw(st.sampled_from(list(inner)))
        while isinstance(inner[key], dict) and inner[key] and choice.draw(st.booleans()):
            inner = inner[key]
            key = choice.draw(st.sampled_from(list(inner)))
        if kind == "missing":
            del inner[key]
        else:
            inner[key] = choice.draw(ANYTHING)
        path.write_text(json.dumps(manifest))
    found = states(ws, CONFIGS)
    assert found["01"][0] in ("fresh", "STALE") and (found["01"][0] == "fresh") == (found["01"][1] == "")
    assert found["02"] == found["03"] == ("fresh", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_OUTPUTS", str(ws.outputs))
        patch.setattr(run, "configurations", lambda *_: CONFIGS)  # reading them again takes most of the time
        assert run.show_status("lab", []) == 0
    try:
        ws.begin(CONFIGS["04"])
    except WorkspaceError as err:
        assert "stage1_sft" in str(err) and "python -m src.run 01" in str(err)


# --- Several processes, and what dead ones leave ---------------------------------------------------------------

RACE = """
import os, pathlib, sys, time
from src import runtime, workspace
from src.config import load_config
runtime.measure_machine = lambda: {}
workspace._git_commit = lambda: None
workspace._versions = lambda: {}
workspace.stage_code = lambda stage: {}
ws = workspace.Workspace("lab", sys.argv[1])
configs = {n: load_config(n, "lab", environ={}) for n in workspace.STAGES}
PARTS = 6

def write(version):
    run = ws.begin(configs["01"])
    for part in range(PARTS):
        (run.model_folder() / f"{part}.safetensors").write_text(str(version))
    run.finish({"version": version})

def racer(number, end):
    wins = losses = 0
    while time.monotonic() < end:
        try:
            write(f"{number} {wins}")
            wins += 1
        except workspace.WorkspaceError as err:
            assert "already running (process " in str(err), err
            losses += 1
    pathlib.Path(sys.argv[1], str(number)).write_text(f"{wins} {losses}")

write("first")
end, children = time.monotonic() + 1.5, []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        try:
            racer(number, end)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(pid)
looks = 0
while time.monotonic() < end:                   # a reader in between sees some state, never a traceback
    assert ws.status(configs)[0].state in ("fresh", "STALE", "missing")
    looks += 1
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
status, folder = ws.status(configs)[0], ws.folder("01")
assert status.state == "fresh", status
parts = {(folder / "model" / f"{part}.safetensors").read_text() for part in range(PARTS)}
assert parts == {status.metrics["version"]}, (parts, status.metrics)
print("wins and losses", *(pathlib.Path(sys.argv[1], str(n)).read_text() for n in range(4)), "looks", looks)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_four_processes_that_want_the_same_stage_at_once(tmp_path):
    out, err = script(RACE, tmp_path).communicate(timeout=60)
    assert out.startswith("wins and losses"), err
    numbers = [int(word) for word in out.split() if word.isdigit()]
    assert sum(numbers[:8:2]) >= 4 and sum(numbers[1:8:2]) >= 1 and numbers[8] >= 1, out


def test_what_dead_processes_left_is_swept_and_what_others_need_is_kept(ws):
    make(ws, "01", "02", loss=1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ws.folder("01").rename(ws.root / ".stage1_sft.old")  # killed between two renames
    mine, gone_pid, alive = os.getpid(), dead.pid, os.getppid()
    swept = [
        *(f".stage1_sft.{gone_pid}.tmp", f".stage1_sft.{mine}.tmp"),  # process ids come again
        *(f".stage1_sft.{gone_pid}.trash", f".stage1_sft.old.{gone_pid}.trash"),
        *(f"cache/.x-0123.{gone_pid}.tmp", f"cache/.x-0123.{gone_pid}.trash"),
    ]
    kept = [f".stage2_instruction.{gone_pid}.tmp", f"cache/.x-0123.{alive}.tmp", "cache/x-0123"]
    for name in (*swept, *kept):
        (ws.root / name / "model").mkdir(parents=True)
        (ws.root / name / "model" / "half.safetensors").write_text("half")
    assert states(ws)["01"] == ("fresh", "")  # readers need nobody to tidy up first
    stage_run = ws.begin(config("01"))
    assert not (stage_run.folder / "model").exists()
    assert [name for name in swept if (ws.root / name / "model").exists()] == []
    assert [name for name in kept if not (ws.root / name / "model").exists()] == []
    assert read_json(ws.root / "stage1_sft" / "metrics.json")["loss"] == 1
    (stage_run.model_folder() / "model.safetensors").write_bytes(b"new")
    stage_run.finish({"loss": 2})
    assert states(ws)["01"] == states(ws)["02"] == ("fresh", "")


# --- The clock -------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_backwards(ws, monkeypatch):
    """Durations come from a clock that cannot go back, and no decision from comparing times of day."""
    write(ws.begin(config("01")), 1)
    later = time.time_ns() + 365 * 86_400 * 10**9
    for path in ws.folder("01").rglob("*"):
        os.utime(path, ns=(later, later))  # made before the clock was put right
    before = headless.stamp(ws, STAGES["01"])
    hours = iter(range(99, 0, -1))

    class Backwards(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz) + timedelta(hours=next(hours))

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "datetime", Backwards)
        patch.setattr(time, "time", lambda: Backwards.now().timestamp())
        write(ws.begin(config("01")), 2)
    assert version_of(ws) == 2 and 0 <= ws.manifest("01")["duration_seconds"] < 60
    assert ws.manifest("01")["started"].startswith("2020-01-0")
    os.utime(ws.folder("01") / "manifest.json", ns=(later, later))  # even at the very same time
    assert headless.stamp(ws, STAGES["01"]) != before  # so the runner knows that there is a new result


# --- The judge of benchmarks/kill_stages.py --------------------------------------------------------------------


def test_the_kill_benchmark_sees_a_mixed_result(ws):
    def after(change=lambda folder: None):
        folder = ws.outputs / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ws.folder("01"), folder)  # copies keep their times
        change(folder)
        return verdict(before, folder, "01_x")

    def result(version):
        write(ws.begin(config("01")), version)
        (ws.folder("01") / "01_x.ipynb").write_text("{}")

    result(1)
    before = contents(ws.folder("01"))
    kept = ws.outputs / "kept"
    shutil.copytree(ws.folder("01"), kept)
    assert after() == "old"
    assert "is of the old result" in after(lambda folder: (folder / "metrics.json").unlink())
    result(1)  # equal, but another
    assert after() == "new"
    assert after(lambda folder: (folder / "01_x.ipynb").unlink()) == "new, without its executed notebook"
    assert after(lambda folder: (folder / ".01_x.ipynb.77").write_text("half")) == "new"
    for change, told in (
        (lambda folder: shutil.copy2(kept / "samples.json", folder), "samples.json is of the old result"),
        (lambda folder: (folder / "figures" / "loss.png").unlink(), "figures/loss.png is missing"),
        (lambda folder: (folder / "more.json").write_text("{}"), "more.json is new"),
        (lambda folder: (folder / "model" / "0.safetensors").write_text("cut"), "weights are not those"),
        (lambda folder: (folder / "samples.json").write_text("[1, "), "Expecting value"),
        (shutil.rmtree, "is missing"),
    ):
        assert after(change).startswith("MIXED") and told in after(change)
    entry = ws.begin(config("01")).cached("x", {}, lambda folder: {"answer": 3})["folder"]
    (ws.root / "cache" / f".{entry.name}.77.tmp").mkdir()
    assert damaged_cache(ws.root) == []
    (entry / "result.json").write_text('{"answer": ')
    assert damaged_cache(ws.root)[0].startswith(f"cache/{entry.name}: its result.json is damaged")


# --- Strange configurations ------------------------------------------------------------------------------------

KEYS = sorted(
    {part for number in STAGES for key in schema(number) for part in key.split(".")} | set(PROFILES)
)
WORDS = st.text(max_size=8) | st.sampled_from(
    ["\ufeff", "\u2028", "\x85", "\u202e", "e\u0301", "𝔘", "\x00", "٣", "1_0", "~", "<<", "="]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.dates()
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)
SPLICES = st.text(alphabet="a:-? {}[]#&*!|>'\"%@`,\n\t01.é\ufeff\u2028\x85\x00", max_size=12) | st.sampled_from(
    ["&a [*a]", "*a", "!!python/object:os.system ls", "!<x> 1", "---\n", "...\n", "%YAML 9.9\n---\n", "<<: *a", "? ", "|\n", "'", "\\",
     "[" * 2000, "{a: " * 2000, "- " * 2000, "9" * 5000, "1e999", ".inf", "0x1F", "1:30", "2020-01-01", "yes", "~"]
)  # fmt: skip


@pytest.fixture(scope="module")
def config_folder(tmp_path_factory):
    return shutil.copytree(CONFIG_FOLDER, tmp_path_factory.mktemp("fuzz") / "configs")


def resolves(number, folder, file, content):
    """Write `content` as a configuration file; load the stage: a usable Config, or a ConfigError that names a file."""
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(content)
    try:
        cfg = load_config(number, environ={}, folder=folder)
    except ConfigError as err:
        assert "configs/" in str(err)
    else:
        assert len(cfg.hash()) == 16 and set(cfg.flat()) == set(schema(number))
    finally:
        (folder / file).write_bytes(whole)


def files_of(number):
    return st.sampled_from(["common.yaml", f"{NOTEBOOKS[number]}.yaml"])


@settings(max_examples=60, deadline=None)
@given(choice=st.data(), number=st.sampled_from(list(STAGES)), tree=TREES, flow=st.booleans())
def test_fuzz_of_values_and_keys_in_a_config(config_folder, choice, number, tree, flow):
    """A random tree in place of a random value, or under a new key, anywhere in a real file."""
    file = choice.draw(files_of(number))
    values = yaml.safe_load((config_folder / file).read_text(encoding="utf-8"))
    inner = values
    key = choice.draw(st.sampled_from(list(inner)))
    while isinstance(inner[key], dict) and choice.draw(st.booleans()):
        inner = inner[key]
        key = choice.draw(st.sampled_from(list(inner)))
    if choice.draw(st.booleans()):
        key = choice.draw(st.sampled_from(KEYS) | WORDS)
    inner[key] = tree
    text = yaml.safe_dump(
        values, allow_unicode=choice.draw(st.booleans()), default_flow_style=flow, sort_keys=False
    )
    resolves(number, config_folder, file, text.encode())


@settings(max_examples=80, deadline=None)
@given(choice=st.data(), number=st.sampled_from(list(STAGES)), splice=SPLICES | st.binary(max_size=4))
def test_fuzz_of_the_text_of_a_config(config_folder, choice, number, splice):
    """Random text or bytes spliced into a random place of a real file, over a random stretch of it."""
    file = choice.draw(files_of(number))
    whole = (config_folder / file).read_bytes()
    at = choice.draw(st.integers(0, len(whole)))
    cut = choice.draw(st.just(0) | st.integers(0, 40))
    splice = splice if isinstance(splice, bytes) else splice.encode()
    resolves(number, config_folder, file, whole[:at] + splice + whole[at + cut :])


OUTSIDE_YAML = ['judge: "\\UFFFFFFFF"\n', 'judge: "\\U00110000"\n', "%YAML 1." + "9" * 5000 + "\n---\n"]


@pytest.mark.parametrize("text", OUTSIDE_YAML, ids=["too large", "no character", "version"])
def test_text_on_which_the_yaml_library_itself_breaks(config_folder, text):
    resolves("01", config_folder, "common.yaml", text.encode())
    if not text.startswith("%"):
        with pytest.raises(ConfigError, match="is not a value"):
            load_config("01", overrides=[text.replace("judge: ", "threads=").strip()], environ={})


# --- Strange data ----------------------------------------------------------------------------------------------

# halves of characters too, which JSON can write and UTF-8 cannot
TEXT = st.text(st.characters(), max_size=12)
TURNS = st.lists(
    st.sampled_from(["\n\nHuman: ", "\n\nAssistant: ", "\n\nHuman:", "\n", "Hello", " "]) | TEXT, max_size=7
)
DIALOGUE = TURNS.map("".join) | st.tuples(TEXT, TEXT).map(
    lambda said: f"\n\nHuman: {said[0]}\n\nAssistant: {said[1]}"
)
SUFFIXES = (".json", ".jsonl", ".jsonl.gz", ".csv", ".parquet")


def records(columns, texts):
    """Lists of rows: most are right; now and then one has a strange value, lacks a column, or is no row at all."""
    right = st.fixed_dictionaries({name: texts for name in columns})
    wrong = (
        st.fixed_dictionaries({}, optional={name: texts | ANYTHING for name in columns})
        | st.dictionaries(st.text(max_size=4), ANYTHING, max_size=3)
        | ANYTHING
    )
    return st.lists(right, min_size=1, max_size=25) | st.lists(right | wrong, max_size=4)


def store(path, rows):
    """Write rows as the suffix says, in that format's own way of being wrong."""
    if path.suffix == ".csv":
        columns = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
        with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            out = csv.DictWriter(file, columns)
            out.writeheader()
            out.writerows(row for row in rows if isinstance(row, dict))
    elif path.suffix == ".parquet":
        try:
            table = pyarrow.Table.from_pylist([row for row in rows if isinstance(row, dict)])
            pyarrow.parquet.write_table(table, path)
        except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
            assume(False)  # columns of two types: the format itself excludes it
    else:
        text = json.dumps(rows) if path.suffix == ".json" else "\n".join(map(json.dumps, rows))
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def only_text(dataset):
    assert all(isinstance(value, str) for row in dataset for value in row.values())
    return len(dataset)


def read_instructions(path):
    """Every loader of instructions over a file: DataError, or text, with every unusable row counted."""
    try:
        dataset = data.load_instructions(str(path))
        total = only_text(dataset)
        kept, skipped = data.usable_rows(dataset)
        assert len(kept) + sum(skipped.values()) == total
        assert len(data.examples(kept, ["alpaca"])) == len(kept)
        data.instruction_splits(str(path), 1)
    except DataError as err:
        assert str(err)


def read_preferences(path, rows=None):
    """The same for pairs: of `rows` rows, each is in one of the two splits or counted as skipped."""
    counted, told = 0, []
    for split in ("train", "test"):
        try:
            dataset = data.load_preferences(str(path), split=split, report=told.append)
        except DataError as err:
            if "asked for" not in str(err):  # not just an empty split
                return
            continue
        counted += only_text(dataset)
        assert len(data.preference_examples(dataset)) == len(dataset)
    skipped = {int(text.split(": ")[-1].split(" of ")[0]) for text in told}
    assert len(skipped) <= 1 and (rows is None or counted + sum(skipped) == rows)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@settings(max_examples=100, deadline=None)
@given(rows=records(data.INSTRUCTION_COLUMNS, TEXT), suffix=st.sampled_from(SUFFIXES))
def test_fuzz_of_instruction_rows(data_folder, rows, suffix):
    store(data_folder / f"rows{suffix}", rows)
    read_instructions(data_folder / f"rows{suffix}")


@settings(max_examples=100, deadline=None)
@given(rows=records(data.PREFERENCE_COLUMNS, DIALOGUE), suffix=st.sampled_from(SUFFIXES))
def test_fuzz_of_preference_rows(data_folder, rows, suffix):
    store(data_folder / f"pairs{suffix}", rows)
    read_preferences(data_folder / f"pairs{suffix}", None if suffix in (".csv", ".parquet") else len(rows))


GOOD = [{name: f"Text {i} of {name}, é" for name in data.INSTRUCTION_COLUMNS} for i in range(30)]


@settings(max_examples=100, deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES),
    at=st.floats(0, 1),
    splice=st.binary(max_size=5),
    cut=st.just(0) | st.integers(0, 999),
)
def test_fuzz_of_the_bytes_of_a_data_file(data_folder, suffix, at, splice, cut):
    path = data_folder / f"bytes{suffix}"
    store(path, GOOD)
    whole = path.read_bytes()
    start = round(at * len(whole))
    path.write_bytes(whole[:start] + splice + whole[start + cut :])
    read_instructions(path)


OUTSIDE_JSON = {
    "half a character": '{"instruction": "\\ud800", "input": "", "output": "y"}',
    "a number of 5000 digits": '{"instruction": "x", "input": "", "output": ' + "1" * 5000 + "}",
    "100,000 brackets": '{"instruction": "x", "input": "", "output": ' + "[" * 100_000,
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("name", OUTSIDE_JSON)
def test_json_that_python_reads_otherwise_or_not_at_all(tmp_path, name, suffix):
    path = tmp_path / f"rows{suffix}"
    row = OUTSIDE_JSON[name]
    path.write_text(f"[{row}]" if suffix == ".json" else row)
    with pytest.raises(DataError, match=r"rows\.jsonl?, (row|line) 1|rows\.json: "):
        data.load_instructions(str(path))
