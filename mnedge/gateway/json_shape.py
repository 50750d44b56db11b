"""How deep a JSON text is nested and how many keys it has, seen while it arrives.

Loses: what stands behind the first MiB; whoever reads such a body bounds it himself.
"""

import re

DEEPEST = 64
MOST_KEYS = 10_000
LOOKED_AT_BYTES = 1 << 20
_TOKENS = re.compile(rb'[{}\[\]:"\\]')


class JsonShape:
    """Takes pieces of a text, until it is too deep or has too many keys."""

    def __init__(self, *, count_keys: bool = True) -> None:
        self._count_keys = count_keys
        self._seen = 0
        self._openings = 0
        self._colons = 0
        self._kept: list[bytes] = []
        self.why = ""
        """Why a piece was not taken."""

    def takes(self, piece: bytes) -> bool:
        """Tell whether the text so far is of a shape that is taken."""
        if self._seen >= LOOKED_AT_BYTES:
            self._kept.clear()
            return True
        self._seen += len(piece)
        # Counting also what stands in strings is cheap and never too little.
        self._openings += piece.count(b"{") + piece.count(b"[")
        self._colons += piece.count(b":")
        self._kept.append(piece)
        few = not self._count_keys or self._colons <= MOST_KEYS
        return (self._openings <= DEEPEST and few) or self._really()

    def _really(self) -> bool:
        """Look at what came with strings left out."""
        depth = deepest = keys = 0
        text = b"".join(self._kept)
        self._kept = [text]
        inside, skip = False, -1
        for token in _TOKENS.finditer(text):
            at, char = token.start(), token.group()
            if at == skip:
                continue
            if inside:
                if char == b"\\":
                    skip = at + 1
                elif char == b'"':
                    inside = False
                continue
            match char:
                case b'"':
                    inside = True
                case b"{" | b"[":
                    depth += 1
                    deepest = max(deepest, depth)
                case b"}" | b"]":
                    depth -= 1
                case b":":
                    keys += 1
                case _:
                    pass
        if deepest > DEEPEST:
            self.why = f"the document is nested more than {DEEPEST} deep"
        elif self._count_keys and keys > MOST_KEYS:
            self.why = f"the document has more than {MOST_KEYS} keys"
        return not self.why
