"""One option of a recipe -> what it is worth on these images, with an interval.

python compare_option.py photos model.power_norm=false

Both runs have the same images and folds, and each image is scored by a member that has not seen
it. So the difference is paired, image by image. If its interval holds zero, none was seen.
"""

import sys
from pathlib import Path

import bestiary

photos, option = sys.argv[1:3]
base = Path("run-base")
changed = Path(f"run-{option.replace('=', '-')}")

for place, overrides in ((base, []), (changed, [option])):
    run = bestiary.probe(photos, place, overrides=overrides, quiet=True)
    print(f"{place}: {run.score_line}")

print(bestiary.compare(base, changed))
