"""A transport that ends an answer which grows beyond its bound."""

from collections.abc import AsyncIterator

import httpx2


class AnswerTooLarge(httpx2.TransportError):
    """An answer was larger than its bound."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._stream:
            read += len(part)
            if read > self._most:
                raise AnswerTooLarge(f"an answer has at most {self._most} bytes")
            yield part

    async def aclose(self) -> None:
        """Lets go of the connection."""
        await self._stream.aclose()


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends by another transport; answers have at most ``most`` bytes, and come uncompressed.

    Args:
        inner: sends.
        most: bytes of an answer's body.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, most: int) -> None:
        self._inner, self._most = inner, most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Returns the answer to a request; its body fails where it is too large.

        Raises:
            AnswerTooLarge: it is compressed: small bytes may hold a large text.
        """
        request.headers["accept-encoding"] = "identity"
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            raise AnswerTooLarge("a compressed answer was not asked for")
        if isinstance(answer.stream, httpx2.AsyncByteStream):
            answer.stream = _BoundedStream(answer.stream, self._most)
        return answer

    async def aclose(self) -> None:
        """Closes the other transport."""
        await self._inner.aclose()
