"""What does each ingredient of our recipe bring, one taken away or added at a time?

python studies/ablation.py [--plan]
"""

from study import SMALL, Arm, Study, main

from sightline.training.recipe import variant

CHANGES = {
    "as it is": {},
    "without mirror images": {"flip": 0.0},
    "without shifts": {"crop_padding": 0},
    "with cutout 16": {"cutout": 16},
    "without label smoothing": {"label_smoothing": 0.0},
    "without weight decay": {"weight_decay": 0.0},
    "decay of gains and biases too": {"decay": "all"},
    "plain momentum, not Nesterov's": {"nesterov": False},
    "batches of 512": {"batch_size": 512},
    "batches of 32": {"batch_size": 32},
    "Muon (0.05)": {
        **{"optimizer": "muon", "max_lr": 0.05, "bias_lr": 0.05, "head_lr": 0.05},
        "weight_decay": 0.0,
    },
}
STUDY = Study(
    name="ablation",
    question="What does each ingredient of the recipe bring?",
    arms=[Arm(name, variant(SMALL, **changes)) for name, changes in CHANGES.items()],
)

if __name__ == "__main__":
    main(STUDY)
