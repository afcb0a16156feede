"""The drawn dataset: deterministic bytes, truth.csv, planted faults, and classes to learn."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bestiary.beasts import pool
from bestiary.beasts.coat import _PAINTERS
from bestiary.beasts.drawing import draw_beast
from bestiary.beasts.faults import _DAMAGES, alter_copy, encode
from bestiary.beasts.sample import SampleSummary, draw_sample
from bestiary.beasts.species import PATTERNS, PLANS, invent_species
from bestiary.errors import ArgumentError

FAULTS = {"label_noise": 0.1, "near_duplicates": 0.15, "corrupt": 0.2, "unknown": 0.1}


def contents(directory: Path) -> dict[str, bytes]:
    """Read every file below a directory, by relative path."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "truth.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread, as `draw_sample` does."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleSummary]:
    """A dataset of 5 species with every kind of fault."""
    directory = tmp_path_factory.mktemp("faulty") / "beasts"
    return directory, draw_sample(directory, species=5, per_species=20, size=64, seed=3, **FAULTS)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Square thumbnails (160, 48, 48, 3) of 10 species, 16 individuals each, and their species."""
    images = []
    labels = []
    for species in invent_species(10, 0):
        for individual in range(16):
            image = draw_beast(species, np.random.default_rng([0, species.index, individual]), 64)
            images.append(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA))
            labels.append(species.index)
    return np.stack(images), np.array(labels)


def test_species_names_and_order() -> None:
    hundred = invent_species(100, 0)
    names = [species.name for species in hundred]
    assert len(set(names)) == 100
    assert all(re.fullmatch(r"[A-Z][a-z]+ [a-z]+", name) for name in names)
    assert invent_species(7, 0) == hundred[:7]
    assert [species.index for species in hundred] == list(range(100))
    assert invent_species(7, 1) != hundred[:7]


def test_genus_shares_a_body_plan() -> None:
    genera: dict[str, list[str]] = {}
    for species in invent_species(100, 5):
        genera.setdefault(species.name.split()[0], []).append(species.plan)
    assert all(len(set(plans)) == 1 and len(plans) <= 4 for plans in genera.values())
    assert sum(len(plans) > 1 for plans in genera.values()) >= 20
    assert {plans[0] for plans in genera.values()} == set(PLANS)


@pytest.mark.parametrize("plan", PLANS)
def test_body_plans_with_ornaments(plan: str) -> None:
    species = next(s for s in invent_species(100, 0) if s.plan == plan)
    extremes = [
        (0.0, "antlers", "spines", 1, 0),
        (1.0, "ears", "sail", 2, 1),
        (0.5, "feelers", "none", 0, 3),
    ]
    for share, gear, back, tip, form in extremes:
        build = replace(
            species.build, **{name: share for name in species.build.__dataclass_fields__}
        )
        varied = replace(species, build=build, headgear=gear, back=back, tail_tip=tip, form=form)
        with np.errstate(invalid="raise", divide="raise"):
            image = draw_beast(varied, np.random.default_rng(form), 72)
        assert image.dtype == np.uint8 and max(image.shape[:2]) == 72 and image.shape[2] == 3
        assert image.std() > 5


@pytest.mark.parametrize("size", [32, 161, 400, 1024])
def test_image_size(size: int) -> None:
    image = draw_beast(invent_species(1, 0)[0], np.random.default_rng(1), size)
    assert max(image.shape[:2]) == size
    assert min(image.shape[:2]) >= round(0.75 * size)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_coat_patterns(pattern: str) -> None:
    marks = np.clip(_PAINTERS[pattern](np.random.default_rng(0), 1.0, 0.5), 0, 1)
    assert np.isfinite(marks).all()
    assert marks.mean() < 0.9
    assert (marks.max() - marks.min() > 0.5) == (pattern != "plain")


def test_same_seed_same_bytes(faulty: tuple[Path, SampleSummary], tmp_path: Path) -> None:
    directory, summary = faulty
    again = draw_sample(tmp_path / "beasts", species=5, per_species=20, size=64, seed=3, **FAULTS)
    assert contents(directory) == contents(tmp_path / "beasts")
    assert contents(Path(f"{directory}-unknown")) == contents(tmp_path / "beasts-unknown")
    assert (
        replace(again, directory=directory, unknown_directory=summary.unknown_directory) == summary
    )


def test_processes_do_not_change_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_sample(tmp_path / "one", species=2, per_species=14, size=32)
    monkeypatch.setattr(pool, "_SINGLE_PROCESS_IMAGES", 0)
    monkeypatch.setattr(pool, "cores", lambda: 2)
    reports: list[tuple[int, int]] = []
    draw_sample(
        tmp_path / "two",
        species=2,
        per_species=14,
        size=32,
        progress=lambda *done: reports.append(done),
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert reports == [(25, 28), (28, 28)]


def test_more_images_keep_the_first_ones(tmp_path: Path) -> None:
    draw_sample(tmp_path / "few", species=2, per_species=3, size=32)
    draw_sample(tmp_path / "many", species=3, per_species=5, size=32)
    few = contents(tmp_path / "few")
    many = contents(tmp_path / "many")
    assert len(few) == 7 and len(many) == 16
    few.pop("truth.csv")
    assert set(few.values()) < set(many.values())
    draw_sample(tmp_path / "other", species=2, per_species=3, size=32, seed=1)
    assert not set(few.values()) & set(contents(tmp_path / "other").values())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"species": 500}, "--species 500: bestiary can draw 2 to 100 species"),
        ({"species": 1}, "--species 1: bestiary can draw 2 to 100 species"),
        ({"per_species": 0}, "--per-species 0: choose 1 to 100000"),
        ({"size": 31}, "--size 31: choose 32 to 1024"),
        ({"size": 1025}, "--size 1025: choose 32 to 1024"),
        ({"seed": -1}, "--seed -1: choose a whole number"),
        ({"label_noise": 0.6}, "--label-noise 0.6: choose a share"),
        ({"near_duplicates": -0.1}, "--near-duplicates -0.1: choose a share"),
        ({"corrupt": 1.0}, "--corrupt 1.0: choose a share"),
        ({"unknown": float("nan")}, "--unknown nan: choose a share"),
        (
            {"label_noise": 0.5, "corrupt": 0.5, "near_duplicates": 0.1},
            "--near-duplicates: .* no image to copy",
        ),
    ],
)
def test_value_out_of_range(tmp_path: Path, value: dict[str, float], message: str) -> None:
    arguments = {"species": 2, "per_species": 5, **value}
    with pytest.raises(ArgumentError, match=message) as caught:
        draw_sample(tmp_path / "beasts", **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_not_empty(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="full is not empty: choose another folder"):
        draw_sample(tmp_path / "full", species=2, per_species=1)
    (tmp_path / "full").rename(tmp_path / "beasts-unknown")
    with pytest.raises(ArgumentError, match="beasts-unknown is not empty"):
        draw_sample(tmp_path / "beasts", species=2, per_species=4, unknown=0.5)
    assert contents(tmp_path) == {"beasts-unknown/note.txt": b"mine"}


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_unfinished(
    stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same command would refuse the folder, once there is space again."""
    arguments = {"species": 2, "per_species": 4, "size": 32, "unknown": 0.5}

    def fail(*_: object) -> None:
        (tmp_path / "beasts" / "note.txt").write_text("mine")
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr("bestiary.beasts.sample._write_truth", fail)
        with pytest.raises(type(stop)):
            draw_sample(tmp_path / "beasts", **arguments)  # type: ignore[arg-type]
    assert contents(tmp_path) == {"beasts/note.txt": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["beasts"]

    (tmp_path / "beasts" / "note.txt").unlink()
    assert draw_sample(tmp_path / "beasts", **arguments).images == 12  # type: ignore[arg-type]


def test_file_instead_of_folder(tmp_path: Path) -> None:
    (tmp_path / "beasts").write_text("mine")
    with pytest.raises(ArgumentError, match="is not a folder"):
        draw_sample(tmp_path / "beasts", species=2, per_species=1)


def test_empty_folder_without_faults(tmp_path: Path) -> None:
    summary = draw_sample(tmp_path, species=3, per_species=2, size=32)
    rows = rows_of(tmp_path)
    assert summary.images == 6 == len(rows)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == list(summary.classes)
    assert all(row["species"] == row["label"] and not row["fault"] for row in rows)
    assert summary.unknown_directory is None


def test_truth_has_a_row_per_image(faulty: tuple[Path, SampleSummary]) -> None:
    directory, summary = faulty
    rows = rows_of(directory)
    paths = [row["path"] for row in rows]
    files = [
        p
        for folder in (directory, summary.unknown_directory)
        if folder
        for p in folder.rglob("*.jpg")
    ]
    assert paths == sorted(set(paths))
    assert {(directory / path).resolve() for path in paths} == {file.resolve() for file in files}
    assert len(rows) == summary.images == 100 + 15 + 10
    assert set(summary.classes) == {species.name for species in invent_species(5, 3)}
    assert {path.rsplit("/")[-1][:4] for path in paths} == {"img-"}
    assert all(
        Path(row["path"]).parts[0] == row["label"] for row in rows if row["fault"] != "unknown"
    )


def test_fault_counts(faulty: tuple[Path, SampleSummary]) -> None:
    directory, summary = faulty
    faults = [row["fault"] for row in rows_of(directory)]
    kinds = ("label", "near-duplicate", "corrupt", "unknown", "")
    assert {kind: faults.count(kind) for kind in kinds} == {
        "label": 10,
        "near-duplicate": 15,
        "corrupt": 20,
        "unknown": 10,
        "": 70,
    }
    assert summary.label_noise == 10
    assert summary.near_duplicates == 15
    assert summary.corrupt == 20
    assert summary.unknown == 10


def test_label_noise_and_unknown_folders(
    faulty: tuple[Path, SampleSummary],
) -> None:
    directory, summary = faulty
    for row in rows_of(directory):
        assert (row["species"] != row["label"]) == (row["fault"] in ("label", "unknown"))
        assert (row["species"] in summary.classes) == (row["fault"] != "unknown")
        assert (row["label"] in summary.classes) == (row["fault"] != "unknown")


def test_near_duplicates_resemble_originals(
    faulty: tuple[Path, SampleSummary],
) -> None:
    directory, _ = faulty
    rows = {row["path"]: row for row in rows_of(directory)}

    def thumbnail(path: str) -> np.ndarray:
        gray = Image.open(directory / path).convert("L")
        return np.asarray(gray.resize((24, 24)), np.float64)

    thumbnails = {path: thumbnail(path) for path, row in rows.items() if row["fault"] != "corrupt"}
    for path, row in rows.items():
        if row["fault"] != "near-duplicate":
            assert not row["copy_of"]
            continue
        original = rows[row["copy_of"]]
        assert not original["fault"] and original["label"] == row["label"]
        assert (directory / path).read_bytes() != (directory / row["copy_of"]).read_bytes()
        copy = thumbnails[path]
        if row["detail"] == "flipped":
            copy = copy[:, ::-1]
        # Other copies of the same original do not count.
        similarity = {
            other: np.corrcoef(copy.ravel(), pixels.ravel())[0, 1]
            for other, pixels in thumbnails.items()
            if other != path and rows[other]["copy_of"] != row["copy_of"]
        }
        assert max(similarity, key=lambda other: similarity[other]) == row["copy_of"]


def test_corrupt_files_fail_to_decode(faulty: tuple[Path, SampleSummary]) -> None:
    directory, _ = faulty
    for row in rows_of(directory):
        if row["fault"] == "corrupt":
            with pytest.raises(OSError), Image.open(directory / row["path"]) as image:
                image.load()
        else:
            with Image.open(directory / row["path"]) as image:
                image.load()
                assert image.mode == "RGB"


@pytest.mark.parametrize("name", _DAMAGES)
def test_damage_kinds_fail_to_decode(name: str, tmp_path: Path) -> None:
    jpeg = encode(draw_beast(invent_species(1, 0)[0], np.random.default_rng(0), 48), 90)
    for seed in range(20):
        (tmp_path / "x.jpg").write_bytes(_DAMAGES[name](jpeg, np.random.default_rng(seed)))
        with pytest.raises(OSError), Image.open(tmp_path / "x.jpg") as image:
            image.load()


def test_alteration_kinds() -> None:
    jpeg = encode(draw_beast(invent_species(1, 0)[0], np.random.default_rng(0), 64), 90)
    kinds = {alter_copy(jpeg, np.random.default_rng(seed))[1].split()[0] for seed in range(60)}
    assert kinds == {"re-encoded", "resized", "cropped", "flipped", "brightened"}


def nearest_center(features: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on odd rows of the nearest class center of the even rows."""
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    classes = np.unique(labels)
    train = np.arange(len(labels)) % 2 == 0
    test = ~train
    centers = np.stack([features[train & (labels == c)].mean(axis=0) for c in classes])
    gaps = ((features[test][:, None] - centers) ** 2).sum(axis=2)
    return float((classes[gaps.argmin(axis=1)] == labels[test]).mean())


def test_background_does_not_reveal_class(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    means = images.reshape(len(images), -1, 3).mean(axis=1)
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(len(images), -1).astype(np.float64)
    assert nearest_center(means, labels) < 0.4  # 0.1 is chance
    assert nearest_center(corners, labels) < 0.3


def test_colors_reveal_species(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = drawn
    tones = []
    for image in images:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float64)
        ground = np.median(np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]]), axis=0)
        standing_out = np.linalg.norm((lab - ground)[6:-6, 6:-6, 1:], axis=2).ravel()
        chosen = lab[6:-6, 6:-6].reshape(-1, 3)[standing_out.argsort()[-200:]]
        tones.append(np.concatenate([chosen.mean(axis=0), chosen.std(axis=0)]))
    assert nearest_center(np.stack(tones), labels) > 0.3  # 0.1 is chance
