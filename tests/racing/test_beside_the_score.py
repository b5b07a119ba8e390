"""Beside the score: how soon a run had learned, and by how much its base's own held-out loss rose."""

import math

import pytest
import torch

from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.models import load
from minipeft.pretraining.held_out import held_out_batches
from minipeft.pretraining.skills import probes
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.racing import beside_the_score
from minipeft.racing.beside_the_score import forgotten, own_skills, own_stream, skills_lost, steps_to_learn
from minipeft.transformer.batch import Batch

BASE = "t5-0.4m"


def test_the_first_evaluation_that_reaches_90_percent_of_the_way_from_chance():
    curve = [(50, 50.0), (100, 85.9), (150, 86.0), (200, 90.0), (250, 88.0)]
    assert steps_to_learn(curve, chance=50.0) == 150  # 50 + 0.9 * 40
    assert steps_to_learn(curve, chance=0.0) == 100  # 0.9 * 90 = 81
    assert steps_to_learn([(50, 50.0), (100, 48.0)], chance=50.0) is None and steps_to_learn([], 50.0) is None


def test_a_base_says_what_it_was_pretrained_on(base_folder):
    assert own_stream(BASE).objective == "prefix" and own_stream(f"{BASE}-span").objective == "span"
    assert own_stream(base_folder) is None, "a folder without results.json"


@pytest.fixture
def few_texts(monkeypatch):
    """Two batches in place of twelve; what was measured on them is not kept for others."""
    texts = held_out_batches(own_stream(BASE), count=2)
    monkeypatch.setattr(beside_the_score, "texts_of", lambda stream: texts)
    beside_the_score.loss_before.cache_clear()
    yield texts
    beside_the_score.loss_before.cache_clear()


def loss_by_hand(model, batches):
    """Nats a token, token by token, from the logits."""
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            logits = model(batch).log_softmax(-1)
            chosen = logits.gather(-1, batch.target[..., None]).squeeze(-1)[batch.target_mask]
            total, count = total - chosen.double().sum().item(), count + len(chosen)
    return total / count


def test_what_is_forgotten_is_the_rise_of_the_held_out_loss(few_texts):
    model, texts = load(BASE), few_texts
    assert forgotten(model, BASE) == pytest.approx(0.0, abs=1e-5)
    before = loss_by_hand(model, texts)
    method = LoRA(rank=2)
    method.attach(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    found = forgotten(model, BASE)
    assert found > 0.1 and found == pytest.approx(loss_by_hand(model, texts) - before, abs=1e-4)
    method.detach()
    prompt = PromptTuning(prompt_length=5)
    prompt.attach(model)
    assert abs(forgotten(model, BASE)) > 1e-4, "the prompt stays before the texts"


def auc_by_hand(model, skill):
    """Every pair of a probe whose first word is right with one whose second is: the share in the right order."""
    tokenizer, right, wrong = Tokenizer.load(), [], []
    for probe in probes(skill):
        source = torch.tensor([[*tokenizer.encode(probe.text), tokenizer.eos]])
        likely = []
        for word in probe.words:
            target = torch.tensor([tokenizer.encode(word)])
            batch = Batch(source, torch.ones_like(source).bool(), target, torch.ones_like(target).bool())
            with torch.no_grad():
                likely.append(model(batch).log_softmax(-1)[0].gather(-1, target[0][:, None]).sum().item())
        (right if probe.first else wrong).append(likely[0] - likely[1])
    return 100 * sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong))


def test_the_skills_that_are_lost_are_those_that_the_base_had(few_texts, monkeypatch, base_folder):
    had = own_skills(BASE)
    assert set(had) == {"plain", "contrast", "who"} and all(auc >= 90 for auc in had.values())
    monkeypatch.setattr(beside_the_score, "own_skills", lambda base: {name: had[name] for name in ("plain", "who")})
    model = load(BASE)
    assert abs(skills_lost(model, BASE)) < 1, "the base's own, whose file is in 16 bit"
    method = LoRA(rank=2)
    method.attach(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    by_hand = (had["plain"] - auc_by_hand(model, "plain") + had["who"] - auc_by_hand(model, "who")) / 2
    assert skills_lost(model, BASE) == pytest.approx(by_hand, abs=0.1) and by_hand > 5
    monkeypatch.undo()
    assert own_skills(base_folder) == {} and skills_lost(load(base_folder), base_folder) is None


def test_where_such_texts_cannot_be_read_or_written_nothing_is_measured(base_folder, few_texts):
    assert forgotten(load(base_folder), base_folder) is None
    model = load(BASE)
    PTuningV2(labels=["good", "bad"]).attach(model)
    assert forgotten(model, BASE) is None, "its head knows labels alone"
    gpt = load("gpt-1.7m")
    PromptTuning(prompt_length=250).attach(gpt)
    assert forgotten(gpt, "gpt-1.7m") is None, "250 of its 256 positions are the prompt's"


def test_a_model_whose_loss_is_no_number_has_no_rise_of_it(few_texts):
    model = load(BASE)
    with torch.no_grad():
        model.embedding.weight.fill_(math.nan)
    assert forgotten(model, BASE) is None
