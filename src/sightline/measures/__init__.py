"""Numbers from plain tensors: no network, no picture is touched here.

===========  ====================================================================
evaluation   the answers of a network about a whole split: logits and labels
metrics      accuracy by class, confusion, intervals
calibration  reliability, calibration errors, temperature
numbers      numbers as people read them
===========  ====================================================================
"""
