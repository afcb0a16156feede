"""taxonomy.csv: names of ranks, a tree or a refusal, taxa of the classes."""

from pathlib import Path

import pytest

from bestiary.data.taxonomy import find_taxonomy, read_taxonomy
from bestiary.errors import DataError
from bestiary.run.taxonomy import Taxonomy

CLASSES = ["fox", "lynx", "wolf"]
TABLE = "label,genus,family,order\nlynx,Lynx,Felidae,Carnivora\nfox,Vulpes,Canidae,Carnivora\n"


def read(tmp_path: Path, text: str) -> tuple[Taxonomy, list[str]]:
    file = tmp_path / "taxonomy.csv"
    file.write_text(text)
    return read_taxonomy(file, CLASSES)


def test_classes_are_grouped_by_rank(tmp_path: Path) -> None:
    taxonomy, notes = read(tmp_path, TABLE + "wolf,Canis,Canidae,\nmoose,Alces,Cervidae,\n")
    assert taxonomy.ranks == ["genus", "family", "order"]
    names, numbers = taxonomy.taxa(CLASSES, "family")
    assert (names, numbers.tolist()) == (["Canidae", "Felidae"], [0, 1, 0])
    names, numbers = taxonomy.taxa(CLASSES, "order")
    assert (names, numbers.tolist()) == (["Carnivora", "wolf"], [0, 0, 1])
    assert notes == ["Taxonomy: taxonomy.csv with genus, family, order"]


def test_names_of_darwin_core_are_read(tmp_path: Path) -> None:
    taxonomy, notes = read(
        tmp_path,
        "taxonRank,Label,scientificName,class,kingdom,taxonID\n"
        "species,lynx,Lynx lynx,Mammalia,Animalia,gbif:2435240\n"
        "species,fox,Vulpes vulpes,Mammalia,Animalia,\n",
    )
    assert taxonomy.ranks == ["class", "kingdom"]
    assert taxonomy.scientific_name("lynx") == "Lynx lynx"
    assert taxonomy.scientific_name("wolf") == "wolf"
    assert taxonomy.column("taxonID") == {"lynx": "gbif:2435240"}
    assert notes[1] == "Taxonomy: no row of wolf; each stands for itself"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,family\nlynx,Felidae\n", "no column 'label'"),
        ("label,note\nlynx,x\n", "has no rank"),
        ("label,family\nmoose,Cervidae\n", "none of the 3 classes, such as 'fox'"),
        (TABLE + "lynx,Felis,Felidae,Carnivora\n", "two different rows of 'lynx'"),
        (TABLE + "wolf,Vulpes,Felidae,Carnivora\n", "genus 'Vulpes' is in the family 'Canidae'"),
    ],
)
def test_a_table_that_is_no_tree_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_taxonomy_is_found_next_to_the_data(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    assert find_taxonomy("", tmp_path) is None
    file = tmp_path / "taxonomy.csv"
    file.touch()
    assert find_taxonomy("", tmp_path) == find_taxonomy("", tmp_path / "t.csv") == file
    assert find_taxonomy(str(file), "elsewhere") == file
    assert find_taxonomy("", "s3://bucket/images") is None
    with pytest.raises(DataError, match=r"data.taxonomy = gone.csv: no such file"):
        find_taxonomy("gone.csv", tmp_path)


def test_taxa_of_two_spellings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="writes the family 'Canidae' and 'canidae'"):
        read(tmp_path, "label,genus,family\nfox,Vulpes,Canidae\nwolf,Canis,canidae\n")


def test_words_for_no_taxon_are_none(tmp_path: Path) -> None:
    taxonomy, _ = read(tmp_path, "label,genus,family\nfox,NA,Canidae\nlynx,unknown,Felidae\n")
    assert taxonomy.taxa(CLASSES, "genus")[0] == CLASSES
