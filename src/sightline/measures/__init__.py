"""Numbers from plain tensors: no network, no picture is touched here.

===========  ====================================================================
evaluation   what a network says about a whole split: logits and labels
metrics      accuracy by class, confusion, intervals
calibration  reliability, calibration errors, temperature
===========  ====================================================================
"""
