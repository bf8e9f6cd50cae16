"""Docker's API: HTTP on a Unix socket, and the stream of an attached container (docs.docker.com/engine/api).

Docker's own client for Python takes some milliseconds a request, which would be in what is measured. What is here is
the standard library's HTTP client on another kind of socket.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from runtimes.base import InstanceError

_PATIENCE = 60.0
"""Seconds that the daemon may take for any answer."""

_HEADER = struct.Struct(">BxxxI")
"""Before each part of an attached container's output: which stream it is of, and bytes."""

_STDERR = 2
_NO_CONTENT, _UPGRADED, _FAILED, _NOT_FOUND = 204, 101, 300, 404


class ApiError(InstanceError):
    """The daemon refuses a request, or does not answer.

    Attributes:
        status: of the HTTP answer; 0 where there was none.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """The API of one daemon; several threads may use it, as every request has a connection of its own."""

    def __init__(self, path: Path) -> None:
        """``path`` is that of its socket."""
        self._path = str(path)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - whatever JSON can hold
        *,
        timeout: float = _PATIENCE,
        **query: str,
    ) -> Any:  # noqa: ANN401 - likewise
        """Send a request and wait for the answer.

        Args:
            method: of HTTP.
            path: of the resource, from the daemon's root; its newest version of the API is meant.
            body: what is sent as JSON, or a binary file that is sent as it is.
            timeout: seconds.
            query: its parameters.

        Returns:
            The answer's JSON, or None if it has none.

        Raises:
            ApiError: the daemon refuses, with its own words, or does not answer.
        """
        with self.asked(method, path, body, timeout=timeout, **query) as answer:
            return answer.wait()

    @contextmanager
    def asked(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - likewise
        *,
        timeout: float = _PATIENCE,
        **query: str,
    ) -> Iterator[Answer]:
        """The same, with the answer still to be waited for."""
        connection = _Connection(self._path, timeout)
        what = "remove" if method == "DELETE" else path.rpartition("/")[2]
        headers = {}
        if body is not None and not hasattr(body, "read"):
            body, headers = json.dumps(body), {"Content-Type": "application/json"}
        try:
            try:
                connection.request(method, f"{path}?{urlencode(query)}" if query else path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                raise _unanswered(what, error) from error
            yield Answer(connection, what)
        finally:
            connection.close()

    @contextmanager
    def attached(self, container: str, errors: BinaryIO, timeout: float) -> Iterator[AttachedStream]:
        """Be attached to a container's standard input and output, before it is started.

        Args:
            container: its id.
            errors: where its standard error goes.
            timeout: seconds until the daemon has agreed.

        Raises:
            ApiError: the daemon refuses.
        """
        connection = _Connection(self._path, timeout)
        path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        try:
            try:
                connection.request("POST", path, headers={"Connection": "Upgrade", "Upgrade": "tcp"})
                response = connection.getresponse()
                if response.status != _UPGRADED:
                    raise _refused("attach", response.status, response.read())
            except (OSError, http.client.HTTPException) as error:
                raise _unanswered("attach", error) from error
            # Nothing of the stream is in the response's buffer: the container does not run yet.
            yield AttachedStream(connection.sock, errors)
        finally:
            connection.close()


class Answer:
    """An answer that is still to come."""

    def __init__(self, connection: _Connection, what: str) -> None:
        self._connection = connection
        self._what = what

    def fileno(self) -> int:
        """To be polled: readable when the answer has begun."""
        return int(self._connection.sock.fileno())

    def wait(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """Wait for it; see :meth:`Api.ask`.

        Args:
            timeout: seconds; None for as many as the request was given.
        """
        if timeout is not None:
            self._connection.sock.settimeout(timeout)
        try:
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _unanswered(self._what, error) from error
        if response.status >= _FAILED:
            raise _refused(self._what, response.status, content)
        if response.status == _NO_CONTENT or not content:
            return None
        # Long work is told of step by step, one object a line; the last is what came of it.
        answer = json.loads(content.splitlines()[-1])
        if isinstance(answer, dict) and "errorDetail" in answer:
            raise ApiError(f"docker: {self._what}: {answer['errorDetail'].get('message')}", response.status)
        return answer


class AttachedStream:
    """The standard input and output of a container, as the agent's client wants a stream.

    Where there is no terminal, the daemon sends standard output and error by one connection, in parts with a header
    each ("Stream format" of the API's attach). They are put apart here on the thread that reads, so that no other is
    waited for.
    """

    def __init__(self, sock: socket.socket, errors: BinaryIO) -> None:
        self._sock = sock
        self._errors = errors
        self._header = bytearray()
        self._left = 0
        self._kind = 0
        self.settimeout = sock.settimeout
        self.send = sock.send
        self.shutdown = sock.shutdown
        self.fileno = sock.fileno
        self.close = sock.close

    def recv(self, size: int, /) -> bytes:
        """The next bytes of standard output, at most ``size``; none at its end."""
        while True:
            if self._left:
                data = self._sock.recv(min(size, self._left))
                self._left -= len(data)
                if data and self._kind == _STDERR:
                    self._errors.write(data)
                    self._errors.flush()
                    continue
                return data
            piece = self._sock.recv(_HEADER.size - len(self._header))
            if not piece:
                return b""
            self._header += piece
            if len(self._header) == _HEADER.size:
                self._kind, self._left = _HEADER.unpack(self._header)
                self._header.clear()


def wait_for_word(stream: AttachedStream, answer: Answer, deadline: float) -> bool:
    """Wait until a container that is being started says something.

    Args:
        stream: attached to it.
        answer: to the request to start it.
        deadline: seconds on CLOCK_MONOTONIC.

    Returns:
        Whether the answer has been waited for, as it came first.

    Raises:
        ApiError: it could not be started.
    """
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    poll.register(answer, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(time_left(deadline) * 1000)}
    if stream.fileno() in ready or answer.fileno() not in ready:
        return False
    answer.wait(time_left(deadline))
    return True


def time_left(deadline: float) -> float:
    """Seconds until a time of CLOCK_MONOTONIC; a moment where it has passed, as none is no limit to a socket."""
    return max(deadline - time.monotonic(), 1e-3)


def is_unknown(error: ApiError) -> bool:
    """Whether the daemon does not know what a request is about."""
    return error.status == _NOT_FOUND


def _refused(what: str, status: int, content: bytes) -> ApiError:
    try:
        message = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        message = content.decode(errors="replace").strip() or f"status {status}"
    return ApiError(f"docker: {what}: {message}", status)


def _unanswered(what: str, error: Exception) -> ApiError:
    return ApiError(f"docker: {what}: no answer from the daemon: {error}", 0)
