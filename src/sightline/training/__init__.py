"""A recipe in, a run out.

================  ===============================================================
recipe            everything that decides how a network is trained, as one value
recipes           our recipes, and all recipes by name
systems           five published course systems, with their mistakes
repairs           what is wrong with them, and the systems put right
parts             what a recipe becomes for one data set on one machine
optim             optimizers, which parameters decay, the L1 penalty
schedules         learning rate and momentum of every step
lr_finder         the range test, and the rules that read it
engine            the loop
choices           epochs and learning rate, chosen by looking at the pictures
budget            network, size and batch that minutes and memory allow
train             a recipe and pictures become a finished run
folds             answers about every picture by networks that never saw its label
learning_curve    what ever larger parts of the pictures bring
simple_baselines  what colours or edges alone tell
run               the folder in which everything about one training is kept
classifier        a trained network that can be asked, whoever trained it
runtime           device, precision, memory format
distributed       several processes that `torchrun` started
machine           this machine, and its memory
tensorboard       the scalars of a run, for TensorBoard
================  ===============================================================
"""
