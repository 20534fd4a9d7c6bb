"""Looks things up in C++ source by its text: blocks, calls, declarations, cases. Pure."""

from __future__ import annotations

import re

_TOKENS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TYPES = (
    r"(?:std::array<[^;<>]+>|std::vector<[^;<>]+>|std::string|bool|float|u?int\d+_t|int"
    r"|enum llama_pooling_type|llama_pooling_type)"
)
_OPEN, _CLOSE = "({[", ")}]"
_BRACKETS = re.compile(_TOKENS.pattern + r"|[{}]", re.DOTALL)
_BEHIND = 80  # characters after a name until what shows that it is declared
_HEAD = 4000  # characters before a block that may belong to it


def uncommented(text: str) -> str:
    """Return a source without comments; texts in quotes stay."""
    return _TOKENS.sub(lambda found: found[0] if found[0][0] in "\"'" else " ", text)


def named_strings(text: str, name: str) -> dict[str, str]:
    """Return the pairs of a map whose keys are names and whose values are texts; {} if there is no such map."""
    start = re.search(rf"\b{name}\s*=\s*(?={{)", text)
    if start is None:
        return {}
    return dict(re.findall(r'{\s*(\w+)\s*,\s*"([^"]*)"', block_after(text, start.start())))


def block_after(text: str, place: int) -> str:
    """Return the block in braces that begins first after a place."""
    start = text.index("{", place)
    return text[start : _end(text, start)]


def arguments(text: str, start: int) -> list[str]:
    """Return the arguments of a call whose opening parenthesis ends before `start`, each without outer spaces."""
    end = _end(text, start - 1) - 1
    words, depth, last = [], 0, start
    for place in range(start, end):
        depth += (text[place] in _OPEN) - (text[place] in _CLOSE)
        if text[place] == "," and not depth:
            words.append(text[last:place].strip())
            last = place + 1
    return [*words, text[last:end].strip()]


class Blocks:
    """The blocks in braces of a source: which function and which `case` a place is in."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._blocks: list[tuple[int, int]] = []  # inner ones first
        open_: list[int] = []
        for found in _BRACKETS.finditer(text):
            if found[0] == "{":
                open_.append(found.start())
            elif found[0] == "}" and open_:
                self._blocks.append((open_.pop(), found.end()))

    def around(self, place: int) -> list[str]:
        """Return the text before each block that a place is in, from what comes before on; inner ones first."""
        starts = [start for start, end in self._blocks if start < place < end]
        return [re.split(r"[;{}]", self.text[max(0, start - _HEAD) : start])[-1] for start in starts]

    def cases(self, place: int, label: str) -> list[str]:
        """Return the labels of the innermost `case` with a block of its own around a place; [] outside of one."""
        for head in self.around(place):
            if re.search(rf"(?:{label})\s*$", head):
                return re.findall(label, head)
        return []


def declared_type(word: str, before: str, headers: str) -> str | None:
    """Return the type of a variable or of a field: its last declaration before a place, else the one in the headers."""
    name = re.split(r"\.|->", word)[-1]
    pattern = re.compile(
        rf"\b({_TYPES})\s+&?\s*(?:\w+\s*(?:=[^;,()]*)?,\s*)*{re.escape(name)}\s*(?=[=;{{,)(])"
    )
    if name == word:
        place = len(before)
        while (place := before.rfind(name, 0, place)) >= 0:
            start = (
                max(before.rfind("\n", 0, place), before.rfind(";", 0, place), before.rfind("{", 0, place))
                + 1
            )
            if found := pattern.search(before, start, place + len(name) + _BEHIND):
                return found[1]
    found = pattern.search(headers)
    return found[1] if found else None


def number_of(word: str, text: str) -> int:
    """Return a number, or the one that a name is defined as; a ValueError is raised where there is none."""
    if word.isdecimal():
        return int(word)
    found = re.search(rf"#define\s+{word}\s+(\d+)", text)
    if found is None:
        raise ValueError(f"{word} is not defined")
    return int(found[1])


def _end(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`; texts in quotes are skipped."""
    depth, place = 0, start
    while place < len(text):
        if text[place] in "\"'" and (quoted := _TOKENS.match(text, place)):
            place = quoted.end()
            continue
        depth += (text[place] in _OPEN) - (text[place] in _CLOSE)
        place += 1
        if not depth:
            return place
    raise ValueError(f"the bracket at {start} is never closed")
