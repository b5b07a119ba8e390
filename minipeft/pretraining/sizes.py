"""The ladder of models that are pretrained here: five T5 sizes of one depth and one GPT-2, named after their
parameter counts."""

from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.language_model import LanguageModel

VOCABULARY = 4096  # ids of the bundled tokenizer


def t5(hidden_size: int, heads: int, head_size: int, feed_forward_size: int, layers: int) -> EncoderDecoderConfig:
    """A T5 v1.1 with as many decoder as encoder layers, without dropout, as v1.1 was pretrained."""
    return EncoderDecoderConfig(VOCABULARY, hidden_size, heads, head_size, feed_forward_size, layers, layers)


SIZES: dict[str, EncoderDecoderConfig | DecoderOnlyConfig] = {
    "t5-0.2m": t5(hidden_size=20, heads=2, head_size=10, feed_forward_size=48, layers=3),
    "t5-0.4m": t5(hidden_size=40, heads=4, head_size=10, feed_forward_size=56, layers=3),
    "t5-0.8m": t5(hidden_size=64, heads=4, head_size=16, feed_forward_size=128, layers=3),
    "t5-1.7m": t5(hidden_size=112, heads=4, head_size=28, feed_forward_size=176, layers=3),
    "t5-3.5m": t5(hidden_size=192, heads=6, head_size=32, feed_forward_size=176, layers=3),
    "gpt-1.7m": DecoderOnlyConfig(VOCABULARY, hidden_size=128, heads=4, layers=6),
}


def build(config: EncoderDecoderConfig | DecoderOnlyConfig) -> LanguageModel:
    """A freshly initialised model of either family."""
    return (EncoderDecoder if isinstance(config, EncoderDecoderConfig) else DecoderOnly)(config)
