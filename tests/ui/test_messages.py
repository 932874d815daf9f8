"""Every message that a user can meet is in docs/messages.md, and nothing else is; failures are told as promised there.

The messages are read from the code itself: the texts that stand where the tables below say that texts stand.
"""

import ast
import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from faults import reactions
from faults.scripted import ScriptedServer
from servers import PASSWORD, USER

import async_mirror
from async_mirror.engine import Exit
from async_mirror.ftp.session import connect
from async_mirror.jobs import compare, recover
from async_mirror.model.candidates import Candidates
from async_mirror.model.outcome import Failure, Pending, Problem
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options.credentials import find_login
from async_mirror.remote.errors import ConnectionBroken, ConnectionRefused, Refusal
from async_mirror.remote.session import RemoteSession
from async_mirror.ui.log_output import JsonLines
from async_mirror.ui.report import SAME_PROBLEM_SHOWN, Report

PACKAGE = Path(async_mirror.__file__).parent
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/messages.md"
EXIT_CODES = "Exit codes"

# How the code says it. Places are written as `module.name`, `*` for any module.

TEXTS: dict[str, int | str | tuple[int, ...]] = {
    # calls, by the end of their name, and which argument is a text for people: its position (or positions), its keyword
    "*.UsageError": 0,
    "*.ConfigError": 0,
    "*.Failed": 0,
    "*.ClickException": 0,
    "*.ValueError": 0,
    "*.StateError": 0,
    "*.ReplyError": 0,
    "*.ConnectionBroken": 0,
    "*.ConnectionRefused": 0,
    "*.ConnectionResetError": 0,
    "*.LoginFailed": 0,
    "*.SiteUnusable": 0,
    "*.Untrusted": (0, 1),
    "*.distrust": 0,
    "*.untrusted": 0,
    "*.RootMissing": 0,
    "*.WrongSite": 0,
    "*.Refusal": 0,
    "*.Failure": 2,
    "*.note": 0,
    "*.warn": 0,
    "*.halt": 0,
    "*.trouble": 0,
    "*.say": 0,
    "*.break_off": 0,
    "*.prompt": 0,
    "*.SendFile": 2,
    "*.RemoveFile": 1,
    "*.RemoveFolder": 1,
    "*.change._replace": "why",
    "*.WorkerDied": 0,
    "*.crew.end": 2,
    "apply.failed": 1,
    "apply.skipped": 0,
    "transfer.__init__": 0,
    "transfer._explain": 1,
    "logs.print": 0,
    "parameters.fail": 0,
    "report._tell": 2,
    "state.__init__": 0,
}
WORDERS = {  # functions that make texts for people: all their words count
    "config._unknown",
    "counts._parts",
    "health.complaint",
    "health.praise",
    "login._connect",
    "login._first_command",
    "names.refusal",
    "plan.why_sent",
    "report._sentence",
    "report._next_pass",
    "request._missing",
    "request.caution_about",
    "request.warnings_about",
    "state._unusable",
    "tls.<module>",
    "tls._why",
    "tls.untrusted",
    "state.open_to_others",
}
PASSED_ON = {  # what such calls hand on as it is, and where it is from
    "apply: detail": "`failed` hands on what it is given",
    "apply: error.strerror or str(error)": "the operating system",
    "apply: error.told": "where the connection was given up",
    "apply: what": "where the WorkerDied was raised",
    "apply: refusal.told": "where the refusal was raised",
    "cli: warning": "request.warnings_about and state.open_to_others",
    "cli: str(error)": "where the error was raised",
    "control: str(error)": "where the ReplyError was raised",
    "control: why": "`break_off` hands on what it is given",
    "engine: _told(error)": "where the error was raised",
    "engine: str(error)": "where the StateError was raised",
    "one_pass: done.error": "what broke, in Python's words",
    "options: str(error)": "where the error was raised",
    "parameters: str(error)": "where the UsageError was raised",
    "report: note": "the notes of an outcome, which are constants",
    "report: reason": "the operating system",
    "report: described(change)": "wording.described: paths, sizes, and why",
    "report: shown(text)": "`note`, `warn`, `trouble` and `say` hand on what they are given",
    "report: text": "`halt` hands on what it is given",
    "request: str(error)": "where the UsageError was raised",
    "state: check": "SQLite, of a damaged database",
    "tls: whose": "`distrust` hands on what it is given",
    "survey: broken.told": "where the connection was given up",
    "survey: refusal.told": "where the refusal was raised",
    "transfer: str(doubt)": "where the Untrusted was made",
    "transfer: what": "`_explain` hands on what it is given",
}
NEVER_SHOWN = {  # texts of these kinds that no user meets, and why
    "a command must not hold CR, LF or NUL": "names and settings are looked at before a command is made of them",
    "SITE CHMOD may take the name for another one": "the mode is set in another way, or counts as not set",
    "it was closed": "nobody waits on a connection that is being closed",
    "it was not to be opened": "whoever opens it is told what kept it from being opened",
    "another way is tried": "whoever opens it goes on with another connection",
    "it was only looked at": "nobody else has anything to do with such a connection",
    "its certificate is not to be trusted": "whoever opens it is told what is wrong with it",
    "made folder": "a key of Counts",
    "removed folder": "a key of Counts",
    "try again": "a Verdict, for who reads the code",
    "too many sessions: try with fewer": "a Verdict, for who reads the code",
    "trying again does not help": "a Verdict, for who reads the code",
}
WITHOUT_TEXT = {  # errors that are raised with something else than a text
    "ContentFailedError": "carries the operating system's error to where the file is read",
    "DamagedStateError": "makes its own text",
    "OSError": "has the operating system's text",
    "LedElsewhere": "has that of the Untrusted that it stands for",
    "Refused": "makes its own text",
    "UnreadableLineError": "is caught where the listing is read, which then counts as cut",
}
OTHER_WORDS = {  # where sentences stand that are no messages
    "*.TextLines": "how a line is laid out",
    "*.Option": "help",
    "*.command": "help",
    "*.compile": "a regular expression",
    "*.execute": "SQL",
    "*.executescript": "SQL",
    "*.phase": "what the display calls a phase",
    "activity.begin": "what the display calls a phase",
    "cli.main": "what stands before and behind a message of wrong use",
    "cli.show_config": "a line of a configuration file",
    "config._checked": "what kind of value is wanted",
    "config._wanted": "what kind of value is wanted",
    "demo": "what the demonstration tells about itself",
    "frame": "what is going on, while it is",
    "ftp._settle_in": "FTP",
    "options.<module>": "the headings of the help",
    "request._places": "where a password is from",
    "request.setting_line": "a line of a configuration file",
    "hosts.<module>": "SQL",
    "state.<module>": "SQL",
    "state._below": "SQL",
    "watch.<module>": "what a connection does, in the display and in the log of -v",
}


def words(text: str) -> int:
    return sum(bool(re.search("[A-Za-z]{2}", word)) for word in text.split())


def normal(text: str) -> str:
    """Return a text as a row has it: `…` and blanks once, and nothing that only joins it to what goes before."""
    return re.sub("…+", "…", " ".join(text.split())).removeprefix("; ")


def literal(node: ast.AST) -> str | None:
    """Return the text of a literal, with `…` for what is put into it; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)
        case _:
            return None


class Module:
    """One module, read for what it says.

    `texts` are its messages, those that have a name among them (`constants`); `passed_on` is what it hands on, as
    `module: expression`, `sentences` all its other literals of some words, `raised` the errors that it raises, `used`
    what of the tables above it has.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.tree = ast.parse(source)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.passed_on: set[str] = set()
        self.constants: set[str] = set()
        self.sentences: set[str] = set()
        self.raised: set[str] = set()
        self.used: set[str] = set()
        self.texts = {normal(text) for text in self._texts() if words(text) > 1}

    def _texts(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                for argument in self._arguments(node):
                    yield from self._resolved(argument)
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                self.raised.add(ast.unparse(node.exc.func).rpartition(".")[2])
            elif isinstance(node, ast.Assign) and (text := literal(node.value)) and self._names_for_others(node):
                self.constants |= self._names_for_others(node)
                yield text
            if text := self._sentence(node):
                yield from self._by_place(node, text)

    def _arguments(self, call: ast.Call) -> Iterator[ast.expr]:
        """Yield the arguments of a call that are texts for people."""
        for place, which in TEXTS.items():
            module, _, end = place.partition(".")
            if module in {"*", self.name} and f".{ast.unparse(call.func)}".endswith(f".{end}"):
                positions = (which,) if isinstance(which, int) else which if isinstance(which, tuple) else ()
                found = [argument for position, argument in enumerate(call.args) if position in positions]
                found += [keyword.value for keyword in call.keywords if keyword.arg == which]
                self.used |= {place for _ in found}
                yield from found

    def _resolved(self, node: ast.expr, names: frozenset[str] = frozenset()) -> Iterator[str]:
        """Yield the texts that an expression may be, and those that its own function puts into them."""
        if isinstance(node, ast.IfExp):
            yield from self._resolved(node.body, names)
            yield from self._resolved(node.orelse, names)
        elif (text := literal(node)) is not None:
            yield text
            for part in ast.walk(node):
                if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
                    yield from filter(None, map(literal, self._values(part.value)))
        elif isinstance(node, ast.Name) and node.id not in names and (values := self._values(node)):
            for value in values:
                yield from self._resolved(value, names | {node.id})
        elif not self._is_worded(node):
            self.passed_on.add(f"{self.name}: {ast.unparse(node)}")

    def _is_worded(self, node: ast.expr) -> bool:
        """Tell whether an expression asks a function whose words count anyway."""
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        return bool({called, f"{self.name}.{called}"} & WORDERS)

    def _values(self, name: ast.Name) -> list[ast.expr]:
        """Return all that a name is assigned in its function, else in the module; both sides of a condition apart."""
        functions = (node for node in self._above(name) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        nearest = next(functions, self.tree)
        return self._assigned(name, ast.walk(nearest)) or self._assigned(name, self.tree.body)

    def _assigned(self, name: ast.Name, nodes: Iterable[ast.AST]) -> list[ast.expr]:
        values = []
        for node in nodes:
            if isinstance(node, ast.Assign) and name.id in {ast.unparse(target) for target in node.targets}:
                match node.value:
                    case ast.IfExp(body=one, orelse=other):
                        values += [one, other]
                    case value:
                        values.append(value)
        return values

    def _names_for_others(self, node: ast.Assign) -> set[str]:
        """Return the names by which a module or a class (as with `advice`) lets others use a constant."""
        is_constant = isinstance(self.parents[node], ast.Module | ast.ClassDef)
        names = {ast.unparse(target) for target in node.targets if is_constant}
        return {name for name in names if not name.startswith("_")}

    def _sentence(self, node: ast.AST) -> str | None:
        """Return the text of a literal of some words; None for docstrings and parts of a longer one."""
        text = literal(node)
        inside = ast.Expr | ast.JoinedStr | ast.FormattedValue | ast.Assert
        return text if text and words(text) > 1 and not isinstance(self.parents[node], inside) else None

    def _by_place(self, node: ast.AST, text: str) -> Iterator[str]:
        """Take a sentence for what it is by where it stands."""
        places = self._places(node)
        self.used |= places & (WORDERS | OTHER_WORDS.keys())
        if places & WORDERS:
            yield text
        elif not places & OTHER_WORDS.keys() and words(text) > 2:
            self.sentences.add(normal(text))

    def _places(self, node: ast.AST) -> set[str]:
        """Return the names of where a node stands: its module, its functions, the calls that it is an argument of."""
        places = {self.name}
        for above in self._above(node):
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
                places.add(f"{self.name}.{above.name}")
            elif isinstance(above, ast.Call):
                places.add(f"*.{ast.unparse(above.func).rpartition('.')[2]}")
        return (
            places if any(place.startswith(f"{self.name}.") for place in places) else {*places, f"{self.name}.<module>"}
        )

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node


@cache
def package() -> list[Module]:
    return [Module(path.stem, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.glob("*.py"))]


@cache
def messages() -> set[str]:
    """Return all messages of the code, shown or not."""
    kinds = (text for problem in Problem for text in (str(problem), problem.advice))
    return {*chain.from_iterable(module.texts for module in package()), *kinds}


# What the document says.


@cache
def rows() -> list[tuple[str, list[str]]]:
    """Return the rows of all tables: the heading that they stand under, and their cells."""
    found = []
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
            if cells and not cells[0].startswith(("message", "code", "kind")):
                found.append((heading, cells))
    return found


def quoted(cell: str) -> str | None:
    """Return what a cell quotes if it is a quotation and nothing else."""
    found = re.fullmatch(r"(`+)(.+)\1", cell)
    return found[2] if found and found[1] not in found[2] else None


def told() -> list[str]:
    """Return all messages that have a row."""
    cells = chain.from_iterable(cells for heading, cells in rows() if heading != EXIT_CODES)
    return [text for cell in cells if (text := quoted(cell))]


def test_every_message_has_a_row() -> None:
    assert messages() - NEVER_SHOWN.keys() - set(told()) == set()


def test_every_row_is_of_a_message_that_the_code_has() -> None:
    assert set(told()) - messages() == set()


def test_no_message_has_two_rows() -> None:
    assert sorted(told()) == sorted(set(told()))


def test_what_is_never_shown_has_no_row() -> None:
    assert NEVER_SHOWN.keys() & set(told()) == set()


def test_every_row_quotes_a_message_and_explains_it() -> None:
    for _, cells in rows():
        assert quoted(cells[0]), cells
        assert all(cells), cells
        assert len(cells) >= 2, cells
        assert re.fullmatch(r"\W*[A-Z`].*[.!]", next(cell for cell in cells[1:] if not quoted(cell))), cells


def test_every_message_is_one_line() -> None:
    for module in package():
        assert [text for text in module.texts if "\n" in text] == []


def test_kinds_of_failures_stand_beside_the_advice_that_comes_with_them() -> None:
    table = {quoted(cells[0]): quoted(cells[2]) for _, cells in rows() if len(cells) == 3 and quoted(cells[2])}
    assert table == {str(problem): problem.advice for problem in Problem}


def test_exit_codes_are_those_of_the_program() -> None:
    table = {int(quoted(cells[0]) or -1): quoted(cells[1]) for heading, cells in rows() if heading == EXIT_CODES}
    signals = {130: "interrupted", 143: "interrupted"}
    assert table == {code.value: code.name.lower() for code in Exit} | signals


# That nothing is out of sight.


def test_every_message_can_be_read_from_the_code() -> None:
    handed_on = set(chain.from_iterable(module.passed_on for module in package()))
    constants = {name for module in package() for name in module.constants}
    assert {each for each in handed_on if each.partition(": ")[2] not in constants} == PASSED_ON.keys()


def test_every_error_that_is_raised_has_a_text_or_a_reason_for_none() -> None:
    raised = {name for module in package() for name in module.raised if not name.startswith("_")}
    with_text = {place.rpartition(".")[2] for place in TEXTS}
    assert raised - with_text - WITHOUT_TEXT.keys() == set()
    assert WITHOUT_TEXT.keys() <= raised


def test_every_sentence_of_the_code_is_a_message_or_known_to_be_none() -> None:
    sentences = set(chain.from_iterable(module.sentences for module in package()))
    assert sentences - messages() == set()


def test_nothing_is_listed_that_the_code_no_longer_has() -> None:
    used = set(chain.from_iterable(module.used for module in package()))
    assert (TEXTS.keys() | WORDERS | OTHER_WORDS.keys()) - used == set()
    assert NEVER_SHOWN.keys() - messages() == set()


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("report.note('the sky is green')", {"the sky is green"}),
        ("report.note(f'the sky {over} is {colour}{shade}')", {"the sky … is …"}),
        ("report.note('the sky ' 'is green')", {"the sky is green"}),
        ("report.note('it is night' if dark else 'it is day')", {"it is night", "it is day"}),
        ("why = 'the sky fell'\nreport.note(why)", {"the sky fell"}),
        ("why = 'it is night' if dark else 'it is day'\nreport.note(f'closed: {why}')", {"it is night", "it is day"}),
        ("_WHY = 'the sky fell'\ndef tell():\n    report.note(_WHY)", {"the sky fell"}),
        ("raise Refusal('the sky is green', reply.text)", {"the sky is green"}),
        ("raise Untrusted('the sky is green', 'look up at noon', reply.text)", {"the sky is green", "look up at noon"}),
        ("Failure(path, Problem.REFUSED, 'the sky is green', True)", {"the sky is green"}),
        ("class New(RemoteError):\n    advice = 'look up at noon'", {"look up at noon"}),
        ("NO_SKY = 'this server has no sky'", {"this server has no sky"}),
    ],
)
def test_message_is_found_however_it_is_written(line: str, texts: set[str]) -> None:
    assert Module("new", line).texts == texts


@pytest.mark.parametrize(
    ("line", "noticed"),
    [
        ("report.note(colour_of(sky))", "passed_on"),
        ("report.note('the sky is ' + colour)", "passed_on"),
        ("raise Refusal(text)", "passed_on"),
        ("raise SkyFellError('it fell')", "raised"),
        ("tell('the sky is green')", "sentences"),
        ("def why():\n    return f'the sky {over} is green'", "sentences"),
    ],
)
def test_message_that_cannot_be_found_is_noticed(line: str, noticed: str) -> None:
    assert len(getattr(Module("new", line), noticed)) == 1


# How failures are told.


class Heard(logging.Handler):
    """Keeps the records of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def lines(self, event: str, least: int = logging.WARNING) -> list[str]:
        """Return what was told of an event, verb and all."""
        return [
            record.getMessage()
            for record in self.records
            if record.levelno >= least and getattr(record, "event", "") == event
        ]

    def objects(self, event: str) -> list[dict[str, object]]:
        """Return what the log in JSON says of an event."""
        found = [json.loads(JsonLines().format(record)) for record in self.records]
        return [each for each in found if each["event"] == event]


@pytest.fixture
def heard() -> Iterator[Heard]:
    log = logging.getLogger("async_mirror")
    handler = Heard()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture
def report() -> Report:
    report = Report()
    report.begin()
    return report


EVIL = "\x1b[2J\x07\r\nEVIL\u202e"
ESCAPED = r"\x1b[2J\x07\x0d\x0aEVIL\u202e"


def refused(path: str, reply: str = "550 Permission denied") -> Failure:
    return Failure(path, Problem.REFUSED, Refusal("the server answered STOR with", reply).told)


def test_failure_tells_path_problem_and_reply_with_its_code(heard: Heard, report: Report) -> None:
    report.failure(refused("pictures/a b.jpg"))
    assert heard.lines("failed") == [
        "failed   pictures/a b.jpg  was refused: the server answered STOR with: 550 Permission denied"
    ]


def test_path_and_reply_cannot_write_on_the_terminal(heard: Heard, report: Report) -> None:
    report.failure(refused(f"a{EVIL}b\udcff", f"550 no{EVIL}"))
    assert heard.lines("failed") == [
        rf"failed   a{ESCAPED}b\xff  was refused: the server answered STOR with: 550 no{ESCAPED}"
    ]
    report.again(refused(f"a{EVIL}b", f"450 wait{EVIL}"), 1.0, 0)
    report.waiting(ConnectionRefused("host:21 has too many clients", f"421 full{EVIL}"), 1.0)
    report.trouble(f"the server closed the connection: 421 bye{EVIL}")
    report.note(f"the folder {EVIL} is gone")
    report.warn(f"others can read {EVIL}")
    for record in heard.records:
        assert not re.search("[\x00-\x1f\x7f\u202e]", record.getMessage()), record.getMessage()
        assert "EVIL" in record.getMessage() or getattr(record, "event", "") == "advice"


def test_repeated_failures_of_one_kind_are_folded(heard: Heard, report: Report) -> None:
    for number in range(SAME_PROBLEM_SHOWN + 214):
        report.failure(refused(f"file {number}"))
    report.failure(Failure("other", Problem.UNREADABLE, "Permission denied"))
    assert len(heard.lines("failed")) == SAME_PROBLEM_SHOWN + 1
    assert len(heard.lines("failed", logging.DEBUG)) == SAME_PROBLEM_SHOWN + 214 + 1
    report.end("partly", 1, None)
    assert heard.lines("failed")[SAME_PROBLEM_SHOWN + 1 :] == ["failed   and 214 more paths: was refused"]
    assert "FAILED: 234 x was refused, 1 x could not be read" in heard.lines("pass")[0]


def test_as_many_failures_as_are_shown_are_not_folded(heard: Heard, report: Report) -> None:
    for number in range(SAME_PROBLEM_SHOWN):
        report.failure(refused(f"file {number}"))
    report.end("partly", 1, None)
    assert [line for line in heard.lines("failed") if "more path" in line] == []
    report.begin()
    for number in range(SAME_PROBLEM_SHOWN + 1):
        report.failure(refused(f"file {number}"))
    report.end("partly", 1, None)
    assert heard.lines("failed")[-1] == "failed   and 1 more path: was refused"


def test_paths_below_a_folder_that_was_refused_crowd_out_no_failure(heard: Heard, report: Report) -> None:
    report.failure(refused("folder"))
    for number in range(SAME_PROBLEM_SHOWN + 5):
        report.not_tried(f"folder/{number}")
    report.failure(Failure("in the way", Problem.NOT_TRIED, "something of another kind has this name on the site"))
    assert [line.split("  ")[1].strip() for line in heard.lines("failed")] == ["folder", "in the way"]
    report.end("partly", 1, None)
    assert heard.lines("failed")[-1] == f"failed   and {SAME_PROBLEM_SHOWN + 5} more paths: was not tried"


def test_advice_comes_once_for_each_kind_and_pass(heard: Heard, report: Report) -> None:
    for _ in range(2):
        heard.records.clear()
        report.begin()
        for number in range(30):
            report.failure(refused(f"file {number}"))
            report.failure(Failure(f"other {number}", Problem.BUSY))
        assert heard.lines("advice") == [
            f"advice   what was refused: {Problem.REFUSED.advice}",
            f"advice   what kept changing while it was sent: {Problem.BUSY.advice}",
        ]


def test_log_in_json_has_path_problem_and_detail_apart(heard: Heard, report: Report) -> None:
    report.failure(refused(f"a{EVIL}b", f"550 no{EVIL}"))
    (failure,) = heard.objects("failed")
    assert failure["level"] == "error"
    assert failure["path"] == f"a{ESCAPED}b"
    assert failure["problem"] == "was refused"
    assert failure["detail"] == f"the server answered STOR with: 550 no{ESCAPED}"
    assert failure["text"] == f"a{ESCAPED}b  was refused: the server answered STOR with: 550 no{ESCAPED}"
    (advice,) = heard.objects("advice")
    assert (advice["problem"], advice["level"]) == ("was refused", "error")
    report.trouble("no more")
    report.end("partly", 1, None)
    (ending,) = heard.objects("pass")
    assert ending["failures"] == {"was refused": 1}
    assert ending["first_failures"] == [
        {"path": failure["path"], "problem": failure["problem"], "detail": failure["detail"]}
    ]


def test_waiting_for_a_connection_tells_what_the_server_said(heard: Heard, report: Report) -> None:
    report.waiting(ConnectionRefused("host:21 has too many clients", "421 Come back later"), 2.0)
    told = "host:21 has too many clients: 421 Come back later; trying again in 2.0 s"
    assert heard.lines("waiting", logging.INFO) == [f"waiting  {told}"]
    assert report.activity.waiting == told


def test_hostile_reply_does_not_fill_the_log() -> None:
    told = ConnectionBroken("the server spoke unasked", "220 " + "x" * 4_000_000).told
    assert told.startswith("the server spoke unasked: 220 xxx")
    assert len(told) < 2000


def test_password_is_not_told_by_whoever_cannot_read_it(tmp_path: Path) -> None:
    logins = tmp_path / "netrc"
    logins.write_text("machine elsewhere login me password nothing\nmachine host login me password my s3cret word\n")
    with pytest.raises(UsageError, match=f"the logins in {logins} cannot be read: line 2 ") as caught:
        find_login(Site("ftp", "host", 21, "me", ""), (), {"NETRC": str(logins)})
    assert "s3cret" not in str(caught.value)


# What a session says of a refusal.


def in_session(server: ScriptedServer, ask: Callable[[RemoteSession], Awaitable[Failure | None]]) -> Failure | None:
    async def talk() -> Failure | None:
        site = Site("ftp", "127.0.0.1", server.port, USER, "")
        session = await connect(site, PASSWORD, timeout_seconds=5)
        try:
            return await ask(session)
        finally:
            await session.close()

    return asyncio.run(talk())


def test_refused_listing_tells_what_was_asked() -> None:
    async def ask(session: RemoteSession) -> Failure | None:
        return (await compare.compare(session, compare.Compare("pictures", ()))).failure

    with ScriptedServer() as server:
        server.put(b"/pictures/1.jpg", b"content")
        server.on("MLSD", reactions.say(b"450 Not now."), times=reactions.ALWAYS)
        failure = in_session(server, ask)
    assert failure == Failure("pictures", Problem.REFUSED, "the server answered MLSD with: 450 Not now.", True)


def test_refusal_in_clearing_up_tells_so() -> None:
    async def ask(session: RemoteSession) -> Failure | None:
        return (await recover.settle(session, Pending("a.txt", Candidates((None,)), None, ("left behind",)))).failure

    with ScriptedServer() as server:
        server.put(b"/left behind", b"half")
        server.on("DELE", reactions.permission_denied, times=reactions.ALWAYS)
        failure = in_session(server, ask)
    detail = "while what an earlier run left there was looked at, the server answered DELE with: 550 Permission denied."
    assert failure == Failure("a.txt", Problem.REFUSED, detail)
