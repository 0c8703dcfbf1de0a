"""The study of the seed paper: which parts of triplet-center loss and its attention module matter on RAF-DB?

"Triplet Loss-less Center Loss Sampling Strategies in Facial Expression Recognition Scenarios" (Rajoli, Lotfi,
Atyabi, Afghah; CISS 2023, arXiv 2302.04108). docs/method.md says what is the paper's and what is our reading.
"""

from search_spaces.space import Budget, Choice, Comparison, Float, Metric, Space, When

STRATEGIES = ("prediction", "semi-synthesized", "fully-synthesized")

SPACE = Space(
    name="tcl",
    description="negative-sampling strategies, margins and attention in triplet-center loss",
    trial="ablation.tcl.train:run_trial",
    dataset="ablation.tcl.data.dataset:prepare_dataset",
    default_data="synthetic",
    predictor="ablation.tcl.predictor:ExpressionPredictor",
    factors={
        "loss.negatives": Choice(values=("none", "center", "nearest", *STRATEGIES)),
        "loss.margin": Choice(values=(0.2, 1.0, 5.0, 20.0), source="log-spaced around He et al.'s 5 (CVPR 2018)"),
        "model.attention": Choice(values=("none", "pixel", "element", "selective")),
    },
    reference={"loss.negatives": "fully-synthesized", "loss.margin": 5.0, "model.attention": "selective"},
    baseline={"loss.negatives": "none", "loss.margin": 5.0, "model.attention": "none"},
    conditions=(
        When(
            factor="loss.negatives",
            among=("none", "center"),
            drops=("loss.margin",),
            replaces={"model.attention": (("element", "none"), ("selective", "pixel"))},
            reason="element attention enters only a distance to negatives, and without negatives there is no margin",
        ),
        When(
            factor="loss.negatives",
            among=("none",),
            drops=("loss.weight", "optim.center_lr"),
            reason="cross-entropy alone has neither a metric term to weigh nor centers to move",
        ),
    ),
    comparisons=(
        Comparison(against="reference"),
        Comparison(against="baseline", factor="loss.negatives", levels=STRATEGIES),
    ),
    nuisance={
        "optim.lr": Float(low=0.01, high=0.3, default=0.1, log=True, source="DACL 0.01 fine-tunes; 0.1 from scratch"),
        "optim.weight_decay": Float(low=1e-5, high=5e-3, default=5e-4, log=True, source="DACL 5e-4, a decade around"),
        "loss.weight": Float(low=1e-3, high=0.3, default=0.01, log=True, source="λ: DACL 0.01, He-style code 0.1"),
        "optim.center_lr": Float(low=0.05, high=1.0, default=0.5, log=True, source="α: DACL 0.5, He-style code 0.1"),
    },
    fixed={
        "loss.hinge": "embedding",
        "loss.synthesis_ratio": 0.5,
        "loss.normalize_embedding": False,
        "optim.momentum": 0.9,
        "optim.schedule": "one-cycle",
        "train.batch_size": 64,
    },
    metrics=(
        Metric(name="accuracy", unit="share", of="images"),
        Metric(name="macro_recall", unit="share", of="classes"),
    ),
    budgets={
        "quick": Budget(
            # The whole method, each of its two parts without the other, and neither: few comparisons with many
            # replicates find what all thirteen arms with three replicates cannot.
            arms=("negatives=none", "attention=none", "baseline"),
            replicates=10,
            trials=3,
            epochs=12,
            grace_epochs=3,
            reduction_factor=4,
            fixed={"model.backbone": "small", "data.size_px": 48},
        ),
        "standard": Budget(
            replicates=6,
            trials=8,
            epochs=27,
            grace_epochs=3,
            reduction_factor=3,
            fixed={"model.backbone": "resnet18", "data.size_px": 100},
        ),
        "full": Budget(
            replicates=10,
            trials=16,
            epochs=60,
            grace_epochs=6,
            reduction_factor=3,
            fixed={"model.backbone": "resnet18", "data.size_px": 100},
        ),
    },
)
