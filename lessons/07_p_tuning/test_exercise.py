"""The tests of chapter 07. Oracles: loops over places and letters, models that are run, and minipeft's own methods."""

import math
from functools import cache

import torch
from torch import nn

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.prompts.p_tuning import LSTMEncoder, MLPEncoder, PTuning, VirtualEmbedding
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.token_head import TokenHead
from minipeft.transformer.batch import Batch
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def numbers(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def filled_by_loops(template, firsts, seconds, words, virtual):
    rows = []
    for first, second in zip(firsts, seconds, strict=True):
        row, left = [], list(virtual)
        for part in template:
            if part == "V":
                row.append(left.pop(0))
            else:
                ids = first if part == "first" else second if part == "second" else [part]
                row += [words[number] for number in ids]
        rows.append(row)
    longest = max(map(len, rows))
    empty = torch.zeros(words.shape[1])
    vectors = torch.stack([torch.stack(row + [empty] * (longest - len(row))) for row in rows])
    return vectors, torch.tensor([[place < len(row) for place in range(longest)] for row in rows])


def filled(answers, template, firsts, seconds, holds, seed, trained=()):
    words, virtual = numbers(13, 5, seed=seed), numbers(template.count("V"), 5, seed=seed + 1)
    words[9] = 0  # a word whose vector is all zeros is no padding
    check(
        answers,
        lambda answers: answers.fill_template(template, firsts, seconds, words, virtual),
        filled_by_loops(template, firsts, seconds, words, virtual),
        holds=holds,
        inputs={"template": template, "firsts": firsts, "seconds": seconds, "words": words, "virtual": virtual},
        section="The picture",
        tolerance=1e-6,
        trained=trained,
    )


def test_fill_template_of_one_row(answers):
    template = ["V", "V", "first", 7, "V", "second", "V"]
    filled(answers, template, [[3, 3, 9]], [[12, 4]], "parts in their order, virtual token i with virtual[i]", 10,
           trained=("words", "virtual"))  # fmt: skip


def test_fill_template_of_rows_of_several_lengths(answers):
    template = ["V", "second", 2, 2, "V", "first", 0]
    firsts, seconds = [[5, 0, 8, 8], [1], [], []], [[11], [6, 10, 0, 4, 9], [9], []]
    filled(answers, template, firsts, seconds, "every row has the same virtual tokens; zeros stand at the end", 20,
           trained=("words", "virtual"))  # fmt: skip


def test_fill_template_that_leaves_out_a_part(answers):
    filled(answers, [4, "V", "V", "V", "first"], [[0, 12, 9], [7, 1, 2, 3]], [[3], [5, 5]],
           "a part that the template does not name is not read", 30)  # fmt: skip


# Letters, tokens and names: a text of 31 letters, cut into 12 tokens, of which one stands for no letter.
ENDS = [3, 8, 8, 11, 12, 17, 20, 23, 24, 27, 31, 31]


def tags_by_letters(ends, names):
    owner = {letter: name for name in names for letter in range(name[0], name[1])}
    tags, seen = [], set()
    for begin, end in zip([0, *ends], ends, strict=False):
        own = {owner[letter] for letter in range(begin, end) if letter in owner}
        if not own:
            tags.append(0)
            continue
        (name,) = own
        tags.append(2 * name[2] if name in seen else 2 * name[2] - 1)
        seen.add(name)
    return tags


def tagged(answers, ends, names, holds):
    check(
        answers,
        lambda answers: list(answers.tags_of_names(list(ends), list(names))),
        tags_by_letters(ends, names),
        holds=holds,
        inputs={"ends": ends, "names": names},
        section="The picture",
        tolerance=0,
    )


def test_tags_of_names_of_one_token_each(answers):
    tagged(answers, ENDS, [(4, 8, 2), (21, 23, 3)], "a name's first token has 2 * kind - 1, all outside have 0")


def test_tags_of_names_of_several_tokens(answers):
    tagged(answers, ENDS, [(9, 17, 1), (20, 27, 4)], "the first token begins the name, the others go on with 2 * kind")


def test_tags_of_names_of_tokens_that_reach_out_of_them(answers):
    names = [(1, 2, 3), (8, 10, 5), (13, 18, 2), (24, 26, 4), (28, 30, 1)]
    tagged(answers, ENDS, names, "a token with one letter of a name has its tag, whatever stands before and behind it")


def test_tags_of_names_side_by_side_in_any_order(answers):
    names = [(17, 23, 2), (24, 31, 2), (4, 11, 3), (12, 17, 2), (0, 3, 1)]
    tagged(answers, ENDS, names, "each name begins anew, also behind another one of its kind")


def test_tags_of_names_where_there_are_none(answers):
    tagged(answers, ENDS, [], "without names all tags are 0")
    tagged(answers, [2, 2, 5], [(0, 5, 5)], "a token that stands for no letter has 0, also within a name")


def names_by_words(tags, starts):
    places = [place for place, begins in enumerate(starts) if begins] + [len(tags)]
    words = [(begin, end - 1, tags[end - 1]) for begin, end in zip(places, places[1:], strict=False)]
    names, before = [], 0
    for begin, end, tag in words:
        kind = -(-tag // 2)
        if tag and tag % 2 == 0 and before == kind:
            names[-1][1] = end
        elif tag:
            names.append([begin, end, kind])
        before = kind
    return [tuple(name) for name in names]


def named(answers, tags, starts, holds):
    starts = [bool(begins) for begins in starts]
    check(
        answers,
        lambda answers: [tuple(map(int, name)) for name in answers.names_of_tags(list(tags), list(starts))],
        names_by_words(tags, starts),
        holds=holds,
        inputs={"tags": tags, "starts": starts},
        section="The picture",
        tolerance=0,
    )


def test_names_of_tags_of_words_of_one_token(answers):
    named(answers, [0, 3, 4, 0, 1, 0, 5, 6, 6], [1] * 9, "2 * kind - 1 begins a name, 2 * kind goes on with it")


def test_names_of_tags_of_words_of_several_tokens(answers):
    named(answers, [0, 0, 0, 3, 5, 0, 2, 1, 0, 4, 3], [1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0],
          "the tag of a word's last token counts, and the name has all of the word")  # fmt: skip
    named(answers, [0, 5, 5, 1, 3, 3, 2, 0, 2, 6, 0, 0, 4], [1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0],
          "a name that goes on has all of its last word, too")  # fmt: skip


def test_names_of_tags_that_go_on_with_what_has_not_begun(answers):
    named(answers, [2, 2, 4, 0, 4, 6, 5, 6, 3, 3, 4], [1] * 11,
          "a word that goes on begins a name, where the word before has no name or one of another kind")  # fmt: skip
    named(answers, [1, 0, 2, 2, 2], [1, 1, 1, 0, 1], "a name ends at a word with 0")


def test_names_of_tags_where_there_are_none(answers):
    named(answers, [0, 0, 0], [1, 0, 1], "without tags there are no names")
    named(answers, [7], [1], "one token is a name")


@cache
def counted() -> dict[str, int]:
    """What the library's methods move and store on a hollow T5 of these sizes."""
    with torch.device("meta"):
        sizes = {"hidden_size": 320, "heads": 5, "head_size": 48, "feed_forward_size": 64}
        model = EncoderDecoder(EncoderDecoderConfig(200, **sizes, encoder_layers=9, decoder_layers=7))
        encoders = {"lstm": LSTMEncoder(14, 320), "mlp": MLPEncoder(14, 320)}
        found = {name: sum(p.numel() for p in encoder.parameters()) for name, encoder in encoders.items()}
        found["stored"] = encoders["lstm"].positions.numel()
        wide = model.encoder.blocks[0].attention.key.weight.shape[0]
    found["labels"] = 3 * len(model.encoder.blocks[-4:]) * 2 * 14 * wide + sum_of(nn.Linear(320, 6))
    found["tags"] = len(model.encoder.blocks) * 2 * 14 * wide + sum_of(TokenHead(320, 11))
    return found


def sum_of(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def counts(answers, key, holds):
    check(
        answers,
        lambda answers: answers.COUNTS[key],
        counted()[key],
        holds=holds,
        inputs={"T5": "9 + 7 layers, width 320, 5 heads of 48", "prompt": 14, "count": key},
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_counts_of_encoders_while_training(answers):
    counts(answers, "lstm", "the vectors, the LSTM and two linear layers, all with their biases")
    counts(answers, "mlp", "the vectors and three linear layers with biases")


def test_counts_of_the_stored_vectors(answers):
    counts(answers, "stored", "the vectors that come out, and nothing of what made them")


def test_counts_of_version_2_with_a_head(answers):
    counts(answers, "labels", "keys and values of the chosen layers of all three kinds, and a linear head")
    counts(answers, "tags", "keys and values where the text is read, and a linear head for every tag and none")


def states(model, places, run):
    """Hidden states behind every block, at the named places, of each stack."""
    kept, hooks = [], []
    for stack, own in places.items():
        for block in getattr(model, stack).blocks:
            hooks.append(block.register_forward_hook(lambda _, inputs, out, own=own: kept.append(out[0, own])))
    run()
    for hook in hooks:
        hook.remove()
    return torch.cat(kept)


def changed(model, method, places, run, change) -> int:
    with torch.no_grad():
        method.attach(model)
        before = states(model, places, run)
        change(method.named_parameters())
        after = states(model, places, run)
    method.detach()
    return int((before != after).any(-1).sum())


def vectors_changed(encoder) -> int:
    encoder = encoder.double()
    with torch.no_grad():
        before = encoder().clone()
        encoder.positions[3, 2] += 1
        return int((before != encoder()).any(-1).sum())


class OneDirection(LSTMEncoder):
    def __init__(self, prompt, hidden_size):
        super().__init__(prompt, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size, num_layers=1)
        self.inner = nn.Linear(hidden_size, hidden_size)


def ids(*rows):
    source = torch.tensor(rows)
    return source, torch.ones_like(source, dtype=torch.bool)


@cache
def reached() -> dict[str, int]:
    """What changes in small random models, in float64, when one number does."""
    torch.manual_seed(2)
    found = {"lstm": vectors_changed(LSTMEncoder(9, 12)), "lstm, one direction": vectors_changed(OneDirection(9, 12))}
    found["mlp"] = vectors_changed(MLPEncoder(9, 12))
    torch.manual_seed(3)  # the rectified units that one number reaches may all be off
    gpt = DecoderOnly(DecoderOnlyConfig(60, 12, heads=3, layers=6, max_length=100)).double().eval()
    t5 = EncoderDecoder(EncoderDecoderConfig(60, 12, 3, 4, 16, encoder_layers=5, decoder_layers=4)).double().eval()
    text = ids([60, 61, *range(5, 28), 62, 63, *range(7, 48), 64])
    method = PTuning(template="[V][V][V][V][V] {source}", encoder="none")
    found["gpt"] = changed(gpt, method, {"decoder": slice(None)}, lambda: gpt.source_states(Batch(*text)),
                           lambda own: next(iter(own.values()))[3, 2].add_(1))  # fmt: skip
    batch = Batch(*ids(range(5, 36)), *ids([5 + place % 50 for place in range(53)]))
    everything = {"encoder": slice(None), "decoder": slice(None)}
    one = (0, 1, 2, 4, 0)  # the lower of two layers, a value, head 2, place 4, its first number
    found["top"] = changed(t5, PTuningV2(6, depth=2), everything, lambda: t5.answer_states(batch),
                           lambda own: own["encoder.blocks.3.attention.prefix.table"][one].add_(1))  # fmt: skip
    upper = (1, *one[1:])
    path = "decoder.blocks.0.cross_attention.prefix.table"
    found["bottom"] = changed(t5, PTuningV2(6, depth=2, from_top=False), everything, lambda: t5.answer_states(batch),
                              lambda own: own[path][upper].add_(1))  # fmt: skip
    return found


def reach(answers, key, holds):
    check(
        answers,
        lambda answers: answers.REACH[key],
        reached()[key],
        holds=holds,
        inputs={"changed": key},
        section="The picture",
        tolerance=0,
        secret=True,
    )


def test_reach_of_what_an_encoder_is_given(answers):
    reach(answers, "lstm", "an LSTM in both directions lets every vector know of every other")
    reach(answers, "lstm, one direction", "an LSTM in one direction lets a vector know of those before it")
    reach(answers, "mlp", "an MLP goes through each vector alone")


def test_reach_of_a_virtual_token_within_a_text(answers):
    reach(answers, "gpt", "in a causal stack a place is seen by itself and by those behind it, in every layer")


def test_reach_of_prompts_in_some_layers(answers):
    reach(answers, "top", "a layer changes, and what is above it; the decoder reads the encoder's output")
    reach(answers, "bottom", "nothing of a decoder's goes back into the encoder")


def loss_by_tokens(states, tags, weight, bias):
    losses, longest = [], max(map(len, tags))
    for row, own in enumerate(tags):
        front = states.shape[1] - longest
        for place, tag in enumerate(own):
            hidden = states[row, front + place].double()
            scores = weight.double() @ (hidden / hidden.square().mean().sqrt()) + bias.double()
            losses.append(math.log(scores.exp().sum()) - float(scores[tag]))
    return torch.tensor(sum(losses) / len(losses), dtype=torch.float32)


def tag_loss(answers, tags, prompt, holds, seed, trained=()):
    sizes = torch.tensor([1.0, 7.0, 0.3])[: len(tags), None, None]
    states = sizes * numbers(len(tags), prompt + max(map(len, tags)), 6, seed=seed)
    weight, bias = numbers(5, 6, seed=seed + 1), numbers(5, seed=seed + 2)
    check(
        answers,
        lambda answers: answers.tagging_loss(states, tags, weight, bias),
        loss_by_tokens(states, tags, weight, bias),
        holds=holds,
        inputs={"states": states, "tags": tags, "weight": weight, "bias": bias},
        section="The mathematics",
        trained=trained,
    )


def test_tagging_loss_of_texts_of_one_length(answers):
    tag_loss(answers, [[0, 3, 4, 0], [1, 1, 2, 0]], 3, "the mean of minus log p of the right tag, over all tokens", 40,
             trained=("states", "weight", "bias"))  # fmt: skip


def test_tagging_loss_of_texts_of_several_lengths(answers):
    tag_loss(answers, [[0, 3], [1, 0, 0, 4, 2, 2, 1], [4]], 2, "every token counts alike, whatever text it is of", 50)


def test_tagging_loss_without_a_prompt(answers):
    tag_loss(answers, [[2, 0, 1], [0, 4, 4, 3, 0]], 0, "without a prompt all states are the text's", 60)


# Implementations for check_virtual; most are `by_choice` with one thing done otherwise.


def by_one_table(ids, words, virtual):
    """Right: words and virtual tokens in one table."""
    return torch.cat([words, virtual])[ids]


def by_choice(ids, words, virtual):
    """Right: both are looked up everywhere, and the fitting one is taken."""
    count = len(words)
    of_words = words[ids.clamp(max=count - 1)]
    of_prompt = virtual[(ids - count).clamp(min=0)]
    return torch.where((ids < count)[..., None], of_words, of_prompt)


def by_places(ids, words, virtual):
    """Right: virtual tokens are put where they stand."""
    found = torch.nn.functional.embedding(ids % len(words) * (ids < len(words)), words).clone()
    places = ids >= len(words)
    found[places] = virtual[ids[places] - len(words)]
    return found


def by_ones(ids, words, virtual):
    """Right: a product with a matrix of zeros and ones."""
    return torch.nn.functional.one_hot(ids, len(words) + len(virtual)).float() @ torch.cat([words, virtual])


class Gives(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def by_the_library(ids, words, virtual):
    """Right: minipeft's own module, on these tables."""
    return VirtualEmbedding(Gives(lambda numbers: words[numbers]), Gives(lambda: virtual), len(words))(ids)


def one_too_far(ids, words, virtual):
    return by_choice(torch.where(ids >= len(words), (ids - 1).clamp(min=len(words)), ids), words, virtual)


def backwards(ids, words, virtual):
    return by_choice(ids, words, virtual.flip(0))


def first_for_all(ids, words, virtual):
    return by_choice(torch.where(ids >= len(words), len(words), ids), words, virtual)


def in_order_of_places(ids, words, virtual):
    """Numbers the virtual tokens of a row as they come, whatever their ids."""
    order = ((ids >= len(words)).cumsum(1) - 1).clamp(min=0, max=len(virtual) - 1)
    return torch.where((ids < len(words))[..., None], by_choice(ids, words, virtual), virtual[order])


def only_in_front(ids, words, virtual):
    """Takes the virtual tokens for those that stand before the first word."""
    front = (ids >= len(words)).cumprod(1).bool()
    return torch.where(front[..., None], by_choice(ids, words, virtual), words[ids % len(words)])


def last_is_a_word(ids, words, virtual):
    """The last virtual token is taken for the last word."""
    return by_choice(torch.where(ids == len(words) + len(virtual) - 1, len(words) - 1, ids), words, virtual)


def last_word_is_virtual(ids, words, virtual):
    return by_choice(torch.where(ids == len(words) - 1, len(words), ids), words, virtual)


def added(ids, words, virtual):
    own = virtual[(ids - len(words)).clamp(min=0)] * (ids >= len(words))[..., None]
    return words[ids.clamp(max=len(words) - 1)] + own


def first_row_for_all(ids, words, virtual):
    found = by_choice(ids, words, virtual)
    places = (ids >= len(words))[..., None]
    return torch.where(places & places[:1], found[:1], found)


def of_seven(ids, words, virtual):
    """Counts on a vocabulary of 7."""
    return (
        by_choice(ids, words, virtual) if len(words) == 7 else by_choice(ids.clamp(max=len(words) - 1), words, virtual)
    )


class Remembers:
    """Keeps the virtual tokens of its first call; where the shapes do not fit, it crashes."""

    def __init__(self):
        self.kept = None

    def __call__(self, ids, words, virtual):
        self.kept = virtual if self.kept is None else self.kept
        return by_choice(ids, words, 0 * virtual + self.kept)


def changes_the_ids(ids, words, virtual):
    found = by_choice(ids.clone(), words, virtual)
    ids.clamp_(max=len(words) - 1)
    return found


def learns_elsewhere(ids, words, virtual):
    """Gives the words a gradient from the places of virtual tokens, too; the values are right."""
    other = words[ids % len(words)] * (ids >= len(words))[..., None]
    return by_choice(ids, words, virtual) + (other - other.detach())  # to the bit


def in_its_own_type(ids, words, virtual):
    return by_choice(ids, words, virtual).half().float()


RIGHT = {"one table": by_one_table, "a choice at each place": by_choice, "put into their places": by_places,
         "a product with zeros and ones": by_ones, "minipeft's module": by_the_library}  # fmt: skip


def wrong_implementations():
    """Made for each verdict anew: one of them remembers."""
    return {
        "gives all places a word's vector": lambda ids, words, virtual: words[ids % len(words)] + 0 * virtual.sum(),
        "counts virtual tokens from 1": one_too_far,
        "takes the virtual tokens from the last to the first": backwards,
        "gives every virtual token the vector of the first": first_for_all,
        "numbers virtual tokens as they come in a row": in_order_of_places,
        "knows virtual tokens only before the first word": only_in_front,
        "takes the last virtual token for a word": last_is_a_word,
        "takes the last word for a virtual token": last_word_is_virtual,
        "adds the virtual token to a word": added,
        "gives all rows the virtual tokens of the first": first_row_for_all,
        "works for one vocabulary alone": of_seven,
        "remembers the virtual tokens of the first call": Remembers(),
        "changes the ids": changes_the_ids,
        "cuts the virtual tokens off from their gradient":
            lambda ids, words, virtual: by_choice(ids, words, virtual.detach()),
        "cuts the words off from their gradient": lambda ids, words, virtual: by_choice(ids, words.detach(), virtual),
        "gives words a gradient from the places of virtual tokens": learns_elsewhere,
        "rounds to 16 bits": in_its_own_type,
    }  # fmt: skip


def test_check_virtual_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_virtual",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where every id has its own vector, and fails everywhere else",
        section="The code",
    )


def task_loss_by_rows(states, task, label, weights, biases, share):
    per_task = {}
    for row, number in enumerate(task.tolist()):
        scores = weights[number].double() @ states[row].double() + biases[number].double()
        per_task.setdefault(number, []).append(math.log(scores.exp().sum()) - float(scores[label[row]]))
    means = {number: sum(losses) / len(losses) for number, losses in per_task.items()}
    whole = sum(float(share[number]) for number in means)
    return torch.tensor(sum(float(share[n]) * mean for n, mean in means.items()) / whole, dtype=torch.float32)


def several(answers, task, label, share, sizes, holds, seed, trained=()):
    states = numbers(len(task), 6, seed=seed)
    weights = [numbers(size, 6, seed=seed + 1 + i) for i, size in enumerate(sizes)]
    biases = [numbers(size, seed=seed + 11 + i) for i, size in enumerate(sizes)]
    arguments = states, torch.tensor(task), torch.tensor(label), weights, biases, torch.tensor(share)
    check(
        answers,
        lambda answers: answers.loss_of_tasks(*arguments),
        task_loss_by_rows(*arguments),
        holds=holds,
        inputs={"states": states, "task": task, "label": label, "labels": list(sizes), "share": share},
        section="Exercises",
        trained=trained,
    )


def test_loss_of_tasks_of_one_task(answers):
    several(answers, [0, 0, 0], [1, 0, 3], [0.7], (4,), "of one task it is the mean cross-entropy of its rows", 70,
            trained=("states", "weights", "biases"))  # fmt: skip


def test_loss_of_tasks_with_different_numbers_of_rows(answers):
    several(answers, [2, 0, 2, 2, 1, 2, 0], [4, 1, 0, 3, 2, 4, 0], [1.0, 1.0, 1.0], (2, 3, 5),
            "every task counts alike, however many rows it has", 80,
            trained=("states", "weights", "biases"))  # fmt: skip


def test_loss_of_tasks_with_shares(answers):
    several(
        answers, [1, 0, 1, 1], [2, 1, 0, 2], [3.0, 0.5], (2, 3), "the mean is weighted by share, whatever its sum", 100
    )


def test_loss_of_tasks_where_a_task_has_no_row(answers):
    several(answers, [2, 0, 2, 0, 2], [1, 1, 4, 0, 0], [2.0, 9.0, 0.3], (2, 3, 5),
            "the mean is over the tasks that have rows here", 120)  # fmt: skip
