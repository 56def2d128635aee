"""Why, and whether to believe it.

============  ===================================================================
explain       heatmaps of a network's answers
layers        layers by name, and those worth a heatmap
baselines     maps that never saw the network
localisation  heatmaps against masks
faithfulness  heatmaps against the network itself
============  ===================================================================
"""
