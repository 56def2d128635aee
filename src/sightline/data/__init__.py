"""From files to batches.

============  ===================================================================
shapes        drawn pictures with exact masks: a data set that needs no download
pictures      one file to pixels
listing       the files of a folder with one sub-folder per class
walk          picture files wherever they lie
headers       what the first bytes of picture files say
findings      what may be wrong with a folder, in words
stored        pixels of a whole folder on disk, read in parts
folders       a folder decoded once
groups        which pictures of a folder stay together
series        bursts, proposed by likeness, numbers and times
division      what trains, validates and tests: by chance or by series
download      one file from the first of several addresses that delivers it
cifar10       CIFAR-10, downloaded once and verified
datasets      training, validation and test split of a data set
options       fields that are command-line options
augmentation  what may happen to a training picture, as a value
augment       augmentation of whole batches: drawn first, then applied
transforms    the same picture by picture, with albumentations
loaders       batches
check         what would spoil a training on a folder
companions    what a split pretends that cuts series
cues          places and facts that should not tell the class
shortcuts     the audit: what tells a class and should not
duplicates    equal and nearly equal pictures
corruptions   damaged copies of pictures, as in CIFAR-10-C
label_errors  labels that are probably wrong
corrections   files moved to their class or set aside, and moved back
============  ===================================================================
"""
