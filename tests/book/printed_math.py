r"""Read the equations of the book as they are printed, and turn them into SymPy.

`chains` finds a display in a chapter, by its label or by how it begins, and splits it into chains
of equals, each a list of TeX strings. `Reader` turns such a string into a SymPy expression. So a
test works on the very line that the reader sees: a wrong sign there fails, and a line in a notation
that is not understood here is refused rather than guessed at.

What a reader of the book knows and a parser does not is passed in as `meanings`, from the name of
a symbol or of a density to an expression or to TeX. Sums run over numbers, so indices and
dimensions are numbers (`indices`). `\E` and `\KL` are what the test says.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import sympy as sp

BOOK = Path(__file__).parents[2] / "book"

POSITIVE = ["alpha", "beta", "sigma", "lambda", "tau", "SNR", "D", "d", "A"]
"""Bases of symbols that stand for positive numbers; all others are real."""

GREEK = ["alpha", "beta", "epsilon", "eta", "kappa", "lambda", "mu", "sigma", "tau", "theta"]
GREEK += ["varphi", "phi", "omega"]

IGNORED = re.compile(
    r"\\(?:left|right|[bB]ig|q?quad)(?![a-zA-Z])"
    r"|\\(?:begin|end)\{aligned\}|\\\\(?:\[\dex\])?|\\[,;! ]|&|\{\}"
)
TOKEN = re.compile(r"\s*(\\[a-zA-Z]+|\d+(?:\.\d+)?|[a-zA-Z]|[-+*/^_(){}\[\]=,'|.;])\s*")
OPEN, CLOSE = "({[", ")}]"


def display(page: str, key: str) -> str:
    """TeX between the dollars: the display labelled `key`, or the only one that begins with it."""
    text = (BOOK / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^\$\$\n(.*?)\n\$\$(?: \((eq-[\w-]+)\))?$", text, re.MULTILINE | re.DOTALL)
    start = re.sub(r"\s+", " ", key)
    found = [
        tex
        for tex, label in blocks
        if label == key or (key[:3] != "eq-" and re.sub(r"\s+", " ", tex).startswith(start))
    ]
    assert len(found) == 1, f"{page}.md has {len(found)} displays for {key!r}"
    return found[0]


def inline(page: str, tex: str) -> str:
    """Return `tex` if it stands between single dollars in the chapter, and fail if it does not."""
    text = re.sub(r"\s+", " ", (BOOK / f"{page}.md").read_text(encoding="utf-8"))
    assert f"${tex}$" in text, f"{page}.md does not print ${tex}$"
    return tex


def chains(tex: str) -> list[list[str]]:
    r"""Split TeX into statements at \qquad, \quad and free commas, and each of them at =."""
    found = []
    for statement in _split(
        re.sub(r"\\(?:begin|end)\{(?:aligned|gathered)\}", "", tex), [",", r"\qquad", r"\quad"]
    ):
        statement = statement.strip().rstrip(".").strip()
        if statement and not statement.startswith(r"\text"):
            found.append([part.strip() for part in _split(statement, ["="])])
    return found


def _split(tex: str, separators: list[str]) -> list[str]:
    parts, depth, start, i = [], 0, 0, 0
    while i < len(tex):
        command = re.match(r"\\(?:[a-zA-Z]+|.)", tex[i:], re.DOTALL)
        token = command[0] if command else tex[i]
        depth += {"lVert": 1, "rVert": -1}.get(token[1:], 0)
        depth += (token in OPEN) - (token in CLOSE)
        if token in separators and depth == 0:
            parts.append(tex[start:i])
            start = i + len(token)
        i += len(token)
    return [*parts, tex[start:]]


def definitions(page: str, key: str) -> dict[str, str]:
    """What a display defines: the first part of each chain, as a name, means the last one."""
    return {name(chain[0]): chain[-1] for chain in chains(display(page, key))}


def name(tex: str) -> str:
    """Write a symbol or a density in the one way in which `Reader` looks it up."""
    return "".join(TOKEN.findall(IGNORED.sub(" ", tex))).replace(r"\operatorname{SNR}", "SNR")


class Reader:
    """Turn TeX into SymPy.

    Parameters
    ----------
    meanings
        What symbols and densities stand for, by name: an expression, or TeX that is read in turn.
    indices
        Values of the indices and of the dimensions that sums run to; `s` is `t` - 1.
    vectors
        Names of symbols that are vectors. A norm is a sum over their components.
    mean
        What the mean of an expression is; the argument is the expression. The default is the
        expression itself, for lines that are equal draw by draw.
    divergence
        What the divergence of two densities is, given both; by default the log of their quotient.
    """

    def __init__(
        self,
        meanings: Mapping[str, object] | None = None,
        indices: Mapping[str, int] | None = None,
        vectors: tuple[str, ...] = (),
        mean: Callable[[sp.Expr], sp.Expr] = lambda inside: inside,
        divergence: Callable[[sp.Expr, sp.Expr], sp.Expr] = lambda q, p: sp.log(q / p),
    ) -> None:
        self.meanings = {name(key): value for key, value in (meanings or {}).items()}
        self.indices = dict(indices or {})
        self.vectors = {name(vector) for vector in vectors}
        self.mean, self.divergence = mean, divergence
        self.component: int | None = None
        self.braced: dict[str, sp.Expr] = {}  # what stands above a brace, by the name below it
        self.tokens: list[str] = []
        self.at = 0

    def __call__(self, tex: str) -> sp.Expr:
        """Read one expression; ValueError names what is not understood."""
        if name(tex) in self.meanings:
            return self._meaning(name(tex))
        saved = self.tokens, self.at
        stripped = IGNORED.sub(" ", tex)
        if TOKEN.sub("", stripped).strip():
            raise ValueError(f"cannot read {TOKEN.sub('', stripped).strip()!r} in {tex!r}")
        self.tokens, self.at = TOKEN.findall(stripped), 0
        value = self._sum()
        if self.at < len(self.tokens):
            raise ValueError(f"cannot read {self.tokens[self.at :]} in {tex!r}")
        self.tokens, self.at = saved
        return value

    # ---- tokens

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._next()
        if not token or (expected is not None and token != expected):
            raise ValueError(f"expected {expected}, got {token!r} in {' '.join(self.tokens)!r}")
        self.at += 1
        return token

    def _group(self) -> list[str]:
        """Take the tokens of one argument: what braces or parentheses hold, or a single token."""
        first = self._take()
        if first not in OPEN:
            return [first]
        depth, tokens = 1, []
        while depth:
            token = self._take()
            depth += (token in OPEN) - (token in CLOSE)
            tokens.append(token)
        return tokens[:-1]

    def _read(self, tokens: list[str]) -> sp.Expr:
        return self(" ".join(tokens))

    # ---- grammar: sums of products of powers

    def _sum(self) -> sp.Expr:
        total = sp.Integer(0)
        sign = 1
        if self._next() in ("-", "+"):
            sign = -1 if self._take() == "-" else 1
        while True:
            total += sign * self._product()
            if self._next() not in ("-", "+"):
                return total
            sign = -1 if self._take() == "-" else 1

    def _product(self) -> sp.Expr:
        value = self._power()
        while self._next() and self._next() not in ("+", "-", ",", *CLOSE, r"\rVert"):
            if self._next() in (r"\cdot", r"\odot"):
                self._take()
            if self._next() == "/":
                self._take()
                value /= self._power()
            else:
                value *= self._power()
        return value

    def _power(self) -> sp.Expr:
        value = self._atom()
        if self._next() == "^":
            self._take()
            value = value ** self._read(self._group())
        return value

    def _atom(self) -> sp.Expr:
        token = self._next()
        if token.isdigit():
            self._take()
            return sp.Integer(token)
        if token in ("(", "[", "{"):
            return self._read(self._group())
        reader = {
            r"\frac": self._fraction,
            r"\tfrac": self._fraction,
            r"\sqrt": lambda: sp.sqrt(self._read(self._group())),
            r"\cos": lambda: sp.cos(self._atom()),
            r"\sin": lambda: sp.sin(self._atom()),
            r"\log": self._log,
            r"\lVert": self._squared_norm,
            r"\underbrace": self._underbrace,
            r"\sum": self._series,
            r"\E": self._mean,
            r"\KL": lambda: self.divergence(self._read(self._group()), self._read(self._group())),
            r"\text": lambda: sp.Symbol("".join(self._group())),
            r"\pi": lambda: sp.pi,
        }.get(token)
        if reader:
            self._take()
            return reader()
        return self._symbol()

    def _fraction(self) -> sp.Expr:
        top = self._fraction_part()
        return top / self._fraction_part()

    def _fraction_part(self) -> sp.Expr:
        token = self._next()
        if token.isdigit() and len(token) > 1:  # \frac12 is a half
            self.tokens[self.at : self.at + 1] = list(token)
        return self._read(self._group())

    def _log(self) -> sp.Expr:
        # log (a) b is a product with a log; log 2 pi is the log of a product.
        return sp.log(self._power() if self._next() in ("(", "[") else self._product())

    def _squared_norm(self) -> sp.Expr:
        tokens = []
        while self._next() != r"\rVert":
            tokens.append(self._take())
        for expected in (r"\rVert", "^", "2"):
            self._take(expected)
        total = sp.Integer(0)
        for component in range(1, self.indices["D"] + 1):
            self.component = component
            total += self._read(tokens) ** 2
        self.component = None
        return total

    def _underbrace(self) -> sp.Expr:
        value = self._read(self._group())
        self._take("_")
        self.braced["".join(self._group())] = value
        return value

    def _series(self) -> sp.Expr:
        self._take("_")
        index, equals, *first = self._group()
        if equals != "=":
            raise ValueError(f"a sum over {index} needs ends, got {equals!r}")
        self._take("^")
        last = int(self._read(self._group()))
        start, total, end = self.at, sp.Integer(0), self.at
        outer = dict(self.indices)
        # One round more than there are terms, so that an empty sum is read over as well.
        for value in range(int(self._read(first)), max(last, int(self._read(first))) + 1):
            self.at = start
            self.indices[index] = value
            if index == "t":
                self.indices["s"] = value - 1
            term = self._product()
            total += term if value <= last else 0
            end = self.at
        self.at, self.indices = end, outer
        return total

    def _mean(self) -> sp.Expr:
        if self._next() == "_":
            self._take()
            self._group()
        return self.mean(self._read(self._group()))

    # ---- symbols and densities

    def _symbol(self) -> sp.Expr:
        accent = self._take() if self._next() in (r"\bar", r"\tilde", r"\hat") else ""
        base = "".join(self._group()) if self._next() == "{" else self._take()
        if base == r"\operatorname":
            base = "".join(self._group())
        if not re.fullmatch(r"[a-zA-Z]|SNR|\\(L|" + "|".join(GREEK) + ")", base):
            raise ValueError(f"cannot read {base!r} in {' '.join(self.tokens)!r}")
        parts = self._subscript() if self._next() == "_" else []
        symbol = accent + base
        if base in ("p", "q", r"\L") and self._next() == "(":
            return self._density(_indexed(symbol, parts))
        if symbol in self.indices and not parts:
            return sp.Integer(self.indices[symbol])
        return self._number_named(symbol, parts, base)

    def _subscript(self) -> list[str]:
        self._take("_")
        parts = "".join(self._group()).split(",")
        return [str(self.indices.get(part, part)) for part in parts]

    def _number_named(self, symbol: str, parts: list[str], base: str) -> sp.Expr:
        whole = _indexed(symbol, parts)
        arguments = "".join(self.tokens[self.at : self._closing()]) if self._next() == "(" else ""
        if re.fullmatch(r"\(x_\w(,t)?", arguments) and symbol.startswith(r"\hat"):
            self._group()  # a guess is always one at what was seen
        elif "," in arguments:
            whole += f"({self._resolve(self._group())})"
            if whole not in self.meanings:
                raise ValueError(f"what is {whole}?")
        if self.component is not None and whole in self.vectors and whole not in self.meanings:
            whole = _indexed(symbol, [*parts, str(self.component)])
        if whole in self.meanings:
            return self._meaning(whole)
        positive = base.lstrip("\\") in POSITIVE
        return sp.Symbol(whole, positive=True) if positive else sp.Symbol(whole, real=True)

    def _closing(self) -> int:
        depth = 0
        for place in range(self.at, len(self.tokens)):
            depth += (self.tokens[place] in OPEN) - (self.tokens[place] in CLOSE)
            if depth == 0:
                return place
        raise ValueError(f"a parenthesis stays open in {' '.join(self.tokens)!r}")

    def _density(self, symbol: str) -> sp.Expr:
        whole = f"{symbol}({self._resolve(self._group())})"
        if whole in self.meanings:
            return self._meaning(whole)
        return sp.Symbol(whole, positive=True)

    def _resolve(self, tokens: list[str]) -> str:
        """Join the tokens, with the values of the indices in the subscripts."""
        joined, place = "", 0
        while place < len(tokens):
            joined += tokens[place]
            if tokens[place] == "_" and place + 1 < len(tokens):
                place += 1
                joined += str(self.indices.get(tokens[place], tokens[place]))
            place += 1
        return joined

    def _meaning(self, whole: str) -> sp.Expr:
        meaning = self.meanings[whole]
        return self(meaning) if isinstance(meaning, str) else sp.sympify(meaning)


def _indexed(symbol: str, parts: list[str]) -> str:
    if not parts:
        return symbol
    joined = ",".join(parts)
    return (
        f"{symbol}_{joined}" if len(joined) == 1 or joined[0] == "\\" else f"{symbol}_{{{joined}}}"
    )


def vanishes(difference: sp.Expr) -> bool:
    """Whether an expression is zero, proved by SymPy."""
    difference = sp.expand_log(sp.expand(difference), force=True)
    ways = (sp.expand, _numerator, _logs_of_fractions, sp.simplify)  # the quick ones first
    return any(way(difference) == 0 for way in ways)


def _numerator(expression: sp.Expr) -> sp.Expr:
    return sp.expand(sp.fraction(sp.together(expression))[0])


def _logs_of_fractions(expression: sp.Expr) -> sp.Expr:
    """Write each log as one of a numerator less one of a denominator."""

    def split(argument: sp.Expr) -> sp.Expr:
        top, bottom = (sp.expand(part) for part in sp.fraction(sp.together(argument)))
        return sp.log(top) - sp.log(bottom)

    return sp.simplify(expression.replace(sp.log, split))


def assert_chain(reader: Reader, parts: list[str], free_of: sp.Symbol | None = None) -> None:
    """Prove that neighbours in a chain are equal, or differ by what does not contain `free_of`."""
    assert len(parts) > 1, f"{parts} claims nothing"
    read = [(part, reader(part)) for part in parts]
    for (left, a), (right, b) in pairwise(read):
        difference = sp.diff(a - b, free_of) if free_of is not None else a - b
        assert vanishes(difference), (
            f"{left}\n  is not\n{right}\n  they differ by {sp.simplify(a - b)}"
        )
