"""Every method by name: what the command line, `compare`, the property tests and the lessons read."""

from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.method import Method

METHODS: dict[str, type[Method]] = {
    "lora": LoRA,
}
