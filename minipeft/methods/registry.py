"""Every method by name: what the command line, `compare`, the property tests and the lessons read."""

from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.methods.adapters.adapter_fusion import AdapterFusion
from minipeft.methods.adapters.compacter import Compacter
from minipeft.methods.adapters.houlsby import Houlsby
from minipeft.methods.adapters.mam import MAM
from minipeft.methods.adapters.multi_head_parallel_adapter import MultiHeadParallelAdapter
from minipeft.methods.adapters.parallel_adapter import ParallelAdapter
from minipeft.methods.adapters.pfeiffer import Pfeiffer
from minipeft.methods.adapters.scaled_parallel_adapter import ScaledParallelAdapter
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.pissa import PiSSA
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.method import Method
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.multiplicative.oft import OFT
from minipeft.methods.prompts.embedding_prefix import EmbeddingPrefix
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.prompts.infix_tuning import InfixTuning
from minipeft.methods.prompts.p_tuning import PTuning
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import SPoT
from minipeft.methods.selective.bitfit import BitFit
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.methods.selective.full import Full
from minipeft.methods.selective.norm_tuning import NormTuning

METHODS: dict[str, type[Method]] = {
    "full": Full,
    "freeze_layers": FreezeLayers,
    "bitfit": BitFit,
    "norm_tuning": NormTuning,
    "ia3": IA3,
    "lora": LoRA,
    "rslora": RSLoRA,
    "lora_plus": LoRAPlus,
    "dora": DoRA,
    "pissa": PiSSA,
    "vera": VeRA,
    "oft": OFT,
    "adalora": AdaLoRA,
    "qlora": QLoRA,
    "loftq": LoftQ,
    "qpissa": QPiSSA,
    "houlsby": Houlsby,
    "compacter": Compacter,
    "parallel_adapter": ParallelAdapter,
    "scaled_parallel_adapter": ScaledParallelAdapter,
    "multi_head_parallel_adapter": MultiHeadParallelAdapter,
    "mam": MAM,
    "pfeiffer": Pfeiffer,
    "adapter_fusion": AdapterFusion,
    "adapter_drop": AdapterDrop,
    "hard_prompt": HardPrompt,
    "prompt_tuning": PromptTuning,
    "ppt": PPT,
    "spot": SPoT,
    "prompt_ensemble": PromptEnsemble,
    "prefix_tuning": PrefixTuning,
    "infix_tuning": InfixTuning,
    "embedding_prefix": EmbeddingPrefix,
    "p_tuning": PTuning,
    "p_tuning_v2": PTuningV2,
}
