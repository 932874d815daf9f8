"""A log file with a new one each day."""

import logging
import sys
from logging.handlers import TimedRotatingFileHandler


class DailyFile(TimedRotatingFileHandler):
    """A new file at midnight. A disk that is full later is told of once, and stops nothing."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell that the file is not complete."""
        if not self._told:
            self._told = True
            print(f"async-mirror: the log file cannot be written: {sys.exc_info()[1]}", file=sys.stderr)
