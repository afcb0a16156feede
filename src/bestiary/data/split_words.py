"""Names of folders and words of a split column -> train, val or test, however they are written.

Knows nothing of files.
"""

import re
import unicodedata
from collections.abc import Collection

TRAIN = "train"
VAL = "val"
TEST = "test"

_SPLIT_OF_WORD = {
    "train": TRAIN,
    "training": TRAIN,
    "trn": TRAIN,
    "learn": TRAIN,
    "learning": TRAIN,
    "trainval": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validate": VAL,
    "validation": VAL,
    "dev": VAL,
    "devel": VAL,
    "development": VAL,
    "test": TEST,
    "testing": TEST,
    "tst": TEST,
    "eval": TEST,
    "evaluate": TEST,
    "evaluation": TEST,
    "holdout": TEST,
    "heldout": TEST,
}
_TWO_WORDS = {
    "hold out": "holdout",
    "held out": "heldout",
    "train val": "trainval",
    "train valid": "trainval",
}
# Words that say nothing beside a split word: seg_train, training_set, test images, val2017.
_FILLERS = frozenset(
    {
        "data",
        "dataset",
        "folder",
        "image",
        "images",
        "img",
        "imgs",
        "photos",
        "samples",
        "seg",
        "set",
        "sets",
        "split",
        "subset",
    }
)
_GLUED_FILLERS = re.compile(r"(datasets?|data|images?|imgs?|sets?|split)$")
_PART_WORDS = frozenset({"batch", "chunk", "cv", "fold", "kfold", "part", "piece"})


def split_of_word(word: str) -> str | None:
    """Name the split that a word means, or None.

    Args:
        word: Name of a folder, or value of a split column.

    Example:
        >>> split_of_word("Training"), split_of_word("test_set "), split_of_word("private")
        ('train', 'test', None)
    """
    return _split_of_tokens(_tokens(word))


def splits_of_folders(names: Collection[str]) -> dict[str, str | None]:
    """Name the split that each of several sibling folders means, or None.

    Words that all names share say nothing: flowers_train, flowers_test.

    Args:
        names: Names of the folders.
    """
    tokens = {name: _tokens(name) for name in names}
    common: set[str] = set()
    if len(tokens) > 1:
        common = set.intersection(*(set(words) for words in tokens.values()))
        common -= set(_SPLIT_OF_WORD)
    splits = {}
    for name, words in tokens.items():
        distinctive = [word for word in words if word not in common]
        splits[name] = _split_of_tokens(distinctive)
    return splits


def is_part_name(name: str) -> bool:
    """Whether a folder name numbers a part of a dataset, such as fold_1 or batch 2.

    Example:
        >>> is_part_name("Fold-03"), is_part_name("3"), is_part_name("fold")
        (True, False, False)
    """
    words = [word for word in _words(name) if word not in _FILLERS]
    if len(words) != 2:
        return False
    first, second = words
    return first in _PART_WORDS and second.isdigit()


def _split_of_tokens(words: list[str]) -> str | None:
    """The split that words mean, once fillers are dropped; None if another word is left."""
    meaningful = [word for word in words if word not in _FILLERS]
    joined = _TWO_WORDS.get(" ".join(meaningful))
    if joined:
        meaningful = [joined]
    if len(meaningful) != 1:
        return None
    word = meaningful[0]
    return _SPLIT_OF_WORD.get(word) or _SPLIT_OF_WORD.get(_GLUED_FILLERS.sub("", word))


def _tokens(name: str) -> list[str]:
    """The words of a name without numbers."""
    return [word for word in _words(name) if not word.isdigit()]


def _words(name: str) -> list[str]:
    """The words and numbers of a name in lower case: cut at signs, digits and capitals."""
    plain = unicodedata.normalize("NFKC", name)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())
