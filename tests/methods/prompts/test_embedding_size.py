"""Prompts move in proportion to the words among which they stand: one rate for embeddings of every size."""

import pytest
import torch
from helpers.laws import new_model
from helpers.models import SLOW_LLAMA, random_batch

from minipeft.methods.prompts.embedding_prefix import EmbeddingPrefix
from minipeft.methods.prompts.embedding_size import embedding_size
from minipeft.methods.prompts.p_tuning import PTuning
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import SPoT
from minipeft.training.optimizers import make_optimizer

MAKERS = {
    "prompt_tuning": lambda: PromptTuning(prompt_length=3, init="uniform"),
    "prompt_ensemble": lambda: PromptEnsemble(prompt_length=3, init="uniform", members=2),
    "ppt": lambda: PPT(prompt_length=3, init="uniform"),
    "spot": lambda: SPoT(prompt_length=3, init="uniform"),
    "p_tuning": lambda: PTuning(encoder="none"),
    "embedding_prefix": lambda: EmbeddingPrefix(prefix_length=3, reparametrise=False),
}


def test_the_size_is_the_root_mean_square_of_all_embeddings():
    model = new_model("t5")
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.embedding.weight[:, :3] = 2.0  # 3 of 12 numbers of each: the mean square is 4 * 3 / 12 = 1
    assert float(embedding_size(model)) == pytest.approx(1.0)


@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_is_as_large_beside_the_embeddings_whatever_their_size(name, family):
    moved = {}
    for size in (0.02, 1.0, 34.0):
        model, method = new_model(family), MAKERS[name]()
        with torch.no_grad():
            model.embedding.weight.mul_(size / embedding_size(model))
        method.attach(model)
        before = method.training_state()
        groups = method.parameter_groups(0.25)
        assert [group["lr"] for group in groups] == [pytest.approx(0.25 * size)]
        optimizer = make_optimizer("adafactor", groups, 0.25)
        torch.manual_seed(0)
        for parameter in method.named_parameters().values():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        steps = [(p - before[name]) / size for name, p in method.named_parameters().items()]
        moved[size] = torch.cat([step.flatten() for step in steps])
    assert 0.2 < moved[1.0].square().mean().sqrt() < 0.26, "about the learning rate"
    for size in (0.02, 34.0):
        torch.testing.assert_close(moved[size], moved[1.0], atol=1e-4, rtol=1e-3)


def test_what_is_no_vector_among_the_words_keeps_its_rate():
    model = new_model("t5")
    with torch.no_grad():
        model.embedding.weight.mul_(7.0)
    for method in (PTuning(), PTuning(encoder="mlp"), PTuning(encoder="none", tune_backbone=True), EmbeddingPrefix()):
        method.attach(model)
        assert [group["lr"] for group in method.parameter_groups(0.25)] == [0.25]
        method.detach()


def test_vectors_that_start_at_random_are_as_large_as_the_embeddings():
    model = new_model("t5")
    with torch.no_grad():
        model.embedding.weight.mul_(34.0)
    method = EmbeddingPrefix(prefix_length=60, reparametrise=False)
    method.attach(model)
    for table in method.state_dict().values():
        assert 0.8 < float(table.square().mean().sqrt() / embedding_size(model)) < 1.25
    assert model.loss(random_batch()).isfinite()
