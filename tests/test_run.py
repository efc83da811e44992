"""src/run.py, headless.py, plan.py: real kernels for what a kernel decides, a stand-in notebook engine for the rest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from src import headless, plan, run, runtime, work, workspace
from src.config import ROOT, load_config
from src.jsonio import read_json
from src.schema import NOTEBOOKS
from src.workspace import STAGES, Workspace

FINISH = """
from src import runtime, workspace
from src.config import load_config
runtime.measure_machine = lambda: {}
workspace.stage_code = lambda stage: {}
"""
BEGIN = 'cfg = load_config("01")\nstage_run = workspace.Workspace(cfg.profile).begin(cfg)\n'


def notebook(*cells):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    nb.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    nb.metadata["widgets"] = {"x": 1}
    nb.cells[1].metadata = {"tags": ["setup"], "collapsed": True}
    return nb


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty notebooks folder, outputs and reference; code hashes that nobody else's edits change."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(headless, "NOTEBOOK_FOLDER", tmp_path / "notebooks")
    monkeypatch.setattr(run, "NOTEBOOK_FOLDER", tmp_path / "notebooks")
    for module in (run, plan):
        monkeypatch.setattr(module, "REFERENCE", tmp_path / "reference")
    for name in ("write_readme", "write_headline"):
        monkeypatch.setattr(run, name, lambda name=name: (tmp_path / name).write_text("renewed"))
    monkeypatch.setattr(workspace, "stage_code", lambda stage: {})
    monkeypatch.setattr(runtime, "measure_machine", lambda *a, **k: MACHINE)
    monkeypatch.setattr(
        work, "measure_speed", lambda cfg: work.Speed(1000.0, 3000.0, 3000.0, 500.0, 400.0, 6000.0, 0.1)
    )
    for name in [key for key in os.environ if key.startswith("COURSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


MACHINE = {"gflops": 100.0, "tokens_per_second": 1000, "training_gflops": 50.0}


def put(place, stage, *cells):
    nbformat.write(notebook(*cells), place / "notebooks" / f"{NOTEBOOKS[stage]}.ipynb")


# ---------------------------------------------------------------- real kernels
def test_a_stage_runs_headless_and_its_copy_is_clean(place, capsys):
    source = [
        FINISH + BEGIN,
        "import os, sys\nruntime.progress('epoch ' + str(1))\n"
        "assert os.environ['CUDA_VISIBLE_DEVICES'] == '' and os.environ['PYTHONHASHSEED'] == '0'\n"
        "print(cfg.train.epochs, cfg.source['train.epochs'], os.path.basename(os.getcwd()), sys.executable == "
        + repr(sys.executable)
        + ")",
        "stage_run.finish({'key_figure': 'loss 0.5'})",
    ]
    put(place, "01", *source)
    before = {p: p.read_bytes() for p in (place / "notebooks").iterdir()}
    assert run.main(["01", "--set", "train.epochs=7"]) == 0
    out = capsys.readouterr().out
    assert "01 stage1_sft" in out and "done in " in out and "loss 0.5" in out
    assert {p: p.read_bytes() for p in (place / "notebooks").iterdir()} == before
    folder = place / "outputs" / "lab" / "stage1_sft"
    copy = nbformat.read(folder / "01_stage1_normal_sft.ipynb", as_version=4)
    assert copy.cells[2].outputs[0].text == "7 --set notebooks True\n"
    assert [c.id for c in copy.cells] == ["cell-000", "cell-001", "cell-002", "cell-003"]
    assert [c.execution_count for c in copy.cells[1:]] == [1, 2, 3]
    assert copy.cells[1].metadata == {"tags": ["setup"]} and set(copy.metadata) == {
        "kernelspec",
        "language_info",
    }
    assert "epoch 1" not in (folder / "01_stage1_normal_sft.ipynb").read_text()
    assert read_json(folder / "manifest.json")["config"]["train.epochs"] == 7


def test_a_failing_cell_shows_source_and_error_and_keeps_the_result(place, capsys):
    put(place, "01", "x = 3", "y = x / 0  # the culprit", "never = 1")
    old = place / "outputs" / "lab" / "stage1_sft"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text("{}")
    assert run.main(["01"]) == 1
    err = capsys.readouterr().err
    assert "cell 3 of 4 failed" in err and "y = x / 0  # the culprit" in err
    assert "ZeroDivisionError: division by zero" in err and "\x1b" not in err and "untouched" in err
    assert [p.name for p in old.iterdir()] == ["manifest.json"]


def test_a_dying_kernel_and_a_notebook_without_finish(place, capsys):
    put(place, "01", "import os, sys; print('last words', file=sys.__stderr__, flush=True); os._exit(9)")
    assert run.main(["01"]) == 1
    assert "process died in cell 2" in capsys.readouterr().err
    put(place, "01", "1 + 1")
    assert run.main(["01"]) == 1
    assert "ended without run.finish(metrics)" in capsys.readouterr().err


def test_a_kernel_that_does_not_start_is_one_clear_error(place):
    launcher = place / "broken" / "ipykernel_launcher.py"
    launcher.parent.mkdir()
    launcher.write_text("import sys\nsys.exit('\\n'.join(f'line {i}' for i in range(9)))\n")
    done = subprocess.run(
        [sys.executable, "-m", "src.run", "01"], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(launcher.parent)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "FAILED: its process did not start (Kernel died before replying to kernel_info)" in done.stderr
    assert "\nline 4\n" in done.stderr and "\nline 8\n" in done.stderr and "line 3" not in done.stderr
    assert "nothing was saved" in done.stderr and "Traceback" not in done.stderr, done.stderr


INTERRUPTED = """
import signal
import sys
from pathlib import Path
from src import headless, run, workspace
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore Ctrl-C
headless.NOTEBOOK_FOLDER = Path(sys.argv[1])
workspace.stage_code = lambda stage: {}
sys.exit(run.main(["01"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_the_kernel_too(place):
    put(
        place,
        "01",
        f"import os, time\nopen({str(place / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, place / "notebooks"], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not ((place / "pid").exists() and (place / "pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    kernel = int((place / "pid").read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err, err
    while psutil.pid_exists(kernel) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(kernel)


def test_a_cancellation_that_is_swallowed_once_is_asked_for_again(monkeypatch):
    cancelled = []

    async def stubborn():
        try:
            await asyncio.sleep(99)
        except asyncio.CancelledError:
            cancelled.append("swallowed")
        await asyncio.sleep(99)

    calls = iter(range(9))

    def tick():
        if next(calls) == 1:
            raise KeyboardInterrupt

    patient = headless.wait
    monkeypatch.setattr(
        headless, "wait", lambda futures, timeout: patient(futures, timeout=min(timeout, 0.5))
    )
    with pytest.raises(KeyboardInterrupt):
        headless._in_thread(stubborn(), tick)
    assert cancelled == ["swallowed"]


def test_a_reader_who_goes_away_ends_the_stage_and_not_only_its_display():
    ended = []

    async def long():
        try:
            await asyncio.sleep(99)
        finally:
            ended.append(True)

    def tick():
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError):
        headless._in_thread(long(), tick)
    assert ended == [True]


# ---------------------------------------------------------------- a stand-in for the notebook
@pytest.fixture
def engine(place, monkeypatch):
    """Instead of a kernel: begin, finish and copy the notebook. `ran` lists (stage, flags); `fail` makes one fail."""

    class Engine:
        def __init__(self):
            self.ran, self.fail, self.big = [], None, b"x"

        def __call__(self, stage, ws, flags, show):
            self.ran.append((stage.number, flags))
            if stage.number == self.fail:
                raise headless.RunError("cell 3 of 9 failed")
            stage_run = ws.begin(load_config(stage.number, ws.profile, flags))
            (stage_run.model_folder() / "model.safetensors").write_bytes(self.big)
            stage_run.save_json("samples_greedy", [1])
            stage_run.save_json("private", [1])
            (stage_run.folder / "figures").mkdir()
            (stage_run.folder / "figures" / "loss.png").write_bytes(self.big)
            stage_run.finish({"key_figure": f"figure {stage.number}"})
            nb = nbformat.read(place / "notebooks" / f"{stage.notebook}.ipynb", as_version=4)
            nb.cells[1].execution_count = 1
            headless.normalise(nb)
            headless.write_notebook(nb, stage_run.folder / f"{stage.notebook}.ipynb")

    made = Engine()
    monkeypatch.setattr(run, "execute", made)
    for number in STAGES:
        put(place, number, f"print({number})")
    return made


def test_all_skips_what_is_fresh(engine, capsys):
    assert run.main(["all"]) == 0
    assert [number for number, _ in engine.ran] == list(STAGES)
    engine.ran.clear()
    assert run.main(["all"]) == 0 and engine.ran == []
    assert capsys.readouterr().out.count("fresh, skipped") == 7
    assert run.main(["all", "--force"]) == 0 and len(engine.ran) == 7
    engine.ran.clear()
    assert run.main(["06", "--set", "train.kl_beta=0.77"]) == 0
    assert engine.ran == [("06", ["train.kl_beta=0.77"])]
    assert run.main(["all"]) == 0  # without the flag 06 is STALE; once it is as it was, 07 is fresh again
    assert [number for number, _ in engine.ran[1:]] == ["06"]


def test_all_makes_up_for_an_executed_copy_that_a_kill_prevented(engine):
    assert run.main(["all"]) == 0
    engine.ran.clear()
    stage = STAGES["03"]
    (Workspace("lab").folder(stage.name) / f"{stage.notebook}.ipynb").unlink()
    assert run.main(["all"]) == 0 and [number for number, _ in engine.ran] == ["03"]


def test_a_failure_stops_all_with_exit_code_one(engine, capsys):
    engine.fail = "03"
    assert run.main(["all"]) == 1
    assert [number for number, _ in engine.ran] == ["01", "02", "03"]
    assert "FAILED: cell 3 of 9 failed" in capsys.readouterr().err


def test_overrides_go_to_the_stages_that_have_the_key(engine, capsys):
    assert (
        run.main(["all", "--set", "train.kl_beta=0.3", "--set", "train.epochs=1", "--set", "02:data.rows=9"])
        == 0
    )
    flags = dict(engine.ran)
    assert flags["06"] == ["train.kl_beta=0.3", "train.epochs=1"] and flags["07"] == []
    assert flags["01"] == ["train.epochs=1"] and flags["02"] == ["train.epochs=1", "02:data.rows=9"]
    for wrong, told in (
        ("train.kl_bta=1", "did you mean train.kl_beta?"),
        ("06:ppo.steps=1", "not a key of stage 06; it is one of 07"),
    ):
        assert run.main(["all", "--set", wrong]) == 1
        assert told in capsys.readouterr().err
    assert run.main(["01", "--set", "06:train.kl_beta=1"]) == 1
    assert "not among those asked for" in capsys.readouterr().err


def test_status_names_key_and_line(engine, capsys):
    run.main(["all"])
    capsys.readouterr()
    assert run.main(["status"]) == 0
    out = capsys.readouterr().out
    assert out.count("fresh") == 7 and "figure 07" in out
    assert run.main(["status", "--set", "train.kl_beta=0.77"]) == 0
    lines = {line[:2]: line for line in capsys.readouterr().out.splitlines()}
    assert "STALE" in lines["06"] and "→ 0.77 (--set)" in lines["06"] and "STALE" in lines["07"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statsu"], "did you mean status?"),
        (["8"], "neither a command nor a stage"),
        (["04"], "python -m src.run 01 02 03"),
        (["status", "--profile", "gtp2"], "did you mean gpt2?"),
    ],
)
def test_wrong_words_are_one_clear_line(engine, capsys, words, told):
    assert run.main(words) == 1
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        *(
            ([command, "--force"], "--force belongs to all and plan")
            for command in ("status", "report", "chat", "render")
        ),
        (["report", "--set", "seeds=3"], "report shows what has run"),
    ],
)
def test_an_option_that_a_command_cannot_use_is_refused(engine, capsys, words, told):
    with pytest.raises(SystemExit) as caught:
        run.main(words)
    assert caught.value.code == 2 and told in capsys.readouterr().err and not engine.ran


def test_a_named_stage_may_be_forced_too(engine):
    assert run.main(["01"]) == 0 and run.main(["01", "--force"]) == 0 and len(engine.ran) == 2


def test_render_refuses_settings_of_the_environment(engine, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_SET", "train.epochs=1")
    with pytest.raises(SystemExit) as caught:
        run.main(["render"])
    assert caught.value.code == 2 and "unset COURSE_SET" in capsys.readouterr().err and not engine.ran
    monkeypatch.setenv("COURSE_SET", " ; ")
    assert run.main(["render", "--set", "seeds=1"]) == 0


def test_letters_that_the_console_lacks_end_nothing(tmp_path):
    """→ and ≈ are not in cp1252, which Windows gives to a console or a redirected output."""
    folder = tmp_path / "lab" / "stage1_sft"
    folder.mkdir(parents=True)
    manifest = {"duration_seconds": 1, "peak_memory_mb": 1, "result_values": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "metrics.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "src.run", "status"], cwd=ROOT, capture_output=True, check=False,
        env=os.environ | {"COURSE_OUTPUTS": str(tmp_path), "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b" (none) ? " in done.stdout and b"Traceback" not in done.stderr


def test_the_command_line_does_not_wait_for_torch():
    code = "import sys, src.run; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_wrong_usage_exits_two(engine):
    for words in (
        [],
        ["status", "01"],
        ["render", "--profile", "gpt2"],
        ["render", "--set", "seed=3"],
        ["all", "--sett", "x=1"],
    ):
        with pytest.raises(SystemExit) as caught:
            run.main(words)
        assert caught.value.code == 2


def test_render_promotes_small_files_and_notebooks(engine, place):
    old = place / "reference" / "stage1_sft"
    old.mkdir(parents=True)
    (old / "gone.json").write_text("{}")
    assert run.main(["render"]) == 0
    assert all(flags == ["seeds=5"] for _, flags in engine.ran)
    assert (place / "write_readme").is_file() and (place / "write_headline").is_file()
    kept = {p.relative_to(old).as_posix() for p in old.rglob("*") if p.is_file()}
    assert kept == {"manifest.json", "metrics.json", "samples_greedy.json", "figures/loss.png"}
    assert read_json(old / "manifest.json")["seeds"] == 5
    executed = nbformat.read(place / "notebooks" / f"{NOTEBOOKS['01']}.ipynb", as_version=4)
    assert executed.cells[1].execution_count == 1 and executed.cells[0].id == "cell-000"
    assert not list(place.rglob(".*.tmp"))
    engine.ran.clear()
    assert run.main(["render"]) == 0 and engine.ran == []
    text = nbformat.read(place / "notebooks" / f"{NOTEBOOKS['02']}.ipynb", as_version=4)
    text.cells[0].source = "# Better title"
    nbformat.write(text, place / "notebooks" / f"{NOTEBOOKS['02']}.ipynb")
    assert run.main(["render"]) == 0 and [number for number, _ in engine.ran] == ["02"]


def test_render_refuses_large_files_before_touching_anything(engine, place, capsys):
    engine.big = b"x" * 2_000_001
    assert run.main(["render"]) == 1
    assert "takes files up to 2 MB" in capsys.readouterr().err and not (place / "reference").exists()


# ---------------------------------------------------------------- plan
def test_plan_scales_earlier_runs_by_the_machine(engine, place, capsys):
    run.main(["01"])
    folder = Workspace("lab").folder("01")
    manifest = read_json(folder / "manifest.json") | {"duration_seconds": 120.0, "peak_memory_mb": 777}
    manifest["machine"]["tokens_per_second"] = 2000  # made on a machine twice as fast
    (folder / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert run.main(["plan", "--force"]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("01"))
    assert "4.0" in line and "777" in line and "machine ratio 2.00" in line
    assert "counted" in next(line for line in out.splitlines() if line.startswith("04"))
    assert run.main(["plan"]) == 0
    assert "will be skipped" in capsys.readouterr().out
    (place / "reference" / "stage2_instruction").mkdir(parents=True)
    (place / "reference" / "stage2_instruction" / "manifest.json").write_text(json.dumps(manifest))
    assert run.main(["plan", "--set", f"seeds={3 * load_config('02').seeds}"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("02"))
    assert "12.0" in line and "reference run" in line


def test_plan_of_the_gpt2_profile(place, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(place))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    (place / "datasets--tatsu-lab--alpaca").mkdir()
    assert run.main(["plan", "--profile", "gpt2"]) == 0
    out = capsys.readouterr().out
    assert "Anthropic/hh-rlhf" in out and "Qwen/Qwen2.5-1.5B-Instruct, about 3100 MB" in out
    assert "tatsu-lab/alpaca" not in out and out.count("counted") == 7


def test_plan_takes_files_of_ones_own_and_asks_only_for_what_a_stage_reads(place, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    rows = tmp_path / "rows.json"
    rows.write_text("[]")
    sets = {"01": [f"instruction_data={rows}", "judge=own/judge"], "07": ["judge=other/judge"]}
    configs = {
        number: load_config(number, "gpt2", sets.get(number, ()), environ={}) for number in ("01", "07")
    }
    assert [name for name, _ in plan.downloads(configs)] == [
        "openai-community/gpt2", "tatsu-lab/alpaca", "Anthropic/hh-rlhf", "other/judge"
    ]  # fmt: skip


def test_parameters_are_counted_from_the_file_header(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "model.safetensors", {"format": "pt"})
    assert work.parameters_of(str(tmp_path)) == 17
    assert work.parameters_of("some/name") == work.GPT2_PARAMETERS


def test_what_is_kept_after_a_failure_is_said_as_it_is(engine, place, monkeypatch, capsys):
    def failed(after):
        def fail(*given):
            if after:
                engine(*given)
            raise headless.RunError("no room for its copy")

        monkeypatch.setattr(run, "execute", fail)
        assert run.main(["01"]) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert failed(after=False) == "Stage 01 failed; nothing was saved."
    assert failed(after=True) == "Stage 01 failed; its new result is saved."
    assert failed(after=False) == "Stage 01 failed; the earlier result is untouched."


def test_a_stage_says_which_of_its_parents_are_old_and_which_result_has_no_copy(engine, place, capsys):
    for number in ("01", "02", "03"):
        run.main([number])
    capsys.readouterr()
    assert run.main(["02", "--set", "train.epochs=77"]) == 0 and run.main(["04"]) == 0
    said = capsys.readouterr().out
    assert "note: parent stage2_instruction is STALE: train.epochs 77" in said and "stage1_sft is" not in said
    (Workspace("lab").folder("01") / f"{NOTEBOOKS['01']}.ipynb").unlink()
    assert run.main(["status"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "no executed copy" in line]
    assert [line.split()[:3] for line in lines] == [["01", "stage1_sft", "fresh"]]


def test_a_progress_line_never_wraps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(headless.shutil, "get_terminal_size", lambda fallback: os.terminal_size((40, 24)))
    show, file = headless.Progress("01 stage1_sft"), tmp_path / "progress"
    show._terminal = True
    file.write_text("a long word of what is done here now\n", encoding="utf-8")
    show.at_cell(2, 9)
    show.tick(file)
    show.clear()
    first, second, third = capsys.readouterr().out.split("\r")[1:]
    assert len(first) == len(second) == 39 and first.startswith("01 stage1_sft") and third == ""


def test_a_widget_is_refused():
    nb = notebook("1")
    data = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}
    nb.cells[1].outputs = [nbformat.v4.new_output("display_data", data=data)]
    with pytest.raises(headless.RunError, match="cell 2 shows a widget"):
        headless.normalise(nb)


def test_progress_lines_on_a_pipe(tmp_path, capsys):
    show = headless.Progress("01 stage1_sft")
    file = tmp_path / "progress"
    file.write_text("epoch 1\nepoch 2\nhalf a li", encoding="utf-8")
    show.tick(file)
    assert capsys.readouterr().out == ""  # the kernel has not reached a cell yet
    show.at_cell(2, 9)
    file.write_text("epoch 1\nepoch 2\nhalf a line\n", encoding="utf-8")
    show.tick(file)
    assert capsys.readouterr().out == "01 stage1_sft  0:00  cell 3/9  half a line\n"
    show.tick(file)
    assert capsys.readouterr().out == ""  # at most one line in ten seconds
    file.write_text("epoch 1\nepoch 2\nhalf a line\n\n", encoding="utf-8")  # an empty line: that work is done
    show._shown = -10.0
    show.tick(file)
    assert capsys.readouterr().out == "01 stage1_sft  0:00  cell 3/9\n"
