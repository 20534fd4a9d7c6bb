"""Runs upstream's own server tests with the pocket model, and lists those that cannot run, and why.

`python -m tests.upstream [--bundle FOLDER --source FOLDER] [WORDS OF PYTEST]`: by default the default recipe's bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from recipes.build.plan.plan import final_tree, make_plan
from recipes.build.source_tree import find_source
from recipes.build.toolchain.toolchain import default_platform
from recipes.core.settings import read_settings
from recipes.manifest.load import PROJECT, Manifests
from recipes.serve.llamacpp.installation import SERVER, find_installation
from recipes.store.store import Store
from tests.upstream import wrapper

TESTS = Path("tools") / "server" / "tests"
TEMPLATES = Path("models") / "templates"
# what the files need that the pocket model or this environment lacks
LEFT_OUT = {
    "test_lora.py": "needs adapters of a hub's model",
    "test_speculative.py": "needs a draft model of a hub",
    "test_rerank.py": "needs a model that ranks",
    "test_router.py": "needs several models of a hub",
    "test_tools_builtin.py": "runs programs of the machine",
    "test_mcp_servers.py": "runs programs of the machine",
}
IGNORED = ("__pycache__", "tmp", "*.pyc")
# a wget that reaches nothing: the tests import it to download models
WGET = 'def download(*_, **__):\n    raise OSError("no network")\n'


def main(arguments: list[str]) -> int:
    """Run the tests; return 1 where a server crashed, 2 where nothing ran."""
    parser = argparse.ArgumentParser("upstream", description=main.__doc__, allow_abbrev=False)
    parser.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="another llama.cpp than the default recipe's"
    )
    parser.add_argument(
        "--source", type=Path, metavar="FOLDER", help="the tree whose tests are run, with --bundle"
    )
    options, words = parser.parse_known_args(arguments)
    if (options.bundle is None) != (options.source is None):
        parser.error("--bundle and --source go together: the tests are those of the program's own source")
    manifests = Manifests()
    server, source = (
        (find_installation(options.bundle).path(SERVER), options.source.absolute())
        if options.bundle
        else built(manifests)
    )
    if server is None or source is None:
        print("build it first: python3 noxfile.py -s build", file=sys.stderr)
        return 2
    files = {file.role: str(PROJECT / str(file.path)) for file in manifests.model("pocket").files}
    with tempfile.TemporaryDirectory(prefix="upstream-tests-") as top:
        folder, crashes, report = Path(top) / TESTS, Path(top) / "crashes.jsonl", Path(top) / "junit.xml"
        shutil.copytree(source / TESTS, folder, ignore=shutil.ignore_patterns(*IGNORED))
        shutil.copytree(
            source / TEMPLATES, Path(top) / TEMPLATES
        )  # some tests name one, from their own folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o600 | (0o100 if path.is_dir() else 0))
        (folder / "wget.py").write_text(WGET, encoding="utf-8")
        crashes.touch()
        program = Path(top) / "llama-server"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P {wrapper.__file__} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "LLAMA_SERVER_BIN_PATH": str(program),
            wrapper.SERVER: str(server),
            wrapper.MODEL: files["model"],
            wrapper.MMPROJ: files["mmproj"],
            "LLAMA_TEST_VIDEO_MODEL": files["model"],
            "LLAMA_TEST_VIDEO_MMPROJ": files["mmproj"],
            wrapper.CRASHES: str(crashes),
            "LLAMA_CACHE": str(Path(top) / "cache"),
            "HOME": top,
            "TMPDIR": top,
        }
        ignored = [f"--ignore=unit/{name}" for name in LEFT_OUT]
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "--tb=line",
                f"--junitxml={report}",
                *ignored,
                *(words or ["unit"]),
            ],
            cwd=folder,
            env=environment,
            check=False,
        )
        return summary(report, crashes)


def built(manifests: Manifests) -> tuple[Path | None, Path | None]:
    """Return llama-server and the source of the default recipe, or of PINNED_LLAMA_TEST_RECIPE, if it is built."""
    store = Store.open(read_settings().store)
    recipe = manifests.recipe(os.environ.get("PINNED_LLAMA_TEST_RECIPE", manifests.defaults().recipe))
    platform = default_platform(manifests.defaults(), recipe)
    plan = make_plan(recipe, platform, manifests.toolchain(recipe.platforms[platform].toolchain))
    bundle, source = store.find(plan.bundle_key), find_source(store, final_tree(recipe))
    return bundle.path / "bin" / SERVER if bundle else None, source.path if source else None


def summary(report: Path, crashes: Path) -> int:
    """Print what ran, what could not and why, and each crash; return the exit code."""
    cases = [] if not report.exists() else list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it
    kinds = Counter(
        next((kind for kind in ("failure", "error", "skipped") if c.find(kind) is not None), "passed")
        for c in cases
    )
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing ran")
    for name, why in LEFT_OUT.items():
        print(f"left out: {name}: {why}")
    for case in cases:
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                words = " ".join(found.get("message", "").split())[:160]
                print(f"{kind}: {case.get('classname')}.{case.get('name')}: {words}")
    died = [json.loads(line) for line in crashes.read_text(encoding="utf-8").splitlines()]
    for one in died:
        print(f"crash: {one['test']}: signal {one['signal']}")
    print(f"{len(died)} crashes")
    return 1 if died else 0 if cases else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
