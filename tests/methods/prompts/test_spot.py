"""Files of prompts, and the two methods that start from one: SPoT and PPT."""

import pytest
import torch
from helpers.laws import Words
from helpers.models import tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.spot import SPoT, load_prompt, prompt_names, read_prompt_file, save_prompt
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.transformer.fingerprints import fingerprint

STARTS = {"ppt": ("pretrained", PPT), "spot": ("source", SPoT)}
both = pytest.mark.parametrize("name", STARTS)


def attached(method, model=None):
    model = model or tiny_t5()
    model.tokenizer = Words()
    method.attach(model)
    return method


def write(path, model, length=3):
    torch.manual_seed(5)
    prompt = torch.randn(length, 12)
    save_prompt(path, prompt, fingerprint(model), "tiny", "test", {"steps": 7})
    return prompt


@both
@pytest.mark.parametrize("family", [tiny_t5, tiny_gpt2])
def test_training_starts_from_the_prompt_in_the_file(name, family, tmp_path):
    field, kind = STARTS[name]
    prompt = write(tmp_path / "p.pt", family())
    method = attached(kind(prompt_length=3, **{field: str(tmp_path / "p.pt")}), family())
    (start,) = method.state_dict().values()
    assert torch.equal(start, prompt)
    assert [file.name for file in tmp_path.iterdir()] == ["p.pt"]  # nothing temporary is left


@both
def test_another_length_and_another_base_are_refused_and_leave_the_model_alone(name, tmp_path):
    field, kind = STARTS[name]
    file = {field: str(tmp_path / "p.pt")}
    write(tmp_path / "p.pt", tiny_t5())
    model = tiny_t5()
    with pytest.raises(UserError, match=r"start is \(3, 12\), the prompt \(4, 12\)"):
        attached(kind(prompt_length=4, **file), model)
    other = tiny_t5()
    with torch.no_grad():
        other.head.weight[0, 0] += 1
    with pytest.raises(UserError, match="belongs to the base 'tiny', which is not this one"):
        attached(kind(prompt_length=3, **file), other)
    for left in (model, other):
        attached(METHODS["full"](), left)


@both
def test_an_adapter_loads_where_the_file_it_started_from_is_gone(name, tmp_path):
    field, kind = STARTS[name]
    write(tmp_path / "p.pt", tiny_t5())
    method = attached(kind(prompt_length=3, **{field: str(tmp_path / "p.pt")}))
    with torch.no_grad():
        next(iter(method.named_parameters().values())).mul_(-2)
    save_adapter(tmp_path / "adapter.pt", method.model, method)
    (tmp_path / "p.pt").unlink()
    fresh = tiny_t5()
    fresh.tokenizer = Words()
    again = load_adapter(tmp_path / "adapter.pt", fresh, METHODS)
    assert again.hyperparameters() == method.hyperparameters()
    (got,), (expected,) = again.state_dict().values(), method.state_dict().values()
    assert torch.equal(got, expected)


def test_files_that_are_no_prompts_are_refused(tmp_path):
    with pytest.raises(UserError, match="no prompt 'nowhere': give a file, or a bundled one"):
        read_prompt_file("nowhere")
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        read_prompt_file(tmp_path / "text.pt")
    torch.save({"prompt": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="is not a prompt file"):
        read_prompt_file(tmp_path / "other.pt")


def test_bundled_prompts_fit_the_bundled_base_they_name_and_say_how_they_were_made():
    assert prompt_names()
    for name in prompt_names():
        content = read_prompt_file(name)
        base = load(content["model"])
        prompt = load_prompt(name, fingerprint(base))
        assert prompt.shape == (20, base.config.hidden_size) and prompt.isfinite().all()
        assert content["kind"] == name and "pretrain-prompt" in content["provenance"]["command"]
