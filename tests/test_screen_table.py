"""Tables on a terminal: its width or 80, whole numbers, names broken after signs, no control."""

import sys

import pytest

from bestiary.screen_table import ScreenTable, wrapped_name
from bestiary.streams import USUAL_WIDTH

HEAD = ("variant", "accuracy", "difference, points", "95 % interval", "p", "minutes")
NUMBERS = ("95.4\N{NO-BREAK SPACE}%", "+1.8", "\N{MINUS SIGN}0.4 to +2.1", "0.0012", "12.3")


def test_names_are_literal() -> None:
    table = ScreenTable("name")
    table.add_row("[red]x[/] [link=http://x]y\n\x1b[31m\u202e:bear:")
    assert str(table).splitlines() == [
        "name",
        "[red]x[/] [link=http://x]y\\n\\x1b[31m\\u202e:bear:",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "model.backbone=torchvision/resnet152",
        "model.backbone=timm/seresnextaa101d_32x8d.sw_in12k_ft_in1k_288",
        "mix.probability=0, loss.kind=focal, model.normalize=true",
    ],
)
def test_long_names_break_after_signs(name: str) -> None:
    table = ScreenTable(*HEAD)
    table.add_row("base", *NUMBERS)
    table.add_row(name, *NUMBERS)
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= USUAL_WIDTH
    assert "difference," in lines[0] and "points" in lines[1]
    base = next(number for number, line in enumerate(lines) if line.startswith("base"))
    assert all(number in lines[base + 1] for number in NUMBERS), "a number is never broken"
    parts = [line.split("  ")[0] for line in lines[base + 1 :]]
    assert len(parts) > 1
    assert "".join(parts).replace(" ", "") == name.replace(" ", "")
    assert all(part[-1] in "=/,_.-" for part in parts[:-1]), "names break after their signs alone"


def test_terminals_decide_how_wide_tables_are(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ScreenTable(*HEAD)
    table.add_row("model.backbone=torchvision/resnet152", *NUMBERS)
    assert len(str(table).splitlines()) > 2
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "130")
    assert len(str(table).splitlines()) == 2
    monkeypatch.setenv("COLUMNS", "70")
    assert max(map(len, str(table).splitlines())) <= 70


def test_short_tables_keep_their_heads() -> None:
    table = ScreenTable(*HEAD)
    table.add_row("base", *NUMBERS)
    head, row = str(table).splitlines()
    assert head.split("  ")[0] == "variant"
    assert "difference, points" in head
    assert row.endswith("12.3")
    assert len(head) == len(row), "numbers stand on the right"


def test_wide_letters_are_counted() -> None:
    table = ScreenTable("class", "images")
    table.add_row("雪豹", 12)
    table.add_row("lynx!", 3)
    _, first, second = str(table).splitlines()
    assert (first.index("12"), second.index("3")) == (9, 12)


def test_word_without_signs_is_cut() -> None:
    assert wrapped_name("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert wrapped_name("", 10) == [""]


def test_empty_table_has_its_head() -> None:
    assert str(ScreenTable("run", "accuracy")) == "run  accuracy"
