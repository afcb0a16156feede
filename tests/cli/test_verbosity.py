"""How much a command says: -q, nothing, -v and -vv, before and after the verb, for every verb."""

from pathlib import Path

import pytest

from bestiary.cli import VERBS, main
from bestiary.run.run import Run


def test_quiet_normal_and_verbose(
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    results = set()

    def told(*words: str) -> str:
        assert main(list(words)) == 0
        printed = capsys.readouterr()
        results.add(printed.out)
        return printed.err

    first = told("scan", str(beasts), "-v")
    assert "decoded now: 27 of 27 images" in first
    assert f"written: {tmp_path}" in first
    assert "where the time went:" in first
    assert "decoded now: 0 of 27 images" in told("-v", "scan", str(beasts))
    assert "near duplicates: from the cache" in told("scan", "--verbose", str(beasts))
    normal = told("scan", str(beasts))
    assert "Reading images: 27" in normal
    assert "decoded now" not in normal
    assert told("-q", "scan", str(beasts)) == told("scan", str(beasts), "--quiet") == ""
    assert len(results) == 1, "the result does not depend on it"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_both(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    assert "--verbose -v" in capsys.readouterr().out


def test_quiet_is_taken_where_nothing_is_to_be_hushed(
    trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["options", "gamma"], ["schema"], ["cache"], ["show", str(trained.path)]):
        assert main([*command, "-q"]) == 0
        printed = capsys.readouterr()
        assert printed.out
        assert printed.err == ""


def test_both_are_refused(beasts: Path, fails) -> None:  # type: ignore[no-untyped-def]
    for command in (["scan", beasts], ["show"]):
        assert "leave one of them out" in fails(*command, "-q", "-v")


def test_alone_they_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v"]) == main(["--quiet"]) == main([]) == 0
    first, second = capsys.readouterr().out.split("Usage: ")[1:3]
    assert first == second
    assert "-q (results and warnings alone)" in first


def test_engine_and_graph_are_said(
    trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next(beasts.rglob("*.jpg"))
    assert main(["predict", str(trained.path), str(image), "--engine", "torch", "-v"]) == 0
    told = capsys.readouterr().err
    assert "engine: PyTorch on cpu, since it was asked for" in told
    assert "Building the network: " in told
