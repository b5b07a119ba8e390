"""The tests of chapter 06. Oracles: loops over single queries, models that are run, and minipeft's own prefixes."""

import math
from functools import cache, partial

import torch
from torch import nn

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.prompts.embedding_prefix import EmbeddingPrefix
from minipeft.methods.prompts.infix_tuning import InfixTuning
from minipeft.methods.prompts.prefix_tuning import PrefixedAttention, PrefixNetwork, PrefixTable, PrefixTuning
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.transformer.attention import Attention
from minipeft.transformer.batch import Batch
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

LOWEST = torch.finfo(torch.float32).min


def numbers(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def one_query(query, keys, values, added):
    """One query over a list of keys and values, with a number added to each score: a softmax by hand, in float64."""
    scores = [float(query.double() @ key.double()) + float(more) for key, more in zip(keys, added, strict=True)]
    sizes = [math.exp(score - max(scores)) for score in scores]
    whole = sum(size * value.double() for size, value in zip(sizes, values, strict=True))
    return (whole / sum(sizes)).float()


def for_tasks_by_loops(query, key, value, bias, prefix_keys, prefix_values, task):
    found = torch.zeros_like(query)
    for row, number in enumerate(task.tolist()):
        for head in range(query.shape[1]):
            keys = [*prefix_keys[number][head], *key[row, head]]
            values = [*prefix_values[number][head], *value[row, head]]
            for target in range(query.shape[2]):
                added = [0.0] * len(prefix_keys[number][head]) + bias[row, head, target].tolist()
                found[row, head, target] = one_query(query[row, head, target], keys, values, added)
    return found


def batch_of(rows, heads=3, targets=4, sources=5, head=2, seed=1):
    """query, key, value, bias"""
    shapes = ((rows, heads, targets, head), (rows, heads, sources, head), (rows, heads, sources, head),
              (rows, heads, targets, sources))  # fmt: skip
    return [numbers(*shape, seed=seed + i) for i, shape in enumerate(shapes)]


def prefixes_of(lengths, heads=3, head=2, seed=30):
    """Keys and values of a prefix for each length."""
    return [[numbers(heads, n, head, seed=seed + 7 * part + i) for i, n in enumerate(lengths)] for part in (0, 1)]


def attended(answers, batch, prefixes, task, holds, trained=(), tolerance=1e-5):
    query, key, value, bias = batch
    check(
        answers,
        lambda answers: answers.attend_for_tasks(query, key, value, bias, *prefixes, torch.tensor(task)),
        for_tasks_by_loops(query, key, value, bias, *prefixes, torch.tensor(task)),
        holds=holds,
        inputs={"query": query, "key": key, "bias": bias, "lengths": [p.shape[1] for p in prefixes[0]], "task": task},
        section="The mathematics",
        tolerance=tolerance,
        trained=trained,
    )


def test_attend_for_tasks_with_one_prefix_for_each_row(answers):
    holds = "row i has one softmax over the keys of prefix task[i] and of its own text"
    attended(answers, batch_of(2), prefixes_of((3, 3)), [1, 0], holds, trained=("prefix_keys", "prefix_values"))


def test_attend_for_tasks_with_prefixes_of_several_lengths(answers):
    holds = "rows of one task share its prefix, and nobody looks at places that fill up a shorter one"
    attended(answers, batch_of(5, seed=5), prefixes_of((4, 1, 7)), [2, 0, 2, 1, 0], holds)


def test_attend_for_tasks_where_a_task_has_no_prefix_and_texts_are_padded(answers):
    query, key, value, bias = batch_of(3, seed=9)
    bias[0, :, :, 4:] = bias[2, :, :, :2] = LOWEST
    holds = "the bias is for the text alone; a prefix of length 0 leaves attention as it was"
    attended(answers, (3 * query, key, value, bias), prefixes_of((2, 0)), [0, 1, 0], holds)


def test_attend_for_tasks_where_scores_are_large(answers):
    query, key, value, bias = batch_of(2, seed=15)
    holds = "a softmax is exact for scores of any size"
    attended(answers, (60 * query, key, value, bias), prefixes_of((3, 1)), [1, 0], holds, tolerance=1e-3)


def test_attend_for_tasks_is_the_librarys_prefix_where_all_rows_have_one_task(answers):
    attention, (keys, values) = Attention(6, heads=3, head_size=2), prefixes_of((4, 5))
    for seed, linear in enumerate((attention.query, attention.key, attention.value)):
        linear.weight.data = numbers(6, 6, seed=seed)
    attention.output.weight.data = torch.eye(6)
    x, bias = numbers(2, 5, 6, seed=50), numbers(2, 3, 5, 5, seed=51)
    layer = PrefixedAttention(attention, PrefixTable(torch.stack([keys[1], values[1]])[None]), 0)
    with torch.no_grad():
        query, key, value = attention.project(x)
        expected = layer(x, bias=bias).view(2, 5, 3, 2).transpose(1, 2)
    check(
        answers,
        lambda answers: answers.attend_for_tasks(query, key, value, bias, keys, values, torch.tensor([1, 1])),
        expected,
        holds="the same outputs as minipeft's PrefixedAttention",
        inputs={"query": query, "key": key, "bias": bias, "lengths": [4, 5], "task": [1, 1]},
        section="The code",
    )


NETWORK = {"e": (7, 6), "w_1": (8, 6), "b_1": (8,), "w_2": (5 * 2 * 3 * 4, 8), "b_2": (5 * 2 * 3 * 4,)}
PARTS = {name: numbers(*shape, seed=60 + i) for i, (name, shape) in enumerate(NETWORK.items())}


def test_stored_table_of_one_position_worked_by_hand(answers):
    # inner = tanh(0.5 * 2 - 1) = 0, so the outputs are b_2: layer 0: key, value; layer 1: key, value; two heads of 1
    parts = [torch.tensor([[2.0]]), torch.tensor([[0.5]]), torch.tensor([-1.0]), torch.ones(8, 1), torch.arange(8.0)]
    check(
        answers,
        lambda answers: answers.stored_table(*parts, 2, 2),
        torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]])[..., None, None],
        holds="the outputs of a position are key and value of the first layer, then of the second, head after head",
        inputs={"e": 2.0, "w_1": 0.5, "b_1": -1.0, "b_2": parts[4], "layers": 2, "heads": 2},
        section="The mathematics",
    )


def test_stored_table_of_many_positions_is_that_of_loops(answers):
    parts = {name: part.double().tolist() for name, part in PARTS.items()}
    expected = torch.zeros(5, 2, 3, 7, 4)
    for place, one in enumerate(parts["e"]):
        inner = [math.tanh(sum(w * x for w, x in zip(row, one, strict=True)) + b)
                 for row, b in zip(parts["w_1"], parts["b_1"], strict=True)]  # fmt: skip
        flat = iter(sum(w * x for w, x in zip(row, inner, strict=True)) + b
                    for row, b in zip(parts["w_2"], parts["b_2"], strict=True))  # fmt: skip
        for layer in range(5):
            for part in range(2):
                for head in range(3):
                    for number in range(4):
                        expected[layer, part, head, place, number] = next(flat)
    check(
        answers,
        lambda answers: answers.stored_table(*PARTS.values(), 5, 3),
        expected,
        holds="W_2 tanh(W_1 e + b_1) + b_2 for each position, its outputs by layer, key or value, head, number",
        inputs={**PARTS, "layers": 5, "heads": 3},
        section="The mathematics",
        trained=tuple(NETWORK),
    )


def test_stored_table_is_the_librarys_with_a_map_for_each_layer(answers):
    network = PrefixNetwork(5, 3, 7, 4, 6, 8)
    with torch.no_grad():
        network.positions.copy_(PARTS["e"])
        network.inner.weight.copy_(PARTS["w_1"])
        network.inner.bias.copy_(PARTS["b_1"])
        for layer, (weight, bias) in enumerate(zip(PARTS["w_2"].chunk(5), PARTS["b_2"].chunk(5), strict=True)):
            network.outer[layer].weight.copy_(weight)
            network.outer[layer].bias.copy_(bias)
        expected = network.table_now()
    check(
        answers,
        lambda answers: answers.stored_table(*PARTS.values(), 5, 3),
        expected,
        holds="the same table as minipeft's PrefixNetwork, whose last maps are cut from w_2",
        inputs={**PARTS, "layers": 5, "heads": 3},
        section="The code",
    )


def causal_stack(layers, seed=70, heads=3, head=2, width=5):
    """w_q, w_k, w_v, w_o, a list of a tensor for each layer each: small ones, so that no score hangs on rounding."""
    shapes = [(heads, head, width)] * 3 + [(heads, width, head)]
    return [
        [0.4 * numbers(*shape, seed=seed + 10 * part + n) for n in range(layers)] for part, shape in enumerate(shapes)
    ]


def read_by_loops(vectors, stack, table=None):
    """Each vector through all layers in turn, behind a prefix where there is a table: the outputs, and all that was
    looked at, (layers, 2, heads, places, head)."""
    hidden, seen = list(vectors), []
    for layer, (w_q, w_k, w_v, w_o) in enumerate(zip(*stack, strict=True)):
        keys = [[] if table is None else list(table[layer, 0, i]) for i in range(len(w_q))]
        values = [[] if table is None else list(table[layer, 1, i]) for i in range(len(w_q))]
        after = []
        for x in hidden:
            y = x
            for i in range(len(w_q)):
                keys[i].append(w_k[i] @ x)
                values[i].append(w_v[i] @ x)
                y = y + w_o[i] @ one_query(w_q[i] @ x, keys[i], values[i], [0.0] * len(keys[i]))
            after.append(y)
        seen.append(torch.stack([torch.stack([torch.stack(one) for one in part]) for part in (keys, values)]))
        hidden = after
    return torch.stack(hidden), torch.stack(seen)


def told_of(prompt, stack):
    return {"prompt": prompt, "w_q": f"{len(stack[0])} layers of {tuple(stack[0][0].shape)}"}


def test_prefix_of_prompt_in_one_layer_is_its_keys_and_values(answers):
    prompt, stack = numbers(4, 5, seed=80), causal_stack(1)
    check(
        answers,
        lambda answers: answers.prefix_of_prompt(prompt, *stack),
        read_by_loops(prompt, stack)[1],
        holds="in a single layer the prefix is W_k and W_v times the prompt's vectors",
        inputs=told_of(prompt, stack),
        section="The mathematics",
        trained=("prompt",),
    )


def test_prefix_of_prompt_in_deeper_layers_holds_what_the_prompt_has_become(answers):
    prompt, stack = numbers(6, 5, seed=81), causal_stack(3, seed=90)
    check(
        answers,
        lambda answers: answers.prefix_of_prompt(prompt, *stack),
        read_by_loops(prompt, stack)[1],
        holds="each layer has keys and values of the prompt's vectors as they are there, having read those before them",
        inputs=told_of(prompt, stack),
        section="The mathematics",
        tolerance=1e-4,
        trained=("prompt",),
    )


def test_prefix_of_prompt_where_scores_are_large(answers):
    prompt, (w_q, *others) = numbers(4, 5, seed=84), causal_stack(2, seed=170)
    stack = [100 * part for part in w_q], *others
    check(
        answers,
        lambda answers: answers.prefix_of_prompt(prompt, *stack),
        read_by_loops(prompt, stack)[1],
        holds="a softmax is exact for scores of any size",
        inputs=told_of(prompt, stack),
        section="The mathematics",
        tolerance=1e-3,
    )


def test_prefix_of_prompt_gives_the_text_what_the_prompt_gave_it(answers):
    prompt, text, stack = 2 * numbers(3, 5, seed=82), numbers(4, 5, seed=83), causal_stack(4, seed=130)
    check(
        answers,
        lambda answers: read_by_loops(text, stack, answers.prefix_of_prompt(prompt, *stack))[0],
        read_by_loops(torch.cat([prompt, text]), stack)[0][3:],
        holds="the text has the same outputs behind the prefix as behind the prompt",
        inputs={**told_of(prompt, stack), "text": text},
        section="The mathematics",
        tolerance=1e-3,
    )


@cache
def counted() -> dict[str, int]:
    """The counts of minipeft's methods with 8 layers: those with one, and 7 times what the second layer adds."""
    one, two = counted_with(1), counted_with(2)
    return {name: one[name] + 7 * (two[name] - one[name]) for name in one}


def counted_with(layers: int) -> dict[str, int]:
    """Counts on a T5 v1.1 small, but for its vocabulary and feed-forward layers, which do not count here.

    "step" are the multiplications of a step with a prefix, less those without.
    """
    config = EncoderDecoderConfig(9, 512, 6, 64, 8, encoder_layers=layers, decoder_layers=layers)
    model, found = EncoderDecoder(config), {}
    made = {
        "moved": PrefixTuning(24, inner=700),
        "infix": InfixTuning(24, reparametrise=False),
        "embedding": EmbeddingPrefix(24, reparametrise=False),
        "stored": PrefixTuning(24, reparametrise=False),
    }
    plain = multiplications_of_a_step(model)
    for name, method in made.items():
        method.attach(model)
        found[name] = method.trained_count()
        if name == "stored":
            found["step"] = multiplications_of_a_step(model) - plain
        method.detach()
    return found


def multiplications_of_a_step(model) -> int:
    """Multiplications of all attention layers for scores and means, while one token is written: by their shapes."""
    found, layers = [], [module for module in model.modules() if isinstance(module, Attention)]

    def attend(layer, query, key, value, bias=None):
        batch, heads, targets, head = query.shape
        found.append(2 * batch * heads * targets * key.shape[2] * head)
        return Attention.attend(layer, query, key, value, bias)

    source, token = torch.ones(1, 40, dtype=torch.long), torch.ones(1, 1, dtype=torch.long)
    with torch.no_grad():
        _, state = model.prefill(Batch(source, source.bool()))
        for layer in layers:
            layer.attend = partial(attend, layer)
        model.step(token, token.bool(), state)
    for layer in layers:
        del layer.attend
    return sum(found)


def count(answers, key, holds):
    check(
        answers,
        lambda answers: answers.COUNTS[key],
        counted()[key],
        holds=holds,
        inputs={"layers": "8 + 8", "width": 512, "heads": 6, "head": 64, "prefix": 24, "inner": 700},
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_counts_what_is_moved_and_what_is_stored(answers):
    count(answers, "moved", "for each of three kinds: e, W_1 and b_1 once, and a last map with a bias for every layer")
    count(answers, "stored", "for each of three kinds and each layer, a key and a value in every head and place")


def test_counts_what_an_infix_and_an_embedding_prefix_store(answers):
    count(answers, "infix", "the encoder's prefix is missing")
    count(answers, "embedding", "a vector as wide as the model for each place, before each of two stacks")


def test_counts_the_multiplications_of_a_step(answers):
    holds = "each place that is looked at takes heads * head for its score, and as many for its share in the mean"
    count(answers, "step", holds)


def states(model, words, run) -> torch.Tensor:
    """The hidden states of the words behind each layer that `run` passes through: (layers * words, width)."""
    found, stacks = [], {"decoder": model.decoder} | ({"encoder": model.encoder} if hasattr(model, "encoder") else {})
    hooks = [
        block.register_forward_hook(lambda _, inputs, output, name=name: found.append(output[0][words[name]]))
        for name, stack in stacks.items()
        for block in stack.blocks
    ]
    run()
    for hook in hooks:
        hook.remove()
    return torch.cat(found)


def changed(model, method, words, batch, change) -> int:
    """In how many states something changes when `change` has been made to the method's parameters."""
    torch.manual_seed(0)
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()
        before = states(model, words, lambda: model.loss(batch))
        change(method)
        after = states(model, words, lambda: model.loss(batch))
    method.detach()
    return int((before != after).any(-1).sum())


def numbers_of(length, first=5):
    ids = torch.arange(first, first + length)[None]
    return ids, torch.ones_like(ids, dtype=torch.bool)


def one_more(method, path: str | None, index) -> None:
    """Change one number of the parameter at `path`, or of the only one."""
    parameters = method.named_parameters()
    parameters[path or next(iter(parameters))][index] += 1


@cache
def reached() -> dict[str, int]:
    """What changes in small random models, in float64, when one number does."""
    torch.manual_seed(1)
    t5 = EncoderDecoder(EncoderDecoderConfig(100, 12, 3, 4, 16, encoder_layers=5, decoder_layers=4)).double().eval()
    gpt = DecoderOnly(DecoderOnlyConfig(100, 12, heads=3, layers=6, max_length=100)).double().eval()
    of_t5, of_gpt = (Batch(*numbers_of(source), *numbers_of(answer)) for source, answer in ((31, 53), (29, 47)))
    everything, found = {"encoder": slice(None), "decoder": slice(None)}, {}
    where = {
        "encoder, layer 2": ("encoder.blocks.0.attention", 1),
        "decoder, layer 2": ("decoder.blocks.0.attention", 1),
        "cross-attention, layer 3": ("decoder.blocks.0.cross_attention", 2),
    }
    for name, (path, layer) in where.items():
        value = partial(one_more, path=f"{path}.prefix.table", index=(layer, 1, 2, 4, 0))
        found[name] = changed(t5, PrefixTuning(6, reparametrise=False), everything, of_t5, value)
    prompt = partial(one_more, path=None, index=(2, 3))
    behind = {"encoder": slice(6, None), "decoder": slice(None)}
    found["prompt of the T5"] = changed(t5, PromptTuning(6, init="uniform"), behind, of_t5, prompt)
    value = partial(one_more, path="decoder.blocks.0.attention.prefix.table", index=(2, 1, 2, 4, 0))
    found["GPT, layer 3"] = changed(gpt, PrefixTuning(6, reparametrise=False), everything, of_gpt, value)
    behind = {"decoder": slice(6, None)}
    found["prompt of the GPT"] = changed(gpt, PromptTuning(6, init="uniform"), behind, of_gpt, prompt)
    infix = torch.arange(100, 103)[None]  # the ids behind the vocabulary
    source = torch.cat([of_gpt.source, infix], 1)
    batch = Batch(source, torch.ones_like(source, dtype=torch.bool), of_gpt.target, of_gpt.target_mask)
    words = {"decoder": [*range(29), *range(32, 32 + 47)]}
    value = partial(one_more, path=None, index=(2, 1, 2, 1, 0))
    found["infix of the GPT, layer 3"] = changed(gpt, InfixTuning(3, reparametrise=False), words, batch, value)
    return found


def reach(answers, key, holds):
    check(
        answers,
        lambda answers: answers.REACH[key],
        reached()[key],
        holds=holds,
        inputs={"T5": "5 + 4 layers, 31 and 53 words", "GPT": "6 layers, 29 + 47 words", "changed": key},
        section="The picture",
        tolerance=0,
        secret=True,
    )


def test_reach_of_the_prefixes_of_a_t5(answers):
    holds = "what a layer gives changes in that layer and all later ones; the decoder reads the encoder's output"
    for key in ("encoder, layer 2", "decoder, layer 2", "cross-attention, layer 3"):
        reach(answers, key, holds)


def test_reach_of_prompts_at_the_input(answers):
    reach(answers, "prompt of the T5", "what stands at the input changes every layer")
    reach(answers, "prompt of the GPT", "what stands before all words can be looked at by all")


def test_reach_of_prefix_and_infix_in_a_gpt(answers):
    reach(answers, "GPT, layer 3", "every word looks at a prefix")
    reach(answers, "infix of the GPT, layer 3", "a word looks at what stands before it, at nothing behind it")


SLOPE = torch.tensor([0.3, 1.1])


def pieces_by_loops(query, key, value, prefix_key, prefix_value):
    """The whole text at once, query by query: (batch, heads, length, head)."""
    found = torch.zeros_like(query)
    for row in range(len(query)):
        for head in range(query.shape[1]):
            for place in range(query.shape[2]):
                keys = [*prefix_key[head], *key[row, head, : place + 1]]
                values = [*prefix_value[head], *value[row, head, : place + 1]]
                taken = [0.0] * len(prefix_key[head]) + [-float(SLOPE[head]) * (place - n) for n in range(place + 1)]
                found[row, head, place] = one_query(query[row, head, place], keys, values, taken)
    return found


def in_pieces(answers, pieces, holds, seed, scale=1.0, tolerance=1e-5):
    query, key, value = (numbers(3, 2, sum(pieces), 4, seed=seed + i) for i in range(3))
    query = scale * query
    own_key, own_value = (numbers(2, 5, 4, seed=seed + 3 + i) for i in range(2))

    def run(answers):
        cache_, found, start = None, [], 0
        for size in pieces:
            new = [part[:, :, start : start + size] for part in (query, key, value)]
            given, cache_ = answers.attend_on(*new, own_key, own_value, SLOPE, cache_)
            found.append(given)
            start += size
        return {"outputs": torch.cat(found, 2), "keys": cache_[0], "values": cache_[1]}

    kept = [torch.cat([own.expand(3, -1, -1, -1), text], 2) for own, text in ((own_key, key), (own_value, value))]
    outputs = pieces_by_loops(query, key, value, own_key, own_value)
    check(
        answers,
        run,
        {"outputs": outputs, "keys": kept[0], "values": kept[1]},
        holds=holds,
        inputs={"query": f"pieces of {list(pieces)}", "prefix_key": own_key, "slope": SLOPE},
        section="The mathematics",
        tolerance=tolerance,
        trained=("prefix_key", "prefix_value"),
    )


def test_attend_on_reads_a_first_word(answers):
    in_pieces(answers, (1,), "the first word looks at the whole prefix and at itself", seed=200)


def test_attend_on_reads_a_text_at_once(answers):
    in_pieces(answers, (6,), "slope times the distance is taken off between places of the text, nothing at the prefix",
              seed=210)  # fmt: skip


def test_attend_on_reads_a_text_in_pieces(answers):
    in_pieces(answers, (2, 1, 3, 1), "pieces give what the whole text gives at once", seed=220)


def test_attend_on_where_scores_are_large(answers):
    in_pieces(answers, (3, 2), "a softmax is exact for scores of any size", seed=230, scale=40.0, tolerance=1e-3)


# Implementations for check_prefixed; most are `together` with one thing done otherwise.


def softmax_over(query, keys, values, looked_at):
    return (query @ keys.transpose(2, 3)).masked_fill(~looked_at[:, None, None], -torch.inf).softmax(-1) @ values


def before(prefix, text):
    """A prefix, the same for all rows, before what the text has."""
    return torch.cat([prefix.expand(len(text), -1, -1, -1), text], 2)


def together(query, key, value, mask, prefix_key, prefix_value, looks=True):
    keys, values = before(prefix_key, key), before(prefix_value, value)
    own = torch.full((len(key), prefix_key.shape[1]), looks)
    return softmax_over(query, keys, values, torch.cat([own, mask], 1))


def by_a_gate(query, key, value, mask, prefix_key, prefix_value):
    """Right: both outputs, mixed by the share that the prefix has of the softmax."""
    scores = (query @ key.transpose(2, 3)).masked_fill(~mask[:, None, None], LOWEST)  # a row may be padding alone
    own = query @ prefix_key.transpose(1, 2)
    share = torch.sigmoid(own.logsumexp(-1, keepdim=True) - scores.logsumexp(-1, keepdim=True))
    return (1 - share) * (scores.softmax(-1) @ value) + share * (own.softmax(-1) @ prefix_value)


def behind_the_text(query, key, value, mask, prefix_key, prefix_value):
    """Right: order does not matter, so the prefix may stand last."""
    keys, values = (
        before(own, text).roll(-own.shape[1], 2) for own, text in ((prefix_key, key), (prefix_value, value))
    )
    return softmax_over(query, keys, values, nn.functional.pad(mask, (0, prefix_key.shape[1]), value=True))


def row_by_row(query, key, value, mask, prefix_key, prefix_value):
    """Right: only real tokens are put together, one row at a time."""
    rows = []
    for row in range(len(query)):
        keys = torch.cat([prefix_key, key[row][:, mask[row]]], 1)
        values = torch.cat([prefix_value, value[row][:, mask[row]]], 1)
        rows.append((query[row] @ keys.transpose(1, 2)).softmax(-1) @ values)
    return torch.stack(rows)


def without_prefix(query, key, value, mask, prefix_key, prefix_value):
    return softmax_over(query, key, value, mask) + 0 * (prefix_key.sum() + prefix_value.sum())


def mask_on_the_wrong_side(query, key, value, mask, prefix_key, prefix_value):
    keys, values = before(prefix_key, key), before(prefix_value, value)
    return softmax_over(query, keys, values, nn.functional.pad(mask, (0, prefix_key.shape[1]), value=True))


def half_and_half(query, key, value, mask, prefix_key, prefix_value):
    own = (query @ prefix_key.transpose(1, 2)).softmax(-1) @ prefix_value
    return (softmax_over(query, key, value, mask) + own) / 2


def added(query, key, value, mask, prefix_key, prefix_value):
    own = (query @ prefix_key.transpose(1, 2)).softmax(-1) @ prefix_value
    return softmax_over(query, key, value, mask) + own


def first_row_alone(query, key, value, mask, prefix_key, prefix_value):
    rest = softmax_over(query[1:], key[1:], value[1:], mask[1:])
    return torch.cat([together(query[:1], key[:1], value[:1], mask[:1], prefix_key, prefix_value), rest])


def in_place_of_the_text(query, key, value, mask, prefix_key, prefix_value):
    count = prefix_key.shape[1]
    return together(query, key[:, :, count:], value[:, :, count:], mask[:, count:], prefix_key, prefix_value)


class RemembersThePrefix:
    """Its prefix is that of the first call; where the shapes do not fit, it crashes."""

    def __init__(self):
        self.kept = None

    def __call__(self, query, key, value, mask, prefix_key, prefix_value):
        self.kept = self.kept or (prefix_key, prefix_value)
        return together(query, key, value, mask, *self.kept)


def changes_the_mask(query, key, value, mask, prefix_key, prefix_value):
    found = together(query, key, value, mask.clone(), prefix_key, prefix_value)
    mask[:] = True
    return found


def overflows(query, key, value, mask, prefix_key, prefix_value):
    sizes = (query @ key.transpose(2, 3)).exp() * mask[:, None, None]
    own = (query @ prefix_key.transpose(1, 2)).exp()
    return (sizes @ value + own @ prefix_value) / (sizes.sum(-1, keepdim=True) + own.sum(-1, keepdim=True))


def wrong(change):
    """`together` of other arguments: what `change` makes of the prefix's keys and values."""
    return lambda query, key, value, mask, *prefix: together(query, key, value, mask, *change(*prefix))


RIGHT = {"prefix before the text": together, "prefix behind the text": behind_the_text, "a gate": by_a_gate,
         "only the real tokens, row by row": row_by_row}  # fmt: skip


def wrong_implementations():
    """Made for each verdict anew: one of them remembers."""
    return {
        "does without the prefix": without_prefix,
        "hides the prefix behind a mask": partial(together, looks=False),
        "puts the mask's new places at the wrong end": mask_on_the_wrong_side,
        "looks at padding":
            lambda query, key, value, mask, *own: together(query, key, value, torch.ones_like(mask), *own),
        "exchanges keys and values of the prefix": wrong(lambda key, value: (value, key)),
        "takes zeros for the prefix's values": wrong(lambda key, value: (key, 0 * value)),
        "takes zeros for the prefix's keys": wrong(lambda key, value: (0 * key, value)),
        "takes only the first place of the prefix": wrong(lambda key, value: (key[:, :1], value[:, :1])),
        "gives all heads the prefix of the first":
            wrong(lambda key, value: (key[:1].expand_as(key), value[:1].expand_as(value))),
        "cuts the prefix's keys off from their gradient": wrong(lambda key, value: (key.detach(), value)),
        "cuts the prefix's values off from their gradient": wrong(lambda key, value: (key, value.detach())),
        "takes the mean of two softmaxes": half_and_half,
        "adds two softmaxes": added,
        "gives the prefix to the first row alone": first_row_alone,
        "writes the prefix over the first places of the text": in_place_of_the_text,
        "remembers the prefix of the first call": RemembersThePrefix(),
        "changes the mask": changes_the_mask,
        "overflows where scores are large": overflows,
    }  # fmt: skip


def test_check_prefixed_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_prefixed",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where prefix and text share one softmax, and fails everywhere else",
        section="Exercises",
    )


def zero_init_by_loops(query, key, value, bias, prefix_key, prefix_value, gate):
    found = torch.zeros_like(query)
    for row in range(len(query)):
        for head in range(query.shape[1]):
            for target in range(query.shape[2]):
                one = query[row, head, target]
                text = one_query(one, key[row, head], value[row, head], bias[row, 0, target])
                own = one_query(one, prefix_key[head], prefix_value[head], [0.0] * prefix_key.shape[1])
                found[row, head, target] = text + math.tanh(float(gate[head])) * own
    return found


def zero_init(answers, gate, holds, seed, trained=(), scale=1.0, tolerance=1e-5):
    query, key, value, bias = batch_of(2, seed=seed)
    (own_key,), (own_value,) = prefixes_of((7,), seed=seed + 20)
    bias, gate = bias[:, :1].clone(), torch.tensor(gate)
    bias[0, :, :, 3:] = LOWEST
    arguments = scale * query, key, value, bias, own_key, own_value, gate
    check(
        answers,
        lambda answers: answers.zero_init_attention(*arguments),
        zero_init_by_loops(*arguments),
        holds=holds,
        inputs={"query": query, "key": key, "prefix_key": own_key, "gate": gate},
        section="Exercises",
        tolerance=tolerance,
        trained=trained,
    )


def test_zero_init_attention_with_a_gate_for_each_head(answers):
    holds = "softmax over the text, plus tanh(gate) of the head times the softmax over the prefix"
    zero_init(answers, [0.4, -1.3, 2.5], holds, 300, trained=("prefix_key", "prefix_value", "gate"))


def test_zero_init_attention_with_sharp_softmaxes(answers):
    zero_init(answers, [-0.2, 0.0, 0.9], "each softmax is over its own places alone", 320, scale=6.0)
    zero_init(answers, [0.3, -0.6, 1.1], "and exact for scores of any size", 330, scale=60.0, tolerance=1e-3)


def test_zero_init_attention_starts_as_the_base_bit_for_bit(answers):
    query, key, value, bias = batch_of(2, seed=340)
    bias = bias[:, :1]
    (own_key,), (own_value,) = prefixes_of((4,), seed=360)
    check(
        answers,
        lambda answers: answers.zero_init_attention(query, key, value, bias, own_key, own_value, torch.zeros(3)),
        (query @ key.transpose(2, 3) + bias).softmax(-1) @ value,
        holds="where every gate is 0, the output is that of the text alone",
        inputs={"query": query, "key": key, "prefix_key": own_key, "gate": [0.0, 0.0, 0.0]},
        section="Exercises",
        tolerance=1e-6,
        trained=("gate",),
    )
