"""Autobahn's test suite, run by Python 2.7 from the folder $WSTEST_SITE.

  wstest.py ARGUMENTS      its own command line
  wstest.py serve          its strict echo server, on a port that is printed
  wstest.py swallow        the same, but it answers no message
  wstest.py fuzz SPEC      its fuzzing server, likewise; SPEC is a JSON file

A server ends when its standard input does.

A folder named in PYTHONPATH would not do: the zope packages are joined by a
.pth file, and those are read in site folders alone.
"""
import json
import os
import site
import sys
import threading

folder = os.environ["WSTEST_SITE"]
sys.path.insert(0, folder)
site.addsitedir(folder)

from autobahntestsuite import wstest  # noqa: E402, it chooses the reactor
from autobahntestsuite import fuzzing  # noqa: E402
from autobahntestsuite.testee import TesteeServerFactory, TesteeServerProtocol  # noqa: E402
from twisted.internet import reactor  # noqa: E402


def between_frames(protocol):
    """Makes the fuzzing peer send no pong inside a frame.

    Where a case sends a frame in pieces, it would answer a ping right between
    two of them, which breaks its own frame. A proxy pings when it likes.
    """
    send = protocol.sendPong

    def send_pong(self, payload=None):
        if self.send_state != self.SEND_STATE_INSIDE_MESSAGE_FRAME:
            send(self, payload)

    protocol.sendPong = send_pong


between_frames(fuzzing.FuzzingServerProtocol)
between_frames(fuzzing.FuzzingClientProtocol)


def listen(factory):
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    factory.externalPort = None  # a proxy's clients name the proxy's port
    sys.stdout.write("port %d\n" % port.getHost().port)
    sys.stdout.flush()

    def until_end_of_input():
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)

    thread = threading.Thread(target=until_end_of_input)
    thread.daemon = True
    thread.start()
    reactor.run()


if sys.argv[1] == "swallow":
    TesteeServerProtocol.onMessage = lambda self, payload, binary: None
if sys.argv[1] in ("serve", "swallow"):
    listen(TesteeServerFactory("ws://127.0.0.1:1"))
elif sys.argv[1] == "fuzz":
    with open(sys.argv[2]) as spec:
        listen(fuzzing.FuzzingServerFactory(dict(json.load(spec), url="ws://127.0.0.1:1")))
else:
    wstest.run()
