"""LoRAs that were trained, taken from their `state_dict` as layers that can be put together in other ways."""

from torch import Tensor, nn

from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA

PLAIN_LORAS = (LoRA, RSLoRA, LoRAPlus)  # an untouched base and, for each layer, scaling * B A


def trained_layers(method: LoRA, state: dict[str, Tensor], model: nn.Module) -> dict[str, LoRALinear]:
    """The layers of `method`, by path, with the numbers of `state`; `model` is plain before and after.

    Raises UserError where the numbers do not fit the hyper-parameters or the model.
    """
    method.attach(model)
    try:
        method.load_state_dict(state)
        return dict(method.layers())
    finally:
        method.detach()
