"""The base model's report card: what it knows by relation, how it writes, and that it has never seen an instruction.

`pretrain.py` writes it beside the weights as `README.md` (the model card), `report_card.json` and
`report_card.png`.
"""

import json
from pathlib import Path

from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from src.generation import generate
from src.metrics import cloze_accuracy, perplexity

from .instructions import evaluation_tasks
from .probes import PROSE_BEGINNINGS, cloze_probes
from .rubric import first_sentence, normalise

GATES = {"cloze": 0.95, "worst relation": 0.80, "exact match": 0.10, "fluent samples": 8}


def circles(text: str) -> bool:
    """Whether some run of four words occurs three times, at any distance: stricter than `metrics.loops`."""
    words = text.lower().split()
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return any(runs.count(run) >= 3 for run in set(runs))


def write_report_card(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, folder: Path, facts: dict, prose: list[str]
) -> dict:
    """Measure the gates, write the model card, the JSON and the figure into `folder`; return the measurements."""
    probes = cloze_probes(arithmetic=True)
    hits = cloze_accuracy(model, tokenizer, probes).correct.tolist()
    by_relation: dict[str, list[bool]] = {}
    for probe, hit in zip(probes, hits, strict=True):
        by_relation.setdefault(probe.relation, []).append(hit)
    relations = {name: {"facts": len(h), "accuracy": sum(h) / len(h)} for name, h in by_relation.items()}
    arithmetic = {p.relation for p in probes if p.arithmetic}
    known = [h for p, h in zip(probes, hits, strict=True) if not p.arithmetic]
    tasks = evaluation_tasks("seen", 100)
    prompts = [f"### Instruction:\n{t.instruction}\n{t.input}".rstrip() + "\n\n### Response:" for t in tasks]
    answers = [g.text for g in generate(model, tokenizer, prompts, max_new_tokens=12)]
    matches = [
        normalise(first_sentence(a)) == normalise(t.answer) for a, t in zip(answers, tasks, strict=True)
    ]
    written = generate(
        model, tokenizer, PROSE_BEGINNINGS, max_new_tokens=60
    )  # their text is stripped, the tokens are not
    samples = [
        begin + tokenizer.decode(g.token_ids, skip_special_tokens=True)
        for begin, g in zip(PROSE_BEGINNINGS, written, strict=True)
    ]
    card = {
        **facts,
        "cloze": sum(known) / len(known),
        "worst relation": min(r["accuracy"] for name, r in relations.items() if name not in arithmetic),
        "exact match": sum(matches) / len(matches),
        "fluent samples": sum(not circles(s) for s in samples),
        "prose_perplexity": perplexity(model, tokenizer, prose).value,
        "relations": relations,
        "arithmetic": sorted(arithmetic),
        "samples": samples,
    }
    (folder / "report_card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_model_card(card), encoding="utf-8")
    _figure(card, folder / "report_card.png")
    return card


def _model_card(card: dict) -> str:
    passed = {
        "cloze": card["cloze"] >= GATES["cloze"],
        "worst relation": card["worst relation"] >= GATES["worst relation"],
        "exact match": card["exact match"] <= GATES["exact match"],
        "fluent samples": card["fluent samples"] >= GATES["fluent samples"],
    }
    signs = {"exact match": "≤"}
    gates = "\n".join(
        f"| {name} | {signs.get(name, '≥')} {GATES[name]} | {card[name]:.3g} | {'yes' if ok else 'NO'} |"
        for name, ok in passed.items()
    )
    relations = "\n".join(
        f"| {name}{' (arithmetic)' if name in card['arithmetic'] else ''} | {r['facts']} | {r['accuracy']:.2f} |"
        for name, r in card["relations"].items()
    )
    losses = card["history"][:: max(1, len(card["history"]) // 12)]
    curve = "\n".join(f"| {row['tokens'] / 1e6:.1f} | {row['loss']:.3f} |" for row in losses)
    samples = "\n".join(f"> {s.strip().splitlines()[0]}\n" for s in card["samples"])
    return f"""# lab-gpt2

The base model of the lab profile: GPT-2's architecture with {card["parameters"]:,} parameters, pretrained by
`python -m src.lab.pretrain` on {card["tokens"]:,} tokens of generated prose about a small true world. It has read no instruction,
no question with its answer, and no dialogue format. Weights are bfloat16 safetensors; every number below was measured on them.

Training took {card["seconds"] / 60:.0f} minutes on two CPU cores (peak learning rate {card["learning_rate"]}).
Held-out prose perplexity: {card["prose_perplexity"]:.2f}.

## Gates

| gate | wanted | measured | passed |
|---|---|---|---|
{gates}

*cloze*: share of non-arithmetic facts whose sentence is continued with the right answer; *worst relation*: the lowest such
share of any relation; *exact match*: share of instructions answered right, which a base model should not manage; *fluent samples*: how many of
the ten greedy samples below run in no loop.

![What the base model knows, by relation](report_card.png)

| relation | facts | cloze accuracy |
|---|---|---|
{relations}

## Loss curve

| million tokens | loss |
|---|---|
{curve}

## Ten greedy samples

{samples}"""


def _figure(card: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = sorted(card["relations"].items(), key=lambda row: row[1]["accuracy"])
    colours = ["#999999" if name in card["arithmetic"] else "#0072B2" for name, _ in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 7.5), dpi=100, width_ratios=(1.3, 1))
    left.barh([f"{name} ({r['facts']})" for name, r in rows], [r["accuracy"] for _, r in rows], color=colours)
    left.axvline(GATES["worst relation"], color="#D55E00", linewidth=1, linestyle="--")
    left.set(
        xlabel="cloze accuracy (dashed: gate; grey: arithmetic)", xlim=(0, 1), title="What the base knows"
    )
    left.tick_params(axis="y", labelsize=7)
    right.plot(
        [h["tokens"] / 1e6 for h in card["history"]], [h["loss"] for h in card["history"]], color="#0072B2"
    )
    right.set(xlabel="million tokens read", ylabel="training loss (nats a token)", title="How it learned")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
