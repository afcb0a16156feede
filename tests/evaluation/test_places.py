"""Accuracy at known and new sites: where the groups of the images keep sites together."""

import numpy as np
import polars as pl
import pytest

from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.evaluation.places import place_scores
from bestiary.recipe.load import load_recipe
from bestiary.reporting.run_sections.field import place_headline
from bestiary.run.field_scores import PlaceScores, place_lines


def out_of_fold(groups: list[str | None]) -> OutOfFold:
    n = len(groups)
    logits = np.eye(2, dtype=np.float32)[np.arange(n) % 2]
    table = pl.DataFrame(
        {
            "path": [f"{number}.jpg" for number in range(n)],
            "label": ["deer", "lynx"] * (n // 2),
            "group": pl.Series(groups, dtype=pl.String),
            "sha256": [f"digest {number}" for number in range(n)],
            "duplicate_group": pl.Series([None] * n, dtype=pl.String),
            "site": ["brook"] * (n // 2) + ["mill"] * (n // 2),
            "fold": [0] * (n // 2) + [1] * (n // 2),
        }
    ).with_columns(logits=logits)
    return OutOfFold(table, ["deer", "lynx"])


def scores(groups: list[str | None]) -> PlaceScores:
    found = place_scores(load_recipe("probe"), out_of_fold(groups))
    assert found is not None
    return PlaceScores.model_validate(found)


@pytest.mark.parametrize("names", [("b", "m"), ("one", "one")])  # a group a site, or wider
def test_groups_of_whole_sites(names: tuple[str, str]) -> None:
    places = scores([names[0]] * 10 + [names[1]] * 10)
    assert places.by == "site" and places.known is None and places.gap is None
    assert places.new is not None and places.new.n == 20
    assert place_headline(places) == ""
    text = " ".join(place_lines(places))
    assert text.startswith("At new sites 100.0") and "known" not in text


def test_groups_within_a_site_tell_nothing_of_new_ones() -> None:
    places = scores(["b"] * 5 + [None] * 15)
    assert places.by == "image" and places.new is None


def test_groups_at_all_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Animals that were seen at both sites join these: neither can be left out."""
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    monkeypatch.setattr("bestiary.evaluation.places.cached_features", lambda *_: features)
    places = scores([f"animal {number % 10}" for number in range(20)])
    assert places.known is not None and places.new is None and places.gap is None
