"""The commands to use after training, as a terminal of 80 columns shows them."""

import pytest

from bestiary.run.next_steps import next_steps
from bestiary.streams import USUAL_WIDTH


@pytest.mark.parametrize(("place", "reasons"), [("run", 4), ("run_of_flowers", 4), ("r" * 60, 0)])
def test_reasons_stand_where_there_is_room(place: str, reasons: int) -> None:
    lines = next_steps(place)
    assert all(f" {place}" in line for line in lines)
    told = [
        line for line in lines if len(line) <= USUAL_WIDTH and ("  the" in line or "(the" in line)
    ]
    others = [line for line in lines if "answers" in line or "labels that" in line]
    assert len(told) + len(others) == reasons
