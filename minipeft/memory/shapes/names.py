"""Known models by name: the class and the sizes of each, as published."""

from minipeft.memory.shapes.chatglm import ChatGLM
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.llama import Llama, LlamaConfig


def t5(hidden: int, inner: int, layers: int, heads: int) -> tuple[type, EncoderDecoderConfig]:
    """T5 v1.1: a head has 64 numbers whatever the width, and the vocabulary is padded to 32,128."""
    return EncoderDecoder, EncoderDecoderConfig(32128, hidden, heads, 64, inner, layers, layers)


def gpt(hidden: int, layers: int, heads: int, length: int) -> tuple[type, DecoderOnlyConfig]:
    """GPT-2 and GPT-3, which has its architecture (but for sparse attention in every other layer)."""
    return DecoderOnly, DecoderOnlyConfig(50257, hidden, heads, layers, length)


SHAPES = {
    "t5-v1.1-small": t5(512, 1024, 8, 6),
    "t5-v1.1-base": t5(768, 2048, 12, 12),
    "t5-v1.1-large": t5(1024, 2816, 24, 16),
    "t5-v1.1-xl": t5(2048, 5120, 24, 32),
    "t5-v1.1-xxl": t5(4096, 10240, 24, 64),
    "gpt2": gpt(768, 12, 12, 1024),
    "gpt2-medium": gpt(1024, 24, 16, 1024),
    "gpt2-large": gpt(1280, 36, 20, 1024),
    "gpt2-xl": gpt(1600, 48, 25, 1024),
    "gpt3": gpt(12288, 96, 96, 2048),
    "llama-7b": (Llama, LlamaConfig(32000, 4096, 32, 32, 11008, 2048)),
    "chatglm-6b": (ChatGLM, LlamaConfig(130528, 4096, 32, 28, 16384, 2048, tied_head=True, epsilon=1e-5)),
}
