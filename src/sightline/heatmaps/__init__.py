"""Why, and whether to believe it.

============  ===================================================================
layers        layers by name, and those worth a heatmap
layouts       where an output has its rows, columns and channels
methods       activations and gradients to maps: six functions
scaling       maps enlarged to the size of the image and scaled to [0, 1]
explain       heatmaps of a network's answers
slow          the two methods that need a pass for every channel
baselines     maps that never saw the network
controls      maps whose worth is known beforehand
imputation    what stands in the place of a pixel that was taken away
localisation  heatmaps against masks
faithfulness  heatmaps against the network: grids, and pixels that go or come
sanity        heatmaps against nonsense: other classes, random weights, noise
protocol      all of it, asked of every heatmap of a network
trust         the verdicts
positions     where the maps of each class lie
============  ===================================================================
"""
