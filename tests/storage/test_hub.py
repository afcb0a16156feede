"""Runs on the hub: what goes up and what does not, the same answers from there, one-line errors."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from documented_keys import found_keys
from hub_server import HubServer, Repository, is_large, served_hub
from huggingface_hub import constants

import bestiary
from bestiary.caches import cache_root
from bestiary.cli.documents import result_document
from bestiary.errors import ArgumentError, RunError
from bestiary.run.layout import is_shared
from bestiary.run.run import Run
from bestiary.storage.hub import hub_place

ADDRESS = "hf://ann/moths"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty hub, where a token that may write is set, and an empty cache of its library."""
    yield from served_hub(monkeypatch, tmp_path)


def with_columns(run: Run, folder: Path, **columns: object) -> Run:
    """A copy of a run, whose manifest has further columns."""
    copy = Run(Path(shutil.copytree(run.path, folder)))
    manifest = copy.read_table("manifest.parquet")
    more = [pl.lit(value).alias(name) for name, value in columns.items()]
    copy.write_table("manifest.parquet", manifest.with_columns(more), {"root": "images"})
    copy.write_recipe(copy.read_recipe())  # renew the checksums
    return copy


def downloads(hub: HubServer) -> list[str]:
    """Paths of the files that were sent."""
    return [path for method, path in hub.requests if method == "GET" and "/resolve/" in path]


def test_pushed_run_answers_the_same(hub: HubServer, trained: Run, beasts: Path) -> None:
    pushed = bestiary.push(trained.path, ADDRESS, quiet=True)
    assert pushed.uploaded is not None and pushed.uploaded.is_private and pushed.uploaded.is_new
    assert hub.repositories["ann/moths"].private
    images = sorted(beasts.rglob("*.jpg"))
    here, there = bestiary.load(trained.path), bestiary.load(ADDRESS)
    assert there.classes_.tolist() == here.classes_.tolist()
    np.testing.assert_array_equal(there.predict_proba(images), here.predict_proba(images))
    # From its cache, nothing is fetched a second time.
    n_downloads = len(downloads(hub))
    bestiary.load(f"{ADDRESS}@main")
    assert len(downloads(hub)) == n_downloads
    assert not list((cache_root() / "runs").glob("hub-*"))  # the working copies are gone


@pytest.fixture
def xet(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's library moves large files by Xet, as it does by itself."""
    pytest.importorskip("hf_xet", reason="hf_xet is not installed (huggingface_hub >= 0.32 has it)")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet-cache"))
    hub.xet_store = tmp_path / "xet"


def test_pushed_run_answers_the_same_by_xet(
    hub: HubServer, xet: None, trained: Run, beasts: Path
) -> None:
    import hf_xet

    files = [file for file in trained.path.rglob("*") if file.is_file()]
    hashed = hf_xet.hash_files([str(file) for file in files])
    hub.xet_hashes = {
        hashlib.sha256(file.read_bytes()).hexdigest(): each.hash
        for file, each in zip(files, hashed, strict=True)
    }
    bestiary.push(trained.path, ADDRESS, quiet=True)
    assert not [path for method, path in hub.requests if "/lfs/" in path]  # not by Git LFS
    images = sorted(beasts.rglob("*.jpg"))[:3]
    here, there = bestiary.load(trained.path), bestiary.load(ADDRESS)
    np.testing.assert_array_equal(there.predict_proba(images), here.predict_proba(images))
    assert downloads(hub) and not [path for path in downloads(hub) if is_large(path, 0)]


def test_hub_without_xet_is_told(hub: HubServer, xet: None, trained: Run) -> None:
    """The library does not fall back to Git LFS, so the line says how."""
    hub.xet_store = None
    with pytest.raises(RunError, match="HF_HUB_DISABLE_XET=1"):
        bestiary.push(trained.path, ADDRESS, quiet=True)
    assert not hub.repositories["ann/moths"].files


def test_no_image_goes_up(hub: HubServer, small: Run, tmp_path: Path) -> None:
    run = with_columns(small, tmp_path / "run")
    bestiary.report(run.path, no_saliency=True, quiet=True)
    (run.path / "predictions.csv").write_text("mine")
    (run.path / "notes").mkdir()
    (run.path / "notes" / "photo.jpg").write_bytes(b"\xff\xd8")
    bestiary.push(run.path, ADDRESS, quiet=True)
    files = hub.repositories["ann/moths"].files
    assert set(files) == {name for name in files if is_shared(name)} | {"README.md"}
    assert {"recipe.toml", "manifest.parquet", "fold-2/weights.safetensors"} <= set(files)
    for content in files.values():
        assert b"\xff\xd8\xff" not in content and b"data:image" not in content
    bestiary.push(run.path, ADDRESS, with_report=True, quiet=True)
    assert b"data:image" in files["report.html"]
    # Without the option it goes again.
    done = bestiary.push(run.path, ADDRESS, quiet=True).uploaded
    assert done is not None and done.removed == 1 and "report.html" not in files


def test_push_says_what_goes_up(
    hub: HubServer, trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = bestiary.push(trained.path, ADDRESS, dry_run=True)
    assert not hub.requests
    print(planned)
    assert {"files[]", "images", "page"} <= found_keys("push", result_document("push", planned))
    said = capsys.readouterr()
    assert "3\N{NO-BREAK SPACE}members" in said.err and "MB" in said.err
    assert "27\N{NO-BREAK SPACE}images: path, label" in said.err
    assert "No image and no thumbnail" in said.err
    assert "names no license" in said.err
    assert "Nothing was uploaded" in said.out


def test_positions_are_not_shown_by_chance(hub: HubServer, trained: Run, tmp_path: Path) -> None:
    run = with_columns(trained, tmp_path / "run", lat=1.5, lon=2.5)
    with pytest.raises(ArgumentError, match=r"where 27\W+images were taken \(lat, lon\)"):
        bestiary.push(run.path, ADDRESS, public=True, quiet=True)
    assert not hub.repositories
    bestiary.push(run.path, ADDRESS, public=True, with_positions=True, quiet=True)
    assert not hub.repositories["ann/moths"].private
    with pytest.raises(RunError, match="everyone can read this repository"):
        bestiary.push(run.path, ADDRESS, quiet=True)


def test_card_of_the_user_goes_up(hub: HubServer, trained: Run, tmp_path: Path) -> None:
    run = with_columns(trained, tmp_path / "run")
    bestiary.report(run.path, format="card", quiet=True)
    card = run.path / "README.md"
    card.write_text(card.read_text().replace("license: unknown", "license: cc-by-4.0"))
    bestiary.push(run.path, ADDRESS, quiet=True)
    sent = hub.repositories["ann/moths"].files["README.md"].decode()
    assert "license: cc-by-4.0" in sent
    assert f'bestiary.load("{ADDRESS}")' in sent and "USER/NAME" not in sent


def test_other_repositories_stay(hub: HubServer, trained: Run) -> None:
    other = Repository(private=True, files={"model.bin": b"x", "README.md": b"mine"})
    other.commit()
    hub.repositories["ann/moths"] = other
    with pytest.raises(RunError, match=r"holds something else \(model.bin\)"):
        bestiary.push(trained.path, ADDRESS, quiet=True)
    assert other.files == {"model.bin": b"x", "README.md": b"mine"}


def test_verbs_take_the_address(
    hub: HubServer, trained: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    bestiary.push(trained.path, ADDRESS, quiet=True)
    n_requests = len(hub.requests)
    assert bestiary.show(ADDRESS).images == bestiary.show(trained.path).images
    here = bestiary.predict(trained.path, beasts, out=tmp_path / "here.csv", quiet=True)
    there = bestiary.predict(ADDRESS, beasts, out=tmp_path / "there.csv", quiet=True)
    assert here.table["label"].to_list() == there.table["label"].to_list()
    bestiary.report(ADDRESS, out=tmp_path / "r.html", no_saliency=True, quiet=True)
    assert "</html>" in (tmp_path / "r.html").read_text()
    assert "only read" in fails("report", ADDRESS)
    assert "no run is trained on the hub" in fails("train", beasts, ADDRESS)
    assert {method for method, _ in hub.requests[n_requests:]} == {"GET", "HEAD"}


def test_errors_are_one_line(
    hub: HubServer, trained: Run, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such repository, or it is private" in fails("show", "hf://ann/none")
    hub.repositories["ann/empty"] = Repository(private=False)
    hub.repositories["ann/empty"].commit()
    assert "no run is there" in fails("show", "hf://ann/empty")
    assert "no such revision" in fails("show", "hf://ann/empty@v9")
    for address in ("hf://moths", "hf://datasets/ann/moths", "hf://ann/moths/../x", "hf://"):
        assert "write hf://USER/NAME" in fails("show", address)
    for address in ("hf://ann/moths@v1", "hf://ann/moths/sub", "s3://bucket/x", "ann/moths"):
        assert "a repository of its own" in fails("push", trained.path, address)
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    assert "does not allow it" in fails("push", trained.path, ADDRESS)
    monkeypatch.delenv("HF_TOKEN")
    assert "needs a token that may write; set HF_TOKEN" in fails("push", trained.path, ADDRESS)
    assert "no such run" in fails("push", trained.path / "none", ADDRESS)
    hub.is_dead = True
    assert "has refused (status 503)" in fails("show", ADDRESS)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "no answer from http://127.0.0.1:9" in fails("show", ADDRESS)


def test_damaged_file_is_refused(
    hub: HubServer, trained: Run, beasts: Path, fails: Callable[..., str]
) -> None:
    bestiary.push(trained.path, ADDRESS, quiet=True)

    def flip(path: str, content: bytes) -> bytes:
        is_hit = path == "fold-1/weights.safetensors"
        return content[:-1] + bytes([content[-1] ^ 1]) if is_hit else content

    hub.spoil = flip
    assert "fold-1/weights.safetensors is damaged" in fails("evaluate", ADDRESS, beasts)
    # A small file, which has another kind of digest.
    hub.spoil = lambda path, content: content.swapcase() if path == "ensemble.json" else content
    pushed = hub.repositories["ann/moths"].files
    changed = {name: content + b"\n" for name, content in pushed.items()}
    hub.repositories["ann/other"] = Repository(private=False, files=changed)
    hub.repositories["ann/other"].commit()
    assert "ensemble.json is damaged" in fails("show", "hf://ann/other")


@pytest.mark.parametrize("name", ["../x/recipe.toml", "/etc/recipe.toml", "a/../recipe.toml"])
def test_hostile_names_are_never_fetched(
    name: str, hub: HubServer, fails: Callable[..., str]
) -> None:
    hub.repositories["ann/moths"] = Repository(private=False, files={name: b"x"})
    hub.repositories["ann/moths"].commit()
    assert "no run is there" in fails("show", ADDRESS)
    assert not downloads(hub)


def test_hub_place_reads_folders() -> None:
    place = hub_place("hf://ann/moths@v1.0/runs/first/")
    assert (place.repository, place.revision, place.folder) == ("ann/moths", "v1.0", "runs/first")


@pytest.mark.slow
def test_commands_push_and_predict(
    hub: HubServer, trained: Run, beasts: Path, tmp_path: Path
) -> None:
    """As in a shell, where HF_ENDPOINT names the hub."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bestiary", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    pushed = run("push", trained.path, ADDRESS)
    assert pushed.returncode == 0, pushed.stderr
    assert "(private)" in pushed.stdout and f"bestiary predict {ADDRESS} IMAGES" in pushed.stdout
    done = run("predict", ADDRESS, beasts, "--out", "p.csv", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in pushed.stderr + done.stderr
    assert pl.read_csv(tmp_path / "p.csv").height == 27
