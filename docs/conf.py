"""Turns the pages of this folder into a site and a man page; `docs/build` calls Sphinx with it."""

import inspect
import re
from collections.abc import Iterator

import click
from sphinx.application import Sphinx

from async_mirror import __version__

project = "async-mirror"
author = "the async-mirror authors"
version = release = __version__
project_copyright = author

extensions = ["myst_parser", "sphinx_click"]
exclude_patterns = ["rapport"]
myst_heading_anchors = 3
smartquotes = False  # of `--` in running text it would make a dash that no shell understands

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False

man_pages = [("options", project, "one-way mirror from a local folder to an FTP or FTPS site", author, 1)]
man_make_section_directory = False


def setup(app: Sphinx) -> None:
    """Write the options as the help does, in its groups, as text and not as markup; list all messages in order."""
    app.connect("source-read", _list_messages)
    app.connect("sphinx-click-process-description", _write_description)
    app.connect("sphinx-click-process-usage", _write_usage)
    app.connect("sphinx-click-process-options", _write_options)
    app.connect("sphinx-click-process-arguments", _leave_out)
    app.add_event("sphinx-click-process-envars")  # sphinx-click sends it by this name, and registers another one
    app.connect("sphinx-click-process-envars", _leave_out)


def _write_description(_: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    lines[:] = [line for part in inspect.cleandoc(ctx.command.help or "").split("\n\n") for line in _paragraph(part)]


def _paragraph(text: str) -> Iterator[str]:
    """Yield a paragraph of a help text; one that keeps its lines becomes a block that does so, too."""
    if text.startswith("\b\n"):
        yield from (".. code-block:: text", "", *(f"    {line}" for line in text[2:].splitlines()), "")
    else:
        yield from (*map(_escaped, text.splitlines()), "")


def _write_usage(_: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    usage = " ".join((ctx.command_path, *ctx.command.collect_usage_pieces(ctx)))
    lines[:] = [".. code-block:: text", "", f"    {usage}", ""]


def _write_options(_: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    lines.clear()
    heading = ""
    for param in ctx.command.params:
        group = getattr(param, "group", "")
        if group != heading:
            lines += [f".. rubric:: {group}", ""]
            heading = group
        if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
            spelled, text = record
            lines += [f".. option:: {spelled.replace(' / ', ', ')}", "", f"    {_escaped(text)}", ""]


def _leave_out(_: Sphinx, __: click.Context, lines: list[str]) -> None:
    lines.clear()


def _escaped(text: str) -> str:
    """Return a text in which reStructuredText finds no markup."""
    return re.sub(r"([\\*`|_]|(?<=:)(?=//))", r"\\\1", text)


def _list_messages(__: Sphinx, page: str, source: list[str]) -> None:
    """Add a list to the page of messages in which each is found by its first words."""
    if page != "messages":
        return
    found = []
    for section in source[0].split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        messages = re.findall(r"^\| (`+[^|]+`+) \|", text, re.MULTILINE)
        found += [f"- {message}: [{heading}](#{anchor})" for message in messages]
    found.sort(key=lambda line: re.sub(r"[^a-z]+", " ", line.lower()).strip())
    source[0] += "\n## All messages, by their first words\n\n" + "\n".join(found) + "\n"
