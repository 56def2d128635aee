"""Which rate suits ResNet-18, the network of the main run, in a short training?

python studies/main_rate.py [--plan]
"""

from dataclasses import replace

from study import Arm, Study, main

from sightline.training.recipes import RECIPES

SHORT = replace(RECIPES["resnet18"], name="resnet18", epochs=5, keep="last")
STUDY = Study(
    name="main_rate",
    question="Which rate suits ResNet-18?",
    arms=[
        Arm(f"resnet18 {rate:g}", replace(SHORT, max_lr=rate))
        for rate in (0.1, 0.0464, 0.215, 0.0215, 0.464)
    ],
    seeds=range(3),
)

if __name__ == "__main__":
    main(STUDY)
