"""The main run of the book: ResNet-18, all training images, 20 epochs.

python studies/main_run.py [--plan] [--seeds 1]
"""

from study import Arm, Study, main

from sightline.training.recipes import RECIPES

STUDY = Study(
    name="main_run",
    question="What does the recipe of the book reach?",
    arms=[Arm("resnet18", RECIPES["resnet18"])],
    images=None,
    seeds=range(5),
)

if __name__ == "__main__":
    main(STUDY)
