"""A model's fingerprint is that of its numbers, however they lie in memory, and changes with each of them."""

import hashlib

import pytest
import torch
from torch import nn

from minipeft.methods.low_rank.lora import LoRA
from minipeft.transformer.fingerprints import fingerprint, tensor_bytes
from minipeft.transformer.hollow import hollow

VALUES = torch.tensor([0.5, -0.0, 3.0, 7.0, -2.0, 11.0])


class Plain(nn.Module):
    def __init__(self, buffer):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("buffer", buffer)


class Stateful(Plain):
    """With a state that is no tensor, and one that is."""

    def __init__(self, state):
        super().__init__(torch.zeros(2))
        self.state = state

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


LAYOUTS = {
    "strided": lambda: torch.stack([VALUES, -VALUES], 1)[:, 0],
    "transposed": lambda: VALUES.view(2, 3).T.contiguous().T,
    "expanded": lambda: torch.ones(1).expand(5),
    "without dimensions": lambda: torch.tensor(2.5),
    "empty": lambda: torch.empty(0, 3),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed rows": lambda: torch.eye(3).to_sparse_csr(),
    "conjugated": lambda: torch.tensor([1 + 2j, 3 - 1j]).conj(),
    "imaginary part of a conjugated one": lambda: torch.tensor([1 + 2j, 3 - 1j]).conj().imag,
    "truth values": lambda: torch.tensor([True, False]),
    "counter": lambda: torch.tensor(3),
    "eight bits": lambda: torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    "sixteen bits": lambda: VALUES.bfloat16(),
    "quantized": lambda: torch.quantize_per_tensor(VALUES, 0.1, 3, torch.qint8),
    "quantized by rows": lambda: torch.quantize_per_channel(
        VALUES.view(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
    ),
}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_a_model_with_any_tensor_among_its_buffers_takes_an_adapter_and_gets_the_tensor_back(make):
    model, method = Plain(make()), LoRA(rank=1, targets=("fc",))
    name, before = fingerprint(model), tensor_bytes(model.buffer)
    method.attach(model)
    assert method.fingerprint == name
    method.require_own_changes_only()
    method.detach()
    assert (tensor_bytes(model.buffer) == before).all() and fingerprint(model) == name


def test_the_bytes_are_those_of_the_numbers_in_their_order_whatever_the_layout():
    plain = VALUES.numpy().tobytes()
    for same in (VALUES, LAYOUTS["strided"](), LAYOUTS["transposed"](), VALUES[None]):
        assert tensor_bytes(same).tobytes() == plain
    assert tensor_bytes(LAYOUTS["sparse"]()).tobytes() == torch.eye(3).numpy().tobytes()
    assert tensor_bytes(LAYOUTS["conjugated"]()).tobytes() == torch.tensor([1 - 2j, 3 + 1j]).numpy().tobytes()


def test_the_fingerprint_is_sha256_of_names_shapes_types_and_numbers():
    model = nn.Linear(2, 1)
    digest = hashlib.sha256()
    for name, shape, values in (("bias", "(1,)", model.bias), ("weight", "(1, 2)", model.weight)):
        digest.update(f"{name} {shape} torch.float32\n".encode() + values.detach().numpy().tobytes())
    assert fingerprint(model) == digest.hexdigest()


def with_buffer(buffer):
    torch.manual_seed(0)
    return Plain(buffer)


@pytest.mark.parametrize("first, second", [(0.0, -0.0), (1.0, 1.0000001), (torch.nan, 0.0)])
def test_every_bit_changes_the_fingerprint(first, second):
    assert fingerprint(with_buffer(torch.tensor([first]))) != fingerprint(with_buffer(torch.tensor([second])))


def test_other_scales_of_the_same_codes_are_another_model():
    codes = [torch.quantize_per_tensor(torch.tensor([scale]), scale, 0, torch.qint8) for scale in (0.1, 0.2)]
    assert len({fingerprint(with_buffer(each)) for each in codes}) == 2


def test_what_is_no_tensor_in_a_state_is_left_out():
    names = set()
    for state in ({"version": 1}, {"version": 2}, object(), None):
        torch.manual_seed(0)
        model = Stateful(state)
        names.add(fingerprint(model))
        LoRA(rank=1, targets=("fc",)).attach(model)
    assert len(names) == 1
    torch.manual_seed(0)
    assert fingerprint(Stateful(torch.ones(2))) not in names


def test_a_hollow_model_has_the_fingerprint_of_its_shapes():
    first, second = (hollow(nn.Linear(3, 2)) for _ in range(2))
    assert fingerprint(first) == fingerprint(second) != fingerprint(hollow(nn.Linear(3, 1)))
