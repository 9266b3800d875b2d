"""Where the statements and words of a shell script begin and end."""

import re
from collections.abc import Iterator

_DEEPEST = 100
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)


def statements(text: str) -> Iterator[tuple[list[str], str | None]]:
    """Yields the words of each statement as they stand, and its here-document if it has one."""
    words, word, index = [], "", 0
    marks: list[str] = []  # of here-documents that begin with the next line
    while index <= len(text):
        char = text[index] if index < len(text) else "\n"
        if char in "'\"`$\\" and index < len(text):
            end = _skip(text, index)
            if text[index:end] != "\\\n":
                word += text[index:end]
            elif word:
                words.append(word)
                word = ""
            index = end
            continue
        if char == "(" and ASSIGNMENT.fullmatch(word):
            end = closing_bracket(text, index, "(", ")")
            word += text[index:end]
            index = end
            continue
        if char == "#" and not word:
            while index < len(text) and text[index] != "\n":
                index += 1
            continue
        if text.startswith("<<", index) and not text.startswith("<<<", index):
            match = re.compile(r"<<-?\s*(['\"]?)([\w.-]+)\1").match(text, index)
            if match:
                marks.append(match[2])
                if word:
                    words.append(word)
                    word = ""
                index = match.end()
                continue
        if char in " \t\r\n;|&()<>":
            if word:
                words.append(word)
                word = ""
            redirects = char in "<>" or (char == "&" and text[index - 1 : index] in (">", "<"))
            if char in "\n;|&" and not redirects:
                document = None
                index += 1
                if marks and char != "\n":  # `cat << EOF | …`: the document comes after the line
                    continue
                for mark in marks:
                    document, index = _document(text, index, mark)
                marks = []
                if words:
                    yield words, document
                    words = []
                continue
            index += 1
            continue
        word += char
        index += 1


def _document(text: str, index: int, mark: str) -> tuple[str, int]:
    """Returns a here-document and where it ends."""
    lines = []
    while index < len(text):
        end = text.find("\n", index)
        end = len(text) if end < 0 else end
        line = text[index:end]
        index = end + 1
        if line.strip() == mark:
            break
        lines.append(line)
    return "\n".join(lines), index


def _skip(text: str, index: int) -> int:
    """Returns where what begins with a quote, $ or a backslash ends."""
    match text[index]:
        case "'":
            return end_of(text, index + 1, "'") + 1
        case '"':
            return double_quoted(text, index)
        case "`":
            return end_of(text, index + 1, "`") + 1
        case "\\":
            return min(index + 2, len(text))
    if text.startswith("$(", index):
        return closing_bracket(text, index + 1, "(", ")")
    if text.startswith("${", index):
        return closing_bracket(text, index + 1, "{", "}")
    return index + 1


def double_quoted(text: str, index: int) -> int:
    """Returns where a double-quoted text ends, its closing quote among it."""
    index += 1
    while index < len(text) and text[index] != '"':
        if text[index] == "\\":
            index += 2
        elif text.startswith(("$(", "${"), index):
            index = _skip(text, index)
        else:
            index += 1
    return index + 1


def closing_bracket(text: str, index: int, opening: str, closing: str) -> int:
    """Returns where the bracket that opens at `index` has closed."""
    depth = 0
    while index < len(text):
        if text[index] == "\\":
            index += 1
        elif text[index] == "'" and opening == "(":
            index = end_of(text, index + 1, "'")
        elif text[index] == opening:
            depth += 1
            if depth > _DEEPEST:
                raise ValueError("its brackets are nested too deeply")
        elif text[index] == closing:
            depth -= 1
            if not depth:
                return index + 1
        index += 1
    return len(text) + 1


def end_of(text: str, index: int, mark: str) -> int:
    """Returns where a mark is; the end of the text where it is missing."""
    end = text.find(mark, index)
    return len(text) if end < 0 else end
