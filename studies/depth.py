"""Is a deeper plain network worse on the training images, and do shortcuts mend it?

20 and 56 layers of He et al. (2016), section 4.2, plain and residual, until the curves
are flat: the training loss of the last epochs says whether they are.

    python studies/depth.py [--plan]
"""

from dataclasses import replace

from study import SMALL, Arm, Study, main

STUDY = Study(
    name="depth",
    question="Is a deeper plain network worse on the images that it is trained with?",
    arms=[
        Arm(model, replace(SMALL, model=model, epochs=40, label_smoothing=0.0))
        for model in ("plain20", "plain56", "resnet20", "resnet56")
    ],
    seeds=range(3),
    controls=lambda record: {"plain56": "plain20", "resnet56": "resnet20"},
)

if __name__ == "__main__":
    main(STUDY)
