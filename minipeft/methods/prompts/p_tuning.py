"""P-tuning: learn the vectors of virtual tokens that may stand anywhere in a template around the text.

    "[V][V][V] {first} ? [V] {second} [V]"      [V]: virtual, its vector is trained; "?": an anchor, a word as it is
    h = W_2 relu(W_1 LSTM(e) + b_1) + b_2       e, h: (prompt, hidden)   LSTM: 2 layers, hidden / 2 in each direction

The second line is for training only: the LSTM makes the vectors depend on one another, and what is stored is h. With
tune_backbone the model is trained along with them, as the paper did for SuperGLUE; it is then stored too.
Start: e ~ N(0, 1), network as PyTorch makes it; without a network, h at the size of the model's embeddings, which its
steps are in units of, too (embedding_size.py). Virtual tokens make the input longer: the output is not the base's.
Trainable (stored): prompt d parameters at width d. While training, the LSTM encoder moves 14 d^2 + 18 d (d even) and
the MLP encoder 3 d^2 + 3 d besides. With tune_backbone, all of the model besides; with tags a token head.
Paper: Liu et al. 2021, arXiv:2103.10385.
Lesson: lessons/07_p_tuning. Test: tests/methods/prompts/test_p_tuning.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.prompts.reparametrised import PromptTable, Reparametrised
from minipeft.methods.prompts.template import Template
from minipeft.methods.token_head import TokenTagging


class LSTMEncoder(nn.Module):
    """An LSTM reads the virtual tokens from both sides, so that each knows of the others."""

    def __init__(self, prompt: int, hidden_size: int):
        super().__init__()
        half = (hidden_size + 1) // 2  # an odd size is rounded up, until the last layer
        self.positions = nn.Parameter(torch.randn(prompt, hidden_size))
        self.lstm = nn.LSTM(hidden_size, half, num_layers=2, bidirectional=True)
        self.inner = nn.Linear(2 * half, 2 * half)
        self.outer = nn.Linear(2 * half, hidden_size)

    def forward(self) -> torch.Tensor:
        # Outside of autocast, in its own type: not every CPU has a 16-bit LSTM. With gradients, so that one kernel does
        # all: others differ in the last bits, and what was evaluated is to be stored. (cuDNN's has none in eval mode.)
        own_type = torch.autocast("cuda" if self.positions.is_cuda else "cpu", enabled=False)
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), own_type:
            states, _ = self.lstm(self.positions)  # (prompt, 2 * half)
        return self.outer(torch.relu(self.inner(states)))  # (prompt, hidden)

    def table_now(self) -> torch.Tensor:
        return self()


class MLPEncoder(nn.Module):
    """Three linear layers that each virtual token goes through alone, as in Hugging Face's peft."""

    def __init__(self, prompt: int, hidden_size: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(prompt, hidden_size))
        self.first = nn.Linear(hidden_size, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.third = nn.Linear(hidden_size, hidden_size)

    def forward(self) -> torch.Tensor:
        inner = torch.relu(self.second(torch.relu(self.first(self.positions))))
        return self.third(inner)  # (prompt, hidden)

    def table_now(self) -> torch.Tensor:
        return self()


class VirtualEmbedding(nn.Module):
    """Words as before; for the ids from `vocabulary_size` on, the vectors that prompt() gives."""

    def __init__(self, embedding: nn.Module, prompt: nn.Module, vocabulary_size: int):
        super().__init__()
        self.embedding = embedding
        self.prompt = prompt
        self.vocabulary_size = vocabulary_size

    @property
    def weight(self) -> torch.Tensor:
        return self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) -> (batch, length, hidden)"""
        words = self.embedding(ids.clamp(max=self.vocabulary_size - 1))
        virtual = self.prompt()[(ids - self.vocabulary_size).clamp(min=0)]
        return torch.where((ids < self.vocabulary_size)[..., None], words, virtual)


@dataclass
class PTuning(TokenTagging, Reparametrised):
    """A template with one virtual token for each [V]. encoder: "lstm" (the paper's), "mlp" (peft's), or "none".

    tags: a head that tags every token of the text, as in P-tuning v2, takes the place of the vocabulary's.
    """

    template: str = "[V][V][V] {source} [V][V][V]"
    encoder: str = "lstm"
    tune_backbone: bool = False
    tags: Sequence[str] = ()
    head_learning_rate: float = 3e-3

    name = "p_tuning"
    why_no_merge = "virtual tokens make the input longer, which no weight of the model can do. Keep it attached."
    plain = PromptTable

    def __post_init__(self):
        super().__post_init__()
        if not Template(self.template).virtual_tokens:
            raise UserError(f"P-tuning learns virtual tokens: put at least one [V] into {self.template!r}.")
        self.require_tags()
        if self.encoder not in ("lstm", "mlp", "none"):
            raise UserError(f"P-tuning's encoder must be 'lstm', 'mlp' or 'none', not {self.encoder!r}.")

    @property
    def vectors_alone(self) -> bool:
        return self.encoder == "none" and not self.tune_backbone

    @property
    def suggested_optimizer(self) -> str:  # for vectors alone that of prompt tuning
        return "adafactor" if self.vectors_alone else "adamw"

    @property
    def suggested_learning_rate(self) -> float:
        return 1e-3 if self.tune_backbone else 0.3 if self.vectors_alone else 3e-2

    @property
    def learning_rate_grid(self) -> tuple[float, ...]:
        if self.tune_backbone:  # rates that the model's own weights can take
            return 3e-4, 1e-3, 2e-3, 4e-3
        return (0.03, 0.1, 0.3, 1.0) if self.vectors_alone else (0.01, 0.03, 0.1, 0.3)

    def install(self, model: nn.Module) -> None:
        if self.tune_backbone:
            self.train_in_place(model.parameters())
        prompt, size = self.new_prompt(model.embedding.weight.detach()), model.config.vocabulary_size
        self.replace(["embedding"], lambda embedding: VirtualEmbedding(embedding, prompt, size))
        if self.tags:
            self.install_token_head(model)

    def new_prompt(self, table: torch.Tensor) -> nn.Module:
        """What gives the vectors of the virtual tokens of a model with this embedding table."""
        shape = Template(self.template).virtual_tokens, table.shape[1]
        if self.encoder == "none":
            prompt = PromptTable(torch.randn(shape).to(table.device) * table.float().std())
        else:
            prompt = (LSTMEncoder if self.encoder == "lstm" else MLPEncoder)(*shape)
        return prompt.to(table.device, table.dtype)

    def source_ids(self, text: str) -> list[int]:
        return Template(self.template).encode(text, self.model.tokenizer, self.model.config.vocabulary_size)
