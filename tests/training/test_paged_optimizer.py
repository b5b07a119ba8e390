"""AdamW in pages: the same bits as AdamW's, and never more of its state on the device than the budget allows."""

import copy

import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.training.adamw import AdamW
from minipeft.training.optimizers import make_optimizer
from minipeft.training.paged_adamw import PagedAdamW

SHAPES = [(37, 53), (3, 5, 41), (), (128,), (129,), (1, 700), (0, 4)]
TOTAL = sum(torch.Size(shape).numel() for shape in SHAPES)
SETTINGS = {"lr": 0.03, "betas": (0.8, 0.97), "eps": 1e-7, "weight_decay": 0.1}
PAGE = 8 * 64  # bytes: the smallest
# Two pages; as many as leave most of the state outside; a budget that is no multiple of a page; room for everything.
BUDGETS = (2 * PAGE, 7 * PAGE, 5 * PAGE + 100, 100 * TOTAL)
budgets = pytest.mark.parametrize("budget", BUDGETS)
types = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def weights(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def run(optimizer, params, steps, check=lambda: None):
    """`steps` numbers; the same gradients for the same step; some weights have none at times."""
    for step in steps:
        generator = torch.Generator().manual_seed(100 + step)
        for index, param in enumerate(params):
            grad = torch.randn(param.shape, generator=generator) * 10.0 ** (step % 5 - 3)
            param.grad = None if (step + index) % 5 == 0 else grad.to(param.dtype)
        for group in optimizer.param_groups:
            group["lr"] = 0.03 / (1 + step)
        optimizer.step()
        check()


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def assert_same_state(ours, theirs):
    ours, theirs = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for index, state in theirs.items():
        assert ours[index].keys() == state.keys() and ours[index]["step"] == state["step"]
        for key in ("mean", "square"):
            assert torch.equal(ours[index][key], state[key]) and ours[index][key].dtype == torch.float32
            assert ours[index][key].shape == state[key].shape


@types
@budgets
def test_many_steps_are_adamws_bit_for_bit_and_the_budget_is_kept(budget, dtype):
    ours, theirs = weights(dtype), weights(dtype)
    paged, plain = PagedAdamW(ours, budget=budget, page=PAGE, **SETTINGS), AdamW(theirs, **SETTINGS)

    def check():
        pages = [part for page in paged.pages.values() for part in page]
        held = sum(part.numel() * part.element_size() for part in pages)
        assert held == paged.resident <= paged.most_resident <= budget
        homes = {state["mean"].untyped_storage().data_ptr() for state in paged.state.values()}
        assert not homes & {part.untyped_storage().data_ptr() for part in pages}

    run(paged, ours, range(30), check)
    run(plain, theirs, range(30))
    assert_same(ours, theirs)
    assert_same_state(paged, plain)
    assert not any(torch.equal(a, b) for a, b in zip(ours, weights(dtype), strict=True) if a.numel() > 1)
    assert paged.most_resident == 8 * TOTAL if budget > 8 * TOTAL else paged.most_resident > budget - 2 * PAGE


@pytest.mark.parametrize("pages", [1, 3, 10, 25])
def test_what_fits_stays_and_only_the_rest_is_moved(pages):
    """Of n pages in k places, k - 1 are found in place at every later step: evicting the oldest would find none."""
    count, steps = 25, 4
    param = nn.Parameter(torch.ones(64 * count))
    optimizer = PagedAdamW([param], budget=pages * PAGE, page=PAGE)
    for _ in range(steps):
        param.grad = torch.ones(64 * count)
        optimizer.step()
    fetched = count + (steps - 1) * (count - (pages - 1) if pages < count else 0)
    evicted = fetched - pages
    assert optimizer.moved == (fetched + evicted) * PAGE and optimizer.most_resident == pages * PAGE


@types
@pytest.mark.parametrize("first, second", [("paged", "paged"), ("paged", "plain"), ("plain", "paged")])
def test_a_run_goes_on_from_a_state_dict_as_if_it_had_not_stopped(first, second, dtype, tmp_path):
    def make(kind, params):
        return (
            PagedAdamW(params, budget=3 * PAGE, page=PAGE, **SETTINGS) if kind == "paged" else AdamW(params, **SETTINGS)
        )

    unbroken = weights(dtype)
    run(reference := AdamW(unbroken, **SETTINGS), unbroken, range(14))
    params = weights(dtype)
    run(optimizer := make(first, params), params, range(6))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    params = [nn.Parameter(param.detach().clone()) for param in params]
    resumed = make(second, params)
    run(resumed, params[:3], range(2))  # what it held before must be gone
    for param, kept in zip(params, optimizer.param_groups[0]["params"], strict=True):
        param.data.copy_(kept)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    run(resumed, params, range(6, 14))
    assert_same(params, unbroken)
    assert_same_state(resumed, reference)


def test_taking_a_state_dict_in_between_changes_nothing():
    ours, theirs = weights(), weights()
    paged, plain = PagedAdamW(ours, budget=4 * PAGE, page=PAGE, **SETTINGS), AdamW(theirs, **SETTINGS)
    run(paged, ours, range(9), paged.state_dict)
    run(plain, theirs, range(9))
    assert_same(ours, theirs)


def test_a_loaded_state_is_a_copy():
    params = weights()
    optimizer = PagedAdamW(params, budget=4 * PAGE, page=PAGE)
    run(optimizer, params, range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    kept = copy.deepcopy(saved)
    optimizer.load_state_dict(saved)
    run(optimizer, params, range(3, 6))
    assert all(torch.equal(saved["state"][i]["mean"], kept["state"][i]["mean"]) for i in kept["state"])


def test_weights_that_lie_transposed_in_memory_are_stepped_too():
    start = torch.randn(20, 31, generator=torch.Generator().manual_seed(1))
    ours, theirs = nn.Parameter(start.clone().T), nn.Parameter(start.T.contiguous())
    assert not ours.is_contiguous()
    run(PagedAdamW([ours], budget=2 * PAGE, page=PAGE), [ours], range(1, 5))
    run(AdamW([theirs]), [theirs], range(1, 5))
    assert torch.equal(ours, theirs) and not torch.equal(ours, start.T)


def test_it_is_offered_by_name():
    params = [{"params": [nn.Parameter(torch.ones(200, 3)), nn.Parameter(torch.ones(4))]}]
    optimizer = make_optimizer("paged_adamw", params, 0.1, weight_decay=0.2, budget=2 * PAGE, page=PAGE)
    assert isinstance(optimizer, PagedAdamW) and optimizer.budget == 2 * PAGE
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


@pytest.mark.parametrize("settings", [{"page": 511, "budget": 4096}, {"page": 4096, "budget": 4000}])
def test_pages_that_hold_nothing_or_do_not_fit_are_refused(settings):
    with pytest.raises(UserError, match="must hold 512 and fit into the budget"):
        PagedAdamW([nn.Parameter(torch.ones(3))], **settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_host_memory_is_pinned_and_the_bits_are_adamws():
    ours, theirs = ([nn.Parameter(param.detach().cuda()) for param in weights()] for _ in range(2))
    paged, plain = PagedAdamW(ours, budget=4 * PAGE, page=PAGE, **SETTINGS), AdamW(theirs, **SETTINGS)
    for optimizer, params in ((paged, ours), (plain, theirs)):
        for step in range(12):
            for param in params:
                grad = torch.randn(param.shape, generator=torch.Generator().manual_seed(step))
                param.grad = grad.cuda()
            optimizer.step()
    assert_same(ours, theirs)
    for index, state in plain.state_dict()["state"].items():
        home = paged.state_dict()["state"][index]["mean"]
        assert torch.equal(home, state["mean"].cpu()) and (home.is_pinned() or not home.numel())
