"""From a folder of pictures to a trained, explained, exported network, in steps.

========  =======================================================================
state     what all steps share, and the files that they leave
network   the choice of the network and the size of pictures
rate      the choice of the learning rate
forecast  what twice as many pictures would bring
steps     the steps, in order
========  =======================================================================

Whatever is there is not made again, so a pipeline that was cut off goes on.
"""

from sightline.pipeline.state import Pipeline
from sightline.pipeline.steps import STEPS, run

__all__ = ["STEPS", "Pipeline", "run"]
