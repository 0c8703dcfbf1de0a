"""A study with a known answer: which parts does a transformer need that sorts sequences?

Sorting takes the counts of a sequence's symbols and the place that is to be filled. Without positions an encoder
treats all places alike, and without attention no place hears of the others: neither can sort. Counts are a sum over
the sequence, so averaging can do what softmax attention does, and sinusoids tell places apart as learned positions do.
A study of these factors ought to find the first two effects, and no difference if there is none to find.
"""

from search_spaces.space import Budget, Choice, Float, Int, Metric, Space, When

SPACE = Space(
    name="sorting",
    description="parts of a transformer encoder that sorts sequences of symbols",
    trial="ablation.sorting.train:run_trial",
    factors={
        "model.positions": Choice(values=("none", "learned", "sinusoidal", "rotary")),
        "model.attention": Choice(values=("none", "average", "softmax")),
        "model.normalisation": Choice(values=("none", "post", "pre")),
        "model.residual": Choice(values=(False, True)),
    },
    reference={
        "model.positions": "learned",
        "model.attention": "softmax",
        "model.normalisation": "pre",
        "model.residual": True,
    },
    baseline={
        "model.positions": "none",
        "model.attention": "none",
        "model.normalisation": "none",
        "model.residual": False,
    },
    conditions=(
        When(
            factor="model.attention",
            among=("none", "average"),
            drops=("model.heads",),
            replaces={"model.positions": (("rotary", "none"),)},
            reason="heads and rotary positions are about queries and keys, which softmax attention alone has",
        ),
    ),
    nuisance={
        "optim.lr": Float(low=1e-3, high=3e-2, default=1e-2, log=True, source="Adam's 1e-3; tiny networks take more"),
        "optim.weight_decay": Float(low=1e-4, high=0.1, default=0.01, log=True, source="PyTorch's AdamW: 0.01"),
        "optim.warmup_steps": Int(low=1, high=100, default=10, log=True, source="Vaswani et al.: 4 % of training"),
        "model.heads": Choice(values=(4, 2, 1), source="how many heads suit is a matter of the positions' kind"),
    },
    fixed={"model.layers": 2, "optim.clip_norm": 1.0, "train.batch_size": 64},
    metrics=(
        Metric(name="exact_match", unit="share", of="sequences"),
        Metric(name="token_accuracy", unit="share", of="symbols"),
    ),
    budgets={
        "quick": Budget(
            replicates=3,
            trials=3,
            epochs=8,
            grace_epochs=2,
            reduction_factor=4,
            fixed={"model.width": 32, "data.length": 10, "data.symbols": 10, "data.train_sequences": 2048},
        ),
        "standard": Budget(
            replicates=6,
            trials=8,
            epochs=27,
            grace_epochs=3,
            reduction_factor=3,
            fixed={"model.width": 64, "data.length": 16, "data.symbols": 16, "data.train_sequences": 4096},
        ),
        "full": Budget(
            replicates=10,
            trials=16,
            epochs=60,
            grace_epochs=6,
            reduction_factor=3,
            fixed={"model.width": 128, "data.length": 32, "data.symbols": 32, "data.train_sequences": 8192},
        ),
    },
)
