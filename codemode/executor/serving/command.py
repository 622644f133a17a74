"""The command ``codemode-executor``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codemode._version import __version__
from codemode.config import ExecutorConfig
from codemode.errors.base import ConfigurationError
from codemode.executor.host.isolation import TIERS
from codemode.executor.pool.zygotes import ZygoteStartError
from codemode.executor.serving.probe import probe
from codemode.executor.serving.server import ExecutorServer
from codemode.interpreter import InterpreterNotFoundError

__all__ = ["build_parser", "main"]

logger = logging.getLogger("codemode.executor")

EXIT_CANNOT_SERVE = 3

_EPILOG = """\
examples:
  codemode-executor --probe
      what isolation does this host offer, and does it hold?
  codemode-executor --listen unix:/run/codemode/socket
      serve this user's processes, without a key
  codemode-executor --listen 0.0.0.0:8001 --api-key-file key --tls-cert cert.pem --tls-key key.pem
      serve other hosts

The API key is read from CODEMODE_EXECUTOR_API_KEY or from --api-key-file, never from the
command line, where other users could see it. What is not given as an option is read from
CODEMODE_EXECUTOR_MAX_CONCURRENCY and its like.

exit status:
  0    stopped by SIGTERM or SIGINT; with --probe: it would serve
  2    the options are wrong
  3    it cannot serve, and says why; with --probe: it would not
"""


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser = argparse.ArgumentParser(
        prog=prog or "codemode-executor",
        description="Run models' code in sandboxed processes, for Codemode clients over gRPC.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser; an option left out is read from the environment."""
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDRESS",
        help="host:port or unix:/path; may be repeated (default: 127.0.0.1:8001)",
    )
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file with the API key")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM certificate chain")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM private key")
    parser.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="ask clients for a certificate of this CA",
    )
    parser.add_argument(
        "--max-concurrency", type=int, metavar="N", help="sandboxes that run at once"
    )
    parser.add_argument(
        "--max-concurrency-per-key",
        type=int,
        metavar="N",
        help="sandboxes that one caller, by its fairness key, may hold at once (default: all)",
    )
    parser.add_argument("--max-queued", type=int, metavar="N", help="executions that may wait")
    parser.add_argument(
        "--max-queued-bytes", type=int, metavar="N", help="what they may carry together"
    )
    parser.add_argument(
        "--max-connections", type=int, metavar="N", help="connections that each address takes"
    )
    parser.add_argument("--pool-size", type=int, metavar="N", help="idle sandboxes kept warm")
    parser.add_argument(
        "--packages",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="folder with packages that the code may read and import; may be repeated",
    )
    parser.add_argument(
        "--warm-profile",
        action="append",
        metavar="NAME",
        help="profile whose sandboxes wait from the start; may be repeated (default: default)",
    )
    parser.add_argument(
        "--min-tier",
        choices=TIERS,
        help="refuse to serve with weaker isolation than this",
    )
    parser.add_argument(
        "--tier",
        choices=TIERS,
        help="isolate like this instead of as well as the host allows",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help=(
            "report the isolation that this host offers and test whether it holds, then exit "
            "with 0 if the executor would serve, else 3"
        ),
    )
    parser.add_argument(
        "--json", action="store_true", help="with --probe: print one JSON object, not a table"
    )
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="least severity that is logged to stderr (default: INFO)",
    )
    # For an embedded executor: a pidfd of the process that it belongs to, a descriptor
    # on which it reports that it is ready, and the folder that it removes at its end.
    parser.add_argument("--parent-pid-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--private-dir", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    return serve(build_parser().parse_args(argv))


def serve(options: argparse.Namespace) -> int:
    """Serve, or probe, with parsed options; return 0 after a stop, 3 when it cannot serve."""
    logging.basicConfig(
        level=options.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        if options.probe:
            return _probe(options)
        if options.json:
            raise ConfigurationError("--json is for --probe: add --probe, or leave --json out")
        server = ExecutorServer(_config(options))
        _allow_all_descriptors()
        asyncio.run(server.run(lambda addresses: _announce(addresses, options.ready_fd)))
    except (ConfigurationError, InterpreterNotFoundError, ZygoteStartError, OSError) as error:
        sys.stderr.write(f"codemode-executor: {error}\n")
        return EXIT_CANNOT_SERVE
    finally:
        if options.private_dir is not None:
            shutil.rmtree(options.private_dir, ignore_errors=True)
    return 0


def _probe(options: argparse.Namespace) -> int:
    report = asyncio.run(probe(_config(options)))
    sys.stdout.write(f"{report.as_json() if options.json else report.as_table()}\n")
    return 0 if report.ok else EXIT_CANNOT_SERVE


def _allow_all_descriptors() -> None:
    """Raise the limit of descriptors to the hard one: connections soon use up the usual 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(addresses: list[str], ready_fd: int | None) -> None:
    logger.info("serving on %s (process %d)", ", ".join(addresses), os.getpid())
    if ready_fd is not None:
        os.write(ready_fd, b"ready")
        os.close(ready_fd)


def _config(options: argparse.Namespace) -> ExecutorConfig:
    values: dict[str, Any] = {
        name: value
        for name in (
            "max_concurrency",
            "max_concurrency_per_key",
            "max_queued",
            "max_queued_bytes",
            "max_connections",
            "pool_size",
            "min_tier",
            "tier",
            "parent_pid_fd",
        )
        if (value := getattr(options, name)) is not None
    }
    if options.listen:
        values["listen"] = tuple(options.listen)
    if options.packages:
        values["packages"] = tuple(options.packages)
    if options.warm_profile:
        values["warm_profiles"] = tuple(options.warm_profile)
    if options.api_key_file is not None:
        values["api_key"] = _read_key(options.api_key_file)
    tls = {
        "cert_file": options.tls_cert,
        "key_file": options.tls_key,
        "ca_file": options.tls_client_ca,
    }
    if any(tls.values()):
        values["tls"] = {name: path for name, path in tls.items() if path is not None}
    return ExecutorConfig.from_env(**values)


def _read_key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"--api-key-file {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"--api-key-file {str(path)!r} does not hold UTF-8 text"
        ) from error
    if not key:
        raise ConfigurationError(f"--api-key-file {str(path)!r} is empty")
    return key
