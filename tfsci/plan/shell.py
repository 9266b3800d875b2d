"""Reads a shell script as far as a launch script goes, and runs nothing.

Understood are assignments, `export`, quotes over several lines, continued lines, `$NAME`,
`${NAME:-default}`, `$((…))`, arrays, here-documents, `if` with simple tests, and `bash -c "…"`.
What a command would print is not known, and empty.
"""

import ast
import operator
import re
from dataclasses import dataclass, field

from tfsci.plan.shell_words import (
    ASSIGNMENT,
    closing_bracket,
    double_quoted,
    end_of,
    statements,
)

# Characters that a script may have, and that all it fills in may grow to; real ones have thousands.
_LONGEST, _MOST = 10**6, 10**7
_NAME = re.compile(r"[A-Za-z_]\w*")
_HEADER = re.compile(r"#(SBATCH|BSUB|PBS|COBALT|\$)\s+(.*)")
_ARRAY = re.compile(r"\$\{\w+\[@\]\}")
_DECLARES = ("export", "declare", "local", "readonly", "typeset")
_SHELLS = ("bash", "sh", "zsh")


@dataclass
class Script:
    """What a script says.

    Attributes:
        headers: Options of the scheduler, each with the scheduler's word: ``("SBATCH", "-N 4")``.
        variables: Their values at the end.
        commands: All commands that are not passed over, as words.
        documents: Here-documents with the command that they go to, variables filled in.
        grown: Characters that were filled in.
    """

    headers: list[tuple[str, str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    documents: list[tuple[list[str], str]] = field(default_factory=list)
    grown: int = 0


def read(text: str, environ: dict[str, str] | None = None) -> Script:
    """Reads a script.

    Args:
        text: The script.
        environ: Variables that the scheduler sets.

    Raises:
        ValueError: It is no text that a shell could read, or too long.
    """
    if "\0" in text:
        raise ValueError("not a text: it has a zero byte")
    script = Script(variables=dict(environ or {}))
    for line in text.splitlines():
        if header := _HEADER.match(line.strip()):
            script.headers.append((header[1], header[2].split(" #")[0].strip()))
    _Reader(script).read(text)
    return script


class _Reader:
    """Goes through a script once."""

    def __init__(self, script: Script, depth: int = 0):
        self.script, self.depth = script, depth
        self.taken: list[str] = []  # of each `if` around: "yes", "no" or "done"

    def read(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"too long: {len(text):,} characters; launch scripts have thousands")
        for words, document in statements(text):
            self._statement(words, document)

    def _statement(self, words: list[str], document: str | None) -> None:
        while words and words[0] in ("then", "do", "else", "elif", "fi", "{", "}", "time", "!"):
            word, words = words[0], words[1:]
            if word == "else" and self.taken:
                self.taken[-1] = "yes" if self.taken[-1] == "no" else "done"
            elif word == "elif" and self.taken:
                if self.taken[-1] == "no":
                    self.taken[-1] = "yes" if self._holds(words) else "no"
                else:
                    self.taken[-1] = "done"
                return
            elif word == "fi" and self.taken:
                self.taken.pop()
        if not words:
            return
        if words[0] == "if":
            active = all(state == "yes" for state in self.taken)
            self.taken.append("yes" if active and self._holds(words[1:]) else "no")
            return
        if any(state != "yes" for state in self.taken):
            return
        if words[0] in ("for", "while", "until", "case", "esac", "done", "function"):
            return
        if document is not None:
            self.script.documents.append((self._expand_all(words), self._inside(document)))
        self._command(words)

    def _command(self, words: list[str]) -> None:
        declares = words[0] in _DECLARES
        for index, word in enumerate(words[1:] if declares else words):
            if match := ASSIGNMENT.match(word):
                self._assign(match[1], word[match.end() :], bool(match[2]))
            elif not declares:
                words = words[index:]
                break
        else:
            return
        expanded = self._expand_all(words)
        self.script.commands.append(expanded)
        if expanded[:1] == ["eval"] and self.depth < 5:
            _Reader(self.script, self.depth + 1).read(" ".join(expanded[1:]))
        for index, word in enumerate(expanded[:-2]):
            shell = word.rsplit("/", 1)[-1] in _SHELLS
            if shell and re.fullmatch(r"-\w*c", expanded[index + 1]) and self.depth < 5:
                _Reader(self.script, self.depth + 1).read(expanded[index + 2])

    def _assign(self, name: str, value: str, adds: bool) -> None:
        if value.startswith("(") and value.endswith(")"):
            words = [word for words, _ in statements(value[1:-1]) for word in words]
            value = " ".join(self._expand_all(words))
            before = f"{self.script.variables.get(name, '')} " if adds else ""
        else:
            value = "".join(part for part, _ in self._pieces(value))
            before = self.script.variables.get(name, "") if adds else ""
        self.script.variables[name] = self._bounded(before + value)

    def _expand_all(self, words: list[str]) -> list[str]:
        """Returns words with their variables filled in and split where they are not quoted."""
        done = []
        for word in words:
            made, open_word = [""], False
            for part, quoted in self._pieces(word):
                if quoted:
                    made[-1] += part
                    open_word = True
                    continue
                first, *rest = re.split(r"\s+", part)
                made[-1] += first
                made += rest
            done += [part for part in made if part or (open_word and len(made) == 1)]
            self._bounded("".join(made))
        return done

    def _pieces(self, word: str) -> list[tuple[str, bool]]:
        """Returns the parts of a word, without quotes, and whether each was quoted."""
        parts, index = [], 0
        while index < len(word):
            char = word[index]
            if char == "'":
                end = end_of(word, index + 1, "'")
                parts.append((word[index + 1 : end], True))
                index = end + 1
            elif char == '"':
                end = double_quoted(word, index)
                array = _ARRAY.fullmatch(word, index + 1, end - 1)  # "${A[@]}" is its words
                parts.append((self._inside(word[index + 1 : end - 1]), not array))
                index = end
            elif char == "\\":
                parts.append((word[index + 1 : index + 2].replace("\n", ""), True))
                index += 2
            elif char in "$`":
                value, index = self._dollar(word, index)
                parts.append((value, False))
            else:
                start = index
                while index < len(word) and word[index] not in "'\"\\$`":
                    index += 1
                parts.append((word[start:index], True))
        return parts

    def _inside(self, text: str) -> str:
        """Returns what is between double quotes, filled in."""
        made, index = [], 0
        while index < len(text):
            char = text[index]
            if char == "\\" and text[index + 1 : index + 2] in ("\n", '"', "\\", "$", "`"):
                made.append(text[index + 1].replace("\n", ""))
                index += 2
            elif char in "$`":
                value, index = self._dollar(text, index)
                made.append(value)
            else:
                made.append(char)
                index += 1
        return self._bounded("".join(made))

    def _dollar(self, text: str, index: int) -> tuple[str, int]:
        """Returns the value of what begins with $ or `, and where it ends."""
        if text[index] == "`":
            end = end_of(text, index + 1, "`")
            return self._printed(text[index + 1 : end]), end + 1
        if text.startswith("$((", index):
            end = closing_bracket(text, index + 1, "(", ")")
            return self._arithmetic(text[index + 3 : end - 2]), end
        if text.startswith("$(", index):
            end = closing_bracket(text, index + 1, "(", ")")
            return self._printed(text[index + 2 : end - 1]), end
        if text.startswith("${", index):
            end = closing_bracket(text, index + 1, "{", "}")
            return self._parameter(text[index + 2 : end - 1]), end
        name = _NAME.match(text, index + 1)
        if name:
            return self.script.variables.get(name[0], ""), name.end()
        if text[index + 1 : index + 2].isdigit() or text[index + 1 : index + 2] in tuple("@*#?$!-"):
            return "", index + 2
        return "$", index + 1

    def _parameter(self, inside: str) -> str:
        match = re.match(
            r"(\w+)(?:\[[@*\d]+\])?(?:(:?[-=+?])(.*)|(#|%|/|:|,|\^).*)?$", inside, re.DOTALL
        )
        if not match:
            return ""
        value = self.script.variables.get(match[1], "")
        if match[2] in (":-", "-", ":=", "="):
            known = match[1] in self.script.variables and (value or ":" not in match[2])
            return value if known else "".join(part for part, _ in self._pieces(match[3]))
        if match[2] in (":+", "+"):
            return "".join(part for part, _ in self._pieces(match[3])) if value else ""
        return value

    def _arithmetic(self, expression: str) -> str:
        filled = _NAME.sub(
            lambda name: self.script.variables.get(name[0], "") or "0", self._inside(expression)
        )
        return calculate(filled)

    def _printed(self, command: str) -> str:
        """Returns what a command prints, of the few where the script itself tells."""
        if re.search(r"wc\s+-l.*(PBS_NODEFILE|LSB_DJOB_HOSTFILE)|(PBS_NODEFILE).*wc\s+-l", command):
            return self.script.variables.get("NODES_OF_THE_JOB", "")
        if re.search(r"scontrol show hostnames?.*wc\s+-l", command):
            return self.script.variables.get("NODES_OF_THE_JOB", "")
        if match := re.match(r"\s*(?:expr|echo)\s+([^|;]*?)(?:\|\s*bc\s*)?$", command):
            filled = self._inside(match[1]).replace('"', "").replace("\\", "")
            return calculate(filled) or filled
        return ""

    def _holds(self, words: list[str]) -> bool:
        """Whether a test holds; one that is not understood does not."""
        words = [
            word
            for word in self._expand_keeping(words)
            if word not in ("[", "]", "[[", "]]", "test")
        ]
        match words:
            case ["-n", value]:
                return bool(value)
            case ["-z", value]:
                return not value
            case [left, "=" | "==", right]:
                return left == right
            case [left, "!=", right]:
                return left != right
            case [left, "-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le" as how, right]:
                try:
                    return getattr(operator, how[1:])(int(left), int(right))
                except ValueError:
                    return False
        return False

    def _expand_keeping(self, words: list[str]) -> list[str]:
        return ["".join(part for part, _ in self._pieces(word)) for word in words]

    def _bounded(self, text: str) -> str:
        self.script.grown += len(text)
        if self.script.grown > _MOST:
            raise ValueError("its variables grow beyond millions of characters")
        return text


_OPERATIONS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.floordiv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


def calculate(expression: str) -> str:
    """Returns the value of whole numbers with + - * / %, as text; empty where it is none."""
    if len(expression) > 200 or not re.fullmatch(r"[\d\s+\-*/%()]+", expression):
        return ""

    def value(node: ast.AST) -> int:
        match node:
            case ast.Expression():
                return value(node.body)
            case ast.Constant(value=int(number)) if abs(number) < 10**18:
                return number
            case ast.BinOp() if type(node.op) in _OPERATIONS:
                result = _OPERATIONS[type(node.op)](value(node.left), value(node.right))
                if abs(result) < 10**18:
                    return result
            case ast.UnaryOp(op=ast.USub()):
                return -value(node.operand)
        raise ValueError

    try:
        number = re.sub(r"\b0+(?=\d)", "", expression.strip())
        return str(value(ast.parse(number, mode="eval")))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return ""
