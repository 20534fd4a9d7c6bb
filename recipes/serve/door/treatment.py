"""What becomes of a request's body on its way to the server: read, judged, its images prepared, written again. Pure.

What is passed on is written from what was judged: no two readers of the same bytes can then disagree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recipes.serve.door.dialects import translate
from recipes.serve.door.image_decode import READ, Detail, ImageError, prepare_image
from recipes.serve.door.json_text import parse
from recipes.serve.door.message_images import ImageSlot, find_images
from recipes.serve.door.refusal import BAD_REQUEST, NOT_FOUND, RefusedError
from recipes.serve.door.request_fields import judge_fields, judge_text

LIST_PATHS = {"/lora-adapters"}  # whose body is a list
SEVERAL = {"/v1/chat/completions", "/v1/completions"}  # whose `n` the door answers
FETCH = "send it as a data URL, or start the server with --allow-url-images"


@dataclass(frozen=True)
class ModelLimits:
    """What a model's server can do: how many requests at a time, and of how many tokens."""

    name: str = ""
    slots: int = 1
    context: int = 0


@dataclass(frozen=True)
class BodyRules:
    """The models that can be asked, the default one first; how large an image is where the request does not say."""

    models: tuple[ModelLimits, ...] = (ModelLimits(),)
    detail: Detail = Detail.HIGH
    url_images: bool = False

    def model(self, name: object) -> ModelLimits:
        """Return the model of a request that names it so; the only one has every name.

        A RefusedError is raised if there are several, and none of this name.
        """
        if len(self.models) == 1 or name in {None, ""}:
            return self.models[0]
        for model in self.models:
            if model.name == name:
                return model
        names = ", ".join(model.name for model in self.models)
        raise RefusedError(
            NOT_FOUND, f"there is no model {str(name)[:200]!r} here; there are: {names}", "model"
        )


@dataclass(frozen=True)
class Treated:
    """A body to pass on to a model, the answers that are wanted, from which seed, and what was done to its images."""

    body: bytes
    answers: int = 1
    seed: int | None = None
    notes: tuple[str, ...] = ()
    model: str = ""


def judge(body: bytes, path: str, rules: BodyRules) -> tuple[dict[str, Any] | list[Any], list[ImageSlot]]:
    """Return what a body says, and its images; a RefusedError is raised if it is not passed on."""
    request = parse(body, allow_list=path in LIST_PATHS)
    if isinstance(request, list):
        return request, []
    name = request.get("model")
    limits = rules.model(name if isinstance(name, str) else None)  # another value is refused below
    judge_fields(request, limits.slots)
    judge_text(request, limits.context)
    translate(request, path)
    images = find_images(request, rules.detail)
    for image in images:
        if image.is_web and not rules.url_images:
            message = f"'{image.where}' is an address: this server fetches nothing; {FETCH}"
            raise RefusedError(BAD_REQUEST, message, image.where)
    return request, images


def treat(body: bytes, path: str, rules: BodyRules) -> Treated:
    """Return the body to pass on; a RefusedError is raised if nothing is."""
    request, images = judge(body, path, rules)
    return finish(request, images, path)


def finish(request: dict[str, Any] | list[Any], images: list[ImageSlot], path: str) -> Treated:
    """Prepare the images of a judged request, and write it; a RefusedError is raised for one that cannot be read."""
    notes = []
    for number, image in enumerate(images, 1):
        try:
            prepared = prepare_image(image.data(), image.detail)
        except ImageError as error:
            message = f"'{image.where}': {error}; what is read: {READ}"
            raise RefusedError(BAD_REQUEST, message, image.where) from error
        image.put(prepared.png)
        notes += [f"image {number}: {', '.join(prepared.notes)}"] if prepared.notes else []
    answers, seed, model = 1, None, ""
    if isinstance(request, dict):
        answers, seed = _several(request, path)
        model = request.get("model") or ""
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
    return Treated(text.encode(), answers, seed, tuple(notes), model)


def _several(request: dict[str, Any], path: str) -> tuple[int, int | None]:
    """Take out `n` where the door itself asks as often, each time with the next seed."""
    named = [name for name in ("n", "n_cmpl") if request.get(name) is not None]
    answers = max((int(request.pop(name)) for name in named), default=1)
    if answers == 1:
        return 1, None
    if path not in SEVERAL or request.get("stream"):
        where = "a stream" if path in SEVERAL else path
        raise RefusedError(BAD_REQUEST, f"'{named[0]}' must be 1 for {where}", named[0])
    seed = request.pop("seed", None)
    return answers, None if seed is None or seed < 0 else int(seed)
