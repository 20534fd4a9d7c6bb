"""What each session understands on its command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes.cli.mac_options import add_mac_check, add_payload
from recipes.cli.serve_options import add_ask, add_serve, positive

EPILOG = """\
environment:
  PINNED_LLAMA_STORE      folder of the store (default: the user's cache folder)
  PINNED_LLAMA_INDEX_URL  package index to use (default: pip's setting, else the client's own)
  PINNED_LLAMA_MIRROR     addresses of mirrors: a store's blobs/sha256 folder, served as it is
  PINNED_LLAMA_OFFLINE    1: never use the network
  PINNED_LLAMA_POLICY     refuse-known-issues: refuse recipes that carry an advisory
  PINNED_LLAMA_TIMEOUT_S  how long a server may be silent, in seconds (default: 30)
  PINNED_LLAMA_HUB_URL    model hub, or a mirror that answers like it (default: HF_ENDPOINT, else the model's)
  HF_TOKEN                token of the model hub; sent to the hub alone, and never where it redirects to
  PIP_CERT                certificates to trust besides the system's (also pip's setting `cert`)
  PINNED_LLAMA_API_KEY    what a client of `serve` must show, and what `ask --url` shows
  PINNED_LLAMA_BROWSER    a Chromium or Chrome that conformance drives (default: the one on the path)
  NO_COLOR                no colours

exit codes: docs/reference/exit-codes.md
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line: one command per session, each with the options it understands."""
    top = argparse.ArgumentParser(prog="nox -s", description="Pinned, verifiable llama.cpp bundles.")
    sessions = top.add_subparsers(dest="session", required=True, metavar="SESSION")

    def add(name: str, what: str, *, of_recipe: bool = True) -> argparse.ArgumentParser:
        command = sessions.add_parser(
            name,
            prog=f"nox -s {name} --",
            help=what,
            description=what,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if of_recipe:
            command.add_argument(
                "--recipe",
                metavar="NAME",
                help="a manifest in manifests/recipes/ (default: the default recipe)",
            )
            command.add_argument(
                "--platform", metavar="NAME", help="one of the recipe's platforms (default: this machine)"
            )
            command.add_argument(
                "--architecture",
                action="append",
                metavar="NAME",
                help="compile for this one of the platform's GPU architectures only (repeat for more)",
            )
        command.add_argument(
            "--project",
            type=Path,
            metavar="FOLDER",
            help="a folder with manifests/ and patches/ (default: this one)",
        )
        return command

    add("fetch", "Download the pinned source and toolchain into the store, checking every byte.")
    add("verify", "Hash again everything that is pinned and present, and print one row each.")
    add("patch", "Unpack the source and apply the pinned patches, exactly.")

    build = add("build", "Fetch, verify, patch, build and bundle, and compare with the pinned digest.")
    _add_build_options(build)

    again = add("reproduce", "Build again in surroundings that differ in every way, and compare.")
    for command in (build, again):
        command.add_argument(
            "--target", action="append", metavar="NAME", help="build only this target (repeat for more)"
        )
        command.add_argument(
            "--jobs", type=positive, metavar="N", help="compile commands at a time (default: usable cores)"
        )

    judge = add("conformance", "Judge a llama.cpp with a model: text, images, numerics, server and web page.")
    judge.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="a folder with llama-server in it or in its bin/, ours or not (default: the recipe's bundle)",
    )
    judge.add_argument(
        "--model", metavar="NAME", help="a manifest in manifests/models/ (default: the default model)"
    )
    judge.add_argument(
        "--without",
        choices=("web-page",),
        help="leave this part out: the report says that it was not run",
    )
    judge.add_argument(
        "--gpu-layers",
        type=positive,
        metavar="N",
        help="layers to offload to a GPU, as llama-server's -ngl (default: the server's own)",
    )
    judge.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="where index.html, result.json and junit.xml go (default: out/conformance/NAME)",
    )

    add_mac_check(
        add("mac-check", "On a Mac: try a bundle on the GPU and without it, and write one JSON of it.")
    )
    add_payload(
        add("payload", "Hash a bundle's files without their signatures, or compare two.", of_recipe=False)
    )

    lock = add("lock", "Propose new pins as a diff; nothing is written without --write.")
    lock.add_argument("--source", metavar="PROJECT==VERSION|TAG|URL", help="where the new source comes from")
    lock.add_argument("--subdirectory", metavar="PATH", help="where the source lies, from that archive's top")
    lock.add_argument(
        "--commit", metavar="ID", help="the new source's commit, where the archive does not say it"
    )
    lock.add_argument(
        "--build-number", type=positive, metavar="N", help="upstream's build number, where no tag bN says it"
    )
    lock.add_argument(
        "--output", action="store_true", help="pin the digest of the bundle that this machine built"
    )
    lock.add_argument(
        "--model",
        metavar="NAME",
        help="pin the files of a manifest in manifests/models/, as the hub has them",
    )
    lock.add_argument("--write", action="store_true", help="write the proposal to the manifest")

    models = add("models", "Fetch, verify, inspect and list pinned models.", of_recipe=False)
    models.add_argument("action", choices=("fetch", "verify", "inspect", "list"), help="what to do")
    models.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="manifests in manifests/models/; inspect takes a GGUF file too",
    )
    models.add_argument(
        "--from",
        dest="from_",
        type=Path,
        metavar="PATH",
        help="fetch: a file or folder of this machine that may have it; the hub's own cache is looked at anyway",
    )
    models.add_argument(
        "--connections",
        type=positive,
        default=4,
        metavar="N",
        help="fetch: at a time for each file (default: 4)",
    )
    models.add_argument(
        "--full",
        action="store_true",
        help="verify: read files too that did not change since they were verified",
    )
    models.add_argument("--mmproj", type=Path, metavar="FILE", help="inspect: a projector to compare with")
    models.add_argument(
        "--context",
        type=positive,
        default=8192,
        metavar="N",
        help="inspect: tokens to estimate memory for (8192)",
    )
    models.add_argument(
        "--picture", type=Path, metavar="FILE", help="inspect: draw the mix of quantisations there, as SVG"
    )

    add_serve(add("serve", "Serve a pinned model: a page to click in and an API, on this machine alone."))
    add_ask(add("ask", "Answer a question about pictures in the terminal."))

    gc = add("gc", "Remove from the store what no manifest needs any more.")
    gc.add_argument("--dry-run", action="store_true", help="only list what would go")
    gc.add_argument(
        "--damaged", action="store_true", help="hash every entry again and set damaged ones aside"
    )
    gc.add_argument("--rejected", action="store_true", help="also remove what was kept for diagnosis")

    add("docs", "Generate the reference pages of docs/ and the JSON Schemas.")
    return top


def _add_build_options(build: argparse.ArgumentParser) -> None:
    build.add_argument(
        "--all-platforms",
        action="store_true",
        help="for every platform of the recipe whose compiler is pinned, one after the other",
    )
    build.add_argument(
        "--archive", type=Path, metavar="FOLDER", help="also write the bundle as a deterministic .tar.zst"
    )
    build.add_argument(
        "--refuse-known-issues", action="store_true", help="refuse a recipe that carries an advisory"
    )
    build.add_argument(
        "--toolchain",
        choices=("host",),
        help="use the machine's own compiler, as the platform's `host:` says (default: the pinned one)",
    )
    build.add_argument(
        "--preload", type=Path, help=argparse.SUPPRESS
    )  # how `reproduce` shifts the build's clock
