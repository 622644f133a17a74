"""Access to an executor: keys, sockets and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from codemode import (
    ClientConfig,
    Codemode,
    ConfigurationError,
    ExecutorAuthenticationError,
    ExecutorClient,
    ExecutorConnectionError,
    TLSConfig,
)
from codemode.config import ExecutorConfig
from codemode.executor.serving import api_keys as access
from codemode.executor.serving.api_keys import _RefusalLog
from codemode.executor.serving.command import EXIT_CANNOT_SERVE, main
from codemode.executor.serving.server import ExecutorServer, _most_connections
from codemode.executor.serving.socket_files import SocketFile
from tests.support.processes import ExecutorProcess, free_port

KEY = "correct-horse-battery"
MIB = 1024 * 1024
UNSAFE = ("--min-tier", "unsafe", "--tier", "unsafe")


@pytest.fixture(scope="module")
def locked() -> Iterator[ExecutorProcess]:
    process = ExecutorProcess(
        listen=f"127.0.0.1:{free_port()}", environment={"CODEMODE_EXECUTOR_API_KEY": KEY}
    )
    with process:
        yield process


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "x", " "])
def test_wrong_key_is_refused(locked: ExecutorProcess, key: str | None) -> None:
    with ExecutorClient(f"http://{locked.url}", key) as client:
        with pytest.raises(ExecutorAuthenticationError, match="executor_api_key") as caught:
            client.execute("1")
        assert caught.value.result is None
        with pytest.raises(ExecutorAuthenticationError):
            client.info()
        with pytest.raises(ExecutorAuthenticationError):
            asyncio.run(client.execute_async("1"))
        with pytest.raises(ExecutorAuthenticationError):
            asyncio.run(client.info_async())
        assert key is None or KEY not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http://", "dns:///", "ipv4:", ""])
def test_right_key_is_accepted(locked: ExecutorProcess, scheme: str) -> None:
    config = ClientConfig(executor_url=f"{scheme}{locked.url}", executor_api_key=KEY)
    with ExecutorClient.from_config(config) as client:
        assert client.execute("1 + 1").value == 2
        assert asyncio.run(client.execute_async("1 + 1")).value == 2
        assert client.info().isolation in {"A", "B", "C", "none"}


@pytest.mark.parametrize("key", ["secret\n", "clé"])
def test_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="executor_api_key") as caught:
        ExecutorClient("http://127.0.0.1:1", key)
    assert key.strip() not in str(caught.value)


def test_key_is_in_no_log(locked: ExecutorProcess) -> None:
    assert KEY not in locked.log


async def test_wrong_key_is_reported_however_much_was_being_sent(locked: ExecutorProcess) -> None:
    for size in (1, 10_000_000):
        async with ExecutorClient(f"http://{locked.url}", "wrong") as client:
            for _ in range(15):
                with pytest.raises(ExecutorAuthenticationError):
                    await client.execute_async("1", inputs={"x": "x" * size})


def cannot_serve(*options: str, environment: dict[str, str] | None = None) -> str:
    """Start an executor that must refuse to serve; return its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "codemode.executor", *options],
        env=environment or {},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 3, done
    return done.stderr


def test_tcp_without_a_key_is_refused_at_the_start() -> None:
    said = cannot_serve("--listen", "127.0.0.1:0")
    assert "needs an API key" in said
    assert "CODEMODE_EXECUTOR_API_KEY" in said


def test_tier_below_the_minimum_is_refused_at_the_start() -> None:
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        said = cannot_serve(
            "--listen", f"unix:{folder}/socket", "--min-tier", "A", "--tier", "unsafe"
        )
    assert "min_tier (CODEMODE_EXECUTOR_MIN_TIER) is A" in said


@pytest.mark.parametrize(
    "address, message",
    [
        ("unix:/nowhere/at/all", "does not exist"),
        (f"unix:/tmp/{'x' * 200}", "Linux allows 107"),
        ("nonsense::", "cannot listen"),
        ("127.0.0.1:99999", "99999 is not a port"),
    ],
)
def test_address_that_cannot_be_listened_on_is_named(address: str, message: str) -> None:
    said = cannot_serve("--listen", address, environment={"CODEMODE_EXECUTOR_API_KEY": KEY})
    assert message in said


def test_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    assert "is empty" in cannot_serve("--api-key-file", str(tmp_path / "key"))
    assert "No such file" in cannot_serve("--api-key-file", str(tmp_path / "nowhere"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "does not hold UTF-8 text" in cannot_serve("--api-key-file", str(tmp_path / "binary"))


@pytest.mark.parametrize("key", [KEY[:15], " " * 20, f"  {KEY[:15]}  "])
def test_key_that_can_be_guessed_is_refused_at_the_start(key: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key)
    for said in (
        cannot_serve("--api-key-file", str(tmp_path / "key")),
        cannot_serve(environment={"CODEMODE_EXECUTOR_API_KEY": key}),
    ):
        assert "at least 16" in said or "is empty" in said
        assert KEY[:15] not in said


def test_a_missing_temporary_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        monkeypatch.setattr("tempfile.tempdir", f"{folder}/nowhere")
        options = ("--min-tier", "unsafe", "--tier", "unsafe")
        assert main(["--listen", f"unix:{folder}/socket", *options]) == EXIT_CANNOT_SERVE
    assert f"{folder}/nowhere" in capsys.readouterr().err


def test_port_that_is_taken_is_named(locked: ExecutorProcess) -> None:
    said = cannot_serve("--listen", locked.url, environment={"CODEMODE_EXECUTOR_API_KEY": KEY})
    assert f"cannot listen on '{locked.url}'" in said


def test_socket_belongs_to_its_user_alone(executor: ExecutorProcess) -> None:
    mode = Path(executor.url.removeprefix("unix:")).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_socket_belongs_to_its_user_alone_from_the_beginning(short_folder: Path) -> None:
    file = SocketFile(short_folder / "socket")
    before = os.umask(0o002)
    try:
        with file.bound() as address, socket.socket(socket.AF_UNIX) as bound:
            name = Path(address.removeprefix("unix:"))
            bound.bind(str(name))
            assert stat.S_IMODE(name.stat().st_mode) == 0o600
    finally:
        assert os.umask(before) == 0o002


def test_a_socket_that_is_in_use_is_not_taken_over(
    executor: ExecutorProcess, codemode: Codemode
) -> None:
    assert "the socket is taken" in cannot_serve("--listen", executor.url, *UNSAFE)
    assert codemode.run("1").ok


def test_a_file_that_is_not_a_socket_stays(short_folder: Path) -> None:
    file = short_folder / "data"
    file.write_text("precious")
    assert "there is a file that is not a socket" in cannot_serve(
        "--listen", f"unix:{file}", *UNSAFE
    )
    assert file.read_text() == "precious"


async def test_a_socket_that_another_executor_has_taken_over_stays(short_folder: Path) -> None:
    path = short_folder / "socket"
    config = ExecutorConfig(listen=(f"unix:{path}",), min_tier="unsafe", tier="unsafe")
    async with ExecutorServer(config):
        path.unlink()
        second = ExecutorServer(config)
        await second.start()
    try:
        async with ExecutorClient(f"unix:{path}") as client:
            assert (await client.execute_async("1")).ok
    finally:
        await second.stop()
    assert list(short_folder.iterdir()) == []


def test_refused_call_is_logged_with_its_peer(locked: ExecutorProcess) -> None:
    with (
        ExecutorClient(f"http://{locked.url}", "wrong-key") as client,
        pytest.raises(ExecutorAuthenticationError),
    ):
        client.execute("1")
    assert "refused a call of ipv4:127.0.0.1:" in locked.log
    assert "wrong-key" not in locked.log


async def test_flood_of_refused_calls_is_summarised_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "_LOG_SECONDS", 0.05)
    log = _RefusalLog()
    for number in range(1_000):
        log.add(f"ipv4:10.0.0.{number % 7}:{number}")
    assert len(caplog.messages) == 1
    async with asyncio.timeout(60):
        while log._waiting:
            await asyncio.sleep(0.01)
    first, rest = caplog.messages
    assert first.startswith("refused a call of ipv4:10.0.0.0:0:")
    assert "ipv4:10.0.0.1 (143)" in rest
    assert "other hosts (284)" in rest
    log.add("unix:")
    assert caplog.messages[-1].startswith("refused a call of unix:")


def beginning(channel: grpc.aio.Channel, method: str, key: str = "") -> Any:
    """Begin a call whose request never arrives."""
    multi: Any = channel.stream_stream(
        method,
        request_serializer=bytes,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return multi(metadata=(("authorization", f"Bearer {key}"),), timeout=100)


@pytest.mark.parametrize("key", ["", "wrong"])
@pytest.mark.parametrize(
    "method",
    [
        "/codemode.v1.ExecutorService/GetInfo",
        "/codemode.v1.ExecutorService/Execute",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/List",
        "/no.such.Service/Method",
    ],
)
async def test_call_without_the_key_is_refused_before_its_request_has_come(
    locked: ExecutorProcess, method: str, key: str
) -> None:
    async with grpc.aio.insecure_channel(locked.url) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await beginning(channel, method, key).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_health_is_reported_before_the_request_has_come(
    locked: ExecutorProcess, method: str
) -> None:
    async with grpc.aio.insecure_channel(locked.url) as channel:
        call = beginning(channel, f"/grpc.health.v1.Health/{method}")
        assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_callers_without_a_key_may_watch_the_health_within_bounds(
    locked: ExecutorProcess,
) -> None:
    def watch(channel: grpc.aio.Channel) -> Any:
        return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())

    own = (("grpc.use_local_subchannel_pool", 1),)
    async with (
        grpc.aio.insecure_channel(locked.url, own) as one,
        grpc.aio.insecure_channel(locked.url, own) as another,
    ):
        watches = [watch(one) for _ in range(10)]
        for each in watches:
            assert (await each.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="may watch 10 times"):
            await watch(one).read()
        assert (await watch(another).read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_data_that_a_watcher_sends_without_the_key_is_not_kept(
    locked: ExecutorProcess,
) -> None:
    def resident() -> int:
        return psutil.Process(locked.pid).memory_info().rss

    async with grpc.aio.insecure_channel(locked.url) as channel:
        watches = [beginning(channel, "/grpc.health.v1.Health/Watch") for _ in range(10)]
        for each in watches:
            await each.read()
        before = resident()
        sending = [asyncio.create_task(each.write(b"x" * 15 * MIB)) for each in watches]
        # Long enough for all to arrive if nothing holds them back.
        await asyncio.wait(sending, timeout=5)
        assert resident() - before < 30 * MIB
        for each in watches:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_connections_are_bounded(short_folder: Path) -> None:
    config = ExecutorConfig(
        listen=("127.0.0.1:0", f"unix:{short_folder}/socket"),
        api_key=SecretStr(KEY),
        min_tier="unsafe",
        tier="unsafe",
        max_connections=3,
    )
    async with ExecutorServer(config) as server:
        host, _, port = server.addresses[0].rpartition(":")

        async def greeting(streams: contextlib.AsyncExitStack) -> bytes:
            """Connect, and return the first byte that the server sends."""
            reader, writer = await asyncio.open_connection(host, int(port))
            streams.callback(writer.close)
            return await asyncio.wait_for(reader.read(1), 60)

        async with contextlib.AsyncExitStack() as streams:
            assert all([await greeting(streams) for _ in range(3)])
            assert await greeting(streams) == b""
            async with ExecutorClient(server.addresses[1], KEY) as client:
                assert (await client.execute_async("1")).ok


def test_half_of_the_descriptors_are_left_to_sandboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExecutorConfig(listen=("127.0.0.1:1", "127.0.0.1:2"))
    for descriptors, most in ((10_000, 1_000), (1_024, 256), (2, 1)):
        monkeypatch.setattr("resource.getrlimit", lambda _, n=descriptors: (n, n))
        assert _most_connections(config) == most


class Certificates:
    """A certificate authority and its certificates, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("req", "-x509", *self._new("ca"), "-subj", "/CN=test-ca", "-days", "2")
        for name in ("server", "client"):
            self._openssl("req", *self._new(name, "csr"), "-subj", f"/CN={name}")
            (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            self._openssl(
                *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
                *("-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem"),
            )

    def path(self, name: str) -> Path:
        return self.folder / name

    def _new(self, name: str, suffix: str = "pem") -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*curve, "-keyout", f"{name}.key", "-out", f"{name}.{suffix}"]

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made by the openssl command, which is not here")
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["tls", "mutual"])
def encrypted(
    request: pytest.FixtureRequest, certificates: Certificates
) -> Iterator[tuple[ExecutorProcess, bool]]:
    mutual = request.param == "mutual"
    options = ["--tls-cert", str(certificates.path("server.pem"))]
    options += ["--tls-key", str(certificates.path("server.key"))]
    if mutual:
        options += ["--tls-client-ca", str(certificates.path("ca.pem"))]
    process = ExecutorProcess(
        *options,
        listen=f"127.0.0.1:{free_port()}",
        environment={"CODEMODE_EXECUTOR_API_KEY": KEY},
    )
    with process:
        yield process, mutual


def test_encrypted_connection(
    encrypted: tuple[ExecutorProcess, bool], certificates: Certificates
) -> None:
    process, mutual = encrypted
    url = f"https://{process.url}"
    ca = certificates.path("ca.pem")
    pair = {
        "cert_file": certificates.path("client.pem"),
        "key_file": certificates.path("client.key"),
    }
    with ExecutorClient(url, KEY, tls=TLSConfig(ca_file=ca, **pair)) as client:
        assert client.execute("1 + 1").value == 2
        assert asyncio.run(client.execute_async("1 + 1")).value == 2
    with ExecutorClient(url, KEY, tls=TLSConfig(ca_file=ca), connect_timeout=0.5) as client:
        if mutual:
            with pytest.raises(ExecutorConnectionError):
                client.execute("1")
        else:
            assert client.execute("1 + 1").value == 2
    with (
        ExecutorClient(url, "wrong", tls=TLSConfig(ca_file=ca, **pair)) as client,
        pytest.raises(ExecutorAuthenticationError),
    ):
        client.execute("1")


FORKED = """
import asyncio, os, signal, sys, warnings
from codemode import ExecutorClient, ExecutorConnectionError, TLSConfig
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
url, key, ca, cert_file, key_file = sys.argv[1:]
client = ExecutorClient(url, key, tls=TLSConfig(ca_file=ca, cert_file=cert_file, key_file=key_file))
assert client.execute("1 + 1").value == 2
assert asyncio.run(client.execute_async("1 + 1")).value == 2
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    print(client.execute("3").value, asyncio.run(client.execute_async("4")).value)
    try:
        ExecutorClient(url, key).execute("5")
    except ExecutorConnectionError as error:
        print("certificate" in str(error).lower())
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert client.execute("1 + 1").value == 2
client.close()
"""


def test_encrypted_connection_of_a_forked_child(
    encrypted: tuple[ExecutorProcess, bool], certificates: Certificates
) -> None:
    process, _ = encrypted
    files = [str(certificates.path(name)) for name in ("ca.pem", "client.pem", "client.key")]
    said = subprocess.check_output(
        [sys.executable, "-c", FORKED, f"https://{process.url}", KEY, *files], timeout=110
    )
    assert said.split() == [b"3", b"4", b"True"]


def test_unknown_authority_fails_clearly_and_soon(
    encrypted: tuple[ExecutorProcess, bool], certificates: Certificates
) -> None:
    process, _ = encrypted
    for tls in (None, TLSConfig(ca_file=certificates.path("client.pem"))):
        with (
            ExecutorClient(f"https://{process.url}", KEY, tls=tls, connect_timeout=0.5) as client,
            pytest.raises(ExecutorConnectionError, match="(?i)certificate|ssl|tls"),
        ):
            client.execute("1", config={"execution_timeout": 600})


def test_plain_client_of_an_encrypted_executor_fails_soon(
    encrypted: tuple[ExecutorProcess, bool],
) -> None:
    process, _ = encrypted
    with (
        ExecutorClient(f"http://{process.url}", KEY, connect_timeout=0.5) as client,
        pytest.raises(ExecutorConnectionError),
    ):
        client.execute("1", config={"execution_timeout": 600})


def test_certificate_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with (
        ExecutorClient("https://127.0.0.1:1", tls=TLSConfig(ca_file=missing)) as client,
        pytest.raises(ConfigurationError, match=r"ca_file.*missing\.pem"),
    ):
        client.execute("1")


@pytest.mark.parametrize("name", ["http_proxy", "grpc_proxy"])
def test_a_proxy_of_the_environment_gets_neither_key_nor_code(
    locked: ExecutorProcess, name: str
) -> None:
    program = (
        "import sys\nfrom codemode import ExecutorClient\n"
        "with ExecutorClient(sys.argv[1], sys.argv[2]) as client: print(client.execute('6 * 7').value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"http://{locked.url}", KEY],
        env={**os.environ, name: "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
