"""One training step of minipeft, and the same of transformers + peft, as functions: see benchmark_step_time.py."""

import unittest.mock
from itertools import count

import torch

from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.registry import METHODS
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.causal_model import pad_left
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hugging_face import from_hugging_face

VOCABULARY, ROWS, SOURCE, TARGET, PROMPT, RANK = 3072, 32, 48, 8, 20, 8
SHAPES = {  # as the bundled bases of these names, and larger; T5 is v1.1
    "t5-1.7m": EncoderDecoderConfig(VOCABULARY, 128, 4, 32, 320, 2, 2),
    "t5-8.9m": EncoderDecoderConfig(VOCABULARY, 256, 4, 64, 683, 4, 4),
    "gpt-1.7m": DecoderOnlyConfig(VOCABULARY, 128, 4, 6),
    "gpt-5.6m": DecoderOnlyConfig(VOCABULARY, 256, 4, 6),
}
# The same number of trained weights on both sides; prefixes without the network that makes them. A prefix of peft's T5
# stands in the decoder's self-attention only: "decoder_prefix" is ours in that place, "prefix_tuning" on T5 is the
# paper's, in all three kinds of attention, so that its gradient has to pass through the encoder too.
OURS = {
    "full": {},
    "lora": {"rank": RANK, "targets": ("query", "value")},
    "prompt_tuning": {"prompt_length": PROMPT, "init": "uniform"},
    "prefix_tuning": {"prefix_length": PROMPT, "reparametrise": False},
}
CASES = [(shape, method) for shape in SHAPES for method in OURS]
# On T5 alone, whose matrices are the same ones on both sides; GPT-2's query, key and value are one matrix there.
PLACES = ("query", "value")
T5_OURS = {
    "ia3": {},
    "dora": {"rank": RANK, "targets": PLACES},
    "vera": {"rank": 64, "targets": PLACES},
    "oft": {"block_size": 8, "targets": PLACES},
    "adalora": {"rank": 12, "target_rank": RANK, "targets": PLACES},
    "p_tuning": {"template": "[V]" * PROMPT + " {source}"},
}
CASES += [(shape, method) for shape in SHAPES if shape.startswith("t5") for method in ("decoder_prefix", *T5_OURS)]
ADALORA_STEPS = (1000, 200)  # in all, and made before the first timed one: where ranks are being pruned


def random_batch() -> Batch:
    """Rows of half to full length, a target of two to TARGET tokens each."""

    def rows(longest, shortest):
        lengths = torch.randint(shortest, longest + 1, (ROWS,)).tolist()
        return [torch.randint(2, VOCABULARY, (length,)).tolist() for length in [longest, *lengths[1:]]]

    return Batch(*pad(rows(SOURCE, SOURCE // 2)), *pad(rows(TARGET, 2)))


def new_model(shape: str):
    """Random weights; T5's head scaled down to logits as moderate as a trained model's: without it probabilities below
    1e-38 slow down the arithmetic of both sides."""
    config = SHAPES[shape]
    if isinstance(config, DecoderOnlyConfig):
        return DecoderOnly(config)
    model = EncoderDecoder(config)
    torch.nn.init.normal_(model.head.weight, std=config.hidden_size**-0.5)
    return model


def our_step(folder: str, method: str, batch: Batch):
    """One training step of minipeft as a function, which returns the loss."""
    model = from_hugging_face(folder).train()
    places = ("decoder.blocks.*.attention",) if method == "decoder_prefix" else PrefixTuning.places
    method = "prefix_tuning" if method == "decoder_prefix" else method
    tuning = METHODS[method](**(OURS | T5_OURS)[method])
    with unittest.mock.patch.object(PrefixTuning, "places", places):
        tuning.attach(model)
    optimizer = make_optimizer("adamw", tuning.parameter_groups(1e-4), 1e-4)
    total, first = ADALORA_STEPS
    numbers = count(first)

    def step() -> float:
        number = next(numbers)
        loss = model.loss(batch)
        (loss + tuning.penalty()).backward()
        tuning.after_backward(number, total)
        optimizer.step()
        tuning.after_step(number, total)
        optimizer.zero_grad()
        return loss.item()

    return step


def their_step(folder: str, method: str, batch: Batch):
    """One training step of transformers + peft as a function, which returns the loss."""
    import peft
    import transformers

    family = transformers.AutoConfig.from_pretrained(folder).model_type
    kind = transformers.T5ForConditionalGeneration if family == "t5" else transformers.GPT2LMHeadModel
    model = kind.from_pretrained(folder)
    task = "SEQ_2_SEQ_LM" if family == "t5" else "CAUSAL_LM"
    if method == "lora":  # GPT-2 fuses query, key and value in one matrix: rank 8 on it has as many weights
        targets = ["q", "v"] if family == "t5" else ["c_attn"]
        settings = peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=targets, fan_in_fan_out=family == "gpt2")
    elif method == "prompt_tuning":
        settings = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=PROMPT)
    elif method in ("prefix_tuning", "decoder_prefix"):
        settings = peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=PROMPT)
    elif method in T5_OURS:
        settings = their_t5_settings(method, model.config.d_model)
    if method != "full":
        model = peft.get_peft_model(model, settings)
    model.train()
    labels = batch.target.masked_fill(~batch.target_mask, -100)
    inputs = dict(input_ids=batch.source, attention_mask=batch.source_mask.long(), labels=labels)
    if family == "gpt2":
        source, mask = pad_left(batch.source, batch.source_mask)
        inputs = dict(
            input_ids=torch.cat([source, batch.target], 1),
            attention_mask=torch.cat([mask, batch.target_mask], 1).long(),
            labels=torch.cat([torch.full_like(source, -100), labels], 1),
        )
        if method in ("full", "lora"):  # peft makes its own where it puts a prompt in front
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4, weight_decay=0.0)
    numbers = count(ADALORA_STEPS[1])

    def step() -> float:
        loss = model(**inputs).loss  # AdaLoRA's with its penalty, which the first step's comparison leaves out
        loss.backward()
        optimizer.step()
        if method == "adalora":
            model.base_model.update_and_allocate(next(numbers))
        optimizer.zero_grad()
        return loss.item()

    return step


def their_t5_settings(method: str, hidden: int):
    """peft's configuration of a method that is compared on T5 alone."""
    import peft

    places = ["q", "v"]
    total, _ = ADALORA_STEPS
    if method == "ia3":
        return peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])
    if method == "dora":
        return peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=places, use_dora=True)
    if method == "vera":
        return peft.VeraConfig(r=64, target_modules=places)
    if method == "oft":
        return peft.OFTConfig(r=0, oft_block_size=8, target_modules=places, use_cayley_neumann=False)
    if method == "adalora":
        return peft.AdaLoraConfig(
            task_type="SEQ_2_SEQ_LM", init_r=12, target_r=RANK, lora_alpha=24, target_modules=places,
            tinit=total // 10, tfinal=3 * total // 10, deltaT=10, total_step=total, orth_reg_weight=0.1,
        )  # fmt: skip
    return peft.PromptEncoderConfig(
        task_type="SEQ_2_SEQ_LM", num_virtual_tokens=PROMPT, num_transformer_submodules=1,
        encoder_reparameterization_type="LSTM", encoder_hidden_size=hidden // 2,
    )  # fmt: skip
