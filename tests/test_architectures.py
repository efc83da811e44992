"""The course on other causal LMs than GPT-2: tiny random Llama and Qwen2, with tied and untied LM heads.

Rotary positions, grouped key-value heads, plain `nn.Linear` layers and (untied) a head of its own are what differs.
"""

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from src.generation import generate
from src.losses import sft_loss
from src.models import attach_lora, load_model, load_tokenizer, merge_lora, save_model
from src.preference import DPOSettings, train_dpo
from src.reward_model import GPT2RewardModel, score, score_ids, train_reward_model
from src.sft import SFTSettings, collate, encode_rows, train_sft
from src.templates import TEMPLATES, build_prompt, encode_example
from tests.rl_helpers import EOS, PROMPTS, make_trainer, tiny_tokenizer
from tests.test_reward_model import FAST, ROWS, make_pairs

KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
TOKENIZER = tiny_tokenizer()
EXAMPLES = [("w1 w2", "w3"), ("w4", "w5 w6"), ("w7 w8 w9 w1", "w2 w2 w5"), ("w3", "w1")]


@pytest.fixture(params=[(kind, tied) for kind in KINDS for tied in (False, True)], ids=str)
def make(request):
    """A function that makes the same random model each time."""
    kind, tied = request.param
    configuration, model = KINDS[kind]

    def build():
        torch.manual_seed(0)
        config = configuration(
            vocab_size=17,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            bos_token_id=EOS,
            eos_token_id=EOS,
            initializer_range=0.15,
            tie_word_embeddings=tied,
            attn_implementation="eager",  # what load_model chooses for a narrow model
        )
        return model(config).eval()

    return build


def test_save_and_load(make, tmp_path):
    folder = save_model(make(), TOKENIZER, tmp_path / "model")
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(ids).logits, make()(ids).logits)
    assert tokenizer("w1 w2")["input_ids"] == TOKENIZER("w1 w2")["input_ids"] != []
    tied = make().config.tie_word_embeddings
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_keep_the_boundary(make, tmp_path, template):
    tokenizer = load_tokenizer(save_model(make(), TOKENIZER, tmp_path / "model"))
    prompt = build_prompt("w1", "w2", template)
    ids, labels = encode_example(tokenizer, prompt, "w3")
    assert ids[-2:] == labels[-2:] == [TOKENIZER.convert_tokens_to_ids("w3"), EOS]
    assert set(labels[:-2]) == {-100} and len(labels) > 3


def test_lora_finds_the_attention_projections_and_merges(make):
    model = attach_lora(make(), r=2)
    hit = {
        name.split(".lora_A")[0].split(".")[-1] for name, _ in model.named_parameters() if "lora_A" in name
    }
    assert hit == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert sum("lora_A" in name for name, _ in model.named_parameters()) == 8
    assert not model.peft_config["default"].fan_in_fan_out
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert (model(ids).logits - make()(ids).logits).abs().max() > 0.01
    torch.testing.assert_close(merge_lora(model)(ids).logits, model(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("lora", [False, True])
def test_sft(make, lora):
    """The chunked loss uses the head that the model has: its first value is the plain loss, and training lowers it."""
    model = attach_lora(make()) if lora else make()
    settings = SFTSettings(
        epochs=8, batch_size=4, learning_rate=1e-2, schedule="constant", precision="fp32", kl_beta=0.05
    )
    batch = collate(encode_rows(TOKENIZER, EXAMPLES, settings)[0], EOS)
    plain = sft_loss(make()(batch["input_ids"]).logits, batch["labels"]).total.item()
    history = train_sft(model, TOKENIZER, EXAMPLES, settings).history
    assert history[0]["loss"] == pytest.approx(plain, abs=1e-4)
    assert history[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert history[-1]["ce"] < 0.6 * history[0]["ce"]
    head, untouched = model.get_output_embeddings().weight, make().get_output_embeddings().weight
    assert torch.equal(head, untouched) == lora


def test_generation_reads_padded_rows_as_it_reads_them_alone(make):
    together = generate(make(), TOKENIZER, PROMPTS, max_new_tokens=6, temperature=1.0, seed=1)
    full = make()
    for prompt, response in zip(PROMPTS, together, strict=True):
        ids = TOKENIZER(prompt)["input_ids"] + response.token_ids
        logp = full(torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(ids) - len(response.token_ids)
        expected = [logp[t - 1, ids[t]].item() for t in range(start, len(ids))]
        assert response.logprobs == pytest.approx(expected, abs=1e-4)


def test_reward_model(make, tmp_path):
    model = GPT2RewardModel(make())
    ids = torch.tensor([ROWS[0][0] + ROWS[0][1]])
    hidden = make().base_model(ids).last_hidden_state[0, -1]
    head = model.reward_head
    assert score_ids(model, ROWS)[0].item() == pytest.approx(
        F.linear(hidden, head.weight, head.bias).item(), abs=1e-5
    )
    history = train_reward_model(model, TOKENIZER, make_pairs(128), FAST).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"] and history[-1]["accuracy"] > 0.8
    again = GPT2RewardModel.load(model.save(tmp_path / "reward_model"))
    assert torch.equal(score(again, TOKENIZER, ["w1"], ["w3"]), score(model, TOKENIZER, ["w1"], ["w3"]))


def test_logprob_features_need_a_tied_head(make):
    if make().config.tie_word_embeddings:
        model = GPT2RewardModel(make(), logprob_features=True)
        assert len(train_reward_model(model, TOKENIZER, make_pairs(32), FAST).history) == 2
        assert model.logprob_weights.abs().min() > 0
    else:
        with pytest.raises(ValueError, match="tied"):
            GPT2RewardModel(make(), logprob_features=True)


@pytest.mark.parametrize("kind", ["full", "lora", "critic"])
def test_two_steps_of_ppo(make, kind):
    """Ratio one at the first mini-batch: sampler, old and new policy are the same function on padded rows."""
    policy = attach_lora(make()) if kind == "lora" else make()
    trainer = make_trainer(
        policy=policy,
        reference=None if kind == "lora" else make(),
        critic=GPT2RewardModel(make()) if kind == "critic" else None,
        learning_rate=1e-3,
    )
    before = [p.detach().clone() for p in trainer.policy_parameters]
    first, second = trainer.train()
    assert first["first_ratio_error"] < 1e-5 and second["first_ratio_error"] < 1e-5
    assert first["kl"] == pytest.approx(0, abs=1e-5) and second["kl_k3"] > 0
    assert any(not torch.equal(old, new) for old, new in zip(before, trainer.policy_parameters, strict=True))


@pytest.mark.parametrize("lora", [False, True])
def test_dpo(make, lora):
    model = attach_lora(make()) if lora else make()
    settings = DPOSettings(
        learning_rate=1e-2, batch_size=8, learning_rate_schedule="constant", precision="fp32"
    )
    history = train_dpo(model, None, TOKENIZER, make_pairs(32), settings).history
    assert history[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
