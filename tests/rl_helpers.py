"""A tokenizer of a few words and a random two-layer GPT-2: what the tests of notebook 07's modules run on."""

import torch
from peft import PeftModel
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src.ppo import PPOConfig, PPOTrainer

WORDS = [f"w{i}" for i in range(12)]
EOS = 0


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; pad = EOS = 0, as with GPT-2 there is no other id to pad with."""
    vocabulary = ["<eos>", "<unk>", "Human:", "Assistant:", "thanks", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", unk_token="<unk>"
    )


def tiny_model(seed: int = 0, dropout: float = 0.0, spread: float = 0.15) -> GPT2LMHeadModel:
    """Weights large enough (`spread`) that positions and context change the distribution visibly."""
    torch.manual_seed(seed)
    config = GPT2Config(
        attn_implementation="eager",  # what load_model chooses for a narrow model
        vocab_size=17,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=EOS,
        eos_token_id=EOS,
        initializer_range=spread,
        activation_function="gelu_pytorch_tanh",
        attn_pdrop=dropout,
        embd_pdrop=dropout,
        resid_pdrop=dropout,
    )
    return GPT2LMHeadModel(config).eval()


PROMPTS = ["w1", "w2 w3 w4 w5 w6", "w7 w8", "w9 w1 w2"]


def count_word(word: str):
    """A reward: the share of `word` among the words of a response."""

    def reward(prompts, responses, ended):
        return [text.split().count(word) / max(len(text.split()), 1) for text in responses]

    return reward


def make_trainer(
    reward=None, policy=None, reference=None, prompts=PROMPTS, critic=None, **settings
) -> PPOTrainer:
    """A trainer on the tiny model. Its reference is the same random model, or a LoRA policy without its adapter."""
    settings = {"batch_size": 8, "mini_batch_size": 4, "steps": 2, "max_new_tokens": 6, **settings}
    if critic is not None:
        settings["critic"] = "reward"
    if reference is None and not isinstance(policy, PeftModel):
        reference = tiny_model()
    return PPOTrainer(
        tiny_model() if policy is None else policy,
        reference,
        reward or count_word("w3"),
        tiny_tokenizer(),
        prompts,
        PPOConfig(**settings),
        critic=critic,
    )
