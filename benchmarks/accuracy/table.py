"""results.jsonl -> a table in Markdown: each contender on each set, and bestiary to the best peer.

python benchmarks/accuracy/table.py
"""

from collections import defaultdict
from typing import Any

import numpy as np

from run import results

OWN = "bestiary"
Key = tuple[str, float]  # set and minutes


def main() -> None:
    by_key: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for result in results():
        by_key[result["set"], result["minutes"]].append(result)
    print(
        "| set, minutes | contender | seeds | mistakes | log loss | ECE | claims | used | memory |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for key, rows in sorted(by_key.items()):
        for name in dict.fromkeys(row["contender"] for row in rows):
            print(line(key, name, [row for row in rows if row["contender"] == name]))
    print()
    for key, rows in sorted(by_key.items()):
        print(to_best_peer(key, rows))


def line(key: Key, name: str, rows: list[dict[str, Any]]) -> str:
    """One row of the table: a contender on a set."""
    done = [row for row in rows if "failed" not in row]
    head = f"| {key[0]}, {key[1]:g} min | {name} | {', '.join(str(row['seed']) for row in rows)} |"
    if not done:
        return f"{head} not run: {rows[0]['failed'][-160:].replace('|', '/')} | | | | | |"

    def each(text: str) -> str:
        return ", ".join(text.format(**row) for row in done)

    mistakes = ", ".join(f"{row['hits'].count('0')} of {row['images']}" for row in done)
    claims = ", ".join("none" if row["claim"] is None else f"{row['claim']:.3f}" for row in done)
    truths = each("{accuracy:.3f}")
    return (
        f"{head} {mistakes} | {each('{log_loss:.3f}')} | {each('{ece:.3f}')} | "
        f"{claims}; true {truths} | {each('{minutes_trained:.1f}')} min | "
        f"{each('{peak_mb:,}')} MB |"
    )


def to_best_peer(key: Key, rows: list[dict[str, Any]]) -> str:
    """Compare the mistakes of bestiary with those of the best peer, over the seeds of both."""
    done = [row for row in rows if "failed" not in row]
    own = {row["seed"]: row for row in done if row["contender"] == OWN}
    peers = defaultdict(dict)
    for row in done:
        if not row["contender"].startswith(OWN) and row["seed"] in own:
            peers[row["contender"]][row["seed"]] = row
    full = {name: by_seed for name, by_seed in peers.items() if len(by_seed) == len(own)}
    if not full:
        return f"{key[0]}, {key[1]:g} minutes: no peer has the seeds of bestiary"
    wrong = {
        name: sum(row["hits"].count("0") for row in by_seed.values())
        for name, by_seed in full.items()
    }
    best = min(wrong, key=lambda name: wrong[name])
    changes = np.concatenate(
        [
            np.array(list(own[seed]["hits"]), int) - np.array(list(row["hits"]), int)
            for seed, row in full[best].items()
        ]
    )
    ours = sum(own[seed]["hits"].count("0") for seed in full[best])
    return (
        f"{key[0]}, {key[1]:g} minutes, seeds {sorted(full[best])}: bestiary {ours} mistakes, best "
        f"peer {best} {wrong[best]}: ratio {ours / max(1, wrong[best]):.3f}; won "
        f"{(changes > 0).sum()}, lost {(changes < 0).sum()} of {len(changes)} images"
    )


if __name__ == "__main__":
    main()
