"""The speed benchmarks (tests/benchmarks): reading results, tables, targets, and every variant once on a tiny model."""

import json
import subprocess
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from src import lab, report
from src.ppo import PPOConfig
from tests.benchmarks import __main__ as together
from tests.benchmarks import common, dpo, kl, ppo, reward, sft


def made_up(seconds, memory=3000.0, losses=(2.0, 1.0), **more):
    """A result as a child prints it: peak 0.5 (fp32) and 2 (bf16) TFLOP/s, 4 TFLOP of work."""
    machine = {"threads": 2, "fp32": 0.5, "bf16": 2.0}
    work = {"rows": 20, "tokens": 1000, "flops": 4e12, "losses": list(losses)}
    return machine | {"seconds": seconds, "memory": memory} | work | more


# --- Reading, running --------------------------------------------------------------------------------------------


def test_result_is_the_last_marked_line_and_the_rest_is_kept():
    output = 'a profile\nRESULT {"seconds": 1}\nmore\nRESULT {"seconds": 2}\n'
    assert common.parse_result(output) == ({"seconds": 2}, "a profile\nmore")
    assert common.parse_result("nothing\n") == (None, "nothing")


def fake_child(monkeypatch, answer):
    """`subprocess.run` replaced by answer(variant) -> (stdout, stderr, code); returns the calls as (variant, environment)."""
    calls = []

    def run(command, env, **_):
        variant = command[command.index("--one") + 1]
        calls.append((variant, env))
        stdout, stderr, code = answer(variant)
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    monkeypatch.setattr(common.subprocess, "run", run)
    return calls


def test_variants_take_turns_and_only_stock_goes_without_the_allocator_setting(monkeypatch):
    monkeypatch.delenv("MALLOC_TOP_PAD_", raising=False)
    monkeypatch.setattr(common, "memory_environment", lambda: {"MALLOC_TOP_PAD_": "1"})
    calls = fake_child(monkeypatch, lambda name: (f"RESULT {json.dumps(made_up(len(name)))}\n", "", 0))
    runs = common.alternate("sft", [], ["stock", "stock-best", "ours"], 2)
    assert [name for name, _ in calls] == ["stock", "stock-best", "ours"] * 2
    assert {name: [run["seconds"] for run in several] for name, several in runs.items()} == {
        "stock": [5, 5], "stock-best": [10, 10], "ours": [4, 4]
    }  # fmt: skip
    assert {name for name, env in calls if "MALLOC_TOP_PAD_" not in env} == {"stock"}


@pytest.mark.parametrize("native", [True, False])
def test_stock_is_left_out_where_bf16_would_take_a_day(monkeypatch, capsys, native):
    monkeypatch.setattr(common, "native_bf16", lambda: native)
    assert common.feasible(["stock", "stock-best", "ours"]) == ["stock"] * native + ["stock-best", "ours"]
    assert common.feasible(["ours"]) == ["ours"]
    assert ("stock is left out" in capsys.readouterr().out) is not native


@pytest.mark.parametrize("stdout, code", [("half a table\n", 1), ("", 0), ('RESULT {"seconds": 1}\n', 3)])
def test_a_child_that_fails_is_an_error_with_its_output(monkeypatch, stdout, code):
    fake_child(monkeypatch, lambda name: (stdout, "no file 'x'\n", code))
    with pytest.raises(common.BenchmarkError, match=rf"(?s)dpo: ours failed with code {code}.*no file 'x'"):
        common.alternate("dpo", [], ["ours"], 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "nowhere.json"], "there is no file 'nowhere.json'"),
        (["--data", __file__, "--rows", "0"], "must be a whole number from 1, not '0'"),
        (["--data", __file__, "--variants", "best"], "invalid choice: 'best'"),
    ],
)
def test_wrong_arguments_are_said_before_anything_runs(monkeypatch, capsys, arguments, message):
    calls = fake_child(monkeypatch, lambda name: ("", "", 0))
    with pytest.raises(SystemExit):
        sft.main(arguments)
    assert message in capsys.readouterr().err and not calls


def test_a_child_says_what_is_wrong_with_its_input(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "input": "", "output": "b"}\n')
    asked = ["--data", str(rows), "--one", "ours"]
    with pytest.raises(SystemExit, match="has 1 usable rows, 2 asked for"):
        sft.main([*asked, "--rows", "2", "--tokenizer", "models/lab-gpt2"])
    with pytest.raises(SystemExit, match="models/nowhere"):
        sft.main([*asked, "--rows", "1", "--tokenizer", "models/nowhere"])


# --- Tables ------------------------------------------------------------------------------------------------------


def test_training_table_takes_the_best_run_and_the_highest_peak():
    runs = {"stock": [made_up(40.0), made_up(30.0, fp32=0.8)], "ours": [made_up(6.0), made_up(5.0)]}
    text = common.training_table(runs, "stock", "pairs")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[3:]}
    assert "fp32 0.80, bf16 2.00 TFLOP/s (2 threads)" in text and "pairs/s" in text
    assert rows["stock"] == ["30.0", "0.67", "33", "6.7%", "3000", "1.00"]
    assert rows["ours"] == ["5.0", "4.00", "200", "40.0%", "3000", "6.00"]
    assert common.training_table({"ours": runs["ours"]}, "stock", "pairs").rstrip().endswith("-")


def test_curve_gaps_compare_every_stock_variant_with_ours():
    runs = {"stock": [made_up(9, losses=(2.0, 1.0))], "stock-best": [made_up(9, losses=(2.5, 1.5))]}
    assert common.curve_gaps(runs) == ""
    runs["ours"] = [made_up(1, losses=(2.0, 1.25))]
    first, second = common.curve_gaps(runs).splitlines()
    assert "ours against stock: mean difference 0.1250, largest 0.2500" in first
    assert "ours against stock-best: mean difference 0.3750, largest 0.5000" in second
    runs["ours"] = [made_up(1, losses=(2.0,))]
    with pytest.raises(ValueError):
        common.curve_gaps(runs)


@pytest.mark.parametrize("module, target", [(sft, 8.0), (reward, 4.0)])
@pytest.mark.parametrize("factor, met", [(1.01, True), (0.99, False)])
def test_summary_reaches_its_target_or_not(module, target, factor, met):
    runs = {"stock": [made_up(10 * target * factor)], "stock-best": [made_up(20.0)], "ours": [made_up(10.0)]}
    line, best = module.summary(runs)
    assert (line.against, line.goals) == ("stock", [common.Goal(f"≥ {target:g} × faster", met)])
    assert (best.against, best.ratio, best.goals) == ("stock-best", "2.00 × faster", [])
    assert best.gap == 0 and best.peak == 2.0
    assert line.share == pytest.approx(0.2) and line.memory == 3000 and "20" in line.work
    assert module.summary({"ours": runs["ours"]}) == []


def test_dpo_summary_has_no_target():
    runs = {"stock": [made_up(30.0)], "stock-best": [made_up(20.0)], "ours": [made_up(10.0)]}
    assert [(line.against, line.ratio, line.goals) for line in dpo.summary(runs)] == [
        ("stock", "3.00 × faster", []), ("stock-best", "2.00 × faster", [])
    ]  # fmt: skip


def test_kl_is_held_to_time_and_memory():
    runs = {
        "plain": [made_up(10.0, 2000.0)],
        "kl-response": [made_up(13.9, 3400.0, kl=[0.0, 0.1], epochs=2)],
        "kl-prose": [made_up(14.1, 3600.0, kl=[0.0, 0.2], epochs=2)],
    }
    response, prose = kl.summary(runs)
    assert [goal.met for goal in response.goals] == [True, True]
    assert [goal.met for goal in prose.goals] == [False, False]
    assert (
        prose.ratio == "1.41 × its time, +1.60 GB"
        and "prose anchor" in prose.work
        and prose.against == "plain SFT"
    )
    assert "kl-prose: KL 0.0000 at the first step, 0.2000 at the last" in kl.report(runs)


def ppo_runs(seconds, memory):
    step = {"seconds": seconds, "rollout": 4.0, "score": 1.0, "forward": 1.0, "update": 3.0}
    step |= {"prompt_tokens": 2000, "response_tokens": 768}
    shape = {"steps": [step, step], "batch": 16, "new_tokens": 48, "precision": "bf16"}
    return {"ours": [made_up(seconds, memory, **shape), made_up(seconds + 1, memory - 500, **shape)]}


def test_ppo_reports_phases_and_is_held_to_seconds_and_memory():
    (line,) = ppo.summary(ppo_runs(9.5, 5900.0))
    assert line.work == "PPO step, 16 prompts × 48 tokens" and line.seconds == 9.5 and line.memory == 5900
    assert line.goals == [common.Goal("≤ 12 s", True), common.Goal("≤ 6 GB", True)]
    assert [goal.met for goal in ppo.summary(ppo_runs(12.5, 6100.0))[0].goals] == [False, False]
    text = ppo.report(ppo_runs(9.5, 5900.0))
    mean = next(row for row in text.splitlines() if row.startswith("mean"))
    assert mean.split()[1:] == ["9.50", "4.00", "1.00", "1.00", "3.00"]
    assert "peak memory 5.90 GB" in text


def test_show_puts_every_line_in_one_table():
    lines = [
        *sft.summary({"stock": [made_up(90.0)], "ours": [made_up(10.0)]}),
        *ppo.summary(ppo_runs(13.0, 5000.0)),
    ]
    head, first, second = common.show(lines).splitlines()
    assert head.split()[:3] == ["work", "ours", "(s)"] and head.endswith("target          reached")
    assert first.split()[-7:] == ["20%", "3.0", "≥", "8", "×", "faster", "yes"]
    assert second.endswith("≤ 12 s; ≤ 6 GB  no; yes")


def test_operations_are_those_of_gpt2():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    assert sum(p.numel() for p in model.transformer.h.parameters()) == common.TRUNK
    assert model.lm_head.weight.numel() == common.HEAD
    assert common.flops(10, 3, factor=2) == 2 * (10 * common.TRUNK + 3 * common.HEAD)
    head = (6 + 12) * 3 * common.HEAD
    own, shared = (PPOConfig(num_ppo_epochs=2, critic=critic) for critic in ("reward", "shared"))
    assert ppo.needed(5, 3, own) == (6 + 4 + 24) * 8 * common.TRUNK + head
    assert ppo.needed(5, 3, shared) == (6 + 2 + 12) * 8 * common.TRUNK + head


# --- All together ------------------------------------------------------------------------------------------------


def run_together(monkeypatch, mains, only):
    monkeypatch.setattr(together, "MAINS", mains)
    together.main(
        ["--alpaca", __file__, "--pairs", __file__, "--tokenizer", "t", "--rows", "7", "--only", *only]
    )


def test_every_benchmark_takes_the_arguments_it_is_given(monkeypatch):
    seen = {}

    def alternate(module, arguments, variants, rounds):
        seen[module] = arguments
        raise common.BenchmarkError("enough")

    monkeypatch.setattr(common, "alternate", alternate)
    with pytest.raises(SystemExit, match="failed to run: sft, kl, reward, dpo, ppo"):
        together.main(["--alpaca", __file__, "--pairs", __file__, "--tokenizer", "t", "--rows", "7"])
    assert list(seen) == ["sft", "kl", "reward", "dpo", "ppo"]
    assert seen["kl"] == ["--data", __file__, "--rows", "7", "--tokenizer", "t", "--rounds", "1"]
    assert seen["dpo"][2:4] == ["--pairs", "100"]


def test_one_table_at_the_end_and_a_failure_does_not_stop_the_others(monkeypatch, capsys):
    def broken(arguments):
        raise common.BenchmarkError("sft: stock failed with code 1\nout of memory")

    def working(arguments):
        return ppo.summary(ppo_runs(9.0, 5000.0))

    with pytest.raises(SystemExit, match="failed to run: sft"):
        run_together(monkeypatch, {"sft": broken, "ppo": working}, ["sft", "ppo"])
    printed = capsys.readouterr()
    assert "out of memory" in printed.err
    assert printed.out.index("All together") < printed.out.index("PPO step, 16 prompts")


def test_a_table_is_published_when_all_have_run_and_only_when_asked(monkeypatch, tmp_path, capsys):
    def main(*flags):
        monkeypatch.setattr(
            together,
            "MAINS",
            {
                "ppo": lambda arguments: ppo.summary(ppo_runs(9.0, 5000.0)),
                "sft": lambda arguments: sft.summary({"stock": [made_up(90.0)], "ours": [made_up(10.0)]}),
            },
        )
        together.main(["--alpaca", __file__, "--pairs", __file__, "--tokenizer", "t", "--steps", "7", *flags])

    published = []
    monkeypatch.setattr(together, "publish", lambda *given: published.append(given))
    main()
    assert not published
    main("--publish")
    with pytest.raises(SystemExit):
        main("--publish", "--only", "sft")
    assert "leave --only out" in capsys.readouterr().err
    monkeypatch.undo()

    ((lines, options),) = published
    readme = tmp_path / "README.md"
    blocks = [f"{begin}\n{end}\n" for begin, end in (report.MARKERS, report.SPEED_MARKERS)]
    readme.write_text("before\n" + "between\n".join(blocks) + "after\n", encoding="utf-8")
    together.publish(lines, options, tmp_path, readme)
    text = readme.read_text(encoding="utf-8")
    assert "matmul peak 2.00 TFLOP/s" in text and report.readme_speed(tmp_path) in text
    assert "--rows 200 --reward-pairs 500 --dpo-pairs 100 --steps 7 --rounds 1" in text
    assert "| PPO step, 16 prompts × 48 tokens | 9.0 |" in text and "| 9.00 × faster |" in text
    assert text.startswith("before\n") and "between" in text and text.endswith("after\n")
    readme.write_text("".join(blocks[:1]), encoding="utf-8")
    with pytest.raises(ValueError, match="speed: written by"):
        report.write_readme(readme, tmp_path)


# --- Every variant once, tiny ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Lab rows and pairs as files, and options for each benchmark."""
    folder = tmp_path_factory.mktemp("benchmarks")
    rows = [row for row in lab.instruction_pool(60, 0, 0.0) if row["output"].strip()]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, lab.preference_pairs(80, 0))))
    alpaca, pairs = str(folder / "rows.jsonl"), str(folder / "pairs.jsonl")
    rows = {"data": alpaca, "rows": 8, "batch": 4, "profile": False}
    small = [
        "ppo.batch_size=4", "ppo.mini_batch_size=2", "ppo.gradient_accumulation_steps=2", "ppo.max_new_tokens=4",
    ]  # fmt: skip
    options = {
        "sft": rows,
        "kl": rows,
        "reward": {"data": pairs, "pairs": 20},
        "dpo": {"data": pairs, "pairs": 20},
    }
    options["ppo"] = {"data": pairs, "steps": 1, "set": small}
    return {name: SimpleNamespace(tokenizer="models/lab-gpt2", **given) for name, given in options.items()}


@pytest.fixture
def tiny(monkeypatch):
    """One layer in place of twelve: the same classes and paths as GPT-2's shape."""
    config = GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=4096, initializer_range=0.2)
    monkeypatch.setattr("transformers.GPT2Config", lambda: GPT2Config(**config.to_diff_dict()))


def finished(module, inputs, tiny):
    name = module.__name__.rpartition(".")[2]
    machine = {"threads": 1, "fp32": 0.5, "bf16": 2.0, "memory": 1000.0}
    return {variant: [machine | module.run(variant, inputs[name])] for variant in module.VARIANTS}


@pytest.mark.parametrize("module", [sft, reward, dpo])
def test_ours_and_stock_train_on_the_same_things(module, inputs, tiny, monkeypatch):
    monkeypatch.setenv("COURSE_SET", "dpo.learning_rate=0.01")  # enough to move a loss that begins at ln 2
    runs = finished(module, inputs, tiny)
    best, ours = (runs[name][0]["losses"] for name in ("stock-best", "ours"))
    assert len(ours) == len(best) >= 2
    gap = max(abs(a - b) for a, b in zip(ours, best, strict=True))
    # another order would differ by as much as steps do
    assert gap < (max(ours) - min(ours)) / 4, (
        ours,
        best,
    )
    assert len({runs[name][0]["tokens"] for name in runs}) == 1
    assert "mean difference" in module.report(runs) and len(module.summary(runs)) >= 2


def test_kl_variants_differ_only_in_the_kl(inputs, tiny):
    runs = finished(kl, inputs, tiny)
    plain, response, prose = (runs[name][0] for name in kl.VARIANTS)
    assert plain["losses"][0] == pytest.approx(response["losses"][0], abs=1e-4)
    assert plain["losses"][0] == pytest.approx(prose["losses"][0], abs=1e-4)
    assert response["kl"][0] == pytest.approx(0, abs=1e-3) and response["kl"][-1] > response["kl"][0]
    assert plain["flops"] < response["flops"] and plain["flops"] < prose["flops"]


def test_ppo_counts_its_tokens(inputs, tiny):
    runs = finished(ppo, inputs, tiny)
    (step,) = runs["ours"][0]["steps"]
    assert 4 <= step["response_tokens"] <= 16 and step["prompt_tokens"] > 40
    assert sum(step[phase] for phase in ppo.PHASES) <= step["seconds"] + 0.01
    assert "PPO step, 4 prompts × 4 tokens" in common.show(ppo.summary(runs))
