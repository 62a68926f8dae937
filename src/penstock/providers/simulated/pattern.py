"""A text that matches a regular expression, for the `pattern` of a JSON schema.

Understood is what schemas use: literals, classes, groups, alternatives, repeats, `^` in front and `$` at the end.
All else (look-around, back-references, named classes) is refused rather than answered wrongly.
"""

from __future__ import annotations

import string

from penstock.providers.simulated.chance import Dice

__all__ = ["PatternError", "text_matching"]

_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " ",
    "D": string.ascii_letters,
    "W": "-",
    "S": string.ascii_letters + string.digits,
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_ANY = string.ascii_lowercase + string.digits
_PRINTABLE = string.ascii_letters + string.digits + " !#%&'()*+,-./:;<=>?@_~\"$[]^{|}\\"
_MAX_LENGTH = 10_000
_MAX_DEPTH = 40


class PatternError(ValueError):
    """A pattern that no text can be made for here."""


def text_matching(pattern: str, dice: Dice) -> str:
    """A text that the pattern matches as a whole.

    Raises:
        PatternError: the pattern is not valid, not understood, or asks for too much.
    """
    maker = _Maker(pattern, dice)
    text = maker.alternatives(0)
    if maker.at < len(pattern):
        raise PatternError(f"unbalanced ')' at {maker.at}")
    return text


class _Maker:
    """Reads the pattern once from left to right and writes the text as it goes."""

    def __init__(self, pattern: str, dice: Dice) -> None:
        self.pattern = pattern
        self.dice = dice
        self.at = 0
        self.made = 0

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise PatternError("the pattern ends too early")
        self.at += 1
        return char

    def alternatives(self, depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise PatternError("groups too deep")
        texts = [self._sequence(depth)]
        while self._peek() == "|":
            self.at += 1
            texts.append(self._sequence(depth))
        return self.dice.choice(texts)

    def _sequence(self, depth: int) -> str:
        text = ""
        if depth == 0 and self._peek() == "^":
            self.at += 1
        while self._peek() not in ("", "|", ")"):
            if self._peek() == "$" and depth == 0 and self.pattern[self.at + 1 : self.at + 2] in ("", "|"):
                self.at += 1
                break
            start = self.at
            first = self._atom(depth)
            low, high = self._repeat()
            end, text = self.at, text + self._repeated(start, first, self.dice.between(low, high), depth)
            self.at = end
            if len(text) > _MAX_LENGTH:
                raise PatternError("a text that long is not made here")
        return text

    def _repeated(self, start: int, first: str, count: int, depth: int) -> str:
        """`count` texts for the atom at `start`, each made anew: `\\d{3}` is seldom three times the same digit."""
        if count * max(1, len(first)) > _MAX_LENGTH:
            raise PatternError("a text that long is not made here")
        texts = [first][:count]
        while len(texts) < count:
            self.at = start
            texts.append(self._atom(depth))
        return "".join(texts)

    def _repeat(self) -> tuple[int, int]:
        char = self._peek()
        if char not in ("*", "+", "?", "{"):
            return 1, 1
        self.at += 1
        low, high = {"*": (0, 3), "+": (1, 4), "?": (0, 1), "{": (0, 0)}[char]
        if char == "{":
            low, high = self._counts()
        if self._peek() in ("?", "+"):
            self.at += 1
        return low, high

    def _counts(self) -> tuple[int, int]:
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at : max(end, self.at)].partition(",")
        if not low.isdigit() or (high and not high.isdigit()) or len(low + high) > 8:
            raise PatternError(f"a repeat at {self.at} that is not understood")
        self.at = end + 1
        least = int(low)
        most = least if not comma else min(int(high), least + 3) if high else least + 3
        if most < least:
            raise PatternError(f"a repeat at {self.at} from more to less")
        return least, most

    def _atom(self, depth: int) -> str:
        self.made += 1
        if self.made > _MAX_LENGTH:  # repeats of repeats of nothing
            raise PatternError("a text that long is not made here")
        char = self._take()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self.dice.choice(self._class())
        if char == "\\":
            return self.dice.choice(self._escape())
        if char == ".":
            return self.dice.choice(_ANY)
        if char in "*+?{^$":
            raise PatternError(f"'{char}' at {self.at - 1} is not understood there")
        return char

    def _group(self, depth: int) -> str:
        if self._peek() == "?":
            if self.pattern[self.at : self.at + 2] != "?:":
                raise PatternError(f"the group at {self.at - 1} is not understood")
            self.at += 2
        text = self.alternatives(depth + 1)
        if self._take() != ")":
            raise PatternError("a group without its end")
        return text

    def _escape(self) -> str:
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "u":
            digits = self.pattern[self.at : self.at + 4]
            self.at += 4
            if len(digits) == 4 and all(digit in string.hexdigits for digit in digits):
                return chr(int(digits, 16))
        elif not char.isalnum():
            return char
        raise PatternError(f"the escape '\\{char}' is not understood")

    def _class(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self.at += 1
        letters = ""
        while not letters or self._peek() != "]":
            low = self._member()
            if len(low) == 1 and self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                low = self._range(low, self._member())
            letters += low
        self.at += 1
        if negated:
            letters = "".join(letter for letter in _PRINTABLE if letter not in letters)
        if not letters:
            raise PatternError("a class of no letters")
        return letters

    def _member(self) -> str:
        char = self._take()
        if char == "[" and self._peek() == ":":
            raise PatternError("named classes are not understood")
        return self._escape() if char == "\\" else char

    def _range(self, low: str, high: str) -> str:
        if len(high) != 1 or ord(high) < ord(low):
            raise PatternError(f"the range at {self.at} is not valid")
        last = min(ord(high), ord(low) + 255)
        return "".join(map(chr, range(ord(low), last + 1)))
