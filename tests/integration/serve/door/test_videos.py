"""Videos at the door and by `ask`: what a server gets of them, and what it never sees."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from PIL import Image, ImageChops

from recipes.cli.main import main
from recipes.core.console import Silent
from recipes.core.errors import PictureError
from recipes.evalset.clip_rules import sampled_indices
from recipes.serve.door.clip_plan import ClipWish, Cure
from recipes.serve.door.image_decode import Detail
from recipes.serve.door.refusal import RefusedError
from recipes.serve.door.treatment import BodyRules, ModelLimits, judge
from recipes.serve.door.worker import MOST_MEMORY
from recipes.serve.door.worker_pool import start_worker
from recipes.serve.video_input import FIXES, InputClip, open_videos
from tests.support.door_bench import DoorBench, Handler, open_door
from tests.support.paths import PROJECT
from tests.support.videos import (
    animation,
    by_ffmpeg,
    decoded_by_ffmpeg,
    number_of,
    numbered,
    video,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHAT = "/v1/chat/completions"
CONTEXT = 4096
READS = {"modalities": {"vision": True, "video": True}, "default_generation_settings": {"n_ctx": CONTEXT}}
RULES = BodyRules((ModelLimits(context=CONTEXT),))
STREAM = b'data: {"choices": [{"delta": {"content": "it falls"}}]}\n\ndata: [DONE]\n\n'
NEAR = 2  # of 255: how far apart two versions of ffmpeg may convert a colour
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DoorBench]:
    with open_door(tmp_path, properties=READS, rules=RULES) as bench:
        yield bench


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def body(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "what?"}]}]}


def clip(**more: object) -> dict[str, Any]:
    return {"type": "input_video", "input_video": more}


def png(number: int = 0, size: tuple[int, int] = (96, 64)) -> bytes:
    out = BytesIO()
    numbered(number, size).save(out, "PNG")
    return out.getvalue()


def sent(bench: DoorBench) -> list[dict[str, Any]]:
    """The parts of the message that the server got."""
    (asked,) = bench.behind.questions()
    parts: list[dict[str, Any]] = asked.json["messages"][0]["content"]
    return parts


def images(part: dict[str, Any]) -> list[Image.Image]:
    assert part["type"] == "input_video"
    return [Image.open(BytesIO(base64.b64decode(text))) for text in part["input_video"]["frames"]]


MP4 = video(50)


@pytest.mark.parametrize(
    "part",
    [
        clip(data=coded(MP4), format="mp4"),
        clip(data=f"data:video/mp4;base64,{coded(MP4)}"),
        clip(url=f"data:video/mp4;base64,{coded(MP4)}"),
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{coded(MP4)}"}},
        {"type": "video_url", "video_url": f"data:video/mp4;base64,{coded(MP4)}"},
    ],
)
def test_a_file_becomes_the_frames_that_are_read_of_it(bench: DoorBench, part: dict[str, Any]) -> None:
    answer = bench.post(body(part))
    assert answer.status_code == 200, answer.text
    wanted = sampled_indices(50, 10.0)
    first, text = sent(bench)
    told = first["input_video"]
    assert (told["indices"], told["fps"], told["resized"]) == (list(wanted), 10.0, True)
    assert [number_of(image) for image in images(first)] == list(wanted)
    assert {image.size for image in images(first)} == {(96, 64)}
    assert set(first) == {"type", "input_video"}
    assert text == {"type": "text", "text": "what?"}
    assert "video 1: MP4, 96x64, 50 frames in 5 s, 10 frames of 96x64" in answer.headers["X-Image-Notes"]


def test_what_is_asked_of_it_counts(bench: DoorBench) -> None:
    assert bench.post(body(clip(data=coded(MP4), fps=4, max_frames=7))).ok
    assert sent(bench)[0]["input_video"]["indices"] == list(sampled_indices(50, 10.0, fps=4, most=7))


def test_frames_that_somebody_took_are_given_the_clips_size_or_left_as_they_are(bench: DoorBench) -> None:
    frames = [coded(png(number, (100, 70))) for number in range(3)]
    assert bench.post(body(clip(frames=frames, fps=5, indices=[0, 4, 9]))).ok
    told = sent(bench)[0]["input_video"]
    assert (told["indices"], told["fps"], told["resized"]) == ([0, 4, 9], 5.0, True)
    assert [(image.size, number_of(image)) for image in images(sent(bench)[0])] == [
        ((96, 64), number) for number in range(3)
    ]
    bench.behind.asked.clear()
    own = [png(number) for number in range(4)]
    assert bench.post(
        body(clip(frames=[f"data:image/png;base64,{coded(one)}" for one in own], resized=True))
    ).ok
    told = sent(bench)[0]["input_video"]
    assert (told["indices"], told["fps"]) == ([0, 1, 2, 3], 24.0)
    for image, data in zip(images(sent(bench)[0]), own, strict=True):
        with Image.open(BytesIO(data)) as before:
            assert image.tobytes() == before.tobytes()


def test_videos_and_images_keep_their_order_and_one_frame_is_an_image(bench: DoorBench) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded(png(5))}"}}
    parts = (
        clip(data=coded(animation(4))),
        picture,
        clip(data=coded(video(1))),
        clip(frames=[coded(png(6))]),
    )
    assert bench.post(body(*parts)).ok
    assert [part["type"] for part in sent(bench)] == ["input_video", *["image_url"] * 3, "text"]
    urls = [part["image_url"]["url"] for part in sent(bench)[1:4]]
    numbers = [number_of(Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]
    assert numbers == [5, 0, 6]


REFUSED = {
    "address": (clip(url="https://example.org/a.mp4"), "an address"),
    "file": (clip(url="file:///etc/passwd"), "an address"),
    "frame's address": (clip(frames=["http://example.org/a.png"] * 2), "not an address"),
    "nothing": (clip(), "one of 'data', 'url' and 'frames'"),
    "two": (clip(data="", frames=[""]), "one of 'data', 'url' and 'frames'"),
    "no object": ({"type": "input_video", "input_video": 7}, "must be an object"),
    "no base64": (clip(data="%%%"), "not base64"),
    "playlist": (clip(data=coded(b"#EXTM3U\nhttp://example.org/a.ts\n")), "a playlist; what is read: MP4"),
    "text": (clip(data=coded(b"a text")), "unknown format"),
    "cut": (clip(data=coded(MP4[: len(MP4) // 2])), "damaged or cut"),
    "sound": (clip(data=coded(video(0, sound=True))), "no picture, only sound"),
    "fps": (clip(data="", fps=0), "fps' must be a number above 0"),
    "max_frames": (clip(data="", max_frames=1), "max_frames' must be a whole number from 2 to 768"),
    "indices": (clip(frames=["", ""], indices=[4, 2]), "none below the one before"),
    "fewer indices": (clip(frames=["", ""], indices=[0]), "number of each frame"),
    "many": (clip(frames=[""] * 769), "at most 768 frames"),
    "no frames": (clip(frames=[]), "a list of images"),
    "resized": (clip(frames=[coded(png(0, (100, 70)))] * 2, resized=True), "multiples of 32"),
    "sizes": (
        clip(frames=[coded(png()), coded(png(0, (64, 64)))]),
        "frame 1: 64x64, where the first has 96x64",
    ),
    "tokens": (clip(frames=[coded(png(0, (2048, 2048)))] * 4, resized=True), "there is room for 4,096"),
    "most frames": (clip(data=coded(video(500)), max_frames=500, fps=100), "tokens at their smallest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_place(bench: DoorBench, name: str) -> None:
    part, words = REFUSED[name]
    answer = bench.post(body(part))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["param"].startswith("messages[0].content[0].input_video")
    assert not bench.behind.questions()


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/completion", "/embedding"])
def test_elsewhere_a_video_is_refused_by_name(bench: DoorBench, path: str) -> None:
    parts = [{"role": "user", "content": [clip(data=coded(MP4))]}]
    for place in ("messages", "input"):
        answer = bench.post({place: parts, "content": [clip(data=coded(MP4))]}, path)
        assert answer.status_code == 400, place
        assert "video" in answer.json()["error"]["message"] or "type" in answer.json()["error"]["message"]
    assert not bench.behind.questions()


@pytest.mark.parametrize("said", [{}, {"modalities": {"vision": True}}, {"modalities": {"video": False}}])
def test_a_server_that_reads_no_videos_is_not_sent_one(tmp_path: Path, said: dict[str, Any]) -> None:
    with open_door(tmp_path, properties=said) as bench:
        answer = bench.post(body(clip(data=coded(MP4))))
        assert answer.status_code == 400
        assert "reads no videos" in answer.json()["error"]["message"]
        assert not bench.behind.questions()


def test_it_is_refused_before_anything_is_decoded_where_that_is_known() -> None:
    rules = BodyRules((ModelLimits(videos=False),))
    with pytest.raises(RefusedError, match="reads no videos"):
        judge(json.dumps(body(clip(data="%%%"))).encode(), CHAT, rules)
    assert judge(json.dumps(body(clip(data="%%%"))).encode(), CHAT, BodyRules()).videos


def read(path: Path, tokens: int = 1 << 20, **wish: Any) -> InputClip:  # noqa: ANN401 - of ClipWish
    with open_videos() as opened:
        got = opened(path, ClipWish(**wish), Silent()).read(tokens, Detail.HIGH, Silent())
    assert isinstance(got, InputClip)
    return got


FFMPEG = {
    "h264.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "hevc.mp4": ("-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "200k"),
    "mpeg4.mov": ("-c:v", "mpeg4"),
    "vfr.mp4": (
        "-vf",
        "select='lt(n,30)+not(mod(n,10))'",
        "-vsync",
        "vfr",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
    ),
}


@pytest.mark.parametrize("name", [*FFMPEG, "turned.mov"])
def test_its_pixels_are_those_of_the_machines_ffmpeg(tmp_path: Path, name: str) -> None:
    path = by_ffmpeg(
        tmp_path, "plain.mov" if name == "turned.mov" else name, *FFMPEG.get(name, FFMPEG["h264.mp4"])
    )
    if name == "turned.mov":
        turn = ("-metadata:s:v:0", "rotate=90", str(tmp_path / name))
        subprocess.run(["ffmpeg", "-loglevel", "error", "-i", path, "-c", "copy", *turn], check=True)
        path = tmp_path / name
    size = (64, 96) if name == "turned.mov" else (96, 64)
    theirs = decoded_by_ffmpeg(path, size)
    got = read(path)
    assert got.plan.indices == sampled_indices(len(theirs), got.plan.rate)
    for data, index in zip(got.pngs, got.plan.indices, strict=True):
        with Image.open(BytesIO(data)) as image:
            assert image.size == size  # no resizing: only what is decoded is compared
            apart = ImageChops.difference(image, Image.frombytes("RGB", size, theirs[index]))
        assert max(high for _, high in apart.getextrema()) <= NEAR  # type: ignore[misc] # three bands


HELPED: dict[str, tuple[Callable[[], bytes], Cure]] = {
    "an AVI": (lambda: b"RIFF\0\0\0\0AVI LIST", Cure.CONVERT),
    "an empty file": (lambda: b"", Cure.ANOTHER),
    "a record's sound": (lambda: b"ID3\4", Cure.ANOTHER),
    "sound without a picture": (lambda: video(0, sound=True), Cure.ANOTHER),
    "an image": (lambda: b"\x89PNG\r\n\x1a\n", Cure.IMAGE),
    "the image of a telephone": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0", Cure.IMAGE),
    "cut": (lambda: MP4[:-300], Cure.WHOLE),
    "390 times as wide as high": (lambda: sized(animation(2), 25_000, 64), Cure.CROPPED),
    "180 megapixels": (lambda: sized(animation(2), 20_000, 9000), Cure.SMALLER),
    "20,000 megapixels": (lambda: sized(animation(2), 65_535, 65_535), Cure.SMALLER),
}


def sized(gif: bytes, width: int, height: int) -> bytes:
    """A GIF whose header states another size."""
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:]


@pytest.mark.parametrize("fault", HELPED)
def test_the_fix_is_for_the_fault(tmp_path: Path, fault: str) -> None:
    make, cure = HELPED[fault]
    (tmp_path / "it").write_bytes(make())
    with pytest.raises(PictureError) as caught:
        read(tmp_path / "it")
    assert caught.value.fix == FIXES[cure], caught.value


def test_frames_that_do_not_fit_are_helped_by_fewer_of_them(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(MP4)
    with pytest.raises(PictureError) as caught:
        read(tmp_path / "it", tokens=20, most_frames=8)
    assert caught.value.fix == FIXES[Cure.FEWER], caught.value
    assert len(read(tmp_path / "it", tokens=20, most_frames=2).pngs) == 2


def test_a_list_of_files_that_ffmpeg_would_follow_is_not(tmp_path: Path) -> None:
    secret = by_ffmpeg(tmp_path, "secret.ts", *FFMPEG["h264.mp4"])
    for name, text in {
        "list.mp4": f"ffconcat version 1.0\nfile {secret.name}\n",
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret.name}\n#EXT-X-ENDLIST\n",
    }.items():
        path = tmp_path / name
        path.write_text(text)
        followed = subprocess.run(
            ["ffprobe", "-v", "error", "-allowed_extensions", "ALL", "-show_streams", path]
            if name == "list.m3u8"
            else ["ffprobe", "-v", "error", "-f", "concat", "-show_streams", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "width=96" in followed.stdout, followed.stderr
        with pytest.raises(PictureError, match=r"a playlist|a list of files"):
            read(path)


def test_a_worker_opens_no_file_and_no_socket_once_it_works(tmp_path: Path) -> None:
    probe = (
        "import os, socket; from recipes.core.confinement.seal import seal; assert seal()\n"
        "def refused(act):\n"
        "    try: act()\n"
        "    except PermissionError: return True\n"
        f"path = {str(tmp_path / 'file')!r}\n"
        "acts = [lambda: open(path), lambda: open(path, 'w'), lambda: os.unlink(path), socket.socket,\n"
        "    lambda: os.rename(path, path + 'x'), lambda: os.mkdir(path + 'd'), lambda: os.execv('/bin/true', ['x']),\n"
        "    lambda: os.kill(1, 0), lambda: os.truncate(path, 0), lambda: os.chmod(path, 0)]\n"
        "print([refused(act) for act in acts])"
    )
    (tmp_path / "file").write_text("kept")
    argv = [sys.executable, "-c", probe]
    if sys.platform != "linux":
        pytest.skip("only Linux has such a filter")
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    assert done.stdout == f"{[True] * 10}\n"
    assert (tmp_path / "file").read_text() == "kept"
    worker = start_worker()
    try:
        with open_videos() as opened:
            (tmp_path / "a.mp4").write_bytes(MP4)
            opened(tmp_path / "a.mp4", ClipWish(), Silent())
            (running,) = (one for one in psutil.Process().children() if one.pid != worker.pid)
            assert "Seccomp:\t2" in (psutil_status(running.pid))
    finally:
        worker.end()


def psutil_status(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - the kernel's
        return file.read()


def test_an_hour_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = by_ffmpeg(
        *(tmp_path, "hour.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        source="testsrc2=size=640x360:rate=1:duration=3600",
    )
    with open_videos() as opened:
        looked = opened(path, ClipWish(), Silent())
        (worker,) = psutil.Process().children()
        got = looked.read(1 << 20, Detail.HIGH, Silent())
        assert isinstance(got, InputClip)
        taken = psutil_status(worker.pid)
    assert (len(got.pngs), got.plan.indices[-1]) == (768, 3599)
    peak = next(int(line.split()[1]) << 10 for line in taken.splitlines() if line.startswith("VmHWM"))
    assert peak < 200 << 20  # a frame has 0.7 MB: 768 of them would be 530 MB more


def test_8k_is_read_within_the_workers_memory(tmp_path: Path) -> None:
    path = by_ffmpeg(
        *(tmp_path, "8k.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        source="testsrc2=size=7680x4320:rate=2:duration=2",
    )
    got = read(path, 6144)
    assert len(got.pngs) == 4
    assert got.notes[0] == "MP4, 7680x4320, 4 frames in 2 s"
    assert MOST_MEMORY <= 2 << 30


def answers(handler: Handler) -> None:
    handler.answer(200, STREAM)


def test_ask_sends_the_clip_and_says_what_it_read(
    bench: DoorBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    bench.behind.does[CHAT] = answers
    (tmp_path / "fall.mp4").write_bytes(MP4)
    (tmp_path / "still.png").write_bytes(png(9))
    words = ["--video", str(tmp_path / "fall.mp4"), "--image", str(tmp_path / "still.png"), "--fps", "1"]
    assert main(["ask", "--url", bench.base, *words, "what happens?"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "it falls\n"
    assert "fall.mp4: MP4, 96x64, 50 frames in 5 s, 5 frames of 96x64, at most " in captured.err
    first, second, text = sent(bench)
    assert [number_of(image) for image in images(first)] == list(sampled_indices(50, 10.0, fps=1))
    assert (second["type"], text["text"]) == ("image_url", "what happens?")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a text", "unknown format"),
        (MP4[:1000], "damaged or cut"),
        (png(), "an image (PNG)"),
        (video(0, sound=True), "only sound"),
    ],
)
def test_ask_refuses_what_is_no_video(
    bench: DoorBench, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, words: str
) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    assert main(["ask", "--url", bench.base, "--video", str(path), "what?"]) == PictureError.exit_code
    err = capsys.readouterr().err
    assert words in err
    assert f"where:    --video {path}" in err
    assert "Traceback" not in err
    assert not bench.behind.questions()


def test_ask_refuses_options_without_a_video(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--fps", "3", "what?"]) == 2
    assert "--fps" in capsys.readouterr().err


def test_ask_does_not_send_a_video_to_who_reads_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4)
    with open_door(tmp_path) as bench:
        bench.behind.properties |= {"default_generation_settings": {"n_ctx": 512}}
        code = main(["ask", "--url", bench.base, "--video", str(tmp_path / "a.mp4"), "what?"])
        assert not bench.behind.questions()
    assert code == PictureError.exit_code
    assert "it reads none" in capsys.readouterr().err


def test_the_same_file_gives_the_same_frames_by_ask_and_by_the_door(bench: DoorBench, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(video(40, size=(320, 200)))
    got = read(path, 3072)
    assert bench.post(body(clip(data=coded(path.read_bytes())))).ok
    told = sent(bench)[0]["input_video"]
    assert [base64.b64decode(text) for text in told["frames"]] == list(got.pngs)
    bench.behind.asked.clear()
    assert bench.post(
        json.loads(json.dumps(body(got.part(Detail.HIGH))))
    ).ok  # what `ask` sends comes through as it is
    again = sent(bench)[0]["input_video"]
    assert [Image.open(BytesIO(base64.b64decode(text))).tobytes() for text in again["frames"]] == [
        Image.open(BytesIO(data)).tobytes() for data in got.pngs
    ]
