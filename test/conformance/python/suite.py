"""The integration tests of Python websockets, as its source has them.

  suite.py FOLDER                                 as they are
  suite.py FOLDER PORT PROXY TLS_PORT TLS_PROXY   through a proxy

FOLDER has src/, tests/ and, in site/, what the tests import. With ports, each server of a test listens on PORT,
or TLS_PORT if it speaks TLS, and its clients dial the proxy's instead. A test
that starts a second server while the first is there gets that one directly.
Prints a JSON line with the outcome of each test, and whether it dialled a proxy.
"""
import asyncio.base_events
import errno
import gc
import importlib
import json
import signal
import ssl
import sys
import unittest

FOLDER = sys.argv[1]
PORTS = [int(port) for port in sys.argv[2:]]
MODULES = [
    "tests.asyncio.test_client",
    "tests.asyncio.test_server",
    "tests.asyncio.test_router",
    "tests.sync.test_client",
    "tests.sync.test_server",
    "tests.sync.test_router",
    "tests.legacy.test_client_server",
]
SECONDS = 20  # for one test

sys.path[:0] = [FOLDER + "/src", FOLDER + "/site", FOLDER]


def fixed(tls):
    """The port to listen on; tls is a context, None, or True for a redirect."""
    return PORTS[2] if isinstance(tls, ssl.SSLContext) else PORTS[0]


def through(host, port):
    """The address that clients dial instead."""
    proxy = dict(zip(PORTS[::2], PORTS[1::2])).get(port)
    if proxy is None:
        return host, port
    Outcomes.proxied = True
    return host, proxy


def listen_on_fixed_ports():
    create_server = asyncio.base_events.BaseEventLoop.create_server

    async def create(self, factory, host=None, port=None, *, ssl=None, **options):
        if port == 0:
            try:
                return await create_server(
                    self, factory, "127.0.0.1", fixed(ssl), ssl=ssl, **options
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        return await create_server(self, factory, host, port, ssl=ssl, **options)

    asyncio.base_events.BaseEventLoop.create_server = create

    sync = importlib.import_module("tests.sync.server")
    run = sync.run_server_or_router

    def run_on_fixed_port(serve, handler, host="localhost", port=0, **options):
        def serve_on_fixed_port(handler, host, port, **options):
            try:
                tls = options.get("ssl") or options.get("ssl_context")
                return serve(handler, host, fixed(tls), **options)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return serve(handler, host, port, **options)

        return run(serve_on_fixed_port, handler, host, port, **options)

    sync.run_server_or_router = run_on_fixed_port


def dial_the_proxy():
    for name in "tests.asyncio.server", "tests.sync.server":
        module = importlib.import_module(name)

        def get_uri(server, secure=None, get_uri=module.get_uri):
            scheme, _, address = get_uri(server, secure).partition("://")
            host, port = address.split(":")
            return "%s://%s:%d" % (scheme, *through(host, int(port)))

        module.get_uri = get_uri
    legacy = importlib.import_module("tests.legacy.test_client_server")
    address = legacy.get_server_address
    legacy.get_server_address = lambda server: through(*address(server)[:2])


class Outcomes(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.why = "passed", ""
        Outcomes.proxied = False
        signal.alarm(SECONDS)

    def addError(self, test, error):
        super().addError(test, error)
        self.outcome, self.why = "error", repr(error[1])

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.outcome, self.why = "failed", repr(error[1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.outcome, self.why = "failed", repr(error[1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome, self.why = "skipped", reason

    def stopTest(self, test):
        super().stopTest(test)
        signal.alarm(0)
        gc.collect()  # what it leaves open must not warn in the next one
        name = test.id().removeprefix("tests.")
        news = {"test": name, "outcome": self.outcome, "why": self.why[:500], "proxied": Outcomes.proxied}
        print(json.dumps(news), flush=True)


def too_long(*_):
    raise TimeoutError(f"not done after {SECONDS} s")


signal.signal(signal.SIGALRM, too_long)
if PORTS:
    listen_on_fixed_ports()
    dial_the_proxy()
unittest.defaultTestLoader.loadTestsFromNames(MODULES).run(Outcomes())
