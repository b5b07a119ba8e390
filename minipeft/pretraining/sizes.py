"""The ladder of models that are pretrained here: five T5 sizes of one depth and one GPT-2, named after their
parameter counts."""

from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.language_model import LanguageModel

VOCABULARY = 4096  # ids of the bundled tokenizer


def t5(hidden_size: int, heads: int, head_size: int, feed_forward_size: int, layers: int) -> EncoderDecoderConfig:
    """A T5 v1.1 with as many decoder as encoder layers, without dropout, as v1.1 was pretrained.

    One thing is T5 1.0's: the head is tied to the embedding. At these sizes a vocabulary apart for writing would be
    half of the parameters, and what a word means would have to be learned twice.
    """
    return EncoderDecoderConfig(
        VOCABULARY, hidden_size, heads, head_size, feed_forward_size, layers, layers, tied_head=True
    )


SIZES: dict[str, EncoderDecoderConfig | DecoderOnlyConfig] = {
    "t5-0.2m": t5(hidden_size=32, heads=2, head_size=16, feed_forward_size=48, layers=3),
    "t5-0.4m": t5(hidden_size=56, heads=4, head_size=14, feed_forward_size=64, layers=3),
    "t5-0.8m": t5(hidden_size=88, heads=4, head_size=22, feed_forward_size=112, layers=3),
    "t5-1.7m": t5(hidden_size=144, heads=4, head_size=36, feed_forward_size=160, layers=3),
    "t5-3.5m": t5(hidden_size=224, heads=4, head_size=56, feed_forward_size=192, layers=3),
    "gpt-1.7m": DecoderOnlyConfig(VOCABULARY, hidden_size=128, heads=4, layers=6),
}


def build(config: EncoderDecoderConfig | DecoderOnlyConfig) -> LanguageModel:
    """A freshly initialised model of either family."""
    return (EncoderDecoder if isinstance(config, EncoderDecoderConfig) else DecoderOnly)(config)
