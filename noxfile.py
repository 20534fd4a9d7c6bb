# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""The sessions of pinned-llama: wiring only, the work is in recipes/.

`python3 noxfile.py -s build` needs nothing but Python: where nox is missing, recipes/bootstrap.py makes a private
environment from the hash-pinned lock file, with the standard library's venv. With nox installed, `nox -s build` is
the same.
"""

import sys
from pathlib import Path

HERE: Path = Path(__file__).resolve().parent  # Python 2 and 3.5 end at this line: run Python 3.11 or newer
sys.path.insert(0, str(HERE))  # nothing that lies where the user stands is taken for `recipes`

from recipes import bootstrap

bootstrap.check_machine()
if __name__ == "__main__":
    bootstrap.start()

import logging

import nox
import nox.registry

from recipes.bootstrap import run

nox.options.sessions = ["build"]
nox.options.default_venv_backend = "none"  # the environments are ours: pinned by hash, made once
# nox looks for uv whatever the backend, and says so at the start of every session
logging.getLogger("nox").addFilter(lambda record: not record.getMessage().startswith("uv binary"))


ALL_CORES = ("-n", "auto", "--dist", "loadfile")
FAST = "tests/unit tests/property"


def recipes(session: nox.Session, group: str = "run") -> None:
    """Hand the session to `python -m recipes`, with everything that follows `--`."""
    run(group, "-m", "recipes", session.name, *session.posargs, folder=session.invoked_from)


def pytest(group: str, folders: str, *words: str) -> None:
    """Run the tests of some folders, or only those that the words name."""
    run(group, "-m", "pytest", "-o", f"testpaths={folders}", *words)


@nox.session
def fetch(session: nox.Session) -> None:
    """Download the pinned source and toolchain into the store, checking every byte."""
    recipes(session)


@nox.session
def verify(session: nox.Session) -> None:
    """Hash again everything that is pinned and present: source, patches, toolchain, bundle."""
    recipes(session)


@nox.session
def patch(session: nox.Session) -> None:
    """Unpack the source and apply the pinned patches, exactly."""
    recipes(session)


@nox.session
def build(session: nox.Session) -> None:
    """Do it all: fetch, verify, patch, build, bundle, and compare with the pinned digest."""
    recipes(session)


@nox.session(default=False)
def reproduce(session: nox.Session) -> None:
    """Rebuild in a deliberately different environment (path, user, locale, clock), and compare byte by byte."""
    recipes(session)


@nox.session
def conformance(session: nox.Session) -> None:
    """Check a llama.cpp, ours or another, with the pocket model: text, images, numerics, server, web page."""
    recipes(session, "conformance")


@nox.session(default=False)
def hostile(session: nox.Session) -> None:
    """Attack a llama-server with requests, images and model files made by code: it must live (minutes to hours)."""
    recipes(session, "conformance")


@nox.session(default=False)
def kernels(session: nox.Session) -> None:
    """Compare a GPU's kernels, or the CPU's, with ggml's plain code at the shapes of Qwen3-VL-MoE (minutes)."""
    recipes(session)


@nox.session(name="mac-check", default=False)
def mac_check(session: nox.Session) -> None:
    """On a Mac: check a bundle with the GPU and without it, and write one JSON file of the results (minutes)."""
    recipes(session, "conformance")


@nox.session(default=False)
def attest(session: nox.Session) -> None:
    """Sign what is said of a bundle, or make a key to sign with."""
    recipes(session)


@nox.session(default=False)
def why(session: nox.Session) -> None:
    """Say what differs between two plans, records, bundles, archives or commits, down to the pin."""
    recipes(session)


@nox.session
def payload(session: nox.Session) -> None:
    """Hash a bundle's files without their signatures, or compare two bundles."""
    recipes(session)


@nox.session(default=False)
def advisories(session: nox.Session) -> None:
    """List what is known against a recipe, or what feeds of vulnerabilities say that is not known here."""
    recipes(session)


@nox.session(default=False)
def publish(session: nox.Session) -> None:
    """Publish bundles and their evidence to an OCI registry, by digest."""
    recipes(session)


@nox.session(default=False)
def pull(session: nox.Session) -> None:
    """Take a bundle from a registry into the store, by its pinned digest: no compiler is needed."""
    recipes(session)


@nox.session(default=False)
def image(session: nox.Session) -> None:
    """Make a container image of a bundle, bit for bit the same, into a folder or a registry."""
    recipes(session)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Propose new pins for a newer source or a model, as a diff, and say which patches still apply."""
    asks_the_hub = any(word.startswith("--model") for word in session.posargs)
    recipes(session, "hub" if asks_the_hub else "run")


@nox.session(default=False)
def bump(session: nox.Session) -> None:
    """Say what a newer llama.cpp would change, patches, options and findings too; write all of it, or nothing."""
    recipes(session, "hub" if "--all" in session.posargs else "run")


@nox.session
def models(session: nox.Session) -> None:
    """Fetch (resumable), verify, inspect, list, add and remove models."""
    asks_the_hub = any(word.startswith("hf:") for word in session.posargs)
    recipes(session, "hub" if asks_the_hub else "run")


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Serve a pinned model on this machine: a web page and an API, for text and images."""
    recipes(session)


@nox.session(default=False)
def ask(session: nox.Session) -> None:
    """Answer a question about images in the terminal."""
    recipes(session)


@nox.session(default=False)
def gc(session: nox.Session) -> None:
    """Remove from the store what no manifest needs."""
    recipes(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all unit, property and integration tests on all cores (minutes)."""
    pytest("dev", f"{FAST} tests/integration", *ALL_CORES, *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Plant known faults in the model's files and the web page: conformance must find each and name the part."""
    pytest("conformance", "tests/conformance", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """Ask `serve` with the client libraries that people use: text, images, streams, tools, schemas (after build)."""
    # client libraries leave connections of their own open when Python ends
    pytest(
        "clients", "tests/clients", "-W", "ignore::pytest.PytestUnraisableExceptionWarning", *session.posargs
    )


@nox.session(default=False)
def upstream(session: nox.Session) -> None:
    """Run upstream's own server tests with the pocket model: no server may crash (long; after build)."""
    run("clients", "-m", "tests.upstream", *session.posargs)


@nox.session(default=False)
def pocket(session: nox.Session) -> None:
    """Test the pocket model's training, export and reference against transformers (torch; minutes)."""
    pytest("reference", "tests/pocket", *session.posargs)


@nox.session(default=False)
def reference(session: nox.Session) -> None:
    """Compute with transformers what conformance compares with (torch; minutes); never needed to build."""
    run("reference", "-m", "recipes.pocket.reference.recompute", *session.posargs)


@nox.session(default=False)
def fidelity(session: nox.Session) -> None:
    """Measure how far llama.cpps are from transformers in fp32, on models of many shapes (torch; minutes each)."""
    run("reference", "-m", "recipes.pocket.fidelity.command", *session.posargs)


@nox.session(default=False)
def apple(session: nox.Session) -> None:
    """Compare our own macOS SDK, and what is built with it, with what Apple's gave others (seconds, once fetched)."""
    pytest("apple", "tests/apple", *session.posargs)


@nox.session(tags=["check"])
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    run("dev", "-m", "ruff", "check", *session.posargs)
    run("dev", "-m", "ruff", "format", "--check", *session.posargs)


@nox.session(tags=["check"])
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    run("dev", "-m", "mypy", *session.posargs)


@nox.session(tags=["check"])
def fast(session: nox.Session) -> None:
    """Run the tests that take seconds: unit and property tests without those marked slow."""
    pytest("dev", FAST, "-m", "fast", *ALL_CORES, *session.posargs)


@nox.session(default=False)
def check(session: nox.Session) -> None:
    """Check style, types and fast tests, as `-t check` does; with `-- --fix`, correct style and formatting first."""
    if session.posargs not in ([], ["--fix"]):
        print(f"error: check takes --fix or nothing, not {' '.join(session.posargs)}", file=sys.stderr)
        sys.exit(bootstrap.USAGE_ERROR)
    if session.posargs:
        run("dev", "-m", "ruff", "check", "--fix")
        run("dev", "-m", "ruff", "format")
    else:
        run("dev", "-m", "ruff", "check")
        run("dev", "-m", "ruff", "format", "--check")
    run("dev", "-m", "mypy")
    pytest("dev", FAST, "-m", "fast", *ALL_CORES)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against the physical limit or a peer in the same run, and write docs/ (long)."""
    run("bench", "-m", "tests.benchmarks", *session.posargs)


@nox.session(default=False)
def fullsize(session: nox.Session) -> None:
    """Download, verify and serve files of the 30B model's size, from a server that fails (minutes; 39 GB of disk)."""
    run("bench", "-m", "tests.fullsize", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Generate the reference pages and build the documentation site into site/."""
    run("run", "-m", "recipes", "docs")
    run("docs", "-m", "zensical", "build", *session.posargs)


bootstrap.refuse_unknown_sessions(sys.argv[1:], list(nox.registry.get()))
