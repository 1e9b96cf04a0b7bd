"""MPyC's runtime for one party of a job: connected over TLS on 127.0.0.1, and failing where another one does.

What MPyC's own (runtime.py and asyncoro.py of 0.11) leaves to wish for: it listens on all interfaces, believes whoever
connects which party it is, retries forever, and when a connection is lost waits for messages that never come.

Numbers have at least as many bits behind the point as before it, whatever the program's format: MPyC's division starts
from a power of two that is rounded to 0 in formats of more than 2 * fraction + 1 bits (Runtime._norm), and quotients
then are 0.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import mpyc
import mpyc.mpctools
import mpyc.random
import mpyc.runtime
import mpyc.secgroups
import mpyc.seclists
import mpyc.secpols
import mpyc.sectypes
import mpyc.statistics
import numpy as np
from mpyc import asyncoro

from tasks.common.errors import RunFailed
from tasks.mpc.embedded_arithmetic import Arithmetic
from tasks.mpc.embedded_party import REPORT_SECONDS, WAITING
from tasks.mpc.formats import FixedPoint, Shape

_HOST = "127.0.0.1"
_RETRY_SECONDS = 0.05
# Masks are this many bits longer than what they hide.
_STATISTICAL = 40
# Modules of MPyC that look for the runtime in themselves.
_USERS = (
    mpyc.sectypes, asyncoro, mpyc.mpctools, mpyc.seclists, mpyc.secpols, mpyc.secgroups, mpyc.random, mpyc.statistics
)  # fmt: skip

_Made = TypeVar("_Made")
_integers = np.frompyfunc(int, 1, 1)


class LostParty(RunFailed):
    """Another party is gone."""

    def __init__(self, party: int) -> None:
        super().__init__(f"the connection to party {party} was lost, probably because party {party} failed")


class Runtime(Arithmetic):
    """Of one party of a job. sent: bytes to other parties, before encryption. fixed: MPyC's type of shared numbers."""

    def __init__(self, party: int, parties: int, first_port: int, folder: Path, numbers: FixedPoint) -> None:
        options = mpyc._get_arg_parser().parse_args([])
        options.no_log, options.sec_param, options.threshold = True, _STATISTICAL, (parties - 1) // 2
        assert options.threshold, "the engine refuses fewer than three parties"
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        super().__init__(party, [mpyc.runtime.Party(n, _HOST, first_port + n) for n in range(parties)], options)
        for user in _USERS:
            user.runtime = self
        self.folder, self.sent, self.is_closing = folder, 0, False
        self.certified = {ssl.PEM_cert_to_DER_cert((folder / f"P{n}.pem").read_text()): n for n in range(parties)}
        self.broken: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(lambda _, context: self.fail(context.get("exception")))
        fraction = max(numbers.fraction, numbers.bits - numbers.fraction - 1)
        self.fixed = self.SecFxp(numbers.bits - numbers.fraction + fraction, fraction)

    def until_done(self, work: Coroutine[Any, Any, _Made]) -> _Made:
        """What the party's work comes to.

        Raises:
            LostParty: another party is gone.
        """
        try:
            return self._loop.run_until_complete(self._unless_broken(work))
        except RuntimeError:  # MPyC stops the loop where a computation of its own fails
            if self.broken.done() and (cause := self.broken.exception()):
                raise cause from None
            raise

    async def _unless_broken(self, work: Coroutine[Any, Any, _Made]) -> _Made:
        task = asyncio.ensure_future(work)
        reports = asyncio.ensure_future(self._report())
        both: list[asyncio.Future[Any]] = [task, self.broken]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        reports.cancel()
        if not task.done():
            self.broken.result()
        return task.result()

    async def _report(self) -> None:
        """Write down now and then for whom this party waits, so that at a deadline it is known who was slow."""
        while True:
            (self.folder / WAITING).write_text(json.dumps([peer.pid for peer in self.parties if self._waits_for(peer)]))
            await asyncio.sleep(REPORT_SECONDS)

    def _waits_for(self, peer: mpyc.runtime.Party) -> bool:
        """Whether a party is not there yet, or a message of it."""
        if peer.pid == self.pid:
            return False
        return peer.protocol is None or any(isinstance(each, asyncio.Future) for each in peer.protocol.buffers.values())

    def fail(self, error: BaseException | None) -> None:
        """End this party's work; the first reason counts."""
        if not self.broken.done():
            self.broken.set_exception(error or RunFailed("something went wrong between parties"))

    async def start(self) -> None:
        """Connect to all others: parties listen for those before them.

        Raises:
            OSError: this party's port is taken.
            LostParty: what listens at another party's port is not that party.
        """
        all_there = self._loop.create_future()
        for peer in self.parties:
            peer.protocol = all_there if peer.pid == self.pid else None
        context = self._context(ssl.PROTOCOL_TLS_SERVER, range(self.pid))
        port = self.parties[self.pid].port
        server = await self._loop.create_server(lambda: _Exchanger(self), _HOST, port, ssl=context)
        for peer in self.parties[self.pid + 1 :]:
            await self._connect(peer.pid, peer.port)
        await all_there
        server.close()

    async def _connect(self, peer: int, port: int) -> None:
        context = self._context(ssl.PROTOCOL_TLS_CLIENT, [peer])
        while True:
            try:
                await self._loop.create_connection(lambda: _Exchanger(self, peer), _HOST, port, ssl=context)
            except ConnectionRefusedError:
                await asyncio.sleep(_RETRY_SECONDS)  # it is not there yet; the job's deadline ends this
            except OSError as error:
                raise LostParty(peer) from error
            else:
                return

    def _context(self, side: int, peers: Iterable[int]) -> ssl.SSLContext:
        """For connections to these parties alone: only their certificates are trusted."""
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # a certificate is trusted for itself, not for a name
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.folder / f"P{self.pid}.pem", self.folder / f"P{self.pid}.key")
        for peer in peers:
            context.load_verify_locations(self.folder / f"P{peer}.pem")
        return context

    async def shutdown(self) -> None:
        """Wait until all are done, then close connections."""
        self.is_closing = True
        self.sent = sum(peer.protocol.nbytes_sent for peer in self.parties if peer.pid != self.pid)
        self.start_time = time.time()  # MPyC logs how long ago that was
        await super().shutdown()

    def shared(self, values: np.ndarray, *, whole: bool = False) -> list[Any]:
        """Everybody's array, by party, as shared numbers. All parties call this with arrays of one shape.

        whole: integers, which multiply without rounding. Left to itself, MPyC would look at the values, and a party
        with whole numbers by chance would wait for others forever.
        """
        fraction = self.fixed.frac_length
        scaled = _integers(values) << fraction if whole else _integers(np.rint(values * 2.0**fraction))
        return self.input(self.fixed.array(self.fixed.field.array(scaled), integral=whole))

    def shared_by(self, party: int, values: np.ndarray, fixed: type) -> Any:
        """One party's array, as shared numbers of a type (`SecFxp`). The others call this with any of its shape."""
        scaled = _integers(np.rint(values * 2.0**fixed.frac_length))  # type: ignore[attr-defined]
        numbers = fixed.array(fixed.field.array(scaled), integral=False)  # type: ignore[attr-defined]
        return self.input(numbers, senders=party)

    async def opened(self, made: Any, shape: Shape) -> np.ndarray:
        """An output, shared or known already, for everybody: float64 in one dimension."""
        values = await self.output(made) if isinstance(made, self.SecureObject) else made
        numbers = np.asarray(values, dtype=np.float64).reshape(-1)
        return np.rint(numbers) if shape.whole else numbers


class _Exchanger(asyncoro.MessageExchanger):
    """A connection. A party that connects is who its certificate says."""

    __slots__ = ("certified",)

    def connection_made(self, transport: Any) -> None:
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.certified = self.runtime.certified.get(certificate)
        if self.certified is None:
            transport.abort()  # one that a party's certificate vouches for is not that party's
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.peer_pid not in (None, self.certified):
            self.runtime.fail(RunFailed(f"party {self.certified} said that it is party {self.peer_pid}"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the party is gone, however
        if self.runtime.is_closing:
            self.runtime.unset_protocol(self.certified)
        elif self.certified is not None:
            self.runtime.fail(LostParty(self.certified))
