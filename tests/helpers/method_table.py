"""One row per method: what the shared property tests must know that the method itself does not say.

`hyperparameters` are drawn by hypothesis; `count` is the formula of the method's docstring, worked out from the sizes
of the model alone; `refuses` names families it does not apply to, with the words of its sentence; `gradient_free` are
endings of parameters whose gradient is zero by mathematics; `trains_nothing` marks methods without trained parameters;
`prepare` gives hyper-parameters in place of defaults that do not fit the tests' models, or that need one, such as files
of adapters trained on it; `leaves_out` marks methods whose training steps may each leave out some of the parameters, so
that not all have a gradient in every step; `may_return` are endings of parameters that pruning may put back to where
they started; `starts_within` says of methods that start near the base model by what part of the largest logit the first
outputs may differ: ten times the deviation of the start is more, and so is a skip connection that counts twice.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st

from helpers.models import VOCABULARY
from minipeft.methods.adapters import pfeiffer
from minipeft.methods.registry import METHODS
from minipeft.training.adapter_files import save_adapter


@dataclass
class Sizes:
    """A model's sizes under the names of the docstrings: width d, f of the feed-forward, a = heads * head, and k the
    same for the heads of keys and values.
    """

    config: object

    def __post_init__(self):
        c = self.config
        self.t5, self.llama = hasattr(c, "encoder_layers"), hasattr(c, "key_value_heads")
        self.d, self.f, self.V = c.hidden_size, c.feed_forward_size, c.vocabulary_size
        self.a = c.heads * c.head_size if self.t5 or self.llama else c.hidden_size
        self.k = c.key_value_heads * c.head_size if self.llama else self.a
        self.E, self.D = (c.encoder_layers, c.decoder_layers) if self.t5 else (0, c.layers)

    @property
    def attentions(self):
        return self.E + 2 * self.D if self.t5 else self.D

    @property
    def feed_forward_matrices(self):
        return (3 if self.t5 or self.llama else 2) * (self.E + self.D)  # all but GPT-2's are gated

    @property
    def matrices(self):
        return 4 * self.attentions + self.feed_forward_matrices

    @property
    def outputs(self):  # of all matrices together
        return (
            self.attentions * (self.a + 2 * self.k + self.d)
            + self.feed_forward_matrices * self.f
            + (self.E + self.D) * (self.d - self.f)
        )

    @property
    def sublayers(self):
        return 2 * self.E + 3 * self.D if self.t5 else 2 * self.D

    @property
    def norms(self):
        stacks = 2 if self.t5 else 1
        return (1 if self.t5 or self.llama else 2) * self.d * (self.sublayers + stacks)  # GPT-2's have a bias each

    @property
    def everything(self):
        d, a, f, c = self.d, self.a, self.f, self.config
        if self.llama:
            return 2 * self.V * d + self.D * (2 * d * (a + self.k) + 3 * d * f) + self.norms
        if not self.t5:
            return self.V * d + c.max_length * d + self.D * (4 * (d * d + d) + 2 * d * f + f + d) + self.norms
        tables = 2 * self.V * d + 2 * c.relative_buckets * c.heads
        return tables + self.attentions * 4 * d * a + (self.E + self.D) * 3 * d * f + self.norms


@dataclass
class Row:
    count: Callable[[Sizes, object], int]
    hyperparameters: dict[str, st.SearchStrategy] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    gradient_free: tuple[str, ...] = ()
    trains_nothing: bool = False
    prepare: Callable[[object], dict] = lambda model: {}
    leaves_out: bool = False
    may_return: tuple[str, ...] = ()
    starts_within: float = 0.0


def new_method(name, model, **hyperparameters):
    """The method with its default hyper-parameters but for these, and for what it needs of the plain `model`."""
    return METHODS[name](**TABLE[name].prepare(model) | hyperparameters)


FILES = tempfile.TemporaryDirectory()  # removed when the tests end


def pfeiffer_files(model, bottlenecks=(5, 8, 3)):
    """Files of Pfeiffer adapters of `model`, far from their start, always the same for the same model."""
    files = []
    for number, bottleneck in enumerate(bottlenecks):
        method = pfeiffer.Pfeiffer(bottleneck)
        with torch.random.fork_rng():
            torch.manual_seed(number)
            method.attach(model)
            with torch.no_grad():
                for parameter in method.named_parameters().values():
                    parameter.add_(0.3 * torch.randn_like(parameter))
        files.append(f"{FILES.name}/{method.fingerprint}-{number}-{bottleneck}.pt")
        save_adapter(files[-1], model, method)
        method.detach()
    return files


# The softmax does not see what is added to all scores of one query, so GPT-2's key bias does nothing.
KEY_BIAS = ("key.bias",)
# A label for every word of the tests' tokenizer, so that random targets have a class.
EVERY_WORD = tuple(str(number) for number in range(2, VOCABULARY))


def top_layers(s, m):
    """The parameters of the top `layers` blocks of each stack, and of the head."""
    head = {"none": 0, "train": s.V * s.d, "new": (len(m.labels) + 1) * (s.d + 1)}[m.head]
    if s.llama:
        return m.layers * (2 * s.d * (s.a + s.k) + 3 * s.d * s.f + 2 * s.d) + head
    if not s.t5:
        return m.layers * (4 * (s.d * s.d + s.d) + 2 * s.d * s.f + s.f + s.d + 4 * s.d) + head
    encoder, decoder = (n * 4 * s.d * s.a + 3 * s.d * s.f + (n + 1) * s.d for n in (1, 2))  # n attentions, n + 1 norms
    return m.layers * (encoder + decoder) + head


def adapters_at_one_kind(s, m, more=0):
    """Adapters at all sublayers of one kind, each with two linear layers and `more` parameters."""
    places = s.attentions if m.place == "attention" else s.E + s.D
    return places * (2 * s.d * m.bottleneck + s.d + m.bottleneck + more)


def compacter_count(s, m):
    """One shared factor, two factors and two biases per adapter, and the norms."""
    adapters = (s.E + s.D) * (2 if m.after_attention else 1)
    return m.kronecker**3 + adapters * 3 * (s.d + m.bottleneck) + s.norms


# One ReLU unit alone may be off at every token and then has no gradient: among eight, some are on.
RELU_UNITS = st.integers(8, 20)

LORA = {"rank": st.integers(1, 5), "alpha": st.sampled_from([0.5, 3.0, 16.0])}


def lora_count(s, m):
    """Rank times in + out of all matrices, where rank_pattern says {"*": rank} or names attention's matrices."""
    rank = m.rank_pattern.get("*", m.rank)
    sizes = {"query": s.a, "key": s.k, "value": s.k, "output": s.a}
    attention = sum(m.rank_pattern.get(name, rank) * (s.d + size) for name, size in sizes.items())
    return attention * s.attentions + rank * s.feed_forward_matrices * (s.d + s.f)


def low_rank(s, m):
    """rank * (in + out) parameters for every matrix of attention and feed-forward."""
    return m.rank * (s.attentions * 2 * (2 * s.d + s.a + s.k) + s.feed_forward_matrices * (s.d + s.f))


TABLE = {
    "full": Row(count=lambda s, m: s.everything, gradient_free=KEY_BIAS),
    "freeze_layers": Row(
        count=top_layers,
        hyperparameters={
            "layers": st.integers(1, 2),
            "decay": st.sampled_from([0.3, 1.0, 2.0]),
            "unfreeze": st.sampled_from([0.0, 0.5]),
            "head": st.sampled_from(["new", "train", "none"]),  # hypothesis begins with the first
            "labels": st.just(EVERY_WORD),
        },
        gradient_free=KEY_BIAS,
    ),
    "bitfit": Row(
        count=lambda s, m: s.D * (7 * s.d + s.f) + s.d,
        refuses={family: "use norm_tuning instead" for family in ("t5", "llama")},
        gradient_free=KEY_BIAS,
    ),
    "norm_tuning": Row(count=lambda s, m: s.norms),
    "ia3": Row(
        count=lambda s, m: s.attentions * 2 * s.k + (s.E + s.D) * s.f,
    ),
    "lora": Row(
        count=lora_count,
        hyperparameters=LORA | {"rank_pattern": st.sampled_from([{}, {"*": 2}, {"value": 1, "query": 6}])},
    ),
    "rslora": Row(count=lora_count, hyperparameters=LORA),
    "lora_plus": Row(count=lora_count, hyperparameters=LORA | {"ratio": st.sampled_from([1.0, 16.0])}),
    "dora": Row(
        count=lambda s, m: low_rank(s, m) + s.outputs,
        hyperparameters=LORA,
    ),
    "pissa": Row(
        count=low_rank,
        hyperparameters={"rank": st.integers(1, 12), "alpha": st.sampled_from([2.0, 7.0, 16.0])},
    ),
    "vera": Row(
        count=lambda s, m: s.matrices * m.rank + s.outputs,
        hyperparameters={"rank": st.integers(1, 30), "seed": st.integers(0, 9)},
    ),
    "oft": Row(
        count=lambda s, m: (3 * s.attentions + s.E + s.D) * s.d * (m.block_size - 1) // 2,
        hyperparameters={
            "block_size": st.sampled_from([2, 3, 4, 6, 12]),
            "targets": st.just(("query", "key", "value", "up")),  # those that read the model's width, 12
        },
        prepare=lambda model: {"block_size": 4, "targets": ("query", "key", "value", "up")},
    ),
    "adalora": Row(
        count=lambda s, m: low_rank(s, m) + m.rank * s.matrices,
        hyperparameters={
            "rank": st.integers(2, 5),
            "target_rank": st.just(2),
            "alpha": st.sampled_from([0.5, 3.0, 16.0]),
            "interval": st.sampled_from([1, 10]),
        },
        may_return=(".lam",),
    ),
    "qlora": Row(
        count=lora_count,
        hyperparameters=LORA
        | {
            "rank_pattern": st.sampled_from([{}, {"*": 2}, {"value": 1, "query": 6}]),
            "format": st.sampled_from(["nf4", "fp4", "int4", "int8"]),
            "block_size": st.sampled_from([64, 7, 1000]),
            "double_quantization": st.booleans(),
        },
    ),
    "loftq": Row(count=lora_count, hyperparameters=LORA | {"iterations": st.sampled_from([5, 1])}),
    "qpissa": Row(
        count=low_rank,
        hyperparameters={"rank": st.integers(1, 12), "alpha": st.sampled_from([2.0, 7.0, 16.0])},
    ),
    "houlsby": Row(
        starts_within=3e-4,
        count=lambda s, m: s.sublayers * (2 * s.d * m.bottleneck + s.d + m.bottleneck) + s.norms,
        hyperparameters={"bottleneck": st.integers(1, 20)},
    ),
    "compacter": Row(
        starts_within=0.05,
        count=compacter_count,
        hyperparameters={
            "bottleneck": st.sampled_from([12, 24]),
            "kronecker": st.sampled_from([3, 4, 1, 2]),
            "after_attention": st.booleans(),
        },
    ),
    "parallel_adapter": Row(
        count=adapters_at_one_kind,
        hyperparameters={"bottleneck": RELU_UNITS, "place": st.sampled_from(["attention", "feed_forward"])},
    ),
    "scaled_parallel_adapter": Row(
        count=lambda s, m: adapters_at_one_kind(s, m, more=int(m.learn_scale)),
        hyperparameters={
            "bottleneck": RELU_UNITS,
            "place": st.sampled_from(["attention", "feed_forward"]),
            "scale": st.sampled_from([0.5, 4.0]),
            "learn_scale": st.booleans(),
        },
    ),
    "multi_head_parallel_adapter": Row(
        count=lambda s, m: s.attentions * 2 * m.bottleneck * s.a,
        hyperparameters={"bottleneck": RELU_UNITS},
    ),
    "mam": Row(
        count=lambda s, m: (
            2 * s.attentions * m.prefix_length * s.k + (s.E + s.D) * (2 * s.d * m.bottleneck + s.d + m.bottleneck)
        ),
        hyperparameters={
            "prefix_length": st.integers(1, 6),
            "reparametrise": st.booleans(),
            "inner": st.integers(3, 9),
            "bottleneck": RELU_UNITS,
            "scale": st.sampled_from([0.5, 4.0]),
        },
    ),
    "pfeiffer": Row(
        starts_within=0.05,
        count=adapters_at_one_kind,
        hyperparameters={"bottleneck": RELU_UNITS, "place": st.sampled_from(["feed_forward", "attention"])},
    ),
    "adapter_fusion": Row(
        count=lambda s, m: (s.E + s.D) * (3 * s.d**2 + 2 * s.d + sum(2 * s.d * n + s.d + n for n in (5, 8, 3))),
        prepare=lambda model: {"adapters": pfeiffer_files(model)},
        hyperparameters={"identity_penalty": st.sampled_from([0.01, 0.5])},
        gradient_free=KEY_BIAS,
    ),
    "adapter_drop": Row(
        starts_within=0.05,
        count=lambda s, m: (s.E + s.D - (0 if m.robust else m.dropped)) * (2 * s.d * m.bottleneck + s.d + m.bottleneck),
        hyperparameters={
            "bottleneck": st.integers(9, 20),
            "dropped": st.sampled_from([2, 1, 0]),
            "robust": st.sampled_from([True, False]),
        },
        leaves_out=True,
    ),
    "hard_prompt": Row(
        count=lambda s, m: 0,
        hyperparameters={
            "template": st.sampled_from(["{source}", "it is {source} or", "{source} so <X> 9"]),
            "demonstrations": st.sampled_from([(), (("4 19 4", "yes"), ("8", "no"))]),
            "verbalizer": st.sampled_from([{}, {"yes": ["yes 6", "7"], "no": ["5"]}]),
        },
        trains_nothing=True,
    ),
    "prompt_tuning": Row(
        count=lambda s, m: m.prompt_length * s.d,
        hyperparameters={"prompt_length": st.integers(1, 9), "init": st.sampled_from(["vocabulary", "uniform"])},
    ),
    "ppt": Row(
        count=lambda s, m: m.prompt_length * s.d,
        hyperparameters={
            "prompt_length": st.integers(1, 9),
            "format": st.sampled_from(["single", "choice", "unified"]),
            "labels": st.sampled_from([(), ("yes", "maybe", "no")]),
        },
    ),
    "spot": Row(
        count=lambda s, m: m.prompt_length * s.d,
        hyperparameters={"prompt_length": st.integers(1, 9), "init": st.sampled_from(["vocabulary", "uniform"])},
    ),
    "prompt_ensemble": Row(
        count=lambda s, m: m.members * m.prompt_length * s.d,
        hyperparameters={"members": st.integers(1, 4), "prompt_length": st.integers(1, 5)},
    ),
    "prefix_tuning": Row(
        count=lambda s, m: 2 * s.attentions * m.prefix_length * s.k,
        hyperparameters={
            "prefix_length": st.integers(1, 6),
            "reparametrise": st.booleans(),
            "inner": st.integers(3, 9),
        },
    ),
    "infix_tuning": Row(
        count=lambda s, m: 2 * (2 * s.D if s.t5 else s.D) * m.prefix_length * s.k,
        hyperparameters={
            "prefix_length": st.integers(1, 6),
            "reparametrise": st.booleans(),
            "inner": st.integers(3, 9),
        },
    ),
    "embedding_prefix": Row(
        count=lambda s, m: (2 if s.t5 else 1) * m.prefix_length * s.d,
        hyperparameters={
            "prefix_length": st.integers(1, 6),
            "reparametrise": st.booleans(),
            "inner": st.integers(3, 9),
        },
    ),
    "p_tuning": Row(
        count=lambda s, m: m.template.count("[V]") * s.d + (s.everything if m.tune_backbone else 0),
        hyperparameters={  # two virtual tokens at least: the LSTM's recurrent weights act from the second on
            "template": st.sampled_from(["[V][V] {source}", "5 [V] {source} 9 [V]", "{source} [V][V][V]"]),
            "encoder": st.sampled_from(["lstm", "mlp", "none"]),
            "tune_backbone": st.booleans(),
        },
        gradient_free=KEY_BIAS,
    ),
    "p_tuning_v2": Row(
        count=lambda s, m: 2 * (3 if s.t5 else 1) * m.depth * m.prefix_length * s.k,  # the head: test_p_tuning_v2
        hyperparameters={
            "prefix_length": st.integers(1, 6),
            "reparametrise": st.booleans(),
            "inner": st.integers(3, 9),
            "depth": st.integers(1, 2),
            "from_top": st.booleans(),
        },
    ),
}
