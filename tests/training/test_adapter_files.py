"""Adapter files: the same outputs on a fresh base, no other base, and one sentence for every way to be broken."""

import threading

import pytest
import torch
from helpers.word_models import make_tiny_task
from torch import nn
from torch.nn.utils import prune, weight_norm

from minipeft.errors import UserError
from minipeft.methods.adapters.scaled_parallel_adapter import ScaledParallelAdapter
from minipeft.methods.low_rank.lora import LoRA
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.batches import collate, encode_examples
from minipeft.transformer.tensor_files import read, write_state

METHODS = {"lora": LoRA}


def trained(model):
    method = LoRA(rank=3, alpha=5.0, targets=("query", "*.value"))
    method.attach(model)
    with torch.no_grad():
        for number, weight in enumerate(method.named_parameters().values()):
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return method


@torch.no_grad()
def logits(model):
    return model(collate(encode_examples(model, make_tiny_task().dev[:5])))


@pytest.fixture
def saved(make_tiny_model, tmp_path):
    model = make_tiny_model()
    method = trained(model)
    save_adapter(tmp_path / "new" / "adapter.pt", model, method)
    return tmp_path / "new" / "adapter.pt", model, method


def test_a_loaded_adapter_gives_bit_identical_outputs(saved, make_tiny_model):
    path, model, method = saved
    fresh = make_tiny_model()
    plain = logits(fresh)
    loaded = load_adapter(path, fresh, METHODS)
    assert torch.equal(logits(fresh), logits(model)) and not torch.equal(logits(fresh), plain)
    assert loaded.hyperparameters() == method.hyperparameters()


def test_the_file_holds_the_trained_numbers_and_little_more(saved):
    path, _, method = saved
    assert path.stat().st_size < 4 * method.stored_count() + 1000 * len(method.state_dict()) + 3000
    assert [entry.name for entry in path.parent.iterdir()] == ["adapter.pt"]


def test_another_base_is_refused_by_its_fingerprint(saved, make_tiny_model):
    path, _, _ = saved
    other = make_tiny_model()
    with torch.no_grad():
        other.embedding.weight[3, 2] += 1e-3
    with pytest.raises(UserError, match="another base"):
        load_adapter(path, other, METHODS)


def rewrite(path, change):
    """The file with its content changed, and with the checksum of what it now holds."""
    content = read(path, "an adapter file")
    del content["checksum"]
    changed = change(content)
    if isinstance(changed, list):
        torch.save(changed, path)
    else:
        write_state(path, content)


def first(content):
    return next(iter(content["weights"]))


BREAKS = {
    "a weight is missing": lambda c: c["weights"].pop(first(c)),
    "a weight too many": lambda c: c["weights"].update(extra=torch.ones(2)),
    "a weight of another shape": lambda c: c["weights"].update({first(c): torch.ones(2, 2)}),
    "a weight that is no number": lambda c: c["weights"][first(c)].fill_(float("nan")),
    "a weight that is no tensor": lambda c: c["weights"].update({first(c): "text"}),
    "weights that are no dictionary": lambda c: c.update(weights=[1, 2]),
    "a key is missing": lambda c: c.pop("base"),
    "a key too many": lambda c: c.update(note="x"),
    "a later format": lambda c: c.update(format=3),
    "an unknown method": lambda c: c.update(method="dora"),
    "an unknown hyper-parameter": lambda c: c["hyperparameters"].update(beta=1),
    "an impossible hyper-parameter": lambda c: c["hyperparameters"].update(rank=0),
    "a hyper-parameter of another type": lambda c: c["hyperparameters"].update(rank="three"),
    "not a dictionary": lambda c: [1, 2, 3],
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_damaged_file_is_refused_and_the_model_stays_plain(saved, make_tiny_model, what):
    path, _, _ = saved
    rewrite(path, BREAKS[what])
    model = make_tiny_model()
    plain, modules = logits(model), list(model.modules())
    with pytest.raises(UserError) as caught:
        load_adapter(path, model, METHODS)
    assert "adapter.pt" in str(caught.value) and "\n" not in str(caught.value)
    assert torch.equal(logits(model), plain) and list(model.modules()) == modules
    LoRA().attach(model)  # still free for a method


def test_truncated_foreign_and_missing_files_are_refused(saved, make_tiny_model, tmp_path):
    path, _, _ = saved
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="adapter.pt"):
            load_adapter(path, make_tiny_model(), METHODS)
    with pytest.raises(UserError, match="no adapter file"):
        load_adapter(tmp_path / "nothing.pt", make_tiny_model(), METHODS)


def test_an_adapter_is_not_loaded_over_another_nor_saved_without_a_model(saved):
    path, model, _ = saved
    with pytest.raises(UserError, match="already carries"):
        load_adapter(path, model, METHODS)
    with pytest.raises(UserError, match="not attached"):
        save_adapter(path, model, LoRA())


@torch.no_grad()
def test_one_single_number_is_stored_and_read_too(make_tiny_model, tmp_path):
    model, method = make_tiny_model(), ScaledParallelAdapter(bottleneck=3, learn_scale=True)
    method.attach(model)
    for weight in method.named_parameters().values():
        weight.add_(0.25)
    assert any(weight.dim() == 0 for weight in method.state_dict().values())
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = make_tiny_model()
    load_adapter(tmp_path / "adapter.pt", fresh, {"scaled_parallel_adapter": ScaledParallelAdapter})
    assert torch.equal(logits(fresh), logits(model))


def test_what_could_not_be_read_again_is_not_saved(make_tiny_model, tmp_path):
    model = make_tiny_model()
    method = trained(model)
    save_adapter(tmp_path / "adapter.pt", model, method)
    whole = (tmp_path / "adapter.pt").read_bytes()
    with torch.no_grad():
        next(iter(method.named_parameters().values()))[0, 0] = torch.nan
    with pytest.raises(UserError, match="adapter.pt is not written.*a number that is not finite"):
        save_adapter(tmp_path / "adapter.pt", model, method)
    assert (tmp_path / "adapter.pt").read_bytes() == whole


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*deprecated.*")
@pytest.mark.parametrize("what", ["pruned", "weight norm, by hooks", "a lock"])
def test_a_model_that_cannot_be_copied_takes_its_own_file_too(what, tmp_path):
    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
        if what == "pruned":
            prune.l1_unstructured(model[0], "weight", 5)
        elif what == "a lock":
            model.lock = threading.Lock()
        else:
            weight_norm(model[0])
        model(torch.ones(6))
        return model

    model, fresh, method = build(), build(), LoRA(rank=2, targets=("0", "2"))
    method.attach(model)
    nn.init.normal_(model[0].B)
    save_adapter(tmp_path / "adapter.pt", model, method)
    load_adapter(tmp_path / "adapter.pt", fresh, {"lora": LoRA})
    x = torch.randn(5, 6)
    assert torch.equal(fresh(x), model(x))
