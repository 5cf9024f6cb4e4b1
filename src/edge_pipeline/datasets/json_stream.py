"""Read a large JSON object piece by piece, so that memory holds one piece and not the file."""

import codecs
import json
from collections.abc import Iterator
from typing import IO, Any

_BLOCK = 1 << 22
_SPACE = " \t\r\n"


class MalformedJsonError(ValueError):
    """The text is not JSON, or ends too early; says where."""


def pieces(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield what a JSON object holds, in its order: (key, element) for each element of a list, else (key, value).

    A list without elements is yielded as (key, []).

    Raises:
        MalformedJsonError: the file is not a JSON object in UTF-8.
    """
    text = _Text(file)
    text.expect("{")
    if text.skip("}"):
        return text.end()
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise text.error("a key in quotes is expected")
        text.expect(":")
        if text.skip("["):
            if text.skip("]"):
                yield key, []
            else:
                yield key, text.value()
                while text.skip(","):
                    yield key, text.value()
                text.expect("]")
        else:
            yield key, text.value()
        if not text.skip(","):
            text.expect("}")
            return text.end()


class _Text:
    """A window on the text of a file that moves forward."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._window, self._at, self._ended = "", 0, False
        self._passed, self._lines = 0, 0

    def skip(self, character: str) -> bool:
        """Step over `character` if it comes next, after any space."""
        if self._next() != character:
            return False
        self._at += 1
        return True

    def expect(self, character: str) -> None:
        """Step over `character`, which must come next."""
        if not self.skip(character):
            raise self.error(f"`{character}` is expected")

    def end(self) -> None:
        """Go on if nothing but space is left."""
        if self._next():
            raise self.error("the end of the file is expected")

    def value(self) -> Any:
        """Step over a value and return it."""
        self._next()
        while True:
            try:
                value, end = self._parse(self._window, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                if not self._more():
                    message = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
                    self._at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
                    raise self.error(message) from error
                continue
            if end < len(self._window) or not self._more():  # a number may go on behind the window
                self._at = end
                return value

    def error(self, what: str) -> MalformedJsonError:
        """Return the error to raise at the present position."""
        line = self._lines + self._window.count("\n", 0, self._at) + 1
        if self._at >= len(self._window) and self._ended:
            return MalformedJsonError(f"it ends too early, in line {line}")
        return MalformedJsonError(f"line {line}, character {self._passed + self._at + 1} of the file: {what}")

    def _next(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            window, at = self._window, self._at
            while at < len(window) and window[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(window):
                return window[at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Drop what was read, and read as much again as is left, at least a block."""
        if self._ended:
            return False
        block = self._file.read(max(_BLOCK, len(self._window) - self._at))
        self._ended = not block
        try:
            fresh = self._decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            raise MalformedJsonError(f"it is not text in UTF-8: {error.reason}") from error
        self._passed += self._at
        self._lines += self._window.count("\n", 0, self._at)
        self._window, self._at = self._window[self._at :] + fresh, 0
        return True
