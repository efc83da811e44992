"""NF4, int8, packing, the quantised layer, adapters on top of it, and what all of it weighs."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from src.models import ModelError, attach_lora, count_parameters, fresh_copy
from src.quantization import (
    BLOCK,
    CODE_BOOK,
    LoRAConv1D,
    NF4Conv1D,
    attach_adapters,
    dequantize_int8,
    dequantize_nf4,
    memory_report,
    merge_adapters,
    nf4_code_book,
    pack,
    quantize_int8,
    quantize_model,
    quantize_nf4,
    rounded_copy,
    stored_bytes,
    unpack,
)

# The NF4 values as published (arXiv 2305.14314, appendix E).
PUBLISHED = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
             -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
             0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
             0.7229568362236023, 1.0]  # fmt: skip
HALF_WIDEST_GAP = float((CODE_BOOK[1:] - CODE_BOOK[:-1]).max()) / 2


def make_gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=40,
        n_positions=32,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
    )
    return GPT2LMHeadModel(config).eval()


def make_conv(nx=32, nf=48):
    torch.manual_seed(1)
    conv = Conv1D(nf, nx)
    nn.init.normal_(conv.weight, std=0.3)
    nn.init.normal_(conv.bias)
    return conv


def random_weight(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def train_a_little(model):
    """Adapters as training leaves them: no B is zero any more."""
    generator = torch.Generator().manual_seed(2)
    for layer in model.modules():
        if isinstance(layer, LoRAConv1D):
            layer.B.data = torch.randn(layer.B.shape, generator=generator) * 0.3
    return model


@pytest.fixture
def ids():
    return torch.randint(0, 40, (3, 11), generator=torch.Generator().manual_seed(0))


# --- Numbers ---------------------------------------------------------------------------------------------------


def test_derived_code_book_is_the_published_one():
    torch.testing.assert_close(nf4_code_book(), torch.tensor(PUBLISHED), atol=1e-6, rtol=0)
    assert nf4_code_book()[7] == 0 and nf4_code_book()[0] == -1 and nf4_code_book()[15] == 1


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_packing_is_lossless_with_two_codes_a_byte(count):
    codes = torch.randint(0, 16, (count,), generator=torch.Generator().manual_seed(count))
    packed = pack(codes)
    assert packed.dtype == torch.uint8 and packed.numel() == (count + 1) // 2
    assert torch.equal(unpack(packed, torch.arange(16.0))[:count], codes.float())


def test_the_first_code_is_in_the_high_half():
    assert pack(torch.tensor([1, 2])).item() == 0x12


@pytest.mark.parametrize("shape", [(32, 96), (5, 7), (1, 64), (3, 1000)])
def test_nf4_error_is_within_half_the_widest_gap(shape):
    weight = random_weight(*shape)
    error = (dequantize_nf4(quantize_nf4(weight, double=False)) - weight).abs()
    flat = torch.nn.functional.pad(error.flatten(), (0, -error.numel() % BLOCK)).view(-1, BLOCK)
    scales = (
        torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK).abs().amax(1)
    )
    assert (flat.amax(1) <= HALF_WIDEST_GAP * scales * (1 + 1e-5)).all()
    assert flat.max() > 0  # four bits cannot be exact here


def test_double_quantisation_adds_at_most_the_error_of_the_scales():
    weight = random_weight(64, 512)
    single, double = quantize_nf4(weight, double=False), quantize_nf4(weight)
    scales = dequantize_int8(double.scales) + double.mean
    off = (scales - single.scales).abs()
    half_step = (single.scales - single.scales.mean()).view(-1, 256).abs().amax(1) / 254
    assert (off.view(-1, 256) <= half_step[:, None] * (1 + 1e-4)).all()
    error = (dequantize_nf4(double) - weight).abs().view(-1, BLOCK).amax(1)
    assert (error <= HALF_WIDEST_GAP * single.scales + off + 1e-6).all()


def test_values_that_are_codes_survive_exactly():
    weight = (nf4_code_book().repeat(8) * 0.5).view(2, 64)
    assert torch.equal(dequantize_nf4(quantize_nf4(weight, double=False)), weight)


def test_zeros_stay_zeros():
    weight = torch.zeros(2, 128)
    assert torch.equal(dequantize_nf4(quantize_nf4(weight)), weight)
    assert torch.equal(dequantize_int8(quantize_int8(weight)), weight.flatten())


def test_an_outlier_spoils_only_its_own_block():
    weight = random_weight(4, BLOCK)
    spoiled = weight.clone()
    spoiled[2, 5] = 1000.0
    before, after = (dequantize_nf4(quantize_nf4(w, double=False)) for w in (weight, spoiled))
    assert torch.equal(before[[0, 1, 3]], after[[0, 1, 3]])
    assert (after[2] == 0).sum() > BLOCK / 2


def test_int8_error_is_within_half_a_step():
    weight = random_weight(9, 100)
    q = quantize_int8(weight)
    error = (dequantize_int8(q) - weight.flatten()).abs()
    limit = q.scales.repeat_interleave(BLOCK)[: error.numel()] / 254
    assert (error <= limit * (1 + 1e-4)).all()


def test_nf4_beats_evenly_spaced_codes_on_normal_weights():
    weight = random_weight(256, 256)
    even = quantize_nf4(weight, code_book=torch.linspace(-1, 1, 16))
    errors = [(dequantize_nf4(q) - weight).square().mean() for q in (quantize_nf4(weight), even)]
    assert errors[0] < 0.9 * errors[1]


def test_weights_that_are_not_finite_are_refused_by_name():
    with pytest.raises(ValueError, match="1 values are not finite"):
        quantize_nf4(torch.tensor([[1.0, float("nan")]]))
    model = make_gpt2()
    model.transformer.h[1].mlp.c_fc.weight.data[0, 0] = float("inf")
    with pytest.raises(ModelError, match=r"transformer\.h\.1\.mlp\.c_fc.*not finite"):
        quantize_model(model)


def test_codes_and_scales_are_those_of_bitsandbytes():
    functional = pytest.importorskip(
        "bitsandbytes.functional",
        reason="bitsandbytes is not a requirement; it is only a second opinion here",
    )
    weight = random_weight(192, 256)
    packed, state = functional.quantize_4bit(
        weight, blocksize=BLOCK, quant_type="nf4", compress_statistics=False
    )
    ours = quantize_nf4(weight, double=False)
    assert torch.equal(state.absmax, ours.scales)
    assert (
        packed.flatten() != ours.codes
    ).sum() <= 1  # code books differ by 2e-7: a weight on a border may flip
    theirs = functional.dequantize_4bit(packed, state)
    same = (packed.flatten() == ours.codes).repeat_interleave(2).view(192, 256)
    torch.testing.assert_close(dequantize_nf4(ours)[same], theirs[same], atol=1e-5, rtol=0)


# --- Layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [True, False])
def test_layer_and_gradient_equal_those_of_the_dense_dequantised_layer(double):
    conv = make_conv()
    layer = NF4Conv1D(conv, double)
    dense = fresh_copy(conv)
    dense.weight.data = dequantize_nf4(quantize_nf4(conv.weight, double))
    torch.testing.assert_close(layer.dequantized(), dense.weight.data)
    x = random_weight(2, 5, 32).requires_grad_()
    y = x.detach().clone().requires_grad_()
    torch.testing.assert_close(layer(x), dense(y))
    layer(x).square().sum().backward()
    dense(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    assert all(not parameter.requires_grad for parameter in layer.parameters())


def test_autograd_keeps_no_dense_weight():
    layer, saved = NF4Conv1D(make_conv(256, 512)), []
    x = random_weight(2, 256).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        layer(x)
    assert max(saved, default=0) < 256 * 512


def test_layer_follows_autocast():
    layer = NF4Conv1D(make_conv())
    x = random_weight(4, 32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and x.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), layer(x), atol=0.1, rtol=0.02)


def test_quantised_layer_survives_a_state_dict():
    layer, other = NF4Conv1D(make_conv()), NF4Conv1D(Conv1D(48, 32))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.dequantized(), layer.dequantized())


# --- Models ----------------------------------------------------------------------------------------------------


def test_quantised_model_computes_with_the_rounded_weights(ids):
    model = make_gpt2()
    rounded = rounded_copy(model, lambda weight: dequantize_nf4(quantize_nf4(weight)))
    quantised = quantize_model(fresh_copy(model))
    torch.testing.assert_close(quantised(ids).logits, rounded(ids).logits)
    assert not torch.allclose(quantised(ids).logits, model(ids).logits, atol=1e-4)
    assert not any(isinstance(module, Conv1D) for module in quantised.modules())
    assert count_parameters(quantised).trainable == 0


def test_fresh_adapters_change_nothing(ids):
    model = quantize_model(make_gpt2())
    before = model(ids).logits
    assert torch.equal(attach_adapters(model)(ids).logits, before)


def test_adapters_have_the_size_and_places_that_peft_gives_them():
    ours = attach_adapters(quantize_model(make_gpt2()), r=4, alpha=8)
    theirs = attach_lora(make_gpt2(), r=4, alpha=8)
    assert count_parameters(ours).trainable == count_parameters(theirs).trainable
    places = {name for name, module in ours.named_modules() if isinstance(module, LoRAConv1D)}
    assert places == {
        f"transformer.h.{i}.{part}" for i in (0, 1) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_proj")
    }


def test_same_adapter_weights_same_function_as_peft(ids):
    model = make_gpt2()
    theirs = attach_lora(fresh_copy(model), r=4, alpha=8)
    for name, module in model.named_modules():
        if isinstance(module, Conv1D) and name.endswith(("c_attn", "c_proj")):
            model.set_submodule(name, LoRAConv1D(module, r=4, alpha=8))
    train_a_little(model)
    ours = {name: module for name, module in model.named_modules() if isinstance(module, LoRAConv1D)}
    for name, module in theirs.get_base_model().named_modules():
        if name in ours:
            module.lora_A["default"].weight.data = ours[name].A.data.T.clone()
            module.lora_B["default"].weight.data = ours[name].B.data.T.clone()
    torch.testing.assert_close(model(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-5)


def test_only_adapters_train_and_they_learn(ids):
    model = attach_adapters(quantize_model(make_gpt2()), r=4, alpha=8)
    frozen = {name: t.clone() for name, t in model.state_dict().items() if not name.endswith((".A", ".B"))}
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=3e-2)
    losses = []
    for _ in range(40):
        loss = model(ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.4
    assert all(torch.equal(model.state_dict()[name], t) for name, t in frozen.items())


def test_merged_model_is_plain_and_computes_the_same(ids):
    model = train_a_little(attach_adapters(quantize_model(make_gpt2()), r=4, alpha=8))
    with torch.no_grad():
        before = model(ids).logits
        merged = merge_adapters(model)
        torch.testing.assert_close(merged(ids).logits, before, atol=1e-5, rtol=1e-5)
        assert torch.equal(model(ids).logits, before)  # untouched
    assert merged.state_dict().keys() == make_gpt2().state_dict().keys()
    assert all(parameter.requires_grad for parameter in merged.parameters())


def test_merging_into_the_base_adds_the_update_to_full_precision_weights():
    base = make_gpt2()
    model = train_a_little(attach_adapters(quantize_model(make_gpt2()), r=4, alpha=8))
    merged = merge_adapters(model, base)
    wrapped = model.transformer.h[0].mlp.c_proj
    expected = base.transformer.h[0].mlp.c_proj.weight + wrapped.update()
    torch.testing.assert_close(merged.transformer.h[0].mlp.c_proj.weight.data, expected.data)
    assert torch.equal(merged.transformer.h[0].mlp.c_fc.weight, base.transformer.h[0].mlp.c_fc.weight)


def test_what_cannot_be_adapted_is_named():
    with pytest.raises(ModelError, match="q_proj"):
        attach_adapters(quantize_model(make_gpt2()), target_modules=["q_proj"])
    with pytest.raises(ModelError, match="no NF4Conv1D layer"):
        attach_adapters(make_gpt2())
    with pytest.raises(ModelError, match="no Conv1D layer"):
        quantize_model(nn.Sequential(nn.Linear(4, 4)))


# --- Memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
def test_report_from_shapes_is_what_is_stored(double):
    model = make_gpt2()
    report = memory_report(model)[-1]
    assert report["part"] == "all" and report["fp32"] == stored_bytes(model)
    assert report["nf4_double" if double else "nf4"] == stored_bytes(quantize_model(model, double))


def test_gpt2_becomes_as_small_as_promised():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    report = {row["part"]: row for row in memory_report(model)}
    assert report["all"]["parameters"] == 124_439_808
    assert report["matrices"]["parameters"] == 84_934_656
    assert report["matrices"]["nf4_double"] <= 0.15 * report["matrices"]["fp32"]
    assert report["all"]["nf4_double"] <= 0.42 * report["all"]["fp32"]
    assert report["matrices"]["nf4_double"] < report["matrices"]["nf4"] < report["matrices"]["int8"]
