"""What becomes of video files: which frames are read is seen in the frames, and what is no whole video is refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes.evalset.clip_rules import sampled_indices
from recipes.serve.door.clip_decode import open_clip
from recipes.serve.door.clip_plan import ClipError, ClipWish
from recipes.serve.door.film import TURNS, turn_of
from recipes.serve.door.video_files import kind_of, open_video
from recipes.serve.door.video_worker import Clock
from tests.support.videos import SIZE, animation, number_of, numbered, video, with_hidden_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.serve.door.video_facts import VideoFacts

SORTED = 4  # frames: more than x265 holds back to sort
X264 = {"preset": "ultrafast", "g": "6", "bf": "2", "b-adapt": "0"}
KINDS: dict[str, Callable[[int], bytes]] = {
    "mp4 h264": lambda frames: video(frames, options=X264),
    "mp4 h264, open groups": lambda frames: video(
        frames, options={"x264-params": "open-gop=1:keyint=6:bframes=3"}
    ),
    "mp4 h264, refreshed": lambda frames: video(frames, options={"x264-params": "intra-refresh=1:keyint=8"}),
    "mp4 h264, in pieces": lambda frames: video(frames, muxer={"movflags": "frag_keyframe+empty_moov"}),
    # x265 gives no times to the frames of a video that ends before its first B-frames are sorted
    "mp4 hevc": lambda frames: video(
        frames,
        "libx265",
        options={"x265-params": f"log-level=none:keyint=6:bframes={3 if frames > SORTED else 0}"},
    ),
    "mov mpeg4": lambda frames: video(frames, "mpeg4", "mov", options={"g": "6"}),
    "mov mjpeg": lambda frames: video(frames, "mjpeg", "mov", options={"strict": "-1"}),
    "webm vp8": lambda frames: video(
        frames, "libvpx", "webm", options={"auto-alt-ref": "1", "lag-in-frames": "9"}
    ),
    "webm vp9": lambda frames: video(
        frames, "libvpx-vp9", "webm", options={"auto-alt-ref": "1", "speed": "8"}
    ),
    "webm av1": lambda frames: video(frames, "libsvtav1", "webm", options={"preset": "12"}),
    "mkv h264": lambda frames: video(frames, container="matroska", options=X264),
    "gif": animation,
    "webp": lambda frames: animation(frames, "WEBP"),
}


def nothing() -> None:
    """Let the work go on."""


def opened(data: bytes) -> VideoFacts:
    return open_video(BytesIO(data), nothing).facts


def shown(data: bytes, indices: tuple[int, ...]) -> list[int]:
    return [number_of(image) for image in open_video(BytesIO(data), nothing).frames(indices)]


@cache
def made(kind: str) -> bytes:
    return KINDS[kind](50)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_that_are_wanted_are_those_that_come(kind: str) -> None:
    facts = opened(made(kind))
    assert (facts.frames, facts.rate, (facts.width, facts.height)) == (50, 10.0, SIZE)
    assert not facts.notes
    for indices in (sampled_indices(50, 10.0), (0,), (49,), (7, 8, 9, 31), tuple(range(50))):
        assert shown(made(kind), indices) == list(indices)


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_is_an_image(kind: str) -> None:
    clip = open_clip(BytesIO(KINDS[kind](1)), ClipWish(), nothing)
    plan = clip.plan(4096)
    (png,) = clip.pngs(plan)
    with Image.open(BytesIO(png)) as image:
        assert (image.size, number_of(image)) == (SIZE, 0)
    assert "a single frame: taken as an image" in clip.notes(plan)


def test_frames_have_the_clips_size() -> None:
    clip = open_clip(BytesIO(made("mp4 h264")), ClipWish(most_frames=10), nothing)
    plan = clip.plan(4096)
    assert (plan.indices, plan.height, plan.width) == (sampled_indices(50, 10.0), 64, 96)
    small = clip.plan(100)
    sizes = set()
    for png in clip.pngs(small):
        with Image.open(BytesIO(png)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            sizes.add(image.size)
    assert sizes == {(small.width, small.height)} != {(96, 64)}
    assert clip.notes(small)[-1].startswith("with room: 10 of 96x64")


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_of_a_variable_rate_the_average_counts(container: str) -> None:
    times = [*range(30), *range(40, 100, 10)]  # 3 s at 10 a second, then one a second
    data = video(36, container=container, times=times, options=X264)
    facts = opened(data)
    # how long the last frame lasts is not the same in both
    assert 36 / 10.01 <= facts.rate <= 36 / 8.99
    assert shown(data, sampled_indices(36, facts.rate)) == list(sampled_indices(36, facts.rate))


def test_of_an_animation_each_frame_says_how_long_it_is_shown() -> None:
    assert opened(animation(4, duration=[100, 200, 300, 400])).rate == pytest.approx(4.0)
    assert opened(animation(4, duration=[0, 0, 0, 0])).rate == pytest.approx(10.0)  # as browsers show it
    assert opened(animation(30, "WEBP", duration=16)).rate == pytest.approx(62.5)


def test_a_display_matrix_turns_the_image() -> None:
    marked = numbered(1)
    for signs, name in TURNS.items():
        a, b, c, d = (sign << 16 for sign in signs)
        assert turn_of(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)) == name
        turned = marked.transpose(Image.Transpose[name])
        # a point of the stored image (x right, y down) goes to a*x + c*y, b*x + d*y
        x, y = signs[0] + signs[2], signs[1] + signs[3]
        corner = (turned.width - 1 if x < 0 else 0, turned.height - 1 if y < 0 else 0)
        assert turned.getpixel(corner) == marked.getpixel((0, 0)) == (255, 255, 255)
    assert turn_of(struct.pack("=9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)) == ""
    assert turn_of(struct.pack("=9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)) == ""  # 45 degrees


NO_VIDEOS = {
    b"": "an empty file",
    b"a text\nthat is called .mp4": "a file of an unknown format",
    b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n": "a playlist",
    b"ffconcat version 1.0\nfile /etc/passwd\n": "a list of files",
    b"<?xml version='1.0'?><MPD/>": "a playlist, or other XML",
    b"RIFF\0\0\0\0AVI LIST": "an AVI",
    b"RIFF\0\0\0\0WAVEfmt ": "sound",
    b"\x89PNG\r\n\x1a\n": "an image (PNG)",
    b"\0\0\0\x18ftypheic\0\0\0\0": "an image (HEIC or AVIF)",
}


@pytest.mark.parametrize("data", NO_VIDEOS)
def test_what_is_no_video_is_named(data: bytes) -> None:
    with pytest.raises(ClipError) as caught:
        open_video(BytesIO(data), nothing)
    assert str(caught.value) == NO_VIDEOS[data]


def test_a_video_without_a_picture_is_refused() -> None:
    with pytest.raises(ClipError, match="no picture, only sound"):
        opened(video(0, sound=True))
    assert opened(video(10, sound=True)).frames == 10


def box(data: bytes, name: bytes) -> int:
    """Where the contents of a box of an MP4 begin."""
    return data.index(name) + 4


def changed(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + value.to_bytes(4, "big") + data[place + 4 :]


def test_a_header_that_lies_is_refused_or_not_believed() -> None:
    data = made("mp4 h264")
    counts = box(data, b"stsz") + 8
    assert int.from_bytes(data[counts : counts + 4], "big") == 50
    for count in (5000, 30):
        with pytest.raises(ClipError, match=r"cut|damaged"):
            opened(changed(data, counts, count))
    duration = box(data, b"mdhd") + 16
    facts = opened(changed(data, duration, 1))
    assert (facts.frames, facts.rate) == (50, 10.0)
    width = box(data, b"avc1") + 24
    lying = data[:width] + struct.pack(">HH", 9000, 9000) + data[width + 4 :]
    assert (opened(lying).width, opened(lying).height) == SIZE  # its codec says another size, which counts


def test_frames_that_are_too_large_are_refused_by_their_header() -> None:
    data = bytearray(animation(2))
    data[6:10] = struct.pack("<HH", 20_000, 9000)
    with pytest.raises(ClipError, match="too large: more than 36 megapixels"):
        opened(bytes(data))


def test_work_that_takes_too_long_ends() -> None:
    with pytest.raises(ClipError, match="more than 0 s of processor time"):
        open_clip(BytesIO(made("mp4 h264")), ClipWish(), Clock(0).tick)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_cut_or_damaged_file_gives_frames_or_is_refused(kind: str, data: st.DataObject) -> None:
    whole = made(kind)
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ClipError, MemoryError):  # a size that it states may be refused for its memory
        clip = open_clip(BytesIO(bytes(broken)), ClipWish(), Clock(60).tick)
        plan = clip.plan(4096)
        assert len(list(clip.pngs(plan))) == len(plan.indices)


def test_a_frame_that_a_decoder_makes_up_in_part_is_refused() -> None:
    whole = made("mp4 h264")
    start, said = box(whole, b"mdat"), set()
    for place in range(start + 600, start + 1500, 50):
        try:
            shown(whole[:place] + bytes(100) + whole[place + 100 :], tuple(range(8)))
        except ClipError as error:
            said.add(str(error).partition(": its frame ")[2][1:])
    assert " is not whole" in said


def test_a_frame_that_is_never_shown_is_not_counted() -> None:
    data = with_hidden_frame(made("webm vp8"))
    assert opened(data).frames == 50
    assert shown(data, (0, 1, 2, 49)) == [0, 1, 2, 49]


def test_a_cut_mp4_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    whole = video(50, options=X264, muxer={"movflags": "faststart"}, path=tmp_path / "whole.mp4")
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(ClipError, match=r"cut|damaged"):
            opened(whole[: int(len(whole) * share)])


def test_a_kind_is_told_by_the_first_bytes() -> None:
    assert [
        kind_of(made(kind)[:64]) for kind in ("mp4 h264", "mov mpeg4", "webm vp9", "mkv h264", "gif", "webp")
    ] == [*("MP4", "MOV", "WebM", "Matroska", "GIF", "WebP")]
