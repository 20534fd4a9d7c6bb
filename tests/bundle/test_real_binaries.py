"""The programs of a real bundle: run after `build`, as `nox -s tests -- tests/bundle`.

PINNED_LLAMA_TEST_RECIPE and PINNED_LLAMA_TEST_PLATFORM name the recipe and the platform (default: as for build); the
bundle must be in the store. Programs for aarch64 are run by qemu where the machine is another one.
"""

from __future__ import annotations

import json
import platform
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.elf import audit as elf
from recipes.build.bundle.version_output import read_version
from recipes.core.settings import read_settings
from recipes.store.store import Store
from tests.support.bundles import bundle_plan
from tests.support.llama_model import llama_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.build.plan.plan import Plan


PLAN = bundle_plan()
# b6751 has no llama-completion yet
LOADERS = tuple(
    name
    for name in ("llama-server", "llama-mtmd-cli", "llama-bench", "llama-cli", "llama-completion")
    if name in PLAN.contents.bin
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return PLAN


@dataclass(frozen=True)
class Programs:
    """A bundle's programs, and what runs them here."""

    bundle: Path
    emulator: tuple[str, ...] = ()

    def argv(self, name: str, *arguments: str | Path) -> list[str]:
        return [*self.emulator, str(self.bundle / "bin" / name), *map(str, arguments)]


@pytest.fixture(scope="module")
def programs(plan: Plan) -> Programs:
    entry = Store.open(read_settings().store).find(plan.bundle_key)
    chosen = f"--recipe {plan.recipe} --platform {plan.platform}"
    assert entry, f"build it first: python3 noxfile.py -s build -- {chosen}"
    is_foreign = plan.machine != platform.machine()
    # the loader and libc of the foreign machine: Debian's libc6-arm64-cross
    return Programs(entry.path, ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu") if is_foreign else ())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def load(programs: Programs, program: str, path: Path) -> subprocess.CompletedProcess[str]:
    more = {"llama-mtmd-cli": ["--mmproj", str(path)], "llama-server": ["--port", "0"]}.get(program, [])
    return subprocess.run(
        programs.argv(program, "-m", path, *more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_file_keeps_its_c_plus_plus_runtime_to_itself_and_runs_on_the_pinned_glibc(
    plan: Plan, programs: Programs
) -> None:
    facts = elf.check_bundle(programs.bundle, machine=plan.machine, max_glibc=plan.max_glibc, where="test")
    assert len(facts) == len(plan.contents.bin) + len(plan.contents.lib)


def test_the_server_prints_the_pinned_build_and_commit(plan: Plan, programs: Programs) -> None:
    done = subprocess.run(programs.argv("llama-server", "--version"), capture_output=True, text=True)
    assert done.returncode == 0
    assert read_version(done.stdout + done.stderr) == plan.version


@pytest.mark.parametrize("program", LOADERS)
def test_a_missing_model_ends_in_a_message_and_status_1(
    programs: Programs, tmp_path: Path, program: str
) -> None:
    done = load(programs, program, tmp_path / "nothing.gguf")
    assert done.returncode == 1, done.stderr[-2000:]
    assert "nothing.gguf" in done.stdout + done.stderr


@pytest.mark.parametrize("program", LOADERS)
def test_a_truncated_model_ends_in_a_message_and_status_1(
    programs: Programs, tmp_path: Path, model: Path, program: str
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:2_000_000])
    done = load(programs, program, cut)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "cut.gguf" in done.stdout + done.stderr


@pytest.mark.parametrize("program", LOADERS)
def test_an_unknown_architecture_ends_in_a_message_and_status_1(
    programs: Programs, tmp_path: Path, program: str
) -> None:
    path = llama_model(tmp_path / "other.gguf", architecture="nonesuch")
    done = load(programs, program, path)
    assert done.returncode == 1, done.stderr[-2000:]
    if program != "llama-bench":  # it says only that the model did not load
        assert "unknown model architecture: 'nonesuch'" in done.stdout + done.stderr


def test_several_models_load_in_a_row(programs: Programs, tmp_path: Path, model: Path) -> None:
    other = llama_model(tmp_path / "other.gguf", seed=2)
    models = ("-m", model, "-m", other, "-m", model)
    argv = programs.argv("llama-bench", *models, "-p", "8", "-n", "4", "-r", "1", "-o", "json")
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["n_prompt"] for row in json.loads(done.stdout)] == [8, 0] * 3


def test_a_quantised_copy_loads_too(programs: Programs, tmp_path: Path, model: Path) -> None:
    small = tmp_path / "small.gguf"
    done = subprocess.run(
        programs.argv("llama-quantize", model, small, "Q4_K_M"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert small.stat().st_size < model.stat().st_size / 3
    bench = programs.argv("llama-bench", "-m", small, "-p", "8", "-n", "4", "-r", "1")
    assert subprocess.run(bench, capture_output=True).returncode == 0


@pytest.fixture
def server(programs: Programs, model: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ("--host", "127.0.0.1", "--port", str(port))
    argv = programs.argv("llama-server", "-m", model, *where, "-c", "256")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{base}/health", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.1)  # between two questions; nothing depends on how long
        yield base
        process.send_signal(signal.SIGTERM)


def ask(base: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{base}/completion", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_server_answers_and_lives_on_after_errors_that_are_thrown_inside(server: str) -> None:
    good = json.dumps({"prompt": "abc", "n_predict": 4}).encode()
    assert ask(server, good)[0] == 200
    for bad in (
        b"{",
        b'{"prompt": 7, "grammar": "root ::= ("}',
        b'{"prompt": "a", "json_schema": {"type": "nothing"}}',
    ):
        assert ask(server, bad)[0] in {400, 500}
    assert ask(server, good)[0] == 200
