"""What each mirror is to be: read from where it is written, and checked, before any starts. Connects to nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import click

from async_mirror.ftp.wire.tls import Tls, tls_of
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.model.settings import Settings, UsageError, UsageErrors
from async_mirror.model.site import Trust
from async_mirror.options import resolve
from async_mirror.options.asked import Asked
from async_mirror.options.credentials import Login
from async_mirror.options.mirrors import called, context_of, names_of
from async_mirror.state.opening import StateFile

_USAGE = 2
Ask = Callable[[Login, Path], Secret]
"""Finds the password of a login, and asks for it if there is none and the source is there. Raises UsageError."""


@dataclass(frozen=True)
class Plan:
    """What one mirror is to be; "" is the name of one that is in no table of the file."""

    name: str
    asked: Asked = field(compare=False)
    settings: Settings
    login: Login
    trust: Trust
    tls: Tls | None = field(compare=False)
    file: StateFile
    warnings: tuple[tuple[str, str], ...] = field(compare=False)
    password: Secret = NO_SECRET
    called: str = field(default="", compare=False)
    """What commands find it by, as words for a shell."""
    inner: tuple[tuple[str, str], ...] = ()
    """Where in its site others of these mirrors have theirs, and which."""

    @property
    def shown(self) -> str:
        """What the mirror is called where several are told of."""
        return self.name or f"{self.settings.source} -> {self.settings.site.shown}"

    @property
    def once(self) -> bool:
        """True for one pass."""
        return self.asked.once or self.asked.dry_run

    def is_as(self, other: "Plan") -> bool:
        """Tell whether a mirror that runs by the other plan runs as this one wants it, whatever is printed."""
        return self == other and self.asked.of_mirror == other.asked.of_mirror


def plans_of(context: click.Context) -> list[Plan]:
    """Return a plan for each mirror that is meant, without passwords. Raises UsageError for all that is wrong."""
    plans = _all((name, partial(_plan, name, context)) for name in names_of(context))
    return [replace(plan, inner=tuple(_inside(plan, plans))) for plan in plans]


def with_passwords(plans: Iterable[Plan], ask: Ask) -> list[Plan]:
    """Return the plans with their passwords. Raises UsageError, which tells of all that cannot be found."""
    return _all((plan.name, partial(_answered, plan, ask)) for plan in plans)


def _answered(plan: Plan, ask: Ask) -> Plan:
    return replace(plan, password=ask(plan.login, plan.settings.source))


def _all(makes: Iterable[tuple[str, Callable[[], Plan]]]) -> list[Plan]:
    plans: list[Plan] = []
    wrong: list[str] = []
    code = _USAGE
    for name, make in makes:
        try:
            plans.append(make())
        except (UsageError, click.ClickException) as error:
            if not name:
                raise
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            wrong.append(f"mirror {name}: {text}")
            code = max(code, getattr(error, "exit_code", _USAGE))
    wrong += _twins(plans)
    if wrong:
        raise UsageErrors(wrong, code)
    return plans


def _twins(plans: Iterable[Plan]) -> Iterable[str]:
    """Yield what to say of mirrors that would have one state."""
    first: dict[StateFile, str] = {}
    for plan in plans:
        if (other := first.setdefault(plan.file, plan.name)) != plan.name:
            yield f"mirror {plan.name}: it has the source and the destination of mirror {other}: remove one of them"


def _inside(outer: Plan, plans: Iterable[Plan]) -> Iterable[tuple[str, str]]:
    """Yield where others are in a site: both may be new, and neither has left a sign for the other yet."""
    for plan in plans:
        if folder := plan.settings.site.inside(outer.settings.site):
            yield folder, plan.shown


def _plan(name: str, context: click.Context) -> Plan:
    own = context_of(name, context)
    with own.scope(cleanup=False):
        asked = Asked(**own.params)
        source = resolve.source_of(asked)
        login = resolve.login_of(asked)
        settings = resolve.settings_of(asked, source, login)
        trust = resolve.trust_of(asked, login.site)
        tls = tls_of(login.site, trust)
        file = resolve.state_file_of(asked, source, login.site)
        warnings = tuple(resolve.warnings_about(login, trust))
        words = called(name, own, source, login.site)
        return Plan(name, asked, settings, login, trust, tls, file, warnings, called=words)
