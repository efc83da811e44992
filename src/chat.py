"""Ask the stages and read their answers side by side: `python -m src.run chat [STAGE …]`.

A prompt goes through the course's single template, as in evaluation, and every model answers it: greedily, or
sampled with the same random numbers for all. Where the judge is the lab's rubric, its score stands beside each
answer to a task that the lab knows. Answers go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import textwrap
import unicodedata
from itertools import chain, zip_longest
from pathlib import Path

from src import lab, runtime
from src.config import Config, ConfigError, load_config, stage_number, takers
from src.fingerprint import base_model_source
from src.generation import generate
from src.headless import RunError, table
from src.lab.rubric import instruction_of
from src.models import ModelError, load_model, load_tokenizer
from src.schema import NOTEBOOKS, PROFILES, nearest
from src.templates import build_prompt
from src.workspace import BY_NAME, STAGES, Stage, Workspace

BASE = "base"
TALKERS = ("stage1_sft", "stage2_instruction", "stage3_lora", "improved_training", "rlhf_training")
WIDTH = 100  # columns, if the terminal is not narrower
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")  # keys, colours, titles


def chat(
    words: list[str], profile: str | None, overrides: list[str], temperature: float, prompt: str | None
) -> int:
    """Answer `prompt`, or without one every line of stdin; returns the exit code 0.

    RunError or ConfigError, in one sentence, for what keeps the chat from starting. A line that cannot be
    answered is reported, and the next one is read.
    """
    if temperature != 0 and not 0.01 <= temperature <= 10:  # below, logits overflow; NaN fails both tests
        raise RunError(f"--temperature {temperature:g}: use 0 for greedy answers, 0.01 to 10 to sample")
    for text in overrides:
        if len(takers(text, NOTEBOOKS)) < len(NOTEBOOKS):
            raise ConfigError(f"{text}: chat uses only settings that all stages share (configs/common.yaml)")
    cfg = load_config("01", profile, overrides)
    folders = find_models(words, Workspace(cfg.profile), cfg)
    runtime.setup(cfg)
    with contextlib.suppress(AttributeError):  # undecodable input ends nothing
        sys.stdin.reconfigure(errors="replace")
    try:
        models = {name: (load_model(folder), load_tokenizer(folder)) for name, folder in folders.items()}
    except ModelError as err:
        raise RunError(err) from None
    if prompt is not None:
        print(ask(models, prompt, cfg, temperature, cfg.seed))
        return 0
    seed, typed = cfg.seed, sys.stdin.isatty()
    if typed:
        print(f"{', '.join(models)}; \\n is a line break, exit or Ctrl-D ends", file=sys.stderr)
        with contextlib.suppress(ImportError):  # arrow keys and history, where the platform has them
            import readline  # noqa: F401
    try:
        while (line := clean(input("> " if typed else "").replace("\\n", "\n"))) != "exit":
            if not line:
                continue
            try:
                answers = ask(models, line, cfg, temperature, seed)
                print(*([] if typed else _lines(f"> {line}")), answers, "", sep="\n", flush=True)
            except RunError as err:
                print(f"error: {err}", file=sys.stderr, flush=True)
            seed += 1  # asked again, a sampled answer may be another one
    except (EOFError, KeyboardInterrupt):
        print(end="\n" if typed else "")
    return 0


def clean(text: str) -> str:
    """Text that chokes neither tokenizer nor terminal: without escape sequences, control characters and
    lone surrogates; white space other than line breaks becomes a space."""
    text = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    kept = (c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return "".join(" " if c.isspace() and c != "\n" else c for c in kept).strip()


def find_models(words: list[str], workspace: Workspace, cfg: Config) -> dict[str, Path | str]:
    """Name → model folder of the stages asked for (number, name, base); without any, of all that have one.

    RunError for an unknown stage, and for one asked for that has no model: it names the command to run.
    """
    names = list(dict.fromkeys(map(_name, words))) or [BASE, *TALKERS]
    folders = {name: workspace.folder(name) / "model" for name in names if name != BASE}
    missing = [name for name, folder in folders.items() if not folder.is_dir()]
    if missing:
        todo = set().union(*(_without_result(BY_NAME[name], workspace) for name in missing))
        command = f"python -m src.run {' '.join(sorted(todo))}"
        command += f" --profile {workspace.profile}" if workspace.profile != PROFILES[0] else ""
        told = f"no model of {', '.join(missing)} in the {workspace.profile} profile; to make it:  {command}"
        if words:
            raise RunError(told)
        print(told, file=sys.stderr)
    folders[BASE] = base_model_source(cfg.base_model)
    return {name: folders[name] for name in names if name not in missing}


def _name(word: str) -> str:
    with contextlib.suppress(ConfigError):
        word = STAGES[stage_number(word)].name
    if word in (BASE, *TALKERS):
        return word
    why = "trains no model" if word in BY_NAME else f"is not a stage{nearest(word, [BASE, *TALKERS])}"
    raise RunError(f"{word!r} {why}; chat knows {BASE}, {', '.join(TALKERS)}")


def _without_result(stage: Stage, workspace: Workspace) -> set[str]:
    """Number of a stage, and those of the stages it builds on that have no result either."""
    gone = [BY_NAME[p] for p in stage.parents if not (workspace.folder(p) / "manifest.json").is_file()]
    return {stage.number}.union(*(_without_result(parent, workspace) for parent in gone))


def ask(models: dict[str, tuple], prompt: str, cfg: Config, temperature: float, seed: int) -> str:
    """The answers of all models (name → model, tokenizer) as a table. RunError when one cannot answer."""
    prompt, limit, gold = clean(prompt), cfg.evaluation.max_new_tokens, cfg.judge == "gold"
    known = gold and lab.find_task(instruction_of(prompt)) is not None
    settings = {"max_new_tokens": limit, "temperature": temperature, "seed": seed}
    how = f"temperature {temperature:g}" if temperature else "greedy"
    rows = [("model", *["gold"] * gold, f"answer ({how}; … = cut at {limit} tokens)")]
    for name, (model, tokenizer) in models.items():
        try:
            answer = generate(model, tokenizer, [build_prompt(prompt)], **settings)[0]
        except (ValueError, FloatingPointError) as err:  # empty, too long; broken weights
            raise RunError(f"{name}: {err}") from None
        score = f"{lab.gold_score(prompt, answer.text).total:.2f}" if known else "-"
        said = (clean(answer.text) or "(empty)") + ("" if answer.ended else " …")
        rows.append((name, *[score] * gold, said))
    left = sum(2 + max(map(len, column)) for column in [*zip(*rows, strict=True)][:-1])
    cells = ([*([cell] for cell in first), _lines(said, left)] for *first, said in rows)
    return table([*chain.from_iterable(zip_longest(*row, fillvalue="") for row in cells)])


def _lines(text: str, indent: int = 0) -> list[str]:
    room = max(20, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) - indent)
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, room)]
