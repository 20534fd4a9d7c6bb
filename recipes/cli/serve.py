"""The session `serve`: runs the pinned llama-server with pinned models until it is told to end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.conformance import OF_THE_BUNDLE, add_bundle
from recipes.cli.job import open_context, open_job
from recipes.cli.options import (
    Parser,
    Session,
    add_permit,
    add_platform,
    detail,
    not_negative,
    origin,
    port,
    positive,
    refuse_beside,
    seconds,
)
from recipes.core import log
from recipes.core.errors import OperatingSystemError
from recipes.serve.api_key import demand_api_key, read_api_key
from recipes.serve.banner import key_words, ready_lines, saved_line
from recipes.serve.consent import YES
from recipes.serve.door.admission import Admission
from recipes.serve.door.image_decode import Detail
from recipes.serve.door.options import MEBI, MOST_BODY
from recipes.serve.lifecycle import ended, exit_code, serving
from recipes.serve.llamacpp.listen_address import LOOPBACK, PORT, demand_free, is_loopback, parse_host
from recipes.serve.memory_fit import ANYWAY
from recipes.serve.prepare import prepare
from recipes.serve.running import (
    STOPS_S,
    RunningServer,
    announced,
    named_server,
    running_servers,
    stop,
)

if TYPE_CHECKING:
    import argparse


NAMED = (
    "a manifest in manifests/models/ (default: the best of manifests/defaults.yaml for this machine's memory)"
)


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help=f"where to listen (default: {LOOPBACK}, which only this machine reaches; another one needs a key)",
    )
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help=f"port (default: {PORT})")
    parser.add_argument("--list", action="store_true", help="list the servers that run, and start none")
    parser.add_argument(
        "--stop",
        type=port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="stop the server that runs, or the one at a port",
    )
    parser.add_argument(
        "--text-only", action="store_true", help="do not load the projector: less memory, no images"
    )
    parser.add_argument(
        "--temperature",
        type=not_negative,
        metavar="T",
        help="how freely it answers (default: llama-server's)",
    )
    parser.add_argument(
        "--unload-after",
        type=positive,
        metavar="SECONDS",
        help="give the memory back when nobody has asked for so long; a question loads it again (default: never)",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="a file with the key that clients show (default: the variable PINNED_LLAMA_API_KEY)",
    )
    parser.add_argument(
        "--allow-origin",
        type=origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web site whose pages may ask, or whose name leads here, as https://example.org (repeat for more)",
    )
    parser.add_argument(
        "--allow-url-images",
        action="store_true",
        help="fetch images that a request names by http(s) address, from public addresses alone",
    )
    parser.add_argument(
        "--max-body",
        type=positive,
        default=MOST_BODY // MEBI,
        metavar="MB",
        help=f"how large a request may be (default: {MOST_BODY // MEBI})",
    )
    add_server(
        parser,
        f"{NAMED}; repeat for more, which are loaded when they are first asked for: the first one answers"
        " requests that name none",
        action="append",
    )


def add_server(parser: Parser, of_model: str, action: str = "store") -> None:
    """Add what starts a server: the program, the model, and how it runs."""
    add_platform(parser)
    add_permit(parser)
    add_bundle(parser)
    parser.add_argument("--model", metavar="NAME", action=action, help=of_model)
    parser.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="tokens of context (default: 8192, or as many as the model supports)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="to compute with (default: llama-server's choice, at most this process's cores)",
    )
    parser.add_argument(
        "--allow-architecture",
        action="append",
        metavar="NAME",
        help="also serve models of this architecture, whose tensors are not checked (repeat for more)",
    )
    parser.add_argument(
        "--detail",
        type=detail,
        default=Detail.HIGH,
        metavar="LEVEL",
        help="how large images are passed on: low (512x512 pixels), high (1024x1024) or original (default: high)",
    )
    parser.add_argument(
        "--image-max-tokens",
        type=positive,
        metavar="N",
        help="tokens that an image may have (default: the model's; one is 1,024 pixels with Qwen's)",
    )
    parser.add_argument(
        YES,
        action="store_true",
        help="do what is missing without asking: build llama.cpp, download the model",
    )
    parser.add_argument(ANYWAY, action="store_true", help="start it even where too little memory is free")
    parser.add_argument(
        "--start-timeout",
        type=seconds,
        metavar="SECONDS",
        help="how long loading may take (default: two minutes and one for each 3 GB)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes or the server ends: return its exit code, or raise a RecipeError where it failed."""
    if options.list or options.stop is not None:
        return manage(options)
    demand_one_program(options, "serve")
    job = open_job(options)
    host = parse_host(options.host)
    api_key = read_api_key(options.api_key_file)
    log.hide(api_key)
    if api_key is None and not is_loopback(host):
        raise demand_api_key(host)
    demand_free(host, options.port)
    prepared = prepare(
        job,
        options,
        options.model or (),
        Admission(host, options.port, frozenset(options.allow_origin), api_key),
        text_only=options.text_only,
        url_images=options.allow_url_images,
        most_body=options.max_body * MEBI,
    )
    if options.text_only:
        for model in prepared.ready:
            job.console.say(saved_line(model))
    ready, title = prepared.ready, prepared.installation.title
    with (
        serving(prepared.services, prepared.door) as server,
        announced(
            job.store,
            RunningServer(
                base=server.base,
                port=options.port,
                pid=os.getpid(),
                models=tuple(model.name for model in ready),
                title=title,
                images=tuple(model.name for model in ready if model.mmproj is not None),
                needs_key=api_key is not None,
            ),
        ),
    ):
        try:
            words = key_words(options.api_key_file) if api_key else None
            logs = [service.log for service in prepared.services]
            print("\n".join(ready_lines(ready, title, server.base, logs, words)), flush=True)
            status = server.wait()
        except KeyboardInterrupt:  # any signal that ends us; what it asks is passed on
            status = server.end()
            job.console.say("ended")
            return exit_code(status)
        if status:
            raise ended(prepared.services[0], status)
    job.console.say("the server was told to end by somebody else")
    return 0


def manage(options: argparse.Namespace) -> int:
    """List the servers that run, or stop one; raise a RecipeError where none is meant, or it runs on."""
    store = open_context().store
    servers = running_servers(store)
    if options.list:
        print("\n".join(server.line for server in servers) or "no server runs")
        return 0
    server = named_server(servers, options.stop or None)
    if not stop(store, server):
        raise OperatingSystemError(
            where=f"process {server.pid}, {server.base}",
            expected=f"its end within {STOPS_S:g} s",
            found="it runs on",
            fix=f"kill -9 {server.pid}",
        )
    print(f"stopped {server.base}")
    return 0


def demand_one_program(options: argparse.Namespace, title: str) -> None:
    """Raise a UsageError where both a recipe's bundle and a folder are named."""
    if options.bundle is not None:
        refuse_beside(options, title, "--bundle", OF_THE_BUNDLE, "both say which llama.cpp is run")


SESSION = Session(
    "serve",
    "Serve a pinned model on this machine: a web page and an API.",
    add_options,
    run,
    example="--model pocket",
)
