"""Results -> what the page opens with: the finding, four numbers, five answers, provenance."""

from dataclasses import dataclass

import numpy as np

from bestiary.errors import BestiaryError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.evaluation.results import Results
from bestiary.numbers import count, percent, percent_range, plain_name
from bestiary.printable import shell_name
from bestiary.reporting.charts.classes import scored_classes
from bestiary.reporting.charts.scores import commonest_share
from bestiary.reporting.charts.training import learning_title
from bestiary.reporting.charts.trust import operating_points
from bestiary.reporting.run_sections.field import place_headline
from bestiary.run.checksums import file_digest
from bestiary.run.costs import read_costs
from bestiary.run.layout import MANIFEST
from bestiary.stats.averaging import softmax
from bestiary.stats.label_issues import find_label_issues
from bestiary.stats.learning_curve import LearningCurve
from bestiary.stats.look_alikes import LookAlikes
from bestiary.version import VERSION

MAX_GROUPS = 9  # that the headline counts, those with most mistakes
FEW_MISTAKES = 6  # fewer make no pattern
DIGEST_LETTERS = 12
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def headline(results: Results, groups: list[LookAlikes]) -> str:
    """State the finding: how often it is right, and how its mistakes are spread.

    Args:
        results: the results of a run.
        groups: of look-alikes.

    Returns:
        Two sentences.
    """
    accuracy = results.scores["accuracy"]
    wrong = int((~results.hits).sum())
    first = _first_sentence(results)
    largest = groups[:MAX_GROUPS]
    inside = sum(group.mistakes for group in largest)
    if not wrong:
        least = percent(1 - accuracy["low"])
        return f"{first} The true share of mistakes may still be {least}."
    if wrong < FEW_MISTAKES or not inside:
        return f"{first} Its {count(wrong, 'mistake')} show no pattern."
    where = f"{_word(len(largest))} group{'s' if len(largest) > 1 else ''} of look-alikes"
    return f"{first} {percent(inside / wrong, 0)} of its mistakes lie within {where}."


def _first_sentence(results: Results) -> str:
    """How often it is right; with sites, at known and at new ones."""
    own = percent(results.scores["accuracy"]["value"])
    places = results.field.places
    if places is None:
        return f"Right on {own} of images it had not seen."
    sentence = place_headline(places)
    if sentence and not places.heads:
        return sentence
    kind = "new" if places.by == "site" else "known"
    first = f"Right on {own} of images it had not seen, at {kind} sites."
    return f"{first} {sentence}" if sentence else first


def _word(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else str(number)


def four_numbers(results: Results) -> list[dict[str, str]]:
    """The four numbers: one member, all together, mean over classes, the commonest class.

    Args:
        results: the results of a run.

    Returns:
        For each: what, value, more, and metric, its place in metrics.json (or empty).
    """
    scores = results.scores
    accuracy, balanced = scores["accuracy"], scores["scores"]["balanced_accuracy"]
    folds = len(results.snapshot.folds)
    cards = [_card("One member, new images", accuracy, "accuracy", "95 % interval ")]
    if folds > 1:
        card = _card(f"All {folds} together, estimated", scores["ensemble"], "ensemble")
        cards.append(card | {"more": card["more"] + "; measure it: bestiary evaluate"})
    cards.append(_card("Mean over classes", balanced, "scores.balanced_accuracy"))
    sizes = np.bincount(results.labels)
    name = plain_name(results.classes[int(sizes.argmax())])
    cards.append(
        {
            "what": "Always the commonest class",
            "value": percent(commonest_share(results)),
            "more": f"{name}; {count(len(results.classes), 'class', 'classes')}",
            "metric": "",
        }
    )
    return cards


def _card(what: str, score: dict[str, float], metric: str, before: str = "") -> dict[str, str]:
    return {
        "what": what,
        "value": percent(score["value"]),
        "more": f"{before}{percent_range(score['low'], score['high'])}",
        "metric": metric,
    }


def suspect_labels(results: Results) -> int | None:
    """Count the labels that look wrong, as `bestiary labels` does; None where it cannot."""
    out_of_fold = read_out_of_fold(results.snapshot)
    if len(np.unique(out_of_fold.labels)) < len(results.classes):
        return None
    try:
        issues = find_label_issues(softmax(out_of_fold.logits), out_of_fold.labels)
    except BestiaryError:
        return None
    return len(issues.suspects)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reader's question with its answer in a sentence.

    Attributes:
        question: the question.
        answer: the answer.
        link: the section that shows it.
        command: a command that goes on from here, or empty.
    """

    question: str
    answer: str
    link: str
    command: str = ""


def answers(
    results: Results, groups: list[LookAlikes], suspects: int | None, curve: LearningCurve | None
) -> list[Answer]:
    """Answer what readers ask first.

    Args:
        results: the results of a run.
        groups: of look-alikes.
        suspects: number of labels that look wrong, if known.
        curve: the learning curve, if there is one.

    Returns:
        Five answers.
    """
    return [
        Answer("Which class is worst?", _worst(results), "weakest"),
        Answer("Are labels wrong?", _labels(suspects), "mistakes", labels_command(results)),
        Answer("Would more images help?", _more(curve), "more"),
        Answer("How sure are the sure ones?", _sure(results), "trust"),
        Answer("How was it made?", _made(results), "method"),
    ]


def labels_command(results: Results) -> str:
    """Give the command that decides on the labels of a run."""
    return f"bestiary labels {shell_name(results.run.place)}"


def _worst(results: Results) -> str:
    worst = scored_classes(results)[0]
    if not worst["wrong"]:
        return "None: no class has a mistake."
    recall = worst["recall"]
    text = (
        f"{worst['name']}: {percent(recall['value'])} of {count(worst['support'], 'image')} "
        f"recognized ({percent_range(recall['low'], recall['high'])})"
    )
    if worst["times"] > 1:
        return f"{text}. {worst['times']} times it was taken for {worst['taken_for']}."
    return f"{text}; no class attracts its mistakes."


def _labels(suspects: int | None) -> str:
    if suspects is None:
        return "Not looked for here: needs cleanlab and an image of every class."
    if not suspects:
        return "None looks wrong."
    verb = "looks" if suspects == 1 else "look"
    return f"{count(suspects, 'label')} {verb} wrong; decide on each with one key."


def _more(curve: LearningCurve | None) -> str:
    if curve is None:
        return "Not known for this run; the section says why."
    return f"{learning_title(curve)}."


def _sure(results: Results) -> str:
    points = operating_points(results.confidence, results.hits)
    if not points:
        return f"Answering all images, {percent(float((~results.hits).mean()))} are wrong."
    share, wrong, confidence = points[0]
    return (
        f"Of the surest {percent(share, 0)}, {percent(wrong)} are wrong "
        f"(confidence {percent(confidence)} or more)."
    )


def _made(results: Results) -> str:
    recipe = results.snapshot.recipe
    kind = (
        f"all or part of it fine-tuned, {count(recipe.train.epochs, 'epoch')}"
        if recipe.train.epochs
        else "frozen, with a new last layer"
    )
    folds = len(results.snapshot.folds)
    network = recipe.model.backbone.split("/")[-1].replace("_", " ")
    return f"{count(folds, 'member')} of {network}, {kind}; {recipe.view.eval_side} pixels."


def provenance(results: Results) -> dict[str, str]:
    """Where the run is from: data, date, seed, version, digest.

    Args:
        results: the results of a run.

    Returns:
        Each by its name; empty where it is not known.
    """
    run, recipe = results.run, results.snapshot.recipe
    root = run.named_root() or run.read_recorded_root()
    data = root.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or run.name
    costs = read_costs([run.fold(fold) for fold in results.snapshot.folds])
    started = sorted(costs["started"].to_list())
    return {
        "data": data,
        "date": started[-1][:10] if started else "",
        "seed": f"seed {recipe.train.seed}",
        "version": f"bestiary {VERSION}",
        "digest": file_digest(run.file(MANIFEST))[:DIGEST_LETTERS],
    }


def facts_line(results: Results) -> list[str]:
    """What it was trained on, in short parts."""
    accuracy = results.scores["accuracy"]
    duplicates = results.table["duplicate_group"].drop_nulls()
    parts = [
        count(accuracy["n"], "image"),
        count(len(results.classes), "class", "classes"),
        count(len(results.snapshot.folds), "fold"),
    ]
    if len(duplicates):
        originals = count(duplicates.n_unique(), "original")
        parts.append(
            f"{count(len(duplicates), 'near duplicate')} of {originals}, each kept in one fold"
        )
    return parts


def bibtex(results: Results, where: dict[str, str]) -> str:
    """A BibTeX entry for the program, with the run that it was used for in the note.

    Args:
        results: the results of a run.
        where: see `provenance`.

    Returns:
        The entry.
    """
    year = where.get("date", "")[:4]
    line = f"  year    = {{{year}}},\n" if year else ""
    return (
        "@software{bestiary,\n"
        "  title   = {bestiary: from a folder of labeled images to an honest classifier},\n"
        f"  version = {{{VERSION}}},\n{line}"
        f"  note    = {{Manifest SHA-256 {where.get('digest', '')}, {where['seed']}}}\n"
        "}"
    )


def summary_markdown(
    results: Results, title: str, cards: list[dict[str, str]], replies: list[Answer]
) -> str:
    """The first screen as Markdown, to paste into a message or an issue.

    Args:
        results: the results of a run.
        title: the finding.
        cards: see `four_numbers`.
        replies: see `answers`.

    Returns:
        A heading, a table and a list.
    """
    from bestiary.reporting.markdown import escape_markdown

    lines = [f"**{escape_markdown(title)}**", "", "| | | |", "|---|--:|---|"]
    for card in cards:
        cells = (escape_markdown(card[key]) for key in ("what", "value", "more"))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", escape_markdown(" · ".join(facts_line(results))), ""]
    lines += [
        f"- {escape_markdown(reply.question)} {escape_markdown(reply.answer)}" for reply in replies
    ]
    return "\n".join(lines) + "\n"
