"""A folder of labeled images -> a run, its score and its report.

python folder_to_report.py photos run
"""

import sys

import bestiary

folder, place = sys.argv[1:3]

# What is wrong with the images, before anything is trained.
audit = bestiary.scan(folder, quiet=True)
print(audit)

# Heads on a frozen network: an honest number in a minute.
run = bestiary.probe(folder, place, quiet=True)
print(run.score_line)

# The weakest classes: of their images, the share that is answered right.
recall = run.confusion.filter(run.confusion["label"] == run.confusion["answer"]).sort("share")
print(recall.select("label", "share").head(3))

# One page that opens offline.
print(bestiary.report(place, quiet=True))
