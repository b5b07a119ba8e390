"""The tests of chapter 05. Run  pytest lessons/05_prompt_tuning"""

from functools import cache

import torch

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.prompts.prompt_bank import PromptBank
from minipeft.methods.prompts.prompt_tuning import PromptedStack, PromptTuning
from minipeft.transformer.attention import Attention
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def tiny_t5(**changes):
    """2 + 3 layers, hidden size 12, 3 heads of 5."""
    sizes = dict(hidden_size=12, heads=3, head_size=5, feed_forward_size=20, encoder_layers=2, decoder_layers=3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return EncoderDecoder(EncoderDecoderConfig(37, **(sizes | changes))).eval()


def tiny_gpt2():
    """3 layers, hidden size 12, 3 heads of 4, with weights large enough to matter."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = DecoderOnly(DecoderOnlyConfig(37, hidden_size=12, heads=3, layers=3, max_length=40)).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.25 * torch.randn_like(weight))
    return model


def random_numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_ids(*shape, seed=0):
    return torch.randint(2, 37, shape, generator=torch.Generator().manual_seed(seed))


def texts():
    """Three texts of 5, 2 and 4 tokens and their answers of 3."""
    source, mask = pad([random_ids(length, seed=length).tolist() for length in (5, 2, 4)])
    return source, mask, random_ids(3, 3, seed=7)


def with_library(model, prompt):
    """`model` with the library's prompt tuning attached, starting from `prompt`."""
    method = PromptTuning(prompt_length=len(prompt), init="uniform")
    method.start_from(prompt)
    method.attach(model)
    return model


def test_prepend_prompt_puts_every_vector_before_every_text(answers):
    prompt, vectors, mask = random_numbers(2, 4), random_numbers(3, 5, 4, seed=1), texts()[1]
    rows = [[*prompt.tolist(), *text] for text in vectors.tolist()]
    check(
        answers,
        lambda answers: answers.prepend_prompt(prompt, vectors, mask)[0],
        torch.tensor(rows),
        holds="[P; X]: the p vectors of the prompt, then the n vectors of the text, in each row",
        inputs={"prompt": prompt, "vectors": vectors, "mask": mask},
        section="The mathematics",
        tolerance=0,
        trained=("prompt",),
    )


def test_prepend_prompt_stands_behind_the_first_places(answers):
    prompt, vectors = random_numbers(3, 4), random_numbers(2, 5, 4, seed=1)
    mask = torch.tensor([[True, True, True, True, False], [True, True, False, False, False]])
    rows = [[*text[:3], *prompt.tolist(), *text[3:]] for text in vectors.tolist()]
    seen = [[*row[:3], True, True, True, *row[3:]] for row in mask.tolist()]
    check(
        answers,
        lambda answers: answers.prepend_prompt(prompt, vectors, mask, 3),
        (torch.tensor(rows), torch.tensor(seen)),
        holds="the first 3 places of the text, the p vectors of the prompt, the rest of the text; and so the mask",
        inputs={"prompt": prompt, "vectors": vectors, "mask": mask.tolist(), "behind": 3},
        section="The mathematics",
        tolerance=0,
    )


def test_prepend_prompt_makes_the_mask_longer_and_keeps_padding_hidden(answers):
    prompt, vectors, mask = random_numbers(2, 4), random_numbers(3, 5, 4, seed=1), texts()[1]
    rows = [[True, True, *row] for row in mask.tolist()]
    check(
        answers,
        lambda answers: answers.prepend_prompt(prompt, vectors, mask)[1],
        torch.tensor(rows),
        holds="the mask is True on the prompt, and behind it the text's own mask",
        inputs={"prompt": prompt, "vectors": vectors, "mask": mask.tolist()},
        section="The mathematics",
        tolerance=0,
    )


def test_prepend_prompt_lets_gradients_reach_the_prompt(answers):
    vectors, mask, weights = random_numbers(3, 5, 4, seed=1), texts()[1], random_numbers(3, 7, 4, seed=2)

    def gradient(answers):
        prompt = random_numbers(2, 4).requires_grad_()
        joined = answers.prepend_prompt(prompt, vectors, mask)[0]
        return torch.autograd.grad((joined * weights).sum(), prompt)[0]

    check(
        answers,
        gradient,
        weights[:, :2].sum(0),
        holds="the gradient of a prompt's vector is the sum of the gradients at its place in all rows",
        inputs={"prompt": random_numbers(2, 4), "vectors": vectors, "upstream gradient": weights},
        section="The mathematics",
    )


def test_prompted_logits_of_a_prompt_of_words_are_those_of_the_words_written(answers):
    model, words, (source, mask, answer) = tiny_t5(), torch.tensor([8, 3, 30]), texts()
    rows = words.expand(3, -1)
    written = Batch(torch.cat([rows, source], 1), torch.cat([rows > 0, mask], 1), answer, answer > 0)
    check(
        answers,
        lambda answers: answers.prompted_logits(model, model.embedding.weight[words], source, mask, answer),
        model(written).detach(),
        holds="a prompt of the embeddings of three words gives what the three words before the text give",
        inputs={"prompt": model.embedding.weight[words], "source": source, "answer": answer},
        section="The mathematics",
        tolerance=1e-4,
    )


def test_prompted_logits_are_those_of_the_library(answers):
    model, prompt, (source, mask, answer) = tiny_t5(), 2 * random_numbers(4, 12, seed=3), texts()
    expected = with_library(tiny_t5(), prompt)(Batch(source, mask, answer, answer > 0)).detach()
    check(
        answers,
        lambda answers: answers.prompted_logits(model, prompt, source, mask, answer),
        expected,
        holds="logits = head(decoder(answer one step late, encoder([P; X]))), and both masks are p longer",
        inputs={"prompt": prompt, "source": source, "source mask": mask.tolist(), "answer": answer},
        section="The code",
        tolerance=1e-4,
        trained=("prompt",),
    )


def start(answers, init, length, seed=0, width=6):
    """A first prompt from a table whose row i holds i, i + 0.01, i + 0.02, ...; 40 tokens are frequent."""
    table = torch.arange(100.0)[:, None] + 0.01 * torch.arange(width)
    frequent, labels = torch.arange(50, 90), [[7], [20, 30], [3, 4, 8]]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return answers.first_prompt(init, length, table, frequent, labels)


def test_first_prompt_uniform_has_the_spread_of_half_to_half(answers):
    def spread(answers):
        prompt = start(answers, "uniform", 200, width=500)
        return {"mean": prompt.mean(), "deviation": prompt.std(), "deviation between vectors": prompt.std(0).mean()}

    deviation = 12**-0.5  # of a uniform distribution one wide
    check(
        answers,
        spread,
        {"mean": 0.0, "deviation": deviation, "deviation between vectors": deviation},
        holds="uniform from -1/2 to 1/2: mean 0, standard deviation 1 / sqrt(12), each vector another",
        inputs={"init": "uniform", "length": 200, "width": 500},
        section="The mathematics",
        may_draw=True,
        tolerance=0.01,
    )


def test_first_prompt_vocabulary_samples_frequent_tokens_once_each(answers):
    def sample(answers):
        draws = [start(answers, "vocabulary", 30, seed)[:, 0].round().long().tolist() for seed in (1, 2)]
        return {
            "vectors": [len(draw) for draw in draws],
            "different tokens": [len(set(draw)) for draw in draws],
            "frequent tokens": [sum(50 <= token < 90 for token in draw) for draw in draws],
            "the same tokens in both draws": draws[0] == draws[1],
            "in the order in which they are given": draws[0] == list(range(50, 80)),
        }

    check(
        answers,
        sample,
        {
            "vectors": [30, 30],
            "different tokens": [30, 30],
            "frequent tokens": [30, 30],
            "the same tokens in both draws": False,
            "in the order in which they are given": False,
        },
        holds="30 different tokens, all among the frequent ones, others with another seed",
        inputs={"init": "vocabulary", "length": 30, "frequent": "40 of 100 tokens", "seeds": [1, 2]},
        section="The mathematics",
        may_draw=True,
        tolerance=0,
    )


def test_first_prompt_labels_are_means_and_what_is_left_is_sampled(answers):
    def parts(answers):
        prompt = start(answers, "labels", 7)
        tokens = prompt[3:, 0].round().long().tolist()
        return {
            "vectors": len(prompt),
            "the first three": prompt[:3],
            "different tokens behind them": len(set(tokens)),
            "frequent tokens behind them": sum(50 <= token < 90 for token in tokens),
        }

    means = torch.tensor([7.0, (20 + 30) / 2, (3 + 4 + 8) / 3])[:, None] + 0.01 * torch.arange(6)
    check(
        answers,
        parts,
        {
            "vectors": 7,
            "the first three": means,
            "different tokens behind them": 4,
            "frequent tokens behind them": 4,
        },
        holds="vector i is the mean of label i's token embeddings; the places left over are different frequent tokens",
        inputs={"init": "labels", "length": 7, "labels": [[7], [20, 30], [3, 4, 8]]},
        section="The mathematics",
        may_draw=True,
    )


def test_first_prompt_agrees_with_the_library_where_nothing_is_drawn(answers):
    class Tokenizer:
        def encode(self, text):
            return {"one": [7], "two": [20, 30], "three": [3, 4, 8]}[text]

        def most_frequent(self, count):
            return list(range(30, 36))

    model, labels = tiny_t5(), ["one", "two", "three"]
    model.tokenizer, table = Tokenizer(), model.embedding.weight.detach()
    method = PromptTuning(prompt_length=3, init="labels", labels=labels)
    method.attach(model)
    ids = [model.tokenizer.encode(label) for label in labels]
    check(
        answers,
        lambda answers: answers.first_prompt("labels", 3, table, torch.arange(30, 36), ids),
        method.state_dict()["encoder.prompt"],
        holds="with as many labels as places, the prompt is their means and nothing is drawn",
        inputs={"init": "labels", "length": 3, "labels": ids},
        section="The mathematics",
        may_draw=True,
    )


@cache
def real_counts():
    """What the method itself counts, in each size."""
    counts = {}
    for size, (width, _) in {"small": (512, 8), "base": (768, 12), "large": (1024, 24), "xl": (2048, 24),
                             "xxl": (4096, 24)}.items():  # fmt: skip
        model = tiny_t5(hidden_size=width, heads=1, head_size=2, feed_forward_size=2, decoder_layers=1)
        method = PromptTuning(prompt_length=150, init="uniform")
        method.attach(model)  # one prompt before the encoder, however many layers there are
        counts[size] = method.stored_count()
    return counts


def test_counts_are_those_of_the_real_method(answers):
    check(
        answers,
        lambda answers: answers.COUNTS,
        real_counts(),
        holds="trained numbers = p d",
        inputs={"p": 150, "d": [512, 768, 1024, 2048, 4096]},
        section="The mathematics",
        secret=True,
        tolerance=0,
    )


def scores_of(model, batch):
    """The positions that the encoder's first layer reads, and one head's scores in the first layer of each kind."""
    seen, attend = [], Attention.attend

    def counted(self, query, key, value, bias=None):
        seen.append((self, query.shape[2], key.shape[2]))
        return attend(self, query, key, value, bias)

    Attention.attend = counted
    try:
        model(batch)
    finally:
        Attention.attend = attend
    encoder = model.encoder.blocks[0].attention
    block = model.decoder.blocks[0]
    sizes = {module: (targets, sources) for module, targets, sources in seen}
    layers = (encoder, block.cross_attention, block.attention)
    return [sizes[encoder][0], *(sizes[layer][0] * sizes[layer][1] for layer in layers)]


@cache
def real_cost():
    """The factors, counted on a model with and without a prompt."""
    ids, answer = random_ids(1, 20), random_ids(1, 2, seed=1)
    batch = Batch(ids, ids > 0, answer, answer > 0)
    plain = scores_of(tiny_t5(), batch)
    prompted = scores_of(with_library(tiny_t5(), random_numbers(20, 12)), batch)
    names = ("encoder_positions", "encoder_scores", "cross_scores", "decoder_scores")
    factors = {name: after / before for name, before, after in zip(names, plain, prompted, strict=True)}
    return factors | {"prompts_per_model": 818_392 // random_numbers(20, 88).numel()}


def test_cost_is_that_of_the_real_model(answers):
    check(
        answers,
        lambda answers: answers.COST,
        real_cost(),
        holds="the encoder has p + n positions and (p + n)^2 scores, cross-attention m (p + n), the decoder m^2",
        inputs={"p": 20, "n": 20, "m": 2, "d": 88, "numbers of the model": 818_392},
        section="The mathematics",
        secret=True,
    )


def test_answer_loss_is_that_of_the_library(answers):
    model, prompt, source, answer = tiny_gpt2(), random_numbers(4, 12), random_ids(3, 5), random_ids(3, 2, seed=1)
    expected = with_library(tiny_gpt2(), prompt).loss(Batch(source, source > 0, answer, answer > 0)).item()
    check(
        answers,
        lambda answers: answers.answer_loss(model, prompt, source, answer),
        expected,
        holds="answer token i (from 1) is predicted at place p + n + i - 2 (from 0), one before its own",
        inputs={"prompt": prompt, "source": source, "answer": answer},
        section="The code",
        tolerance=1e-4,
        trained=("prompt",),
    )


def test_answer_loss_moves_every_vector_of_the_prompt(answers):
    model, source, answer = tiny_gpt2(), random_ids(3, 5), random_ids(3, 2, seed=1)
    library = with_library(tiny_gpt2(), random_numbers(4, 12))
    library.loss(Batch(source, source > 0, answer, answer > 0)).backward()

    def gradient(answers):
        prompt = random_numbers(4, 12).requires_grad_()
        return torch.autograd.grad(answers.answer_loss(model, prompt, source, answer), prompt)[0]

    check(
        answers,
        gradient,
        library.decoder.prompt.grad,
        holds="d loss / d P is that of the library",
        inputs={"prompt": random_numbers(4, 12), "source": source, "answer": answer},
        section="The code",
        tolerance=1e-4,
    )


def reader(encode):
    """An implementation of `read` from a way to encode."""

    def read(model, prompt, batch):
        with torch.no_grad():
            context, mask = encode(model, prompt, batch)
            start = torch.zeros(len(batch), 1, dtype=torch.long)
            hidden, _ = model.decoder(model.embedding(start), start == 0, context, mask)
            return model.head(hidden[:, 0])

    return read


def joined(prompt, model, batch, behind=False, see_padding=False):
    """Vectors and mask of prompts (batch, p, d) with the texts."""
    vectors, mask = model.embedding(batch.source), batch.source_mask | see_padding
    parts = [(prompt, mask.new_ones(prompt.shape[:2])), (vectors, mask)]
    parts = parts[::-1] if behind else parts
    return torch.cat([part[0] for part in parts], 1), torch.cat([part[1] for part in parts], 1)


def everywhere(prompt, batch):
    return prompt.expand(len(batch), -1, -1)


def leaves_it_in(model, prompt, batch):
    stack = getattr(model.encoder, "stack", model.encoder)
    model.encoder = PromptedStack(stack, prompt)
    return model.encode(batch)


def writes_into_the_table(model, prompt, batch):
    model.embedding.weight.data[-len(prompt) :] = prompt
    return model.encoder(*joined(everywhere(model.embedding.weight[-len(prompt) :], batch), model, batch))


def by_library(model, prompt, batch):
    method = PromptTuning(prompt_length=len(prompt), init="uniform")
    method.start_from(prompt)
    method.attach(model)
    result = model.encode(batch)
    method.detach()
    return result


def turned_by_row(model, prompt, batch):
    turned = torch.stack([prompt.roll(row, 0) for row in range(len(batch))])
    return model.encoder(*joined(turned, model, batch))


def by_concatenation(model, prompt, batch):
    return model.encoder(*joined(everywhere(prompt, batch), model, batch))


RIGHT = {"vectors put before the texts": by_concatenation, "the library's": by_library}
WRONG = {
    "the prompt stays in the model": leaves_it_in,
    "the prompt is written into unused rows of the embedding table": writes_into_the_table,
    "the prompt is turned by the number of the row": turned_by_row,
    "padding is seen": lambda *args: args[0].encoder(
        *joined(everywhere(*args[1:]), args[0], args[2], see_padding=True)
    ),
    "the prompt stands behind the text": lambda *args: args[0].encoder(
        *joined(everywhere(*args[1:]), args[0], args[2], behind=True)
    ),
    "the prompt is not read": lambda model, prompt, batch: model.encode(batch),
    "the prompt counts twice as much": lambda model, prompt, batch: by_concatenation(model, 2 * prompt, batch),
    "the first vector of the prompt is left out": lambda model, prompt, batch: by_concatenation(
        model, prompt[1:], batch
    ),
}


def test_check_reading_lets_right_ones_pass_and_stops_wrong_ones(answers):
    prove(
        answers,
        "check_reading",
        {name: reader(encode) for name, encode in RIGHT.items()},
        {name: reader(encode) for name, encode in WRONG.items()},
        holds="your test passes a right implementation and fails for each wrong one",
        section="What people get wrong",
    )


def mixture():
    """Three prompts of 1, 3 and 2 vectors, five rows of texts and the tasks of the rows."""
    prompts = [random_numbers(length, 12, seed=length) for length in (1, 3, 2)]
    source, mask = pad([random_ids(length, seed=length).tolist() for length in (4, 2, 5, 3, 1)])
    return prompts, torch.tensor([2, 0, 1, 0, 2]), source, mask


def test_mixed_prompts_fills_short_prompts_up_in_front(answers):
    prompts, rows, source, mask = mixture()
    vectors = tiny_t5().embedding(source).detach()
    expected_vectors, expected_mask = [], []
    for row, task in enumerate(rows.tolist()):
        missing = 3 - len(prompts[task])
        expected_vectors.append([[0.0] * 12] * missing + prompts[task].tolist() + vectors[row].tolist())
        expected_mask.append([False] * missing + [True] * len(prompts[task]) + mask[row].tolist())
    check(
        answers,
        lambda answers: [part.tolist() for part in answers.mixed_prompts(prompts, rows, vectors, mask)],
        [expected_vectors, expected_mask],
        holds="row i: hidden places, the vectors of prompt rows[i], its text",
        inputs={"lengths of the prompts": [1, 3, 2], "rows": rows.tolist(), "vectors": vectors, "mask": mask},
        section="The code",
        trained=("prompts",),
    )


def test_mixed_prompts_leaves_room_for_the_longest_prompt_also_where_no_row_reads_it(answers):
    prompts, _, source, mask = mixture()
    rows, vectors = torch.tensor([2, 0, 0, 2, 2]), tiny_t5().embedding(source).detach()
    check(
        answers,
        lambda answers: [list(part.shape) for part in answers.mixed_prompts(prompts, rows, vectors, mask)],
        [[5, 3 + 5, 12], [5, 3 + 5]],
        holds="the shapes are (batch, P + n, d) and (batch, P + n), P the length of the longest of all prompts",
        inputs={"lengths of the prompts": [1, 3, 2], "rows": rows.tolist(), "vectors": vectors, "mask": mask},
        section="The code",
        tolerance=0,
    )


def test_mixed_prompts_reads_each_row_as_if_it_were_alone(answers):
    prompts, rows, source, mask = mixture()
    model = tiny_t5()
    vectors = model.embedding(source).detach()
    alone = []
    for row, task in enumerate(rows.tolist()):
        length = int(mask[row].sum())
        joined_row = torch.cat([prompts[task], vectors[row, :length]])[None]
        alone.append(model.encoder(joined_row, torch.ones(joined_row.shape[:2], dtype=torch.bool))[0][0].detach())

    def together(answers):
        hidden, seen = model.encoder(*answers.mixed_prompts(prompts, rows, vectors, mask))
        return [row[places] for row, places in zip(hidden, seen, strict=True)]

    check(
        answers,
        together,
        alone,
        holds="the encoder's output of each row is that of the row alone with its own prompt",
        inputs={"lengths of the prompts": [1, 3, 2], "rows": rows.tolist(), "source": source},
        section="The code",
        tolerance=1e-4,
    )


def test_mixed_prompts_of_one_length_are_the_librarys_bank(answers):
    prompts = [random_numbers(2, 12, seed=seed) for seed in range(3)]
    _, rows, source, mask = mixture()
    model = tiny_t5()
    vectors = model.embedding(source).detach()
    bank = PromptBank(model.encoder, torch.stack(prompts))
    bank.rows = rows
    check(
        answers,
        lambda answers: model.encoder(*answers.mixed_prompts(prompts, rows, vectors, mask))[0],
        bank(vectors, mask)[0].detach(),
        holds="with prompts of equal length nothing is filled up",
        inputs={"lengths of the prompts": [2, 2, 2], "rows": rows.tolist(), "vectors": vectors},
        section="The code",
        tolerance=1e-4,
    )
