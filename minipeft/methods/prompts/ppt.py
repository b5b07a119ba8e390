"""PPT, pre-trained prompt tuning: few examples are enough where the prompt has learned the form of the task before.

    [P; first <X> second]  ->  <X> label      P: (prompt_length, hidden), trained; <X>: the first sentinel, a blank

Every task is put into one of four forms, and P starts from a prompt pre-trained on that form without the task's
examples (`transfer/prompt_pretraining.py`). Source and answer look as in T5's own pretraining: the source has a blank,
the answer is the sentinel and what fills it. GPT-2 was never shown a blank: it reads the same words without it and goes
on with the label. The paper closes the answers of pre-training with a second sentinel; here end-of-sequence does.
One prompt is bundled, `ppt-single`, for `t5-0.8m`; in the forms that need no labels no prompt learned its own task.
Start: the pre-trained prompt; without one, prompt tuning's.
Tuned with Adafactor, as our prompts all are; the released code uses AdamW.
Trainable: prompt_length * hidden parameters; a pre-trained prompt belongs to one base.
Paper: Gu, Han, Liu, Huang 2022, arXiv:2109.04332.
Lesson: lessons/08_prompt_transfer. Test: tests/methods/prompts/test_ppt.py.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.hyperparameter_types import settle_fields
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import load_prompt
from minipeft.methods.prompts.template import Template
from minipeft.transformer.text_joints import encode_written

OPTIONS = "{source} The correct one is <X>"  # the options stand in the source
TEMPLATES = {"single": "{source} <X>", "pair": "{first} <X> {second}", "choice": OPTIONS, "unified": OPTIONS}
LETTERS = "ABCDEFGHIJKLMNOP"


@dataclass
class PPT(PromptTuning):
    """format: "single" text; "pair" for sources "a | b"; "choice" for sources that list lettered options (tasks named
    "...:lettered"); "unified" lists `labels` as lettered options of a single text, or, without labels, is as "choice".

    pretrained: a bundled prompt ("ppt-single") or the file of one; "" starts anew. template: in place of the format's
    with its options, for more words around the blank, as "{source} It was <X>" (the paper's hybrid).
    """

    template: str = ""
    format: str = "single"
    pretrained: str = ""

    name = "ppt"
    labels_are_for_the_start = False
    blank: ClassVar[re.Pattern] = re.compile(r"\s*<X>")

    def __post_init__(self):
        settle_fields(self)
        if self.format not in TEMPLATES:
            raise UserError(f"The format of ppt must be one of {', '.join(TEMPLATES)}, not {self.format!r}.")
        if self.lettered and len(self.labels) > len(LETTERS):
            raise UserError(f"ppt has letters for {len(LETTERS)} options, not for {len(self.labels)} labels.")
        options = " ".join(f"{letter}. {label}" for letter, label in zip(LETTERS, self.labels, strict=False))
        listed = f"{{source}} ? {options} ." if self.lettered else "{source}"
        self.template = self.template or TEMPLATES[self.format].replace("{source}", listed)
        if "<X>" not in self.template:
            raise UserError(f"The template of ppt needs the blank <X> that the label fills; got {self.template!r}.")
        super().__post_init__()

    @property
    def lettered(self) -> bool:
        """Whether labels are answered by their letters."""
        return self.format == "unified" and bool(self.labels)

    @property
    def fills_blanks(self) -> bool:
        return self.model.reading_stack == "encoder"

    def source_ids(self, text: str) -> list[int]:
        template = self.template if self.fills_blanks else self.blank.sub("", self.template)
        return Template(template).encode(text, self.model.tokenizer)

    def answer_ids(self, text: str) -> list[list[int]]:
        if self.lettered and text not in self.labels:
            raise UserError(f"{text!r} is none of ppt's labels, {', '.join(self.labels)}: give it the task's labels.")
        word = LETTERS[list(self.labels).index(text)] if self.lettered else text
        opening = [self.model.tokenizer.sentinel(0)] if self.fills_blanks else []
        return [[*opening, *encode_written(self.model, word)]]

    def first_prompt(self, model: nn.Module) -> torch.Tensor:
        if self.start is None and self.given is None and self.pretrained:
            self.start_from(load_prompt(self.pretrained, self.fingerprint))
        return super().first_prompt(model)
