"""Prompt ensemble: several prompts on one frozen model, read in one batch; the answer is their majority's.

    [P_r; X]        P: (members, prompt_length, hidden), trained   r: the row's own member   X: (length, hidden)

While training, row i reads prompt i mod members, where the rows of a run are counted through all its
batches: so every member has its turns, also where a batch has fewer rows. To choose an answer, every
text goes to all members, as that many rows of one batch, and the answer that is the likeliest for
most of them wins. Writing is left to member 0.
Start: as prompt tuning, each prompt from its own draw; or prompts that were trained one by one, by `load_members`.
Trainable: members * prompt_length * hidden parameters.
Paper: Lester, Al-Rfou, Constant 2021, arXiv:2104.08691, table 3.
Lesson: lessons/08_prompt_transfer. Test: tests/methods/prompts/test_prompt_ensemble.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.prompts.prompt_bank import PromptBank
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.transformer.batch import Batch


@dataclass
class PromptEnsemble(PromptTuning):
    """`members` prompts of equal length; the other hyper-parameters are those of prompt tuning."""

    members: int = 5

    name = "prompt_ensemble"

    def __post_init__(self):
        super().__post_init__()
        if self.members < 1:
            raise UserError(f"An ensemble needs at least 1 member, not {self.members}.")

    def wrap(self, stack: nn.Module, model: nn.Module) -> nn.Module:
        if any(prompts.shape[:1] != (self.members,) for prompts in (self.given or {}).values()):
            raise UserError(f"The ensemble has {self.members} members, and its file another number of prompts.")
        self.bank = PromptBank(stack, torch.stack([self.first_prompt(model) for _ in range(self.members)]))
        return self.bank

    def load_members(self, states: Sequence[dict[str, torch.Tensor]]) -> None:
        """Take over prompts that were trained one by one: the `state_dict` of a PromptTuning for each member."""
        if len(states) != self.members:
            raise UserError(f"The ensemble has {self.members} members and {len(states)} prompts were given.")
        (name,) = self.named_parameters()  # "encoder.prompts" or "decoder.prompts"; one prompt is called "...prompt"
        for number, state in enumerate(states):
            if [*state] != [name[:-1]] or state[name[:-1]].shape != self.bank.prompts[0].shape:
                found = {key: tuple(tensor.shape) for key, tensor in state.items()}
                expected = {name[:-1]: tuple(self.bank.prompts[0].shape)}
                raise UserError(f"Member {number} is {found}, expected the state of a PromptTuning: {expected}.")
        self.load_state_dict({name: torch.stack([state[name[:-1]] for state in states])})

    def before_step(self, step: int, total: int, rows: range) -> None:
        if step == 0 and total * rows.stop < self.members:
            raise UserError(
                f"{total} steps of {rows.stop} rows leave some of the {self.members} members untrained: take more."
            )
        self.bank.turns = torch.tensor(rows, device=self.bank.prompts.device) % self.members

    def after_step(self, step: int, total: int) -> None:
        self.bank.turns = None

    @contextmanager
    def only(self, member: int) -> Iterator[None]:
        """Inside, every row reads the prompt of this one member, and it alone decides."""
        self.require_attached()
        if not 0 <= member < self.members:
            raise UserError(f"There is no member {member}: the ensemble has 0 to {self.members - 1}.")
        self.bank.rows = torch.tensor([member], device=self.bank.prompts.device)
        try:
            yield
        finally:
            self.bank.rows = None

    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        """Votes, (batch, candidates), in place of log-likelihoods: the highest is the ensemble's answer."""
        if self.bank.rows is not None:  # `only` one member is asked
            return self.model.score(batch, candidates, candidate_mask)
        texts = (batch.source, batch.source_mask, candidates, candidate_mask)
        source, source_mask, *choices = (x.repeat_interleave(self.members, 0) for x in texts)
        self.bank.rows = torch.arange(self.members, device=source.device).repeat(len(batch))  # 0, 1, 2, 0, 1, 2, ...
        try:
            scores = self.model.score(Batch(source, source_mask), *choices)  # (batch * members, candidates)
        finally:
            self.bank.rows = None
        # Ranking fills short rows up with copies of their first candidate: a copy must not take votes from it.
        copies = (candidates == candidates[:, :1]).all(-1) & (candidate_mask == candidate_mask[:, :1]).all(-1)
        copies[:, 0] = False
        scores = scores.view(len(batch), self.members, -1).masked_fill(copies[:, None], -torch.inf)
        return majority(scores)


def majority(scores: torch.Tensor) -> torch.Tensor:
    """Of (batch, members, candidates) log-likelihoods: how many members find a candidate the likeliest, and a tie
    broken by the candidates' mean log-likelihood, which adds less than one vote. Returns (batch, candidates)."""
    choices = scores.shape[-1]
    votes = nn.functional.one_hot(scores.argmax(-1), choices).sum(1)  # (batch, candidates)
    rank = scores.mean(1).argsort(-1).argsort(-1)  # 0 for the least likely
    return votes + rank / choices
