"""The embedded data set: invented beasts, drawn by seed, with faults planted on request.

It turns a seed into species, pictures of individuals and class folders with a table of the truth. It does not know
anything of training or of the rest of bestiary but its errors.
"""

from bestiary.data.beasts.drawing import draw_beast
from bestiary.data.beasts.holdout import hold_out, new_folder
from bestiary.data.beasts.sample import SampleSummary, draw_sample
from bestiary.data.beasts.species import Species, invent_species

__all__ = ["SampleSummary", "Species", "draw_beast", "draw_sample", "hold_out", "invent_species", "new_folder"]
