"""A recipe in, a run out.

===========  ====================================================================
recipes      everything that decides how a network is trained, as one value
optim        optimizers, which parameters decay, the L1 penalty
schedules    learning rate and momentum of every step
lr_finder    the range test, and the rules that read it
runtime      device, precision, memory format
engine       the loop
train        a recipe and pictures become a finished run
run          the folder in which everything about one training is kept
===========  ====================================================================
"""
