"""What `bestiary scan` says last: where its page is, or which command comes next."""

import shutil
from pathlib import Path

import bestiary


def last_line(audit: object) -> str:
    return str(audit).splitlines()[-1]


def test_faults_lead_to_the_page(beasts: Path, tmp_path: Path) -> None:
    faulty = shutil.copytree(beasts, tmp_path / "faulty")
    next(faulty.rglob("*.jpg")).write_bytes(b"no image")
    page = tmp_path / "out" / "scan.html"
    bare = bestiary.scan(faulty, quiet=True)
    assert last_line(bare).endswith(f"bestiary scan {faulty} --out FOLDER")
    written = bestiary.scan(faulty, out=page.parent, quiet=True)
    assert last_line(written) == f"Page: {page}"
    assert page.is_file()


def test_clean_images_lead_to_probe(tmp_path: Path) -> None:
    beasts = tmp_path / "beasts"
    bestiary.sample(beasts, species=2, per_species=12, size=48, quiet=True)
    audit = bestiary.scan(beasts, quiet=True)
    assert "No problems found" in str(audit)
    assert last_line(audit) == f"What next: bestiary probe {beasts} RUN"
