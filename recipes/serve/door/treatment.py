"""What becomes of a request's body on its way to the server: read, judged, its images and videos prepared, written.

What is passed on is written from what was judged: no two readers of the same bytes can then disagree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from recipes.evalset.image_sizes import CELL_PX
from recipes.serve.door.clip_decode import FrameWish, open_clip, prepare_frames
from recipes.serve.door.clip_plan import UNBOUNDED, ClipError, ClipPlan, clip_tokens
from recipes.serve.door.dialects import translate
from recipes.serve.door.image_decode import READ, Detail, ImageError, prepare_image
from recipes.serve.door.json_text import parse
from recipes.serve.door.message_images import ImageSlot, find_images
from recipes.serve.door.message_videos import FrameList, VideoSlot, find_videos
from recipes.serve.door.refusal import BAD_REQUEST, NOT_FOUND, RefusedError
from recipes.serve.door.request_fields import judge_fields, judge_text
from recipes.serve.door.video_files import READ as VIDEOS_READ

if TYPE_CHECKING:
    from collections.abc import Callable

LIST_PATHS = {"/lora-adapters"}  # whose body is a list
SEVERAL = {"/v1/chat/completions", "/v1/completions"}  # whose `n` the door answers
NO_VIDEOS = "this llama-server reads no videos: serve a recipe that does, as b11312, or send frames as images"
FETCH = "send it as a data URL, or start the server with --allow-url-images"


@dataclass(frozen=True)
class ModelLimits:
    """What a model's server can do: how many requests at a time, of how many tokens, and whether with videos.

    It is not known of a server that has not said so yet (None).
    """

    name: str = ""
    slots: int = 1
    context: int = 0
    videos: bool | None = None


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
    """A body to pass on to a model, the answers that are wanted, from which seed, and what was done to its media."""

    body: bytes
    answers: int = 1
    seed: int | None = None
    notes: tuple[str, ...] = ()
    model: str = ""
    videos: bool = False


@dataclass(frozen=True)
class Judged:
    """What a body says, once it may be passed on: its media are yet to be prepared."""

    request: dict[str, Any] | list[Any]
    images: tuple[ImageSlot, ...] = ()
    videos: tuple[VideoSlot, ...] = ()
    context: int = 0

    @property
    def has_media(self) -> bool:
        """Whether there are files to decode."""
        return bool(self.images or self.videos)


def judge(body: bytes, path: str, rules: BodyRules) -> Judged:
    """Return what a body says, and its media; a RefusedError is raised if it is not passed on."""
    request = parse(body, allow_list=path in LIST_PATHS)
    if isinstance(request, list):
        return Judged(request)
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
    videos = find_videos(request, path, rules.detail)
    if videos:
        demand_videos(limits.videos, videos[0].where)
    return Judged(request, tuple(images), tuple(videos), limits.context)


def demand_videos(are_read: bool | None, where: str = "messages") -> None:  # noqa: FBT001 - what a server says
    """Raise a RefusedError where a server has said that it reads no videos."""
    if are_read is False:
        raise RefusedError(BAD_REQUEST, f"'{where}': {NO_VIDEOS}", where)


def treat(body: bytes, path: str, rules: BodyRules, tick: Callable[[], None] = lambda: None) -> Treated:
    """Return the body to pass on; a RefusedError is raised if nothing is.

    `tick` is called between two steps of the work on videos; what it raises ends it.
    """
    return finish(judge(body, path, rules), path, tick)


def finish(judged: Judged, path: str, tick: Callable[[], None] = lambda: None) -> Treated:
    """Prepare the media of a judged request, and write it; a RefusedError is raised for one that cannot be read."""
    request = judged.request
    notes: list[str] = []
    tokens = 0
    for number, image in enumerate(judged.images, 1):
        try:
            prepared = prepare_image(image.data(), image.detail)
        except ImageError as error:
            message = f"'{image.where}': {error}; what is read: {READ}"
            raise RefusedError(BAD_REQUEST, message, image.where) from error
        image.put(prepared.png)
        tokens += prepared.width * prepared.height // CELL_PX**2
        notes += [f"image {number}: {', '.join(prepared.notes)}"] if prepared.notes else []
    notes += _clips(judged, tokens, tick)
    answers, seed, model = 1, None, ""
    if isinstance(request, dict):
        answers, seed = _several(request, path)
        model = request.get("model") or ""
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
    return Treated(text.encode(), answers, seed, tuple(notes), model, bool(judged.videos))


def _clips(judged: Judged, tokens: int, tick: Callable[[], None]) -> list[str]:
    """Put what is read of each video in its place, beside so many tokens of images; return what is said of them.

    Frames that have their size already take what they take; the files share what is left.
    """
    said: dict[int, str] = {}
    fixed = [video for video in judged.videos if video.is_fixed]
    files = [video for video in judged.videos if not video.is_fixed]
    for place, video in enumerate((*fixed, *files)):
        if video.is_fixed:
            room = judged.context - tokens if judged.context else UNBOUNDED
        elif place == len(fixed):
            room = clip_tokens(judged.context, tokens, len(files))
        try:
            plan, notes = _clip(video, room, tick)
        except ClipError as error:
            raise RefusedError(BAD_REQUEST, f"'{video.where}': {error}", video.where) from error
        tokens += plan.tokens
        number = judged.videos.index(video)
        said[number] = f"video {number + 1}: {', '.join(notes)}"
    return [said[number] for number in sorted(said)]


def _clip(video: VideoSlot, room: int, tick: Callable[[], None]) -> tuple[ClipPlan, tuple[str, ...]]:
    """Put what is read of a video in its place, within so many tokens; return what that is, in words too."""
    if isinstance(video.source, FrameList):
        source = video.source
        asked = FrameWish(source.indices, source.rate, room, is_resized=source.is_resized)
        pngs, plan = prepare_frames(video.frames(), asked, tick)
        said: tuple[str, ...] = (f"{len(pngs)} frames of {plan.width}x{plan.height}",)
    else:
        try:
            opened = open_clip(BytesIO(video.file()), video.wish, tick)
        except ClipError as error:
            raise ClipError(f"{error}; what is read: {VIDEOS_READ}") from error
        plan = opened.plan(room, video.detail)
        pngs, said = list(opened.pngs(plan)), opened.notes(plan)
    if len(pngs) == 1:
        video.put_image(pngs[0])
    else:
        video.put(pngs, plan)
    return plan, said


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
