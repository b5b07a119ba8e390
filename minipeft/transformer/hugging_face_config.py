"""The config.json of a Hugging Face T5 or GPT-2, to our sizes and back."""

from minipeft.errors import UserError
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig

FEED_FORWARDS = {"relu": ("relu", False), "gated-gelu": ("gelu", True)}  # T5 1.0 and v1.1
# Settings of GPT-2's relatives that change the arithmetic; GPT-2 itself has these values.
GPT2_ONLY = {"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}


def t5_config(settings: dict) -> EncoderDecoderConfig:
    """Our sizes of a T5. Raises UserError where its feed-forward layer is neither 1.0's nor v1.1's."""
    projection = settings.get("feed_forward_proj", "relu")
    if projection not in FEED_FORWARDS:
        raise UserError(f"feed_forward_proj {projection!r} is not supported: minipeft has {list(FEED_FORWARDS)}.")
    activation, gated = FEED_FORWARDS[projection]
    return EncoderDecoderConfig(
        vocabulary_size=settings["vocab_size"],
        hidden_size=settings["d_model"],
        heads=settings["num_heads"],
        head_size=settings["d_kv"],
        feed_forward_size=settings["d_ff"],
        encoder_layers=settings["num_layers"],
        decoder_layers=settings.get("num_decoder_layers") or settings["num_layers"],
        activation=activation,
        gated=gated,
        # Old files say whether the head is tied; new ones always say it is, and add whether its input is rescaled.
        tied_head=settings.get("scale_decoder_outputs", settings.get("tie_word_embeddings", True)),
        relative_buckets=settings.get("relative_attention_num_buckets", 32),
        relative_max_distance=settings.get("relative_attention_max_distance", 128),
        dropout=settings.get("dropout_rate", 0.1),
        epsilon=settings.get("layer_norm_epsilon", 1e-6),
        pad=settings.get("pad_token_id", 0),
        eos=settings.get("eos_token_id", 1),
        start=settings.get("decoder_start_token_id", settings.get("pad_token_id", 0)),
    )


def t5_settings(config: EncoderDecoderConfig) -> dict:
    """The config.json of our T5. Raises UserError where transformers' T5 has no such feed-forward layer."""
    form = (config.activation, config.gated)
    if form not in FEED_FORWARDS.values():
        raise UserError(f"Hugging Face's T5 has no feed-forward layer with activation and gate {form}.")
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary_size,
        "d_model": config.hidden_size,
        "num_heads": config.heads,
        "d_kv": config.head_size,
        "d_ff": config.feed_forward_size,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "feed_forward_proj": next(name for name, value in FEED_FORWARDS.items() if value == form),
        "tie_word_embeddings": config.tied_head,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "dropout_rate": config.dropout,
        "layer_norm_epsilon": config.epsilon,
        "pad_token_id": config.pad,
        "eos_token_id": config.eos,
        "decoder_start_token_id": config.start,
    }


def gpt2_config(settings: dict) -> DecoderOnlyConfig:
    """Our sizes of a GPT-2. GPT-2 has no padding token: its end-of-text id fills in, and the mask hides it."""
    for name, expected in GPT2_ONLY.items():
        if settings.get(name, expected) != expected:
            raise UserError(f"{name} {settings[name]!r} is not supported: GPT-2 has {expected!r}.")
    eos = settings.get("eos_token_id", 50256)
    return DecoderOnlyConfig(
        vocabulary_size=settings["vocab_size"],
        hidden_size=settings["n_embd"],
        heads=settings["n_head"],
        layers=settings["n_layer"],
        max_length=settings["n_positions"],
        feed_forward_size=settings.get("n_inner") or 0,
        dropout=settings.get("resid_pdrop", 0.1),
        epsilon=settings.get("layer_norm_epsilon", 1e-5),
        pad=eos if settings.get("pad_token_id") is None else settings["pad_token_id"],
        eos=eos,
    )


def gpt2_settings(config: DecoderOnlyConfig) -> dict:
    """The config.json of our GPT-2."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **GPT2_ONLY,
        "vocab_size": config.vocabulary_size,
        "n_embd": config.hidden_size,
        "n_head": config.heads,
        "n_layer": config.layers,
        "n_positions": config.max_length,
        "n_inner": config.feed_forward_size,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": config.epsilon,
        "pad_token_id": config.pad,
        "eos_token_id": config.eos,
        "bos_token_id": config.eos,
    }
