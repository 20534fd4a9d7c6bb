"""Reads feeds record by record, and gathers what the manifests do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.evidence.feeds.matching import News, is_mentioned
from recipes.evidence.feeds.reading import no_feed, open_feed
from recipes.evidence.feeds.records import Record, parse_records
from recipes.serve.door.json_text import parse
from recipes.serve.door.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from recipes.evidence.feeds.reading import FeedFile
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Recipe
    from recipes.store.context import Context


def survey(sources: Iterable[str], manifests: Manifests, context: Context, again: str) -> News:
    """Return what feeds say that the manifests do not have; `again` is the command, for errors.

    A file that cannot be read is a fault of the feed, which the rest of it does not suffer from. Raises UsageError
    where a feed has no file that can, and as `open_feed` does.
    """
    news = News()
    recipes = [manifests.recipe(name) for name in manifests.recipe_names()]
    advisories = manifests.advisories()
    for source in sources:
        faults, read = len(news.faults), news.read
        with open_feed(source, context, again) as files:
            for file in files:
                news.read += 1
                for found in read_records(file, recipes):
                    if isinstance(found, Record):
                        news.add(found, recipes, advisories)
                    else:
                        news.faults.append(f"{file.name}: {found}")
        if news.read - read <= len(news.faults) - faults:
            raise no_feed(source, news.faults[faults] if news.faults[faults:] else "no .json file")
    return news


def read_records(file: FeedFile, recipes: Sequence[Recipe]) -> Iterator[Record | str]:
    """Return the records in a file of a feed that may be about a component of a recipe; or why it has none."""
    if file.fault:
        yield file.fault
        return
    if not is_mentioned(file.data, recipes):
        if file.data.lstrip()[:1] not in {b"{", b"["}:
            yield "it is not JSON"
        return
    try:
        data = parse(file.data, allow_list=True)
    except RefusedError as error:
        yield error.message.replace("the body", "it")
        return
    yield from parse_records(data)
