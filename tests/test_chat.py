"""src/chat.py: tiny models that have learned an answer are asked through the real command line."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src import lab, run
from src.chat import TALKERS, WIDTH, clean
from src.config import ROOT
from src.losses import IGNORE
from src.models import load_model, load_tokenizer, save_model
from src.templates import build_prompt, encode_example

QUESTION, RIGHT, WRONG = "What is the capital of France?", "Paris.", "Madrid."
WORDS = [
    "<eos>",
    "<unk>",
    *build_prompt(QUESTION).split(),
    RIGHT,
    WRONG,
    *(f"{i}-{'long' * 3}" for i in range(40)),
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    table = {word: i for i, word in enumerate(dict.fromkeys(WORDS))}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", unk_token="<unk>")


def tiny_model(answer: str | None = None) -> GPT2LMHeadModel:
    """Random, or trained until it answers QUESTION with `answer` and ends."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0, initializer_range=0.2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    if answer:
        ids, labels = (torch.tensor([x]) for x in encode_example(tokenizer, build_prompt(QUESTION), answer))
        assert (labels != IGNORE).sum() == 2
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(40):
            optimizer.zero_grad()
            model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of three models: one that knows the answer, one that is wrong, one that babbles."""
    folder, tokenizer = tmp_path_factory.mktemp("models"), tiny_tokenizer()
    for name, answer in (("right", RIGHT), ("wrong", WRONG), ("random", None)):
        save_model(tiny_model(answer), tokenizer, folder / name)
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """Stage 1 is wrong, stage 6 is right, the base babbles; nothing else was run."""
    for name in [key for key in os.environ if key.startswith("COURSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_OUTPUTS", str(tmp_path))
    monkeypatch.setenv("COURSE_SET", f"base_model={made / 'random'}")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    for stage, name in (("stage1_sft", "wrong"), ("improved_training", "right")):
        shutil.copytree(made / name, tmp_path / "lab" / stage / "model")
        (tmp_path / "lab" / stage / "manifest.json").write_text("{}")
    return tmp_path


@pytest.fixture
def ask(place, capsys):
    """`ask("06", …)` → (exit code, stdout, stderr) of the command line with a prompt."""

    def call(*words, prompt=QUESTION):
        code = run.main(["chat", *words, "--prompt", prompt])
        return code, *capsys.readouterr()

    return call


def rows(out):
    """Model → rest of its (first) line."""
    return dict(line.split(maxsplit=1) for line in out.splitlines() if line and not line[0].isspace())


# ---------------------------------------------------------------- answers
def test_every_stage_with_a_model_answers_beside_the_base(ask):
    code, out, err = ask()
    assert code == 0
    assert list(rows(out)) == ["model", "base", "stage1_sft", "improved_training"]
    scores = {answer: f"{lab.gold_score(QUESTION, answer).total:.2f}" for answer in (RIGHT, WRONG)}
    assert scores[RIGHT] > scores[WRONG]
    assert rows(out)["improved_training"].split() == [scores[RIGHT], RIGHT]
    assert rows(out)["stage1_sft"].split() == [scores[WRONG], WRONG]
    lines = [line for line in out.splitlines() if line.startswith(("model", "stage1", "improved"))]
    assert [line.index(x) for line, x in zip(lines, ("answer", WRONG, RIGHT), strict=True)] == [25] * 3
    missing = ", ".join(name for name in TALKERS if name not in out)
    assert err == f"no model of {missing} in the lab profile; to make it:  python -m src.run 02 03 07\n"


@pytest.mark.parametrize("words", [("06", "base"), ("6", "base"), ("improved_training", "06", "base")])
def test_stages_by_number_or_name_in_the_order_asked_for(ask, words):
    code, out, err = ask(*words)
    assert (code, err, list(rows(out))) == (0, "", ["model", "improved_training", "base"])


def test_long_answers_are_wrapped_marked_and_complete(ask, made, monkeypatch):
    code, out, _ = ask("base", "06", "--set", "evaluation.max_new_tokens=40")
    assert code == 0 and "cut at 40 tokens" in out
    lines = out.splitlines()
    assert len(lines) > 4 and max(map(len, lines)) <= WIDTH
    column = lines[0].index("answer")
    told = " ".join(line[column:] for line in lines[1:-1])
    model, tokenizer = load_model(made / "random"), load_tokenizer(made / "random")
    ids = tokenizer(build_prompt(QUESTION), return_tensors="pt")
    expected = model.generate(**ids, max_new_tokens=40, do_sample=False, pad_token_id=0)[
        0, ids["input_ids"].shape[1] :
    ]
    assert len(expected) == 40 and 0 not in expected
    assert told == tokenizer.decode(expected) + " …"
    assert all(not line[:column].strip() for line in lines[2:-1])
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, ask("base")[1].splitlines())) <= 60


def test_sampling_can_be_repeated_and_follows_the_seed(ask):
    greedy, again = ask("base")[1], ask("base", "--temperature", "0")[1]
    assert greedy == again and "greedy" in greedy
    first = ask("base", "--temperature", "1.5")
    assert first == ask("base", "--temperature", "1.5") and "temperature 1.5" in first[1]
    other = ask("base", "--temperature", "1.5", "--set", "seed=5")[1]
    assert len({rows(out)["base"] for out in (greedy, first[1], other)}) == 3


def test_only_the_rubric_scores_and_only_what_it_knows(ask):
    out = ask("06", prompt="Why is there something and not nothing?")[1]
    assert rows(out)["model"].startswith("gold") and rows(out)["improved_training"].split()[0] == "-"
    out = ask("06", "--set", "judge=some/model")[1]
    assert "gold" not in out and rows(out)["improved_training"] == RIGHT


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["2"], "stage2_instruction in the lab profile; to make it:  python -m src.run 02\n"),
        (
            ["06", "07"],
            "no model of rlhf_training in the lab profile; to make it:  python -m src.run 02 03 07\n",
        ),
        (["01", "--profile", "gpt2"], "to make it:  python -m src.run 01 --profile gpt2\n"),
        (["04"], "'evaluation' trains no model; chat knows base, stage1_sft"),
        (["stage1_stf"], "is not a stage (did you mean stage1_sft?)"),
        (["base", "--temperature", "nan"], "use 0 for greedy answers"),
        (["base", "--temperature", "-1"], "use 0 for greedy answers"),
        (["base", "--set", "train.epochs=1"], "chat uses only settings that all stages share"),
        (["base", "--set", "06:seed=1"], "chat uses only settings that all stages share"),
        (["base", "--set", "evaluation.max_new_token=1"], "did you mean evaluation.max_new_tokens?"),
    ],
)
def test_what_cannot_start_is_one_clear_line(ask, words, told):
    code, out, err = ask(*words)
    assert (code, out, err.count("\n")) == (1, "", 1) and err.startswith("error: ") and told in err


def test_the_command_names_all_that_a_stage_builds_on(ask, place):
    shutil.rmtree(place / "lab")
    err = ask("06")[2]
    assert err.endswith(
        "improved_training in the lab profile; to make it:  python -m src.run 01 02 03 04 06\n"
    )


def test_broken_models_and_unanswerable_prompts(ask, place):
    code, out, err = ask("06", prompt=" \x00\n ")
    assert (code, out) == (1, "") and "there is nothing to ask" in err
    code, out, err = ask("06", prompt="word " * 99)
    assert (code, out, err.count("\n")) == (1, "", 1) and "the context holds 64" in err
    model = load_model(place / "lab" / "stage1_sft" / "model")
    model.transformer.ln_f.weight.data.fill_(float("nan"))
    save_model(model, tiny_tokenizer(), place / "lab" / "stage1_sft" / "model")
    code, out, err = ask("01")
    assert (code, out) == (1, "") and err.startswith("error: stage1_sft: ") and "weights are broken" in err
    (place / "lab" / "stage1_sft" / "model" / "model.safetensors").write_bytes(b"half a fi")
    code, out, err = ask("01")
    assert (code, out, err.count("\n")) == (1, "", 1) and "re-run its stage" in err


def test_its_options_belong_to_chat(place):
    for words in (["status", "--prompt", "x"], ["06", "--temperature", "1"]):
        with pytest.raises(SystemExit) as caught:
            run.main(words)
        assert caught.value.code == 2


# ---------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("  What\tis\u2028it?\r\n", "What is it?"),
        ("\x1b[31mred\x1b[0m \x1b[A\x1b]0;title\x07end", "red end"),
        ("Fra\x00n\x07ce\x7f\x9b", "France"),
        ("a\u202eb\ufeffc\udcff", "abc"),
        ("Sort these.\r\n3 1 2", "Sort these.\n3 1 2"),
        ("\x00\x1b \n", ""),
        ("naïve “日本” 🙂", "naïve “日本” 🙂"),
    ],
)
def test_clean(text, seen):
    assert clean(text) == seen


# ---------------------------------------------------------------- standard input
@pytest.fixture
def pipe(place, monkeypatch, capsys):
    """`pipe(bytes, …)` → (exit code, stdout, stderr) of `chat 06 …` with these bytes as its standard input."""

    def call(piped, *words):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8"))
        return run.main(["chat", "06", *words]), *capsys.readouterr()

    return call


def test_a_pipe_is_read_to_its_end_whatever_is_in_it(pipe):
    question = b"\x1b[1mWhat is the\x00 capital \xe2\x80\xaeof France?\r\n"
    piped = b"\n   \n" + question + b"word " * 99 + b"\n\xff\xfe\nSort\\nthem\n" + QUESTION.encode()
    code, out, err = pipe(piped)
    blocks = out.split("\n\n")[:-1]
    assert code == 0 and len(blocks) == 4
    assert [blocks[i].splitlines()[0] for i in (0, 3)] == [f"> {QUESTION}"] * 2
    assert all(rows(blocks[i])["improved_training"].split()[1] == RIGHT for i in (0, 3))
    assert blocks[1].startswith("> \ufffd\ufffd\nmodel") and blocks[2].startswith("> Sort\nthem\nmodel")
    assert err.count("\n") == 1 and "the context holds 64" in err


def test_exit_and_an_empty_pipe_end_it(pipe):
    code, out, err = pipe(f"{QUESTION}\n exit \n{QUESTION}\n".encode())
    assert (code, out.count(RIGHT), err) == (0, 1, "")
    assert pipe(b"") == (0, "", "")


def test_asked_again_a_sampled_answer_may_be_another(pipe):
    again = pipe(b"1-longlonglong\n" * 3, "--temperature", "2")[1]
    assert len({rows(block)["improved_training"] for block in again.split("\n\n")[:-1]}) == 3


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_cleanly(place):
    process = subprocess.Popen(
        [sys.executable, "-m", "src.run", "chat", "06"], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    process.stdin.write(f"{QUESTION}\n")
    process.stdin.flush()
    seen = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out.strip(), err) == (0, "", "") and seen[2].rstrip().endswith(RIGHT)
