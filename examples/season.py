"""A new season's images -> is it the same world, and how many of each?

python season.py run new_photos
"""

import sys

import bestiary

run, images = sys.argv[1:3]

# Without labels: are these images like those that the run was trained on?
print(bestiary.drift(run, images, quiet=True))

# Counts are corrected for confusion. Where the world has changed they are refused, for good reason.
try:
    print(bestiary.count(run, images, quiet=True))
except bestiary.BestiaryError as refusal:
    print(f"not counted: {refusal}")

# Which of these images would teach the run most, if somebody labeled them?
print(bestiary.next(run, images, count=5, quiet=True).images)
