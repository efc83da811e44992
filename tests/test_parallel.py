"""src/parallel.py and `Run.side_by_side`: every call once, results as from one process, faults that lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from src import fingerprint, parallel, runtime, workspace
from src.config import ROOT, load_config
from src.jsonio import read_json
from src.parallel import free_bytes, process_count, run_forked
from src.workspace import Workspace, WorkspaceError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A stage that uses two processes whatever the machine has."""
    monkeypatch.setattr(runtime, "measure_machine", lambda: {"gflops": 1.0})
    monkeypatch.setattr(fingerprint, "base_model_hash", lambda name: "base")
    monkeypatch.setattr(workspace, "stage_code", lambda stage: {})
    cfg = load_config("01", "lab", ["processes=2"], environ={})
    return Workspace("lab", tmp_path).begin(cfg)


def write(folder: Path, name: str) -> None:
    with open(folder / name, "a") as file:
        file.write(f"{os.getpid()} {torch.get_num_threads()}\n")


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# --- run_forked --------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_call_is_made_once_by_some_child_on_one_thread(tmp_path, processes):
    reports = run_forked(
        [partial(write, tmp_path, str(i)) for i in range(9)], processes, lambda: {"pid": os.getpid()}
    )
    seen = [(tmp_path / str(i)).read_text().split() for i in range(9)]
    assert all(len(words) == 2 and words[1] == "1" for words in seen)  # once each, with one thread
    assert {int(pid) for pid, _ in seen} == {r["pid"] for r in reports} and os.getpid() not in {
        r["pid"] for r in reports
    }
    assert len(reports) == 9 and len({r["pid"] for r in reports}) <= processes
    assert not any(psutil.pid_exists(r["pid"]) for r in reports)  # and none is left, not even as a zombie


def test_two_children_work_at_the_same_time(tmp_path):
    """Each waits for the other's mark: one after the other they would never end."""

    def meet(mine, other):
        (tmp_path / mine).touch()
        wait_for((tmp_path / other).exists)

    assert len(run_forked([partial(meet, "a", "b"), partial(meet, "b", "a")], 2, dict)) == 2


def test_after_a_call_that_raises_no_other_is_begun_and_what_runs_is_finished(tmp_path, capfd):
    def slow():
        (tmp_path / "begun").touch()
        wait_for((tmp_path / "failed").exists)
        write(tmp_path, "finished")

    def fail():
        wait_for((tmp_path / "begun").exists)
        (tmp_path / "failed").touch()
        raise ValueError("this one fails")

    def late():
        time.sleep(0.5)
        write(tmp_path, "late")

    reports = run_forked([slow, fail, *[late] * 20], 2, lambda: "well")
    assert (tmp_path / "finished").exists() and "ValueError: this one fails" in capfd.readouterr().err
    begun = (tmp_path / "late").read_text().splitlines() if (tmp_path / "late").exists() else []
    assert len(reports) == 1 + len(begun) <= 2  # at most the one that the other child had just taken


def test_a_killed_child_takes_only_its_own_call_with_it(tmp_path):
    calls = [partial(write, tmp_path, str(i)) for i in range(8)]
    calls[1] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    assert len(run_forked(calls, 2, dict)) == 7


def test_no_room_for_a_process_leaves_the_work_to_others(tmp_path, monkeypatch):
    fork, forked = os.fork, []

    def scarce():
        if len(forked) == room:
            raise BlockingIOError("Resource temporarily unavailable")
        forked.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", scarce)
    for room, made in ((1, 3), (0, 0)):
        forked.clear()
        assert len(run_forked([partial(write, tmp_path, str(room))] * 3, 2, dict)) == made


def test_what_a_child_prints_does_not_reach_the_notebooks_output(capsys):
    assert len(run_forked([partial(print, "said in a child")], 1, dict)) == 1
    assert capsys.readouterr().out == ""


def test_no_file_is_left_open(tmp_path):
    before = psutil.Process().num_fds()
    for _ in range(3):
        run_forked([partial(write, tmp_path, "x")] * 3, 2, dict)
    assert psutil.Process().num_fds() == before


PARENT = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    from functools import partial
    from pathlib import Path
    from src.parallel import run_forked

    def work(i):
        Path({folder!r}, f"pid{{i}}").write_text(str(os.getpid()))
        time.sleep(300)

    try:
        run_forked([partial(work, i) for i in range(2)], 2, dict)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_children_end_with_their_parent(tmp_path, how, group):
    """Also where the whole group gets the signal, as from Ctrl-C in a terminal or Jupyter's interrupt."""
    code = textwrap.dedent(PARENT.format(root=str(ROOT), folder=str(tmp_path)))
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    marks = [tmp_path / "pid0", tmp_path / "pid1"]
    wait_for(lambda: all(m.exists() and m.read_text() for m in marks))
    children = [int(m.read_text()) for m in marks]
    assert all(psutil.pid_exists(child) for child in children)
    os.killpg(parent.pid, how) if group else parent.send_signal(how)
    said, _ = parent.communicate(timeout=20)
    assert ("interrupted" in said) == (how == signal.SIGINT)
    wait_for(lambda: not any(psutil.pid_exists(child) for child in children))


def test_an_interrupt_in_the_moment_of_a_fork_leaves_no_stray_process(tmp_path, monkeypatch):
    """Neither a child that goes on as if it were the parent, nor one that nobody waits for."""
    fork, here = os.fork, os.getpid()

    def interrupted():
        child = fork()
        os.kill(os.getpid(), signal.SIGINT)  # in both, before either can know which it is
        return child

    monkeypatch.setattr(os, "fork", interrupted)
    stop = threading.Event()  # another thread, as a kernel has many: the signal may be delivered to that one
    other = threading.Thread(target=stop.wait)
    other.start()
    before = set(psutil.Process().children())
    with pytest.raises(KeyboardInterrupt):
        run_forked([partial(write, tmp_path, "a"), partial(write, tmp_path, "b")], 2, dict)
    stop.set()
    other.join()
    assert os.getpid() == here and set(psutil.Process().children()) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_of_a_child_gets_into_a_notebook(tmp_path):
    """In a real kernel, with progress shown as in Jupyter and a call that fails in its child."""
    from jupyter_client import KernelManager

    code = f"""
import os, sys; sys.path.insert(0, {str(ROOT)!r})
from src import runtime
from src.parallel import run_forked
def work():
    print("said"); print("said", file=sys.stderr); os.write(2, b"written"); os.write(1, b"written")
    runtime.progress("step 1 of 2")
    raise ValueError("this one fails")
found = run_forked([work], 1, dict)
"""
    manager = KernelManager(kernel_name="python3")
    with open(tmp_path / "log", "wb") as log:
        env = {key: value for key, value in os.environ.items() if key != "COURSE_PROGRESS"}
        manager.start_kernel(env=env, stdout=log, stderr=log)
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=60)
            said = []
            reply = client.execute_interactive(code, timeout=60, output_hook=said.append)
            time.sleep(1)
            reply = client.execute_interactive("found", timeout=60, output_hook=said.append)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok"
    text = "".join(m["content"].get("text", "") for m in said if m["msg_type"] == "stream")
    assert "said" not in text and "written" not in text and "fails" not in text and "step" not in text
    assert "ValueError: this one fails" in (tmp_path / "log").read_text()


def test_a_training_in_a_child_is_the_training_on_one_thread(tmp_path):
    """Forking changes nothing about a result: the same weights, bit for bit, as on one thread in this process."""
    from src.models import load_model, load_tokenizer
    from src.sft import SFTSettings, train_sft

    source = ROOT / "models" / "lab-gpt2"
    tokenizer = load_tokenizer(source)

    def train(name):
        model = load_model(source)
        settings = SFTSettings(max_steps=3, batch_size=2, learning_rate=1e-3, precision="fp32", seed=1)
        train_sft(
            model, tokenizer, [("Say yes.", " Yes."), ("Say no.", " No."), ("Count.", " 1 2 3")], settings
        )
        torch.save(model.state_dict(), tmp_path / name)

    threads = torch.get_num_threads()
    try:
        train("warm")  # this process has trained, with all its threads, before it forks: as in a notebook
        run_forked([partial(train, "child a"), partial(train, "child b")], 2, dict)
        torch.set_num_threads(1)
        train("here")
    finally:
        torch.set_num_threads(threads)
    here, *others = (torch.load(tmp_path / name) for name in ("here", "child a", "child b"))
    for other in others:
        assert all(torch.equal(here[key], other[key]) for key in here)


# --- how many ----------------------------------------------------------------------------------


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 50e9})())
    assert free_bytes(tmp_path) == 50e9  # no limit is known
    (tmp_path / "memory.current").write_text("1000000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(tmp_path) == 50e9
    (tmp_path / "memory.max").write_text("4000000000\n")
    (tmp_path / "memory.stat").write_text("anon 600000000\nfile 400000000\n")
    assert free_bytes(tmp_path) == 3e9
    (tmp_path / "memory.stat").write_text("anon 600000000\ninactive_file 300000000\n")
    assert free_bytes(tmp_path) == 3.3e9  # files that were read are dropped for whoever needs the room


def test_how_many_processes(monkeypatch):
    monkeypatch.setattr(parallel, "free_bytes", lambda: psutil.virtual_memory().available)
    monkeypatch.setattr(parallel, "thread_count", lambda threads=0: threads or 8)
    memory = lambda gigabytes: type("Memory", (), {"available": gigabytes * 1e9})()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(100))
    assert process_count(0) == 4 and process_count(7) == 7 and process_count(0, threads=1) == 1
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(4))
    assert process_count(0) == 2 and process_count(7) == 2
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1))
    assert process_count(0) == 1
    monkeypatch.setattr(sys, "platform", "darwin")
    assert process_count(7) == 1


def test_the_full_size_profile_has_one_process():
    assert load_config("06", "gpt2", environ={}).processes == 1
    assert load_config("06", "lab", environ={}).processes == 0


# --- Run.side_by_side --------------------------------------------------------------------------


def square(run, folder, x):
    def compute(_):
        write(folder, str(x))
        return {"square": x * x}

    return run.cached("square", {"x": x}, compute)["square"]


def test_results_come_in_the_shape_of_the_calls_and_are_computed_once(run, tmp_path):
    call = partial(partial, square, run, tmp_path)
    calls = {"a": [call(1), call(2)], "b": {"c": call(3)}, (4, True): call(4)}
    wanted = {"a": [1, 4], "b": {"c": 9}, (4, True): 16}
    assert run.side_by_side(calls) == wanted
    assert run.side_by_side(calls) == wanted  # from the cache
    makers = {(tmp_path / str(x)).read_text() for x in (1, 2, 3, 4)}
    assert all(len(text.split()) == 2 for text in makers) and not any(
        text.startswith(f"{os.getpid()} ") for text in makers
    )
    assert run.side_by_side([]) == [] and run.side_by_side({}) == {}


@pytest.mark.parametrize(
    ("processes", "calls", "here"),
    [(2, 3, 1), (2, 4, 0), (4, 3, 0), (4, 5, 1), (4, 6, 0), (1, 3, 3), (2, 1, 1)],
)
def test_a_call_that_would_be_alone_is_made_here_with_all_threads(run, tmp_path, processes, calls, here):
    run._processes = processes
    assert run.side_by_side([partial(square, run, tmp_path, x) for x in range(calls)]) == [
        x * x for x in range(calls)
    ]
    makers = [(tmp_path / str(x)).read_text() for x in range(calls)]
    assert makers.count(f"{os.getpid()} {torch.get_num_threads()}\n") == here


def test_what_is_in_the_cache_is_no_work(run, tmp_path):
    """One of two is there already: the other is not put beside an idle neighbour, on one thread and at half its cost."""
    square(run, tmp_path, 1)
    assert run.side_by_side([partial(square, run, tmp_path, x) for x in (1, 2)]) == [1, 4]
    assert (tmp_path / "2").read_text() == f"{os.getpid()} {torch.get_num_threads()}\n"


def test_an_error_is_met_here_as_it_is_and_the_finished_work_is_kept(run, tmp_path):
    def full(_):
        raise WorkspaceError("no room")

    bad = partial(run.cached, "bad", {}, full)
    with pytest.raises(WorkspaceError, match="no room"):
        run.side_by_side([partial(square, run, tmp_path, 1), bad])
    first = (tmp_path / "1").read_text()
    assert run.side_by_side([partial(square, run, tmp_path, x) for x in (1, 2)]) == [1, 4]
    assert (tmp_path / "1").read_text() == first  # found, not made again
    assert not run._only_look


def test_an_error_before_the_cache_is_asked_comes_before_any_work(run, tmp_path):
    def wrong():
        raise KeyError("no such row")

    with pytest.raises(KeyError):
        run.side_by_side([partial(square, run, tmp_path, 1), wrong])
    assert not (tmp_path / "1").exists() and not run._only_look


def test_a_child_that_dies_loses_no_result(run, tmp_path):
    parent = os.getpid()

    def fragile(_):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"made by": os.getpid()}

    found = run.side_by_side([partial(run.cached, "fragile", {"i": i}, fragile) for i in range(2)])
    assert [f["made by"] for f in found] == [parent, parent]


def test_two_children_may_make_the_same_thing(run, tmp_path):
    """Both begin before either has ended; one result stays, and nothing lies beside it."""

    def compute(_):
        (tmp_path / f"began{os.getpid()}").touch()
        wait_for(lambda: len(list(tmp_path.glob("began*"))) == 2)
        return {"value": 7}

    same = partial(run.cached, "same", {}, compute)
    assert [f["value"] for f in run.side_by_side([same, same])] == [7, 7]
    assert [p.name.split("-")[0] for p in (run.workspace.root / "cache").iterdir()] == ["same"]


def test_time_and_memory_count_once(run, tmp_path):
    """What children made in this run is in its wall time already; a later run adds a share of the machine for each."""

    def compute(_):
        held = bytearray(200_000_000)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1.0)
        return {}

    calls = [partial(run.cached, "slow", {"i": i}, compute) for i in range(2)]
    watch = runtime.Stopwatch()
    run.side_by_side(calls)
    wall = watch.seconds
    assert run._reused_seconds == 0 and run._reused_peak > 2 * 200
    costs = [read_json(c()["folder"] / "seconds.json")["seconds"] for c in calls]
    assert all(0.45 < cost <= wall / 2 for cost in costs)
    cfg = load_config("01", "lab", ["processes=2"], environ={})
    again = run.workspace.begin(cfg)
    again.side_by_side([partial(again.cached, "slow", {"i": i}, compute) for i in range(2)])
    assert again._reused_seconds == pytest.approx(sum(costs)) and again._reused_seconds <= wall
    assert again._reused_peak > 2 * 200
