"""src/workspace.py, fingerprint.py, jsonio.py: fresh / STALE / missing, atomic stages, the cache, kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from src import fingerprint, runtime, workspace
from src.config import ROOT, load_config
from src.jsonio import JSONFileError, read_json, to_jsonable, write_json
from src.workspace import BY_NAME, STAGES, Workspace, WorkspaceError

plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """Code, base model and machine as constants: other files of the project must not decide these tests."""
    monkeypatch.setattr(runtime, "measure_machine", lambda: {"gflops": 1.0, "tokens_per_second": 1})
    monkeypatch.setattr(fingerprint, "base_model_hash", lambda name: f"hash of {name}")
    monkeypatch.setattr(workspace, "stage_code", lambda stage: {"src/losses.py": "1", "src/sft.py": "1"})


@pytest.fixture
def ws(tmp_path):
    return Workspace("lab", tmp_path)


def config(stage, *overrides):
    return load_config(stage, "lab", overrides, environ={})


def configs(**changed):
    return {number: config(number, *changed.get(f"s{number}", ())) for number in STAGES}


def make(ws, *stages, weights=b"weights", **metrics):
    for number in stages:
        run = ws.begin(config(number))
        (run.model_folder() / "model.safetensors").write_bytes(weights)
        run.finish({"key_figure": f"figure {number}", **metrics})


def states(ws, cfgs=None):
    return {status.stage.number: (status.state, status.reason) for status in ws.status(cfgs or configs())}


def test_the_pipeline_is_the_designs():
    assert [s.name for s in STAGES.values()] == [
        *("stage1_sft", "stage2_instruction", "stage3_lora", "evaluation", "analysis"),
        *("improved_training", "rlhf_training"),
    ]
    assert all(BY_NAME[p].number < s.number for s in STAGES.values() for p in s.parents)


def test_a_finished_stage_is_fresh_and_complete(ws):
    assert states(ws)["01"] == ("missing", "not run yet")
    make(ws, "01", loss=np.float32(0.5), nothing=float("nan"))
    status = ws.status(configs())[0]
    assert (status.state, status.reason) == ("fresh", "")
    assert status.metrics == {"key_figure": "figure 01", "loss": 0.5, "nothing": None}
    manifest = status.manifest
    assert manifest["config"] == config("01").flat() and manifest["config_hash"] == config("01").hash()
    assert set(manifest["weights"]) == {"model/model.safetensors"}
    assert manifest["versions"]["torch"] == torch.__version__ and manifest["peak_memory_mb"] > 10
    assert manifest["duration_seconds"] >= 0 and len(manifest["training_seeds"]) == config("01").seeds
    assert not [p for p in ws.root.iterdir() if p.name.endswith((".tmp", ".old", ".trash"))]


def test_what_makes_a_stage_stale_and_why(ws, monkeypatch):
    make(ws, *STAGES)
    assert {state for state, _ in states(ws).values()} == {"fresh"}
    changed = states(ws, configs(s06=["train.kl_beta=0.77"]))
    assert changed["06"] == ("STALE", f"train.kl_beta {config('06').train.kl_beta} → 0.77 (--set)")
    assert changed["07"] == ("STALE", "parent improved_training is STALE")
    assert {changed[n][0] for n in ("01", "02", "03", "04", "05")} == {"fresh"}
    assert states(ws, configs(s02=["threads=1"]))["02"][0] == "fresh"
    assert states(ws, configs(s02=["seeds=99"]))["02"] == (
        "STALE",
        f"seeds {config('02').seeds} → 99 (--set)",
    )
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "base_model_hash", lambda name: "other")
        assert states(ws)["01"] == ("STALE", "base model changed")
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "stage_code", lambda stage: {"src/losses.py": "1", "src/ppo.py": "1"})
        assert states(ws)["01"] == ("STALE", "src/ppo.py changed")
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "stage_code", lambda stage: {"src/losses.py": "1"})
        assert states(ws)["01"] == ("STALE", "src/sft.py is no longer used")
    (ws.folder("03") / "model" / "model.safetensors").unlink()
    assert states(ws)["03"] == ("STALE", "model/model.safetensors is gone")


def test_the_reason_names_file_and_line(ws):
    make(ws, "01")
    run = ws.begin(config("01", "train.epochs=77"))
    run.finish({})
    now = config("01").train.epochs
    assert states(ws)["01"][1].startswith(f"train.epochs 77 → {now} (configs/01_stage1_normal_sft.yaml:")


def test_other_rows_in_the_same_file_are_another_source(ws, tmp_path):
    """Its name alone would call a result fresh that other rows made, and read cached row numbers on new rows."""
    rows, counted = tmp_path / "rows.json", []
    rows.write_text("[1]")
    own = f"instruction_data={rows}"

    def begun():
        run = ws.begin(config("01", own))
        run.cached("count", {}, lambda _: counted.append(1) or {})
        (run.model_folder() / "model.safetensors").write_bytes(b"weights")
        run.finish({"key_figure": "x"})

    begun()
    begun()
    assert states(ws, configs(s01=[own]))["01"] == ("fresh", "") and len(counted) == 1
    rows.write_text("[2]")
    state, reason = states(ws, configs(s01=[own]))["01"]
    assert state == "STALE" and reason == f"instruction_data {rows}: the contents changed"
    begun()
    assert states(ws, configs(s01=[own]))["01"] == ("fresh", "") and len(counted) == 2
    rows.unlink()
    assert "no longer there" in states(ws, configs(s01=[own]))["01"][1]


def test_a_source_concerns_only_the_stages_that_read_it(ws, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("[1]")
    sets = [f"preference_data={pairs}"]
    changed = {f"s{number}": sets for number in STAGES}
    for number in STAGES:
        ws.begin(config(number, *sets)).finish({})
    assert {state for state, _ in states(ws, configs(**changed)).values()} == {"fresh"}
    pairs.write_text("[2]")
    old = {number for number, (state, _) in states(ws, configs(**changed)).items() if state == "STALE"}
    assert old == {"07"}
    changed = {name: ["preference_data=lab", "judge=some/model"] for name in changed}
    why = states(ws, configs(**changed))
    assert {number for number, (_, reason) in why.items() if reason.startswith("judge")} == {"04", "06"}
    assert why["07"][1].startswith("preference_data") and why["01"] == why["02"] == why["03"] == ("fresh", "")


def test_a_folder_of_rows_is_what_can_be_seen_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    (tmp_path / "data" / ".cache").mkdir(parents=True)
    (tmp_path / "data" / "train.csv").write_text("a")
    first = fingerprint.source_hashes({"d": "data"})
    (tmp_path / "data" / ".DS_Store").write_text("x")
    (tmp_path / "data" / ".cache" / "download").write_text("x")
    assert fingerprint.source_hashes({"d": "data"}) == first != {}


@pytest.mark.parametrize("error", [PermissionError, RuntimeError])
def test_a_path_that_cannot_be_looked_at_is_no_path(monkeypatch, error):
    def refuse(self):
        raise error("no")

    for name in ("exists", "is_dir", "expanduser"):
        monkeypatch.setattr(fingerprint.Path, name, refuse)
    assert fingerprint.local_path("~nobody/rows.json") is None
    assert fingerprint.base_model_source("~nobody/model") == "~nobody/model"


def test_sources_that_are_not_here_have_no_hash(tmp_path, monkeypatch):
    """The lab's rows are code, whatever lies in a folder of that name; the Hub's have their name."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    (tmp_path / "lab").mkdir()
    assert fingerprint.source_hashes({"a": "lab", "b": "gold", "c": "tatsu-lab/alpaca"}) == {}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("a")
    first = fingerprint.source_hashes({"d": "data"})
    (tmp_path / "data" / "train.csv").write_text("b,c")
    assert first.keys() == {"d"} and fingerprint.source_hashes({"d": "data"}) != first
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)  # a notebook's working directory is another one than that of `status`
    assert fingerprint.source_hashes({"d": "data"}) == {}


def test_rerunning_a_parent_matters_only_if_its_result_changed(ws):
    make(ws, *STAGES)
    make(ws, "01")
    assert {state for state, _ in states(ws).values()} == {"fresh"}
    make(ws, "01", weights=b"other weights")
    assert states(ws)["01"][0] == "fresh"
    assert states(ws)["04"] == ("STALE", "parent stage1_sft changed")
    assert states(ws)["05"] == ("STALE", "parent stage1_sft changed")
    assert states(ws)["06"] == ("STALE", "parent evaluation is STALE")


def test_a_missing_parent_names_the_commands(ws):
    with pytest.raises(WorkspaceError, match=r"python -m src\.run 01 02 03$"):
        ws.begin(config("04"))
    make(ws, "01", "03")
    with pytest.raises(WorkspaceError, match=r"stage2_instruction, improved_training.*src\.run 02 04 06$"):
        ws.begin(config("07"))
    gpt2 = Workspace("gpt2", ws.outputs)
    with pytest.raises(WorkspaceError, match=r"src\.run 01 02 03 --profile gpt2$"):
        gpt2.begin(load_config("04", "gpt2", environ={}))
    with pytest.raises(WorkspaceError, match="of profile lab"):
        gpt2.begin(config("01"))


def test_stages_that_are_compared_were_asked_the_same(ws):
    make(ws, "01", "02", "03")
    few = config("04", "evaluation.prompts=7")
    with pytest.raises(WorkspaceError) as refused:
        ws.begin(few)
    assert str(refused.value) == (
        "stage 04 is compared with stage1_sft, which ran with evaluation.prompts 100, not 7. Give all the same, "
        "for example:  python -m src.run 01 02 03 04 --set evaluation.prompts=7"
    )
    for same in ("evaluation.bootstrap=500", "judge=x", "compare.prompts=3"):
        ws.begin(config("04", same))
    make(ws, "04")
    with pytest.raises(
        WorkspaceError,
        match=r"06 is compared with evaluation, .* seed 0, not 3.*src\.run 01 02 03 04 06 --set seed=3",
    ):
        ws.begin(config("06", "seed=3"))
    ws.begin(config("05", "evaluation.prompts=9"))  # measures all that it compares itself
    make(ws, "06")
    with pytest.raises(
        WorkspaceError, match=r"07 is compared with stage1_sft, .*src\.run 01 02 03 04 06 07 --set"
    ):
        ws.begin(config("07", "evaluation.max_new_tokens=8"))
    ws.begin(config("07", "ppo.max_new_tokens=8"))


def test_one_training_does_not_pass_for_three(ws):
    for number in ("01", "02", "03", "04", "06"):
        ws.begin(config(number, "seeds=1")).finish({})
    with pytest.raises(WorkspaceError) as refused:
        ws.begin(config("07", "seeds=3"))
    assert str(refused.value) == (
        "stage 07 with 3 training seeds is compared with stage1_sft, which has 1. Give all as many, for example:  "
        "python -m src.run 01 02 03 04 06 07 --set seeds=3"
    )
    ws.begin(config("05", "seeds=3"))  # measures all that it compares itself


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"result_values": 3}', b"[" * 5000,
     b'{"result_values": {}, "seeds": "x"}'],
)  # fmt: skip
def test_a_damaged_manifest_is_stale_not_a_traceback(ws, damage):
    make(ws, "01", "02", "03")
    (ws.folder("01") / "manifest.json").write_bytes(damage)
    state, reason = states(ws)["01"]
    assert state == "STALE" and reason
    if (
        damage != b'{"result_values": {}, "seeds": "x"}'
        and damage != b'{"result_values": 3}'
        and damage != b"{}"
    ):
        with pytest.raises(WorkspaceError, match="stage1_sft .its manifest.json is damaged"):
            ws.begin(config("04"))
    make(ws, "01")
    assert states(ws)["01"][0] == "fresh"


def test_missing_metrics_is_stale(ws):
    make(ws, "01")
    (ws.folder("01") / "metrics.json").unlink()
    assert states(ws)["01"] == ("STALE", "its metrics.json is missing")


def test_what_a_run_writes_and_reads(ws):
    make(ws, "01", "02", "03")
    run = ws.begin(config("04"))
    assert run.parent("01") == run.parent("stage1_sft") == ws.folder("01")
    assert str(run.parent("base")).replace("\\", "/").endswith("models/lab-gpt2")
    with pytest.raises(WorkspaceError, match="improved_training is not a parent of evaluation"):
        run.parent("06")
    with pytest.raises(WorkspaceError, match="no stage 'stage9'"):
        run.parent("stage9")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    run.figure(figure, "loss")
    run.figure(figure, "again")
    assert len({path.read_bytes() for path in run.folder.rglob("*.png")}) == 1
    plt.close(figure)
    run.save_json("samples", [{"prompt": "x"}])
    run.finish({})
    folder = ws.folder("04")
    assert run.folder == folder
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == {
        *("figures/loss.png", "figures/again.png", "samples.json", "metrics.json", "manifest.json"),
    }
    for call in (lambda: run.finish({}), lambda: run.save_json("x", {}), lambda: run.model_folder()):
        with pytest.raises(WorkspaceError, match="is over"):
            call()


def test_only_safetensors(ws):
    run = ws.begin(config("01"))
    (run.model_folder() / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match=r"safetensors only.*pytorch_model\.bin"):
        run.finish({})
    assert states(ws)["01"][0] == "missing"


def test_an_abandoned_run_leaves_the_old_result_and_is_swept_up(ws):
    make(ws, "01", loss=1)
    first = ws.begin(config("01"))
    first.save_json("half", {})
    second = ws.begin(config("01"))  # the first cell again, in the same Jupyter kernel
    with pytest.raises(WorkspaceError, match="is over"):
        first.finish({})
    assert read_json(ws.folder("01") / "metrics.json")["loss"] == 1
    second.finish({"loss": 2})
    assert not (ws.folder("01") / "half.json").exists()
    assert read_json(ws.folder("01") / "metrics.json")["loss"] == 2


def test_cached_computes_once_and_stores_files(ws):
    make(ws, "01", "02", "03")
    calls = []

    def compute(folder: Path):
        calls.append(1)
        (folder / "table.txt").write_text("x")
        return {"loss": np.float64(0.25), "pair": (1, 2), "nan": float("nan")}

    run = ws.begin(config("04"))
    one = run.cached("sweep", {"seed": 0, "lr": 1e-3}, compute)
    two = ws.begin(config("04")).cached("sweep", {"lr": 1e-3, "seed": np.int64(0)}, compute)
    assert (
        one == two and one["loss"] == 0.25 and one["pair"] == [1, 2] and one["nan"] is None and calls == [1]
    )
    assert (one["folder"] / "table.txt").read_text() == "x"
    run = ws.begin(config("04"))
    assert run.cached("sweep", {"seed": 1, "lr": 1e-3}, compute)["folder"] != one["folder"]
    assert run.cached("other", {"seed": 0, "lr": 1e-3}, compute)["folder"] != one["folder"]
    other = ws.begin(config("04", "precision=fp32", "judge=x")).cached(
        "sweep", {"seed": 0, "lr": 1e-3}, compute
    )
    assert other["folder"] != one["folder"] and len(calls) == 4
    make(ws, "02", weights=b"new")
    ws.begin(config("04")).cached("sweep", {"seed": 0, "lr": 1e-3}, compute)
    assert len(calls) == 5


def test_cached_knows_a_parent_without_weights_by_its_numbers(ws, monkeypatch):
    make(ws, "01", "02", "03")
    calls = []

    def compute(folder: Path):
        calls.append(1)
        return {"answer": 3}

    def evaluated(**metrics):
        ws.begin(config("04")).finish({"key_figure": "", **metrics})
        ws.begin(config("05")).cached("sweep", {}, compute)

    evaluated(perplexity=2.0)
    monkeypatch.setattr(workspace, "stage_code", lambda stage: {"src/losses.py": "changed"})
    evaluated(perplexity=2.0)
    assert len(calls) == 1
    evaluated(perplexity=3.0)
    assert len(calls) == 2


def test_the_time_of_a_stage_includes_what_it_reads_from_the_cache(ws):
    def slow(folder: Path):
        time.sleep(0.3)
        return {"answer": 3}

    first = ws.begin(config("01"))
    for _ in range(2):
        first.cached("slow", {}, slow)
    assert first._reused_seconds == 0  # computed here: its time is in the wall time already
    first.finish({})
    again = ws.begin(config("01"))
    for _ in range(2):
        again.cached("slow", {}, slow)
    stored = read_json(again.cached("slow", {}, slow)["folder"] / "seconds.json")["seconds"]
    assert again._reused_seconds == stored >= 0.3  # once, however often it is read
    assert again._reused_peak > 0  # a run from the cache must not claim to need no memory
    again.finish({})
    assert ws.manifest("01")["duration_seconds"] >= 0.3


def test_cached_repairs_damage_and_refuses_nonsense(ws):
    run = ws.begin(config("01"))
    folder = run.cached("x", {}, _three)["folder"]
    (folder / "result.json").write_text("{")
    assert run.cached("x", {}, _three)["answer"] == 3
    with pytest.raises(TypeError, match="must return a dict"):
        run.cached("y", {}, lambda folder: 3)

    def breaks(folder):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run.cached("z", {}, breaks)
    assert not list((ws.root / "cache").glob("z-*"))


def test_a_resumable_computation_goes_on_from_what_it_left(ws):
    cut = []

    def compute(folder: Path):
        file = folder / "state.json"
        done = read_json(file)["done"] if file.exists() else 0
        for step in range(done, 4):
            time.sleep(0.1)
            if cut and step == cut[0]:
                for half_written in (".tmpa1b2", "state.123.tmp"):
                    (folder / half_written).write_text("{")
                raise KeyboardInterrupt
            write_json(file, {"done": step + 1})
        file.unlink()
        return {"from": done}

    cut[:] = [2]
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            ws.begin(config("01")).cached("x", {"seed": seed}, compute, resumable=True)
    cut[:] = []
    run = ws.begin(config("02"))  # the beginning and the end of other stages leave it alone
    run.finish({"key_figure": ""})
    run = ws.begin(config("01"))
    found = run.cached("x", {"seed": 0}, compute, resumable=True)
    assert found["from"] == 2 and {p.name for p in found["folder"].iterdir()} == {
        "params.json",
        "result.json",
        "seconds.json",
    }
    assert read_json(found["folder"] / "seconds.json")["seconds"] > 0.35, "both attempts count"
    assert len(list((ws.root / "cache").glob(".*.partial"))) == 1, "that of the other seed"
    run.finish({"key_figure": ""})
    assert not list((ws.root / "cache").glob(".*")), "the stage is done, nobody will go on from it"


def _three(folder):
    return {"answer": 3}


# ---------------------------------------------------------------- fingerprints
@pytest.fixture
def project(tmp_path):
    files = {
        "src/__init__.py": "",
        "src/losses.py": '"""Doc."""\nimport math\n\n\ndef loss(x):\n    """Doc."""\n    return x + 1\n',
        "src/sft.py": "from src.losses import loss\nfrom src.lab import world\n",
        "src/ppo.py": "def later():\n    from src import losses\n",
        "src/plots.py": "colour = 1\n",
        "src/lab/__init__.py": "from .tasks import TASKS\n",
        "src/lab/world.py": "FACTS = 1\n",
        "src/lab/tasks.py": "from . import rubric\nfrom .world import FACTS\nTASKS = FACTS\n",
        "src/lab/rubric.py": "from ..losses import loss\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    cells = [
        {"cell_type": "markdown", "source": ["# words"]},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "from src.sft import *\n", "import src.plots"],
        },
    ]
    (tmp_path / "01_x.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return tmp_path


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_code_of_a_notebook_is_what_it_imports(project):
    notebook = project / "01_x.ipynb"
    before = fingerprint.notebook_code(notebook, project)
    # what `src/lab` imports relatively counts too
    assert list(before) == [
        *("notebooks/01_x.ipynb", "src/lab/__init__.py", "src/lab/rubric.py", "src/lab/tasks.py"),
        *("src/lab/world.py", "src/losses.py", "src/sft.py"),
    ]
    change(project / "src/losses.py", '"""Doc."""', '"""Better words."""')
    change(project / "src/losses.py", "return x + 1", "return  x + 1  # why")
    change(project / "src/ppo.py", "later", "sooner")
    change(project / "src/plots.py", "1", "2")
    change(notebook, "# words", "# other words")
    assert fingerprint.notebook_code(notebook, project) == before
    change(project / "src/losses.py", "x + 1", "x + 2")
    after = fingerprint.notebook_code(notebook, project)
    assert [k for k in after if after[k] != before[k]] == ["src/losses.py"]
    change(notebook, "from src.sft import *", "from src.sft import *; x = 1")
    assert (
        fingerprint.notebook_code(notebook, project)["notebooks/01_x.ipynb"] != before["notebooks/01_x.ipynb"]
    )
    assert "src/losses.py" in fingerprint.code_hashes(["ppo"], project)
    (project / "src/losses.py").write_text("def broken(:", encoding="utf-8")
    notebook.write_text("{", encoding="utf-8")
    fingerprint.notebook_code(notebook, project)
    assert fingerprint.notebook_code(project / "none.ipynb", project) == {}


def test_function_hash_follows_notebook_helpers_and_modules():
    def define(helper, body="return helper(1)"):
        scope = {"__name__": "__main__"}
        exec(f"from src.jsonio import to_jsonable\n{helper}\ndef compute(folder):\n    {body}\n", scope)  # noqa: S102
        return fingerprint.function_hash(scope["compute"])

    plain = define("def helper(x):\n    return x")
    assert define("def helper(x):\n    return x") == plain
    assert define("def helper(x):\n    return x + 1") != plain
    assert define("def helper(x):\n    return x", "return helper(2)") != plain
    table = "TABLE = {'a': [abs], 'b': lambda x: x}\ndef helper(x):\n    return TABLE['b'](x)"
    assert define(table) == define(table) != define(table.replace("x: x", "x: x + 1"))
    modules: set[str] = set()
    scope = {"__name__": "__main__"}
    source = (
        "from src import losses\nfrom src.runtime import Stopwatch\nwatch = Stopwatch()\n"
        "def helper():\n    return losses.x\n"
        "def compute(folder):\n    helper()\n    watch.seconds\n    from src.lab import facts\n"
    )
    exec(source, scope)  # noqa: S102
    fingerprint._collect(scope["compute"], {}, modules)
    assert modules >= {"losses", "runtime", "lab"}


def test_base_model_hash_is_of_the_contents(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    first = fingerprint.base_model_hash(str(folder))
    assert fingerprint.base_model_hash(str(folder)) == first
    (folder / "model.safetensors").write_bytes(b"other")
    assert fingerprint.base_model_hash(str(folder)) != first
    assert fingerprint.base_model_hash("some-hub/name") != fingerprint.base_model_hash("some-hub/other")


# ---------------------------------------------------------------- JSON
def test_json_takes_numpy_torch_and_dataclasses(tmp_path):
    @dataclass
    class Score:
        overall: float
        parts: tuple

    value = {
        "np": np.float32(1.5), "int": np.int64(2), "bool": np.bool_(True), "array": np.arange(3),
        "torch": torch.tensor(0.5, requires_grad=True), "bf16": torch.ones(2, dtype=torch.bfloat16),
        "nan": [float("nan"), np.inf, torch.tensor(float("nan"))], "set": {2, 1}, "score": Score(1.0, (1, "ä")),
        3: "key", "path": Path("a"), "none": None,
    }  # fmt: skip
    back = read_json(write_json(tmp_path / "x.json", value))
    assert back == {
        "np": 1.5, "int": 2, "bool": True, "array": [0, 1, 2], "torch": 0.5, "bf16": [1.0, 1.0],
        "nan": [None, None, None], "set": [1, 2], "score": {"overall": 1.0, "parts": [1, "ä"]},
        "3": "key", "path": "a", "none": None,
    }  # fmt: skip
    with pytest.raises(TypeError, match=r"value\.a\[1\]: cannot write a object"):
        to_jsonable({"a": [1, object()]})
    with pytest.raises(TypeError, match="two keys are the same"):
        to_jsonable({1: 0, "1": 0})
    with pytest.raises(JSONFileError, match=r"its none\.json is missing"):
        read_json(tmp_path / "none.json")


# ---------------------------------------------------------------- kills
KILLER = '''
"""Forks runs of stage 01 and kills them: at every file operation of finish(), then at random moments."""
import os, pathlib, random, shutil, signal, sys, time
from src import fingerprint, runtime, workspace
from src.config import load_config
from src.jsonio import read_json
runtime.measure_machine = lambda: {"tokens_per_second": 1}
workspace._git_commit = lambda: None
workspace._versions = lambda: {}
workspace.stage_code = lambda stage: {}
ws = workspace.Workspace("lab", sys.argv[1])
cfg = load_config("01", "lab", environ={})
PARTS = 12

def write(version):
    run = ws.begin(cfg)
    for part in range(PARTS):
        (run.model_folder() / f"{part}.safetensors").write_text(str(version))
    run.finish({"version": version})

def check(allowed):
    folder = ws.folder("01")
    version = read_json(folder / "metrics.json")["version"]
    assert version in allowed, (version, allowed)
    parts = [(folder / "model" / f"{part}.safetensors").read_text() for part in range(PARTS)]
    assert parts == [str(version)] * PARTS, parts
    status = ws.status({n: load_config(n, "lab", environ={}) for n in workspace.STAGES})[0]
    assert status.state == "fresh", status
    return version

def fork(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid

def dying(version, step):
    left = [step]
    def counted(owner, name):
        original = getattr(owner, name)
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        setattr(owner, name, wrapper)
    for name in ("unlink", "rmdir"):
        counted(os, name)                       # inside shutil.rmtree as well
    for name in ("rename", "write_text", "mkdir"):
        counted(pathlib.Path, name)
    write(version)

write(0)
now, seen, step = 0, set(), 0
while True:                                     # killed before its first, second, third … file operation
    pid = fork(lambda: dying(now + 1, step))
    _, code = os.waitpid(pid, 0)
    version = check({now, now + 1})
    seen.add(version - now)
    now, step = version, step + 1
    if code == 0:
        break
assert step > 30 and seen == {0, 1}, (step, seen)

def forever():
    version = now
    while True:
        version += 1
        write(version)

random.seed(0)
for _ in range(20):
    pid = fork(forever)
    time.sleep(random.uniform(0.005, 0.08))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    now = check(range(now, now + 10_000))
write(now + 1)
check({now + 1})
left = sorted(p.name for p in ws.root.iterdir())
assert left == [".stage1_sft.lock", "cache", "stage1_sft"] or left == [".stage1_sft.lock", "stage1_sft"], left
print("killed", step + 20)
'''


def script(text, *arguments, **more):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_minus_nine_at_any_instant_leaves_old_or_new(tmp_path):
    out, err = script(KILLER, tmp_path).communicate(timeout=120)
    assert out.startswith("killed"), err


HOLDER = """
import sys, time
from src import workspace
from src.config import load_config
run = workspace.Workspace("lab", sys.argv[1]).begin(load_config("01", "lab", environ={}))
run.save_json("half", {})
print("running", flush=True)
time.sleep(60)
"""


def test_two_processes_and_a_lock_of_a_dead_one(ws):
    holder = script(HOLDER, ws.outputs)
    try:
        assert holder.stdout.readline() == "running\n", holder.stderr.read()
        with pytest.raises(WorkspaceError, match=rf"stage 01 .* already running \(process {holder.pid}\)"):
            ws.begin(config("01"))
        make(ws, "02")  # another stage is free
    finally:
        holder.kill()
        holder.communicate()
    assert list(ws.root.glob(".stage1_sft.*.tmp"))
    make(ws, "01")
    assert states(ws)["01"][0] == "fresh" and not list(ws.root.glob(".stage1_sft.*.tmp"))
