"""Numbers from plain tensors: no network, no picture is touched here.

===========  ====================================================================
evaluation   the answers of a network about a whole split: logits and labels
metrics      accuracy by class, confusion, who is wrong about the same images
inference    is a difference real: the one rule, for every table and chapter
clusters     answers about pictures that come in series
calibration  reliability, calibration errors, temperature, when to decline
conformal    prediction sets: the classes that a picture may be
numbers      numbers as people read them
===========  ====================================================================
"""
