"""P-tuning v2: prefix tuning for understanding: keys and values in every layer, or in some, and a classifier on top.

    softmax(q [P_k; K]^T) [P_v; V]          P_k, P_v: (heads, prefix, head) in each chosen layer
    logits[labels] = W h + b                W: (labels + 1, hidden)   h: the state that the answer is predicted from

The same mechanism as prefix tuning. What the paper changed: the network behind the keys and values is optional (here:
off), the prompt's length is chosen for the task, and a new linear head may stand for the language model's. That of a
tagging task stands on every token of the source (token_head.py). The released code's dropout on the prompt is left out.
Start: the prompt random, so the first output is never the base model's; the head as in heads.py or token_head.py.
Trainable (stored): 2 prefix heads head parameters in each layer with a prompt (and attention type), and with labels or
tags (labels + 1) (hidden + 1) or (tags + 1) (hidden + 1) in the head. With tags a T5 has no prompt in its decoder.
Paper: Liu, Ji, Fu et al. 2021, arXiv:2110.07602.
Lesson: lessons/07_p_tuning. Test: tests/methods/prompts/test_p_tuning_v2.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.heads import check_label, label_head
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.token_head import TokenTagging


@dataclass
class PTuningV2(TokenTagging, PrefixTuning):
    """A prompt of `prefix_length` keys and values in the `depth` top (or bottom) layers of each stack; 0: in all.

    With `labels` a linear head that knows these answers alone takes the place of the vocabulary's; with `tags` one that
    tags every token of the source, for answers such as "tool: rasp". It is trained at `head_learning_rate`.
    """

    reparametrise: bool = False
    depth: int = 0
    from_top: bool = True
    labels: Sequence[str] = ()
    tags: Sequence[str] = ()
    head_learning_rate: float = 3e-3

    name = "p_tuning_v2"

    def __post_init__(self):
        super().__post_init__()
        if self.depth < 0:
            raise UserError(f"The depth must be a number of layers, or 0 for all of them, not {self.depth}.")
        self.require_tags()
        if self.labels and self.tags:
            raise UserError("A head is for labels of a text or for tags of its words: give labels or tags, not both.")

    def install(self, model: nn.Module) -> None:
        super().install(model)
        if self.tags:
            self.install_token_head(model)
        if self.labels:
            self.replace(["head"], lambda head: label_head(model, self.labels))

    def chosen(self, paths: list[str]) -> list[str]:
        if self.tags and not paths[0].startswith(f"{self.model.reading_stack}."):
            return []  # nothing is written, so the decoder of a T5 has nothing to do
        if self.depth > len(paths):
            raise UserError(f"The depth {self.depth} is more than the {len(paths)} layers of a stack: lower it.")
        if not self.depth:
            return paths
        return paths[-self.depth :] if self.from_top else paths[: self.depth]

    def answer_ids(self, text: str) -> list[list[int]]:
        if self.labels:
            check_label(text, self.labels)
        return super().answer_ids(text)

    @property
    def has_head(self) -> bool:
        return bool(self.labels or self.tags)
