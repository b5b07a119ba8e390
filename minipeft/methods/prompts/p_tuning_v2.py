"""P-tuning v2: prefix tuning for understanding: keys and values in every layer, or in some, and a classifier on top.

    softmax(q [P_k; K]^T) [P_v; V]          P_k, P_v: (heads, prefix, head) in each chosen layer
    logits[labels] = W h + b                W: (labels + 1, hidden)   h: the state that the answer is predicted from

The same mechanism as prefix tuning. What the paper changed: the network behind the keys and values is optional (here:
off), the prompt's length is chosen for the task, and a new linear head may stand for the language model's. A tagging
task is answered in text here, one tag after the other. The released code's dropout on the prompt is left out.
Start: the prompt random, so the first output is never the base model's; the head as in heads.py.
Trainable (stored): 2 prefix heads head parameters in each layer with a prompt (and attention type), and with labels
(labels + 1) (hidden + 1) in the head.
Paper: Liu, Ji, Fu et al. 2021, arXiv:2110.07602.
Lesson: lessons/07_p_tuning. Test: tests/methods/prompts/test_p_tuning_v2.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.heads import check_label, label_head
from minipeft.methods.prompts.prefix_tuning import PrefixTuning


@dataclass
class PTuningV2(PrefixTuning):
    """A prompt of `prefix_length` keys and values in the `depth` top (or bottom) layers of each stack; 0: in all.

    With `labels` a linear head that knows these answers alone takes the place of the vocabulary's, and is trained at
    `head_learning_rate`, because the prompt's own rate would tear it apart.
    """

    reparametrise: bool = False
    depth: int = 0
    from_top: bool = True
    labels: Sequence[str] = ()
    head_learning_rate: float = 3e-3

    name = "p_tuning_v2"

    def __post_init__(self):
        super().__post_init__()
        if self.depth < 0:
            raise UserError(f"The depth must be a number of layers, or 0 for all of them, not {self.depth}.")

    def install(self, model: nn.Module) -> None:
        super().install(model)
        if self.labels:
            self.replace(["head"], lambda head: label_head(model, self.labels))

    def chosen(self, paths: list[str]) -> list[str]:
        if self.depth > len(paths):
            raise UserError(f"The depth {self.depth} is more than the {len(paths)} layers of a stack: lower it.")
        if not self.depth:
            return paths
        return paths[-self.depth :] if self.from_top else paths[: self.depth]

    def answer_ids(self, text: str) -> list[list[int]]:
        if self.labels:
            check_label(text, self.labels)
        return super().answer_ids(text)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        head = {"params": list(self.model.head.parameters()) if self.labels else [], "lr": self.head_learning_rate}
        prompt = [p for p in self.named_parameters().values() if all(p is not own for own in head["params"])]
        groups = [{"params": prompt, "lr": learning_rate}, head]
        return [group for group in groups if group["params"]]
