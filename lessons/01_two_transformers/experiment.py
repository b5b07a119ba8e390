"""What the parts of both transformers hold and cost, what a cache saves, and what the two bases have learned.

    python lessons/01_two_transformers/experiment.py

Nothing is trained. Parameters and multiplications are counted; times are processor time on one core; losses and skills
are those of the bundled bases on new texts, beside the same models before pretraining. About five minutes on one core.
"""

import sys
from dataclasses import replace
from functools import partial

import torch

import minipeft
from minipeft.course.chapters import beside
from minipeft.course.experiment import kept, main
from minipeft.flags import ended
from minipeft.methods.targets import find_modules
from minipeft.pretraining.batches import TextStream, prepare_chunk
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.pretraining.skills import PROBES, skill_aucs
from minipeft.tasks.making.corpus import VALIDATION_SEED
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hollow import build_hollow

costs = beside(__file__, "costs.py")
BASES = ("t5-0.8m", "gpt-1.7m")
SKILLS = ("plain", "contrast", "negation", "turned-down subject")
V1_1 = {"small": (512, 1024, 8, 6), "base": (768, 2048, 12, 12), "large": (1024, 2816, 24, 16),
        "xl": (2048, 5120, 24, 32), "xxl": (4096, 10240, 24, 64)}  # fmt: skip  # width, inner, layers, heads
TEXTS, SOURCE, ANSWER = 16, 24, 64  # texts that are gone on with, tokens of each, tokens written
WITHOUT = {  # what the sublayers of these paths give is set to zero
    "t5-0.8m": {"encoder.blocks.*.attention": "attention in the encoder",
                "decoder.blocks.*.attention": "attention to the answer itself",
                "decoder.blocks.*.cross_attention": "attention to the source",
                "encoder.blocks.*.feed_forward": "feed-forward in the encoder",
                "decoder.blocks.*.feed_forward": "feed-forward in the decoder",
                "*.positions": "position biases"},
    "gpt-1.7m": {"decoder.blocks.*.attention": "attention", "decoder.blocks.*.feed_forward": "feed-forward",
                 "decoder.positions": "position vectors"},
}  # fmt: skip


def runs(args) -> dict:
    torch.set_num_threads(1)
    measured = {"sizes": sizes(), "norms": kept(args, "norms", lambda: costs.norm_times(args.seeds))}
    for part in (by_part, writing, losses, skills, without):
        name = part.__name__
        measured[name] = {base: kept(args, f"{name}-{base}", partial(part, base, args)) for base in BASES}
    return measured


def sizes() -> dict[str, dict[str, int]]:
    """The five T5 v1.1, built without memory: their parameters by place."""
    found = {}
    for name, (width, inner, layers, heads) in V1_1.items():
        model = build_hollow(EncoderDecoder, EncoderDecoderConfig(32128, width, heads, 64, inner, layers, layers))
        places = {"vocabulary": (model.embedding, model.head), "encoder": (model.encoder,), "decoder": (model.decoder,)}
        found[name] = {"width": width, "inner": inner, "layers": layers, "heads": heads}
        found[name] |= {place: sum(parameter.numel() for module in modules for parameter in module.parameters())
                        for place, modules in places.items()}  # fmt: skip
        found[name]["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    return found


def held_out(base: str, count: int = 12) -> list[Batch]:
    """New texts cut in two, in the form in which this base has read such texts."""
    batches = held_out_batches(TextStream("prefix"), count)
    return batches if base.startswith("t5") else [opened(batch) for batch in batches]


def opened(batch: Batch) -> Batch:
    """For GPT: end-of-sequence stands before the text, and not between its two parts."""
    rows = [ids[mask].tolist() for ids, mask in zip(batch.source, batch.source_mask, strict=True)]
    source, mask = pad([[row[-1], *row[:-1]] for row in rows])
    return replace(batch, source=source, source_mask=mask)


def by_part(base: str, args) -> dict:
    blocks, turns = (1, 2) if args.quick else (args.seeds, 10)
    return costs.by_part(minipeft.load(base), held_out(base)[0], blocks, turns)


def writing(base: str, args) -> dict:
    """Texts of one length, gone on with: whole ones of the validation stream, cut after SOURCE tokens."""
    rows = prepare_chunk(replace(TextStream("causal"), seed=VALIDATION_SEED, batch_size=TEXTS), 0)
    whole = next(pairs for _, pairs in rows if min(len(target) for _, target in pairs) > SOURCE)
    source = torch.tensor([target[:SOURCE] for _, target in whole])
    batch = Batch(source, torch.ones_like(source, dtype=torch.bool))
    return costs.writing(minipeft.load(base), batch, 8 if args.quick else ANSWER, 1 if args.quick else args.seeds)


@torch.no_grad()
def losses(base: str, args) -> dict:
    """Nats per target token with the true source, another text's and none, and of models before pretraining."""
    batches = held_out(base, 2 if args.quick else 12)
    model, suffix = minipeft.load(base), batches[0].source[:1, :1]
    nothing = torch.full_like(suffix, model.config.eos)
    empty = [replace(batch, source=nothing.expand(len(batch), 1), source_mask=torch.ones(len(batch), 1).bool())
             for batch in batches]  # fmt: skip
    untrained = [minipeft.random_init(base, seed).eval() for seed in range(args.seeds)]
    return {
        "texts": sum(map(len, batches)),
        "tokens": int(sum(batch.target_mask.sum() for batch in batches)),
        "true": mean_loss(model, batches),
        "other": [mean_loss(model, exchanged(batches, by)) for by in range(1, args.seeds + 1)],
        "none": mean_loss(model, empty),
        "untrained": [mean_loss(one, batches) for one in untrained],
        "untrained_other": [mean_loss(one, exchanged(batches, 1)) for one in untrained],
    }


def exchanged(batches: list[Batch], by: int) -> list[Batch]:
    """The sources of other texts of the batch, `by` rows on."""
    return [replace(b, source=b.source.roll(by, 0), source_mask=b.source_mask.roll(by, 0)) for b in batches]


def skills(base: str, args) -> dict:
    """The AUC of some skills, in percent, of the base and of models before pretraining."""
    objective, count = ("prefix" if base.startswith("t5") else "causal"), 20 if args.quick else PROBES
    untrained = [skill_aucs(minipeft.random_init(base, seed), objective, count, SKILLS) for seed in range(args.seeds)]
    return {"base": skill_aucs(minipeft.load(base), objective, count, SKILLS), "untrained": untrained}


@torch.no_grad()
def without(base: str, args) -> dict:
    """The loss with the true source where one part is taken out of every layer: it adds nothing any more."""
    batches = held_out(base, 2 if args.quick else 12)
    found = {}
    for target, name in WITHOUT[base].items():
        model = minipeft.load(base)
        for _, module in find_modules(model, [target]):
            module.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        found[name] = mean_loss(model, batches)
    return found


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
