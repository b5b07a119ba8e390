"""What one training step keeps in memory, in bytes: weights, gradients, optimizer state, saved activations.

Activations are counted exactly, on every device alike, through autograd's saved-tensor hooks: each storage that the
backward pass will need is counted once, and the weights themselves are not activations.
"""

import torch

from minipeft.training.batches import collate, encode_examples


def bytes_of(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def saved_activation_bytes(model, batch) -> int:
    """Bytes of all tensors that the backward pass of `model.loss(batch)` has saved, parameters excluded."""
    known = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model.loss(batch)
    total = sum(storages.values())  # read while `loss` keeps the graph, and with it every saved tensor, alive
    del loss
    return total


def step_memory(model, method, task, batch_size: int, optimizer: str | None = None) -> dict[str, int]:
    """Bytes by part at one training step of `method` on the first `batch_size` training examples."""
    trained = list(method.named_parameters().values())
    batch = collate(encode_examples(model, task.train[:batch_size]), next(model.parameters()).device)
    return {
        "weights": bytes_of([*model.parameters(), *model.buffers()]),  # buffers: frozen numbers that a method adds
        "gradients": bytes_of(trained),
        "optimizer": optimizer_bytes(trained, optimizer or method.suggested_optimizer),
        "activations": saved_activation_bytes(model, batch),
    }


def optimizer_bytes(parameters, optimizer: str) -> int:
    """AdamW keeps two float32 numbers per parameter; Adafactor, for a matrix, one per row and one per column."""
    if optimizer in ("adamw", "paged_adamw"):  # wherever the pages are
        return sum(8 * parameter.numel() for parameter in parameters)
    return sum(4 * (sum(p.shape[-2:]) * p[..., 0, 0].numel() if p.dim() > 1 else p.numel()) for p in parameters)
