"""P-tuning: virtual tokens anywhere, the LSTM gate by gate, and what remains when the encoder is dropped."""

import math

import pytest
import torch
from helpers.laws import batch_for, new_model
from helpers.models import FAMILIES, SLOW_LLAMA
from helpers.scrambling import scramble
from helpers.word_models import make_tiny_gpt, make_tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.p_tuning import LSTMEncoder, MLPEncoder, PTuning
from minipeft.methods.registry import METHODS
from minipeft.training.batches import encode_source
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


@torch.no_grad()
@families
def test_virtual_tokens_with_the_vectors_of_words_are_these_words(family):
    """Before, between and behind anchors and the source, bit for bit."""
    words = iter([8, 3, 30, 17])
    model, method = new_model(family), PTuning(template="[V] 5 [V] {source} [V] 6 [V]", encoder="none")
    method.attach(model)
    (table,) = method.named_parameters().values()
    table.copy_(model.embedding.weight[[8, 3, 30, 17]])
    batch = batch_for(method)
    assert batch.source[0, :4].tolist()[::2] == [37, 38] and batch.source[0, 1] == 5
    got = model(batch), model.generate(batch, 6)
    method.detach()
    for virtual in range(4):
        batch.source[batch.source == 37 + virtual] = next(words)
    assert torch.equal(got[0], model(batch))
    assert got[1] == model.generate(batch, 6)


@pytest.mark.parametrize("make", [make_tiny_t5, make_tiny_gpt])
def test_a_template_may_take_a_pair_apart_around_anchor_words(make):
    model, method = make(), PTuning(template="{second} and [V] the {first} [V]")
    method.attach(model)
    encode = model.tokenizer.encode
    model.tokenizer.encode = lambda text: encode(text.replace("|", "a"))
    expected = [*encode("fox is red and"), 40, *encode("the owl"), 41, *model.source_suffix]
    assert encode_source(model, "owl | fox is red") == expected
    with pytest.raises(UserError, match="the source no"):
        encode_source(model, "owl")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_lstm_computes_in_its_own_type_under_autocast(dtype):
    """In 16 bits it stops on a CPU without AVX-512, where the linear layers behind it do not."""
    torch.manual_seed(1)
    encoder, seen = LSTMEncoder(4, 6).to(dtype), []
    expected, _ = encoder.lstm(encoder.positions)
    encoder.lstm.register_forward_hook(lambda lstm, inputs, output: seen.append(output[0]))
    with torch.autocast("cpu", torch.bfloat16):
        encoder().float().sum().backward()
    assert torch.equal(seen[0], expected) and seen[0].dtype is dtype
    assert all(weight.grad.any() for weight in encoder.parameters())


def lstm_by_hand(lstm, rows, layer, direction):
    """One direction of one layer, one gate at a time; the last position first where `direction` is _reverse."""
    inner, outer, inner_bias, outer_bias = (
        getattr(lstm, f"{name}_l{layer}{direction}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    size, order, states = lstm.hidden_size, range(len(rows)), {}
    state = cell = torch.zeros(size, dtype=torch.float64)
    for position in reversed(order) if direction else order:
        gates = inner @ rows[position] + inner_bias + outer @ state + outer_bias
        write, keep, new, show = gates.split(size)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
        state = torch.sigmoid(show) * torch.tanh(cell)
        states[position] = state
    return [states[position] for position in order]


@torch.no_grad()
@pytest.mark.parametrize("hidden, half", [(6, 3), (7, 4)])  # an odd size rounds each direction up
def test_the_lstm_encoder_reads_the_virtual_tokens_from_both_sides(hidden, half):
    torch.manual_seed(2)
    encoder = LSTMEncoder(5, hidden).double()
    rows = list(encoder.positions)
    for layer in range(2):
        both = zip(*(lstm_by_hand(encoder.lstm, rows, layer, way) for way in ("", "_reverse")), strict=True)
        rows = [torch.cat(pair) for pair in both]
    assert rows[0].shape == (2 * half,)
    inner = [(encoder.inner.weight @ row + encoder.inner.bias).clamp(min=0) for row in rows]
    expected = torch.stack([encoder.outer.weight @ row + encoder.outer.bias for row in inner])
    torch.testing.assert_close(encoder(), expected, atol=1e-12, rtol=1e-12)
    assert expected.shape == (5, hidden)


@torch.no_grad()
def test_the_mlp_encoder_is_three_layers_with_two_bends():
    torch.manual_seed(2)
    encoder = MLPEncoder(3, 6).double()
    rows = encoder.positions
    for linear in (encoder.first, encoder.second, encoder.third):
        rows = torch.stack([linear.weight @ row + linear.bias for row in rows])
        rows = rows if linear is encoder.third else rows * (rows > 0)
    torch.testing.assert_close(encoder(), rows, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@families
def test_what_is_stored_gives_the_outputs_that_were_evaluated_bit_for_bit(family, dtype, encoder):
    model, method = new_model(family, dtype), PTuning(encoder=encoder)
    method.attach(model.train())
    scramble(method)
    batch, state = batch_for(method), method.state_dict()  # with gradients, in training mode
    seen = model(batch)
    with torch.no_grad():
        evaluated = model.eval()(batch)
        assert torch.equal(method.state_dict()["embedding.prompt.table"], state["embedding.prompt.table"])
    method.finish()
    assert torch.equal(model(batch), evaluated) and torch.equal(seen, evaluated)
    assert method.named_parameters().keys() == state.keys() == {"embedding.prompt.table"}
    assert method.trained_count() == method.stored_count() == 6 * 12


def test_training_moves_the_encoder_of_the_docstring():
    d = 12
    for encoder, count in (("lstm", 14 * d * d + 18 * d), ("mlp", 3 * d * d + 3 * d), ("none", 0)):
        method = PTuning(encoder=encoder)
        method.attach(new_model("t5"))
        assert method.trained_count() == 6 * d + count
        assert method.stored_count() == 6 * d


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tune_backbone", [False, True])
def test_the_embedding_table_stays_within_reach_and_tied_to_the_head(family, tune_backbone):
    model = new_model(family)
    tied = model.head.weight is model.embedding.weight
    method = PTuning(tune_backbone=tune_backbone)
    method.attach(model)
    assert model.embedding.weight.shape == (37, 12)
    assert (model.head.weight is model.embedding.weight) == tied
    assert (model.head.weight.requires_grad, model.embedding.weight.requires_grad) == (tune_backbone,) * 2
    stored = method.state_dict()
    assert len(stored) == (1 + len(list(FAMILIES[family]().parameters())) if tune_backbone else 1)


def test_a_start_without_an_encoder_has_the_size_of_the_models_embeddings():
    model = new_model("t5")
    with torch.no_grad():
        model.embedding.weight.mul_(0.01)
    method = PTuning(template="{source}" + 50 * "[V]", encoder="none")
    method.attach(model)
    (table,) = method.state_dict().values()
    assert 0.8 < float(table.std() / model.embedding.weight.std()) < 1.25


def test_each_way_of_training_has_a_rate_of_its_own_from_its_grid():
    ways = [
        PTuning(),
        PTuning(encoder="none"),
        PTuning(tune_backbone=True),
        PTuning(encoder="none", tune_backbone=True),
    ]
    assert all(way.suggested_learning_rate in way.learning_rate_grid for way in ways)
    assert [way.suggested_optimizer for way in ways] == ["adamw", "adafactor", "adamw", "adamw"]
    assert ways[0].suggested_learning_rate > ways[2].suggested_learning_rate == ways[3].suggested_learning_rate


@pytest.mark.parametrize("make", [make_tiny_t5, make_tiny_gpt])
@pytest.mark.parametrize("name", ["prefix_tuning", "infix_tuning", "embedding_prefix", "p_tuning", "p_tuning_v2"])
def test_trained_prompts_train_with_16_bit_arithmetic(make, name, tiny_task):
    model, method = make(), METHODS[name]()
    method.attach(model)
    before = method.training_state()
    result = fine_tune(model, method, tiny_task, TrainingSettings(steps=3, batch_size=4, dtype="bfloat16"))
    assert all(loss > 0 for loss in result.losses) and all(map(math.isfinite, result.losses))
    assert {p.dtype for p in method.named_parameters().values()} == {p.dtype for p in before.values()}


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"template": "{source} it was"}, "at least one .V."),
        ({"template": "[V][V]"}, "A template needs"),
        ({"encoder": "gru"}, "not 'gru'"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PTuning(**settings)
