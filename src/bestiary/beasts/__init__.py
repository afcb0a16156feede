"""The embedded data set: invented beasts, drawn by seed, with faults planted on request.

It turns a seed into species, images of individuals and class folders with a table of the truth. It
does not know anything of training or of the rest of bestiary but its errors.
"""
