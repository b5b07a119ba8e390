"""What one training step keeps in memory, in bytes: weights, gradients, optimizer state, saved activations.

Activations are counted exactly, through autograd's saved-tensor hooks: each storage that the backward pass will need
is counted once, and the weights themselves are not activations. The count is the same on every device, but for what
devices compute in ways of their own: LSTMs, dropout's masks, and LayerNorm's two numbers a token in 16 bit. On a hollow
model, whose tensors are on the meta device, it plans a step that this machine could not make (planning.py).
"""

import torch
from torch import nn

from minipeft.training.batches import collate, encode_examples, loss_of


def bytes_of(tensors) -> int:
    """Bytes of all tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def saved_activation_bytes(model, batch) -> int:
    """Bytes of all tensors that the backward pass of `loss_of(model, batch)` has saved, parameters excluded.

    Dropout acts as in training, and the random state is left as it was.
    """

    def identity(storage) -> int:
        return storage._cdata  # the storage's own address: on the meta device no storage has an address in memory

    known = {identity(tensor.untyped_storage()) for tensor in [*model.parameters(), *model.buffers()]}
    storages = {}  # they stay alive in here, lest a later one get the address of an earlier one

    def pack(tensor) -> None:
        # There is no backward pass to keep anything for, and an output that its own graph held would stay forever.
        storage = tensor.untyped_storage()
        if identity(storage) not in known:
            storages[identity(storage)] = storage

    modes = [(module, module.training) for module in model.modules() if isinstance(module, nn.Dropout)]
    gpus = {tensor.device for tensor in model.parameters() if tensor.device.type == "cuda"}
    try:
        for module, _ in modes:
            module.training = True
        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing)
        with torch.random.fork_rng(gpus), hooks:
            loss = loss_of(model, batch)
        del loss
    finally:
        for module, training in modes:
            module.training = training
    return sum(storage.nbytes() for storage in storages.values())


def step_memory(model, method, task, batch_size: int, max_source_length: int = 256) -> dict[str, int]:
    """Bytes by part at one training step of `method` on the first `batch_size` training examples."""
    examples = encode_examples(model, task.train[:batch_size], max_source_length)
    return batch_memory(model, method, collate(examples, next(model.parameters()).device))


def batch_memory(model, method, batch, optimizer: str | None = None) -> dict[str, int]:
    """Bytes by part at one training step of `method`, attached to `model`, on this batch."""
    trained = list(method.named_parameters().values())
    return {
        "weights": bytes_of([*model.parameters(), *model.buffers()]),  # buffers: frozen parameters that a method adds
        "gradients": bytes_of(trained),
        "optimizer": optimizer_bytes(trained, optimizer or method.suggested_optimizer),
        "activations": saved_activation_bytes(model, batch),
    }


def optimizer_bytes(parameters, optimizer: str) -> int:
    """AdamW keeps two float32 values per parameter; Adafactor, for a matrix, one per row and one per column."""
    if optimizer in ("adamw", "paged_adamw"):  # wherever the pages are
        return sum(8 * parameter.numel() for parameter in parameters)
    return sum(4 * (sum(p.shape[-2:]) * p[..., 0, 0].numel() if p.dim() > 1 else p.numel()) for p in parameters)
