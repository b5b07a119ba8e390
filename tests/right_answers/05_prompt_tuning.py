"""Other right answers to the exercises of chapter 05, each put behind the solution: all must pass."""

RIGHT = {
    "prepend_prompt": [
        """
def prepend_prompt(prompt, vectors, mask, behind=0):
    batch, n, d = vectors.shape
    joined = vectors.new_zeros(batch, n + len(prompt), d)
    joined[:, :behind] = vectors[:, :behind]
    joined[:, behind : behind + len(prompt)] = prompt
    joined[:, behind + len(prompt) :] = vectors[:, behind:]
    seen = torch.zeros(batch, n + len(prompt), dtype=torch.bool)
    seen[:, :behind] = mask[:, :behind]
    seen[:, behind : behind + len(prompt)] = True
    seen[:, behind + len(prompt) :] = mask[:, behind:]
    return joined, seen
""",
        """
def prepend_prompt(prompt, vectors, mask, behind=0):
    rows = [torch.vstack([row[:behind], prompt, row[behind:]]) for row in vectors]
    seen = [torch.cat([row[:behind], torch.full((prompt.size(0),), True), row[behind:]]) for row in mask]
    return [torch.stack(rows), torch.stack(seen)]
""",
    ],
    "prompted_logits": [
        """
def prompted_logits(model, prompt, source, source_mask, answer):
    context, context_mask = model.encoder(*prepend_prompt(prompt, model.embedding(source), source_mask))
    read = functional.pad(answer[:, :-1], (1, 0), value=model.config.start)
    hidden, _ = model.decoder(model.embedding(read), read.new_ones(read.shape).bool(), context, context_mask)
    return model.head(hidden)
""",
        """
def prompted_logits(model, prompt, source, source_mask, answer):
    rows = []
    for i in range(len(source)):  # one row after another
        read = prepend_prompt(prompt, model.embedding(source[i : i + 1]), source_mask[i : i + 1])
        context, seen = model.encoder(*read)
        read = torch.tensor([[model.config.start, *answer[i, :-1].tolist()]])
        hidden, _ = model.decoder(model.embedding(read), torch.ones(1, len(answer[0])) > 0, context, seen)
        rows.append(model.head(hidden)[0])
    return torch.stack(rows)
""",
    ],
    "first_prompt": [
        """
def first_prompt(init, length, table, frequent, labels):
    if init == "uniform":
        return torch.rand(length, table.shape[1]) - 0.5
    rows = []
    if init == "labels":
        for ids in labels:
            rows.append(sum(table[token] for token in ids) / len(ids))
    order = torch.rand(len(frequent)).argsort()
    for place in order[: length - len(rows)]:
        rows.append(table[frequent[place]])
    return torch.nn.Parameter(torch.stack(rows))
""",
        """
def first_prompt(init, length, table, frequent, labels):
    prompt = torch.empty(length, table.size(1))
    if init == "uniform":
        return torch.nn.init.uniform_(prompt, -0.5, 0.5)
    count = len(labels) if init == "labels" else 0
    for place in range(count):
        prompt[place] = table[torch.tensor(labels[place])].mean(dim=0)
    picked = torch.multinomial(torch.ones(len(frequent)), length - count) if length > count else []
    prompt[count:] = table[frequent[picked]] if length > count else prompt[count:]
    return prompt
""",
    ],
    "counts": [
        "COUNTS = {'xxl': 150 * 4096, 'xl': 150 * 2048, 'large': 153_600, 'base': 115_200, 'small': 76_800}",
        "COUNTS = {name: torch.empty(150, width).numel() for name, (width, _) in SIZES.items()}",
    ],
    "cost": [
        "from fractions import Fraction\nCOST = {'encoder_positions': 2, 'encoder_scores': Fraction(1600, 400), "
        "'cross_scores': Fraction(2), 'decoder_scores': 1.0, 'prompts_per_model': 464.0}",
        "import numpy\nCOST = {'encoder_positions': numpy.float64(2), 'encoder_scores': 4, 'cross_scores': 2.0, "
        "'decoder_scores': 1, 'prompts_per_model': numpy.int64(818392 // 1760)}",
    ],
    "answer_loss": [
        """
def answer_loss(model, prompt, source, answer):
    ids = torch.cat([source, answer], dim=1)
    embedded, real = model.embedding(ids), torch.ones_like(ids, dtype=torch.bool)
    hidden, _ = model.decoder(*prepend_prompt(prompt, embedded, real))
    logits = model.head(hidden[:, -answer.shape[1] - 1 : -1])
    return functional.cross_entropy(logits.flatten(0, 1), answer.flatten())
""",
        """
def answer_loss(model, prompt, source, answer):
    ids = torch.cat([source, answer], dim=1)
    embedded, real = model.embedding(ids), torch.ones_like(ids, dtype=torch.bool)
    hidden, _ = model.decoder(*prepend_prompt(prompt, embedded, real))
    first = len(prompt) + source.shape[1] - 1
    logs = model.head(hidden).log_softmax(-1)[:, first:-1]
    return -logs.gather(2, answer[:, :, None]).mean()
""",
    ],
    "check_reading": [
        """
def check_reading(read):
    model, prompt, batch = example()
    weights = list(model.parameters())
    copies = [weight.detach().clone() for weight in weights]
    plain = first_logits(model, batch)
    logits = read(model, prompt, batch)
    for weight, copy in zip(weights, copies, strict=True):
        assert (weight == copy).all()
    torch.testing.assert_close(first_logits(model, batch), plain)
    back = torch.tensor([3, 2, 1, 0])
    torch.testing.assert_close(read(model, prompt, Batch(batch.source[back], batch.source_mask[back])), logits[back])
    more = Batch(functional.pad(batch.source, (0, 1)), functional.pad(batch.source_mask, (0, 1)))
    torch.testing.assert_close(read(model, prompt, more), logits, rtol=1e-4, atol=1e-4)
    for words in ([5], [9, 4, 4, 17]):
        rows = [words + row[seen].tolist() for row, seen in zip(batch.source, batch.source_mask, strict=True)]
        expected = first_logits(model, Batch(*pad(rows)))
        got = read(model, model.embedding.weight[words].detach(), batch)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
""",
        """
def check_reading(read):
    model, prompt, batch = example()
    before = sum(float(weight.double().abs().sum()) for weight in model.parameters())
    weights = list(model.parameters())
    plain = first_logits(model, batch)
    one = read(model, prompt, batch)
    assert before == sum(float(weight.double().abs().sum()) for weight in weights)
    assert torch.equal(plain, first_logits(model, batch))
    for row in (1, 3):
        length = int(batch.source_mask[row].sum())
        text = batch.source[row : row + 1, :length]
        alone = read(model, prompt, Batch(text, text > 0))
        assert torch.allclose(alone[0], one[row], atol=1e-4)
        ids = torch.cat([torch.tensor([[6, 12, 6]]), text], 1)
        hard = first_logits(model, Batch(ids, ids > 0))
        soft = read(model, model.embedding(ids[0, :3]).detach(), Batch(text, text > 0))
        assert torch.allclose(hard, soft, atol=1e-4)
    turned = Batch(batch.source.flip(0), batch.source_mask.flip(0))
    assert torch.allclose(read(model, prompt, turned), one.flip(0), atol=1e-4)
""",
    ],
    "mixed_prompts": [
        """
def mixed_prompts(prompts, rows, vectors, mask):
    longest = max(map(len, prompts))
    out, seen = [], []
    for row, text, real in zip(rows.tolist(), vectors, mask, strict=True):
        fill = longest - len(prompts[row])
        out.append(torch.cat([text.new_zeros(fill, text.shape[1]), prompts[row], text]))
        seen.append(torch.cat([torch.arange(longest) >= fill, real]))
    # prompts that no row reads have a gradient, too: zero
    return torch.stack(out) + 0 * sum(prompt.sum() for prompt in prompts), torch.stack(seen)
""",
        """
def mixed_prompts(prompts, rows, vectors, mask):
    flipped = torch.nn.utils.rnn.pad_sequence([prompt.flip(0) for prompt in prompts], batch_first=True).flip(1)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    seen = torch.arange(flipped.shape[1]) >= flipped.shape[1] - lengths[:, None]
    return torch.cat((flipped[rows], vectors), 1), torch.cat((seen[rows], mask), 1)
""",
    ],
}
