"""Asked of tensors before something is written into them: do they share places in memory, are they finite."""

import torch


def finite(tensor: torch.Tensor) -> bool:
    """Whether no number of it is infinite or nan; a tensor on the meta device has none."""
    return tensor.is_meta or bool(tensor.isfinite().all())


def overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors in one storage have a number in common, as two views of one tensor may have."""
    if one is other or one.is_meta or one.dtype != other.dtype:
        return not one.is_meta or one is other
    marks = torch.zeros(one.untyped_storage().nbytes() // one.element_size(), dtype=torch.bool)
    marks.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(True)
    return bool(marks.as_strided(other.shape, other.stride(), other.storage_offset()).any())


def repeats(tensor: torch.Tensor) -> bool:
    """Whether one place in memory stands for several numbers of it, as after `expand`: nothing can be written there."""
    return any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True))
