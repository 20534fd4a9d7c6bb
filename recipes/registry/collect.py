"""Garbage collection of a repository: what no release's manifests reach is removed, and what refers to it.

Deciding is apart from doing. What this project did not write stays, and with it what it names. The bytes are freed by
the registry's own collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import size_text
from recipes.registry.documents import INDEX_TYPE, Index, make_index
from recipes.registry.names import Kind, fallback_tag, is_image_of, parse_tag
from recipes.registry.referrers import find_referrers
from recipes.registry.untrusted import brief

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from recipes.core.digest import Sha256
    from recipes.registry.client import Client
    from recipes.registry.contents import Contents, Held
    from recipes.registry.documents import Descriptor

# as they are listed; indexes come last, as they follow from what they list
KINDS = {
    Kind.CLAIM: "claims",
    Kind.PLAN: "bundles",
    Kind.TREE: "bundles by tree",
    Kind.IMAGE: "images",
    Kind.SOURCE: "sources",
    Kind.PAGE: "pages",
    Kind.RUNTIME: "runtime libraries",
    Kind.RECIPE: "indexes of recipes",
    Kind.REFERRERS: "lists of documents",
}


@dataclass(frozen=True)
class Pinned:
    """What some releases pin.

    Digests of trees; platforms of recipes, as RECIPE@PLATFORM, without a digest; tags of runtime libraries. `unread`
    are releases of which the last cannot be told.
    """

    trees: frozenset[str]
    unpinned: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Whether a tag goes, and why."""

    held: Held
    goes: bool
    reason: str


def choose(contents: Contents, pinned: Pinned, ended: Mapping[Sha256, str]) -> tuple[Choice, ...]:
    """Decide what goes. Pure. `ended` are claims that nobody stands behind any more, by digest, and why.

    | tag                       | stays where                                                                |
    |---------------------------|----------------------------------------------------------------------------|
    | any                       | what it names has another tag that stays, or one of somebody else's         |
    | claim                     | its worker lives                                                           |
    | of a stage                | a worker that lives claims it                                              |
    | bundle, image             | a release pins the bundle, or has the recipe's platform without a digest   |
    | source, page              | a release pins it                                                          |
    | runtime libraries         | a release is built with them                                               |
    | index                     | something that it lists is there and stays                                 |
    | what refers to a manifest | that one is there and stays                                                |
    """
    claimed = {
        each.name.stage for each in contents.held if each.name.kind is Kind.CLAIM and each.digest not in ended
    }

    def alone(each: Held) -> Choice:
        if each.name.kind is Kind.CLAIM:
            goes, reason = each.digest in ended, ended.get(each.digest, "its worker may live")
        elif each.name.stage in claimed:
            goes, reason = False, "a worker builds it now"
        else:
            found = _pinned_by(each, pinned)
            goes, reason = found is None, found or "no release needs it"
        return Choice(each, goes, reason)

    indexes = [each for each in contents.held if each.listed]
    choices = _together([alone(each) for each in contents.held if not each.listed], contents.others)
    going = {each.held.digest for each in choices if each.goes}
    for each in indexes:
        stays = bool(each.there - going)
        reason = "something of it stays" if stays else "all of it goes" if each.there else "all of it is gone"
        choices.append(Choice(each, not stays, reason))
    order = list(KINDS)
    return tuple(
        sorted(
            _together(choices, contents.others),
            key=lambda each: (order.index(each.held.name.kind), each.held.tag),
        )
    )


def _together(choices: Sequence[Choice], others: Mapping[str, Collection[str]]) -> list[Choice]:
    """Let each stay that has another tag which stays: a manifest is removed with all its tags."""
    staying = {digest: tag for tag, digests in others.items() for digest in digests}
    staying |= {str(each.held.digest): each.held.tag for each in choices if not each.goes}
    return [
        Choice(each.held, goes=False, reason=f"{brief(tag)} names it too")
        if each.goes and (tag := staying.get(str(each.held.digest)))
        else each
        for each in choices
    ]


def _pinned_by(held: Held, pinned: Pinned) -> str | None:
    """Return why a release needs something; None where none does."""
    kind, tag = held.name.kind, held.tag
    if kind is Kind.RUNTIME:
        if tag in pinned.runtimes:
            return "a release is built with it"
        return f"what {', '.join(pinned.unread)} needs cannot be told" if pinned.unread else None
    if held.tree in pinned.trees:
        return "a release pins it"
    without_pin = held.output in pinned.unpinned or (
        kind is Kind.IMAGE and any(is_image_of(tag, *each.split("@", 1)) for each in pinned.unpinned)
    )
    return "a release has this platform without a pin" if without_pin else None


def describe(contents: Contents, choices: Iterable[Choice]) -> Iterator[str]:
    """Give the lines of a dry run: what would go, how large it is and why; the sums of each kind, and of all.

    What two tags name is counted once, and goes where all that name it go.
    """
    every = tuple(choices)
    staying = _sizes(each.held.blobs for each in every if not each.goes) | _sizes(contents.others.values())
    for each in every:
        if each.goes:
            what = f"  {brief(each.held.output)}" if each.held.output else ""
            size = size_text(sum(each.held.blobs.values()))
            yield f"{size:>9}  {brief(each.held.tag)}{what}: {each.reason}"
    for kind, name in KINDS.items():
        of_kind = [each for each in every if each.held.name.kind is kind]
        going = [each.held.blobs for each in of_kind if each.goes]
        if of_kind:
            freed = _freed(going, staying)
            yield f"{name + ':':<19} {len(going)} of {len(of_kind)} would go, {size_text(freed)}"
    if contents.others:
        names = ", ".join(sorted(contents.others))
        yield f"left alone, as this project did not write them: {len(contents.others)} ({brief(names)})"
    freed = _freed((each.held.blobs for each in every if each.goes), staying)
    yield f"{size_text(freed)} would go, {size_text(sum(staying.values()))} would stay"


def _sizes(blobs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return {digest: size for each in blobs for digest, size in each.items()}


def _freed(going: Iterable[Mapping[str, int]], staying: Mapping[str, int]) -> int:
    return sum(size for digest, size in _sizes(going).items() if digest not in staying)


def remove(client: Client, contents: Contents, choices: Sequence[Choice]) -> int:
    """Remove what was decided; return how many tags. Raises OriginError.

    What another publisher moved since stays, and what a worker has claimed since.

    1. Out of each index, so that nobody is sent to what is gone.
    2. The manifest itself, with its tags.
    3. What referred to it, or to one that is gone; but what somebody else named of that stays.
    """
    going = [each.held for each in choices if each.goes]
    named = {digest for each in contents.others.values() for digest in each}
    sure = list(_as_before(client, contents, (each for each in going if not each.listed)))
    digests = {each.digest for each in sure}
    removed = len(sure)
    for each in choices:
        if each.held.listed and each.held.name.kind is not Kind.REFERRERS:
            removed += _leave_out(client, each, digests)
    for digest in sorted(digests, key=str):
        attached = find_referrers(client, digest)
        client.delete(digest)
        removed += _remove_referrers(client, digest, attached, named)
    for held in going:
        if held.name.kind is Kind.REFERRERS:
            for subject in held.listed - held.there:
                if client.find_manifest(client.repository.at(subject)) is None:
                    removed += _remove_referrers(client, subject, find_referrers(client, subject), named)
    return removed


def _remove_referrers(
    client: Client, subject: Sha256, attached: Iterable[Descriptor], named: Collection[str]
) -> bool:
    """Remove what referred to a manifest, and the tag that listed it; return whether there was that tag."""
    for document in attached:
        if document.digest not in named:
            client.delete(document.sha256)
    index = client.find_manifest(client.repository.at(fallback_tag(subject)))
    if index is None or str(index.digest) in named:
        return False
    client.delete(index.digest)
    return True


def _as_before(client: Client, contents: Contents, going: Iterable[Held]) -> Iterator[Held]:
    """Give what still is what was decided on: its tag names the same, and nobody has claimed it since."""
    new = (parse_tag(tag) for tag in client.tags() if tag not in contents.tags)
    claimed = {
        name.stage
        for name in new
        if name.kind is Kind.CLAIM and client.find_manifest(client.repository.at(str(name)))
    }
    for each in going:
        now = client.find_manifest(client.repository.at(each.tag))
        if each.name.stage in claimed:
            client.context.console.say(f"{each.tag} is built by a worker now, and stays")
        elif now is not None and now.digest == each.digest:
            yield each
        elif now is not None:
            client.context.console.say(f"{each.tag} is another one now, and stays")


def _leave_out(client: Client, choice: Choice, digests: Collection[Sha256]) -> bool:
    """Take out of an index what goes or is gone; return whether nothing is left of it, and it is removed."""
    index = choice.held
    gone = {*digests, *(index.listed - index.there)}
    reference = client.repository.at(index.tag)
    found = client.find_manifest(reference)
    if found is None or not isinstance(found.document, Index):
        return False
    kept = tuple(each for each in found.document.manifests if each.sha256 not in gone)
    if kept and len(kept) < len(found.document.manifests):
        client.put_manifest(reference, make_index(kept), INDEX_TYPE)
    elif not kept and choice.goes:
        client.delete(found.digest)
    return not kept and choice.goes
