"""Lets `python -m async_mirror` stand for the command."""

if __name__ == "__main__":  # a process that was spawned imports this too
    from async_mirror.cli import main

    main()
