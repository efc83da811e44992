"""Supervised fine-tuning: equal to the stock trainer where it should be, exact where that one is not, clean
afterwards.
"""

import copy

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from src import sft
from src.losses import IGNORE, response_cross_entropy, sft_loss
from src.models import attach_lora, fresh_copy
from src.sft import GroupedSampler, SFTSettings, collate, encode_rows, prose_blocks, train_sft

WORDS = [
    "<|endoftext|>",
    "ask",
    "name",
    "say",
    "the",
    "a",
    "cat",
    "dog",
    "bird",
    "sees",
    "likes",
    "finds",
    "runs",
]
WORDS += ["red", "blue", "green", ":", "."]
# Recorded once from this very code; a change of more than 1e-3 means that training changed.
GOLDEN = [
    2.8861,
    2.8991,
    2.8812,
    2.8076,
    2.649,
    2.6054,
    2.5591,
    2.5164,
    2.4211,
    2.4253,
    2.3585,
    2.3231,
    2.2833,
    2.2563,
    2.205,
    2.2152,
    2.1705,
    2.1887,
    2.1716,
    2.1845,
]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def examples():
    return make_examples()


def make_tokenizer():
    table = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    table.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=table, eos_token=WORDS[0], pad_token=WORDS[0])


def make_examples():
    """16 (prompt, response) pairs whose lengths all differ between neighbours."""
    animals, verbs, colours = (
        ("cat", "dog", "bird"),
        ("sees", "likes", "finds", "runs"),
        ("red", "blue", "green"),
    )
    pairs = []
    for i in range(16):
        prompt = "ask " * (1 + i % 5) + f"the {animals[i % 3]} :"
        pairs.append(
            (prompt, f"the {animals[i % 3]} {verbs[i % 4]} " + f"a {colours[i % 3]} " * (1 + i % 3) + ".")
        )
    return pairs


@pytest.fixture
def model():
    return make_model()


def make_model(seed=0):
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    config.activation_function = "gelu_pytorch_tanh"
    return GPT2LMHeadModel(config).eval()


def settings(**changes):
    base = {"batch_size": 4, "epochs": 1, "learning_rate": 3e-3, "schedule": "constant", "precision": "fp32"}
    return SFTSettings(**(base | changes))


def column(result, key="loss"):
    return [row[key] for row in result.history]


def close(a, b, tolerance=1e-5):
    return a == pytest.approx(b, abs=tolerance)


# --- The loss that is trained


def test_first_loss_equals_the_mean_over_the_tokens_of_each_example_alone(model, tokenizer, examples):
    rows, _ = encode_rows(tokenizer, examples, settings())
    total = count = 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        n = int((labels != IGNORE).sum())
        total, count = total + response_cross_entropy(model(ids).logits, labels).item() * n, count + n
    result = train_sft(model, tokenizer, examples, settings(batch_size=16))
    assert close(result.history[0]["ce"], total / count)
    assert result.response_tokens == count
    assert result.history[0]["tokens"] == sum(len(row["input_ids"]) for row in rows)


def test_padding_never_changes_a_loss(model, tokenizer, examples):
    rows, _ = encode_rows(tokenizer, examples[:3], settings())
    batch = collate(rows, pad_id=0)
    other = collate([*rows, {"input_ids": [5] * 30, "labels": [IGNORE] * 30}], pad_id=7)
    losses = [sft_loss(model(b["input_ids"]).logits, b["labels"]).ce.item() for b in (batch, other)]
    assert close(*losses)


def test_one_batch_of_eight_equals_eight_batches_of_one(tokenizer, examples):
    runs = [
        train_sft(
            make_model(),
            tokenizer,
            examples,
            settings(epochs=3, batch_size=size, gradient_accumulation=8 // size),
        )
        for size in (8, 2, 1)
    ]
    assert len(runs[0].history) == 6
    for run in runs[1:]:
        for key in ("loss", "ce", "grad_norm", "tokens"):
            assert close(column(run, key), column(runs[0], key), 1e-4)


def test_same_losses_as_the_stock_trainer(tokenizer, examples, tmp_path):
    choice = settings(epochs=2, schedule="linear", weight_decay=0.1, gradient_accumulation=2)
    ours = train_sft(make_model(), tokenizer, examples, choice)
    rows, _ = encode_rows(tokenizer, examples, choice)

    class Stock(SFTTrainer):
        def _get_train_sampler(self, train_dataset=None):
            return GroupedSampler([len(row["input_ids"]) for row in rows], 8, choice.seed)

    arguments = SFTConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        num_train_epochs=2,
        learning_rate=choice.learning_rate,
        weight_decay=0.1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        seed=choice.seed,
    )
    stock = Stock(make_model(), arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    stock.train()
    logged = [row for row in stock.state.log_history if "loss" in row]
    assert len(logged) == 4
    for key in ("loss", "grad_norm", "learning_rate"):
        assert close(column(ours, key), [row[key] for row in logged], 1e-4)


def test_golden_trajectory(tokenizer, examples):
    result = train_sft(make_model(), tokenizer, examples, settings(max_steps=20, schedule="cosine", warmup=3))
    assert close(column(result), GOLDEN, 1e-3)


def test_bf16_follows_fp32(tokenizer, examples):
    runs = [
        train_sft(make_model(), tokenizer, examples, settings(precision=p, epochs=2))
        for p in ("fp32", "bf16")
    ]
    assert close(column(runs[0]), column(runs[1]), 0.03)
    assert column(runs[0]) != column(runs[1])


# --- End of sequence


def test_eos_is_learned_and_can_be_left_out(tokenizer, examples):
    stop = {}
    for learn in (True, False):
        model, choice = make_model(), settings(epochs=12, learn_eos=learn, learning_rate=1e-2)
        rows, _ = encode_rows(tokenizer, examples, choice)
        assert all(row["input_ids"][-1] == tokenizer.eos_token_id for row in rows)
        assert all(row["labels"][-1] == (tokenizer.eos_token_id if learn else IGNORE) for row in rows)
        train_sft(model, tokenizer, examples, choice)
        ids = torch.tensor([rows[0]["input_ids"][:-1]])
        stop[learn] = model(ids).logits[0, -1].softmax(-1)[tokenizer.eos_token_id].item()
    assert stop[True] > 0.5
    assert stop[False] < 0.1


# --- Order


def test_every_row_is_seen_once_per_epoch_in_batches_of_similar_length():
    lengths = [(7 * i) % 60 for i in range(210)]
    sampler = GroupedSampler(lengths, batch=8, seed=3)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(210)) and first != second
    assert first == list(GroupedSampler(lengths, batch=8, seed=3))
    batches = [first[i : i + 8] for i in range(0, 208, 8)]
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert max(spread) <= 5
    means = [sum(lengths[i] for i in b) / 8 for b in batches]
    assert means != sorted(means) and means != sorted(means, reverse=True)


def test_grouping_does_not_change_the_expected_gradient(tokenizer, examples):
    """At a fixed point the token-weighted mean over an epoch is the loss of the whole set, whatever the
    order.
    """
    whole = train_sft(make_model(), tokenizer, examples, settings(batch_size=16, learning_rate=0.0))
    for grouped in (True, False):
        choice = settings(learning_rate=0.0, group_by_length=grouped, seed=5)
        rows, _ = encode_rows(tokenizer, examples, choice)
        order = list(GroupedSampler([len(r["input_ids"]) for r in rows], 4, 5, grouped))
        counts = [
            sum(x != IGNORE for i in order[k : k + 4] for x in rows[i]["labels"]) for k in range(0, 16, 4)
        ]
        losses = column(train_sft(make_model(), tokenizer, examples, choice))
        assert len(set(losses)) == 4
        assert close(
            sum(n * x for n, x in zip(counts, losses, strict=True)) / sum(counts), whole.history[0]["loss"]
        )


# --- KL and prose


PROSE = [
    "the cat sees the dog . the dog likes the bird .",
    "a red bird runs . a blue cat runs . the green dog runs .",
]


def distance(model, reference, tokenizer, examples):
    rows, _ = encode_rows(tokenizer, examples, settings())
    batch = collate(rows, 0)
    with torch.no_grad():
        logits = [m(batch["input_ids"]).logits for m in (model, reference)]
    return sft_loss(logits[0], batch["labels"], logits[1]).kl.item()


@pytest.mark.parametrize("anchor", ["response", "prose"])
def test_kl_starts_at_zero_is_never_negative_and_holds_the_policy_back(tokenizer, examples, anchor):
    kl = {}
    for beta in (0.1, 10.0):
        choice = settings(epochs=5, kl_beta=beta, kl_anchor=anchor, prose_length=8)
        result = train_sft(make_model(), tokenizer, examples, choice, prose=PROSE)
        kl[beta] = column(result, "kl")
        assert kl[beta][0] == pytest.approx(0, abs=1e-7) and min(kl[beta][1:]) > 0
        assert close(column(result), [row["ce"] + beta * row["kl"] for row in result.history])
    assert kl[10.0][-1] < 0.2 * kl[0.1][-1]


@pytest.mark.parametrize("anchor", ["response", "prose"])
@pytest.mark.parametrize("room", [2**30, 200, 0])
def test_kept_reference_states_change_no_number(tokenizer, examples, monkeypatch, anchor, room):
    """Everything kept, a part of it, nothing: the same history. Kept states are not computed twice."""
    choice = settings(epochs=3, kl_beta=0.3, kl_anchor=anchor, prose_length=8)
    reference, passes = make_model(seed=1), []
    reference.base_model.register_forward_hook(lambda module, _, out: passes.append(len(out[0])))
    monkeypatch.setattr(sft, "KEPT_BYTES", room)
    result = train_sft(make_model(), tokenizer, examples, choice, reference=reference, prose=PROSE)
    kept_rows = sum(passes)
    monkeypatch.setattr(sft, "KEPT_BYTES", 0)
    passes.clear()
    again = train_sft(make_model(), tokenizer, examples, choice, reference=reference, prose=PROSE)
    assert close(column(result, "kl"), column(again, "kl"), 1e-6) and close(column(result), column(again))
    if room == 2**30:
        assert kept_rows < sum(passes) / 2 and (anchor == "prose" or kept_rows == len(examples))
    elif not room:
        assert kept_rows == sum(passes)


def test_a_huge_beta_pins_the_policy(tokenizer, examples):
    moved = {}
    for beta in (0.0, 1e4):
        model = make_model()
        train_sft(model, tokenizer, examples, settings(epochs=5, kl_beta=beta, learning_rate=1e-3))
        moved[beta] = distance(model, make_model(), tokenizer, examples)
    assert moved[1e4] < 0.02 * moved[0.0]


def test_logged_kl_is_that_to_the_given_reference(tokenizer, examples):
    reference = make_model(seed=1)
    choice = settings(batch_size=16, kl_beta=0.5)
    result = train_sft(make_model(), tokenizer, examples, choice, reference=reference)
    assert close(result.history[0]["kl"], distance(make_model(), reference, tokenizer, examples))
    assert torch.equal(reference.lm_head.weight, make_model(seed=1).lm_head.weight)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_adapters_the_reference_is_the_base(tokenizer, examples, precision):
    model = attach_lora(make_model(), r=4)
    choice = settings(epochs=5, kl_beta=0.1, learning_rate=1e-2, precision=precision)
    result = train_sft(model, tokenizer, examples, choice)
    assert close(result.history[0]["kl"], 0, 1e-7) and result.history[-1]["kl"] > 1e-3
    with model.disable_adapter():
        assert close(distance(model, make_model(), tokenizer, examples), 0, 1e-7)


def test_only_adapters_move(tokenizer, examples):
    model = attach_lora(make_model(), r=4)
    before = copy.deepcopy(model.state_dict())
    train_sft(model, tokenizer, examples, settings())
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "lora_" in name}


def test_pretraining_mix_learns_the_prose(tokenizer, examples):
    losses = {}
    for mix in (0.0, 1.0):
        model = make_model()
        choice = settings(epochs=6, pretrain_mix=mix, prose_length=8)
        result = train_sft(model, tokenizer, examples, choice, prose=PROSE)
        blocks = prose_blocks(tokenizer, PROSE, 8)
        losses[mix] = response_cross_entropy(model(blocks).logits, blocks).item()
    assert losses[1.0] < losses[0.0] - 0.5
    first = result.history[0]
    assert close(first["loss"], first["ce"] + first["prose_ce"]) and first["prose_ce"] > 1


def test_prose_weighs_the_same_however_the_batch_is_cut(tokenizer, examples):
    text = ["the cat sees the dog . a"]  # a single block, so that every draw is the same
    anchor = {"kl_beta": 0.3, "kl_anchor": "prose", "pretrain_mix": 0.7, "prose_length": 8}
    runs = []
    for size in (8, 2):
        choice = settings(batch_size=size, gradient_accumulation=8 // size, **anchor)
        reference = make_model(seed=1)
        runs.append(train_sft(make_model(), tokenizer, examples, choice, prose=text, reference=reference))
    for key in ("loss", "ce", "kl", "prose_ce", "grad_norm"):
        assert close(column(runs[0], key), column(runs[1], key), 1e-4)


def test_prose_is_required_where_it_is_used(model, tokenizer, examples):
    with pytest.raises(ValueError, match="need `prose` of at least 64 tokens"):
        train_sft(model, tokenizer, examples, settings(pretrain_mix=0.1), prose=["the cat"])


# --- Bad rows


@pytest.mark.parametrize(
    "row, error, message",
    [
        (("ask :", "  "), ValueError, "Row 2: the response is empty"),
        ((None, "cat"), TypeError, "Row 2: the prompt must be a string, got NoneType"),
        (("ask :", 7), TypeError, "Row 2: the response must be a string, got int: 7"),
        (("ask : ", "cat"), ValueError, "Row 2: The prompt ends in white space"),
        (("ask " * 90, "cat"), ValueError, r"Row 2: .* ends in white space"),
        (
            ("ask" + " ask" * 90, "cat"),
            ValueError,
            r"Row 2: 93 tokens \(prompt 91\) are more than max_length=64",
        ),
    ],
)
def test_bad_rows_are_named(model, tokenizer, examples, row, error, message):
    with pytest.raises(error, match=message):
        train_sft(model, tokenizer, [*examples[:2], row], settings(max_length=64))


def test_long_rows_are_skipped_on_request_and_reported(model, tokenizer, examples):
    long = ("ask" + " ask" * 90, "cat")
    result = train_sft(model, tokenizer, [long, *examples, long], settings(max_length=64, too_long="skip"))
    assert result.skipped == [0, 17] and result.steps == 4
    with pytest.raises(ValueError, match=r"No examples to train on \(1 of 1 rows are too long\)"):
        train_sft(model, tokenizer, [long], settings(max_length=64, too_long="skip"))


def test_unknown_choices_are_refused(model, tokenizer, examples):
    with pytest.raises(ValueError, match="schedule='cosin': choose one of cosine, linear, constant"):
        train_sft(model, tokenizer, examples, settings(schedule="cosin"))


def test_divergence_stops_the_run_with_a_reason_and_a_clean_model(model, tokenizer, examples):
    with pytest.raises(FloatingPointError, match=r"The loss is nan at step \d.*Lower the learning rate"):
        train_sft(model, tokenizer, examples, settings(learning_rate=1e30, epochs=3))
    assert "forward" not in vars(model) and not model.training


# --- Bookkeeping


def test_schedule_steps_and_history(tokenizer, examples):
    result = train_sft(make_model(), tokenizer, examples, settings(epochs=3, schedule="linear", warmup=0.25))
    assert result.steps == 12
    assert column(result, "step") == list(range(1, 13))
    rising, falling = [k / 3 for k in range(3)], [k / 9 for k in range(9, 0, -1)]
    assert close(column(result, "learning_rate"), [3e-3 * share for share in rising + falling], 1e-9)
    assert 0 < result.history[-1]["seconds"] <= result.seconds
    assert train_sft(make_model(), tokenizer, examples, settings(max_steps=6)).steps == 6


def test_evaluation_before_training_and_after_every_epoch(model, tokenizer, examples):
    rows, _ = encode_rows(tokenizer, examples[:6], settings())
    batch = collate(rows, 0)
    before = response_cross_entropy(model(batch["input_ids"]).logits, batch["labels"]).item()
    lines = []
    result = train_sft(
        model, tokenizer, examples, settings(epochs=2), eval_examples=examples[:6], progress=lines.append
    )
    after = response_cross_entropy(model(batch["input_ids"]).logits, batch["labels"]).item()
    assert [row["step"] for row in result.evaluations] == [0, 4, 8]
    assert close([result.evaluations[0]["loss"], result.evaluations[-1]["loss"]], [before, after])
    assert len(lines) == 9 and lines[0].startswith("step 1/8  loss ") and lines[-1] == ""


def test_same_seed_same_run_other_seed_other_order(tokenizer, examples):
    runs = [column(train_sft(make_model(), tokenizer, examples, settings(seed=seed))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


# --- What is left behind


@pytest.mark.parametrize("lora", [False, True])
def test_the_model_comes_back_clean(tokenizer, examples, lora):
    model = attach_lora(make_model()) if lora else make_model()
    base = model.get_base_model() if lora else model
    attributes, config = set(vars(base)), copy.deepcopy(base.config.to_dict())
    trainable = [p.requires_grad for p in model.parameters()]
    train_sft(model, tokenizer, examples, settings(kl_beta=0.1))
    assert set(vars(base)) == attributes
    assert base.config.to_dict() == config and config["use_cache"]
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == trainable
    assert all(p.grad is None for p in model.parameters())
    ids = torch.tensor([[3, 4, 5]])
    twins = [copy.deepcopy(model), fresh_copy(model)]
    before = model(ids).logits.detach()
    assert base.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0).shape[1] <= 6
    train_sft(model, tokenizer, examples, settings())
    assert not torch.equal(model(ids).logits, before)
    for twin in twins:
        assert torch.equal(twin(ids).logits, before)
