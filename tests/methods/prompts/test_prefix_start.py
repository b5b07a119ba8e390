"""A prefix from real words: on one stack it is the same as reading these words, on a T5 it holds their keys."""

import pytest
import torch
from helpers.laws import Words
from helpers.models import FAMILIES, random_batch, tiny_gpt2, tiny_llama, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.infix_tuning import InfixTuning
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.transformer.attention import KeyValueCache

WORDS = [8, 3, 30]
IDS = [8, 3, 30, 8, 3]  # the words repeated to a prefix of 5


def from_words(model, kind=PrefixTuning, length=5, **changes):
    model.tokenizer = Words()
    method = kind(prefix_length=length, reparametrise=False, init="words", words="8 3 30", **changes)
    method.attach(model)
    return method


def place(path):
    """("decoder", "attention") of "decoder.blocks.0.attention.prefix.table"."""
    parts = path.split(".")
    return parts[0], parts[3]


ONE_STACK = {
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "qwen": lambda: tiny_llama(query_key_value_bias=True, query_key_norm=True),
}


@torch.no_grad()
@pytest.mark.parametrize("family", ONE_STACK)
@pytest.mark.parametrize("length", [2, 5])
def test_one_stack_with_a_prefix_from_words_is_the_model_that_reads_them_first(family, length):
    """So the text's positions begin behind the prefix, and a Llama's keys are turned as those of the words are."""
    model, batch, written = ONE_STACK[family]().double(), random_batch(), random_batch()
    rows = torch.tensor([IDS[:length]]).expand(len(batch), -1)
    written.source = torch.cat([rows, batch.source], dim=1)
    written.source_mask = torch.cat([torch.ones_like(rows, dtype=torch.bool), batch.source_mask], dim=1)
    expected = model(written), model.generate(written, 5)
    from_words(model, length=length)
    torch.testing.assert_close(model(batch), expected[0], atol=1e-10, rtol=1e-10)
    assert model.generate(batch, 5) == expected[1]


@torch.no_grad()
def test_a_t5_starts_from_the_keys_and_values_of_the_words_in_every_layer():
    model = tiny_t5().double()
    vectors, mask = model.embedding(torch.tensor([IDS])), torch.ones(1, 5, dtype=torch.bool)
    encoder_keys, hidden = [], vectors
    for block in model.encoder.blocks:
        normed = block.attention_norm(hidden)
        encoder_keys.append(torch.stack([block.attention.key(normed)[0], block.attention.value(normed)[0]]))
        hidden = block(hidden, model.encoder.positions(5, 5))
    caches = [[KeyValueCache(), KeyValueCache()] for _ in model.decoder.blocks]
    model.decoder(vectors, mask, *model.encoder(vectors, mask), caches=caches)
    state = from_words(model).state_dict()
    heads_apart = torch.stack(encoder_keys).view(2, 2, 5, 3, 5).transpose(2, 3)  # (layers, 2, heads, prefix, head)
    torch.testing.assert_close(state["encoder.blocks.0.attention.prefix.table"], heads_apart)
    for number, place in enumerate(("attention", "cross_attention")):
        expected = torch.stack([torch.cat([cache[number].key, cache[number].value]) for cache in caches])
        torch.testing.assert_close(state[f"decoder.blocks.0.{place}.prefix.table"], expected)


@pytest.mark.parametrize("kind", [InfixTuning, PTuningV2])
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_infix_and_chosen_layers_start_from_the_same_activations(kind, family):
    options = {"depth": 2} if kind is PTuningV2 else {}
    whole = {place(path): table for path, table in from_words(FAMILIES[family]()).state_dict().items()}
    part = from_words(FAMILIES[family](), kind, **options).state_dict()
    assert len(part) == (1 if family == "gpt2" else 2 if kind is InfixTuning else 3)
    for path, table in part.items():
        top = whole[place(path)][-len(table) :]  # the two top layers of P-tuning v2
        torch.testing.assert_close(table, top)


def test_words_are_read_without_dropout_and_every_module_keeps_its_mode():
    plain, model = tiny_gpt2(), tiny_gpt2(dropout=0.5)
    model.decoder.blocks[1].train()
    modes = {module: module.training for module in model.modules()}
    expected = from_words(plain).state_dict()
    got = from_words(model).state_dict()
    assert all(torch.equal(got[path], table) for path, table in expected.items())
    assert all(module.training == mode for module, mode in modes.items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"init": "words", "words": "3"}, "give reparametrise=False"),
        ({"init": "words", "reparametrise": False}, "go together"),
        ({"words": "3", "reparametrise": False}, "go together"),
        ({"init": "zeros"}, "not 'zeros'"),
    ],
)
def test_starts_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PrefixTuning(**settings)


def test_words_without_a_tokenizer_or_without_a_token_are_refused():
    model = tiny_t5()
    with pytest.raises(UserError, match="no tokenizer"):
        PrefixTuning(reparametrise=False, init="words", words="3").attach(model)
    model.tokenizer = Words()
    with pytest.raises(UserError, match="hold no token"):
        PrefixTuning(reparametrise=False, init="words", words="  ").attach(model)
