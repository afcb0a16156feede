"""What `bestiary scan` says last: where its page is, and which command comes next."""

import shutil
from pathlib import Path

import bestiary


def test_findings_lead_on(beasts: Path, tmp_path: Path) -> None:
    faulty = shutil.copytree(beasts, tmp_path / "faulty")
    next(faulty.rglob("*.jpg")).write_bytes(b"no image")
    probe = f"What next: bestiary probe {faulty} RUN"

    bare = bestiary.scan(faulty, quiet=True)
    page = f"As a page: bestiary scan {faulty} --out FOLDER"
    assert str(bare).splitlines()[-2:] == [page, probe]
    assert bare.exit_code == 1

    file = tmp_path / "out" / "scan.html"
    written = bestiary.scan(faulty, out=file.parent, quiet=True)
    assert str(written).splitlines()[-2:] == [f"Page: {file}", probe]
    assert file.is_file()
