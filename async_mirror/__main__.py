"""Lets `python -m async_mirror` stand for the command."""

from async_mirror.cli import main

main()
