"""How a destination may be written, and what becomes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options.destination import parse_destination, parse_original


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("ftp://host", Site("ftp", "host", 21, None, "")),
        ("ftp://host/", Site("ftp", "host", 21, None, "")),
        ("ftp://host/a/b", Site("ftp", "host", 21, None, "a/b")),
        ("ftp://host/a/b/", Site("ftp", "host", 21, None, "a/b")),
        ("ftp://host/a//./b", Site("ftp", "host", 21, None, "a/b")),
        ("ftp://host//a", Site("ftp", "host", 21, None, "/a")),
        ("ftp://host/%2Fa", Site("ftp", "host", 21, None, "/a")),
        ("ftp://host/%2fa/b", Site("ftp", "host", 21, None, "/a/b")),
        ("ftp://host//", Site("ftp", "host", 21, None, "/")),
        ("ftp://me@host/a", Site("ftp", "host", 21, "me", "a")),
        ("ftp://@host/a", Site("ftp", "host", 21, None, "a")),
        ("ftp://user%40host@host/a", Site("ftp", "host", 21, "user@host", "a")),
        ("ftp://me%3Ax@host/", Site("ftp", "host", 21, "me:x", "")),
        ("ftp://host:2121/a", Site("ftp", "host", 2121, None, "a")),
        ("ftpes://host/a", Site("ftpes", "host", 21, None, "a")),
        ("ftps://host/a", Site("ftps", "host", 990, None, "a")),
        ("ftpes://host:21/a", Site("ftpes", "host", 21, None, "a")),
        ("ftps://host:990/a", Site("ftps", "host", 990, None, "a")),
        ("ftps://host:2121/a", Site("ftps", "host", 2121, None, "a")),
        ("ftpes://host:2121/a", Site("ftpes", "host", 2121, None, "a")),
        ("ftp://[::1]/a", Site("ftp", "::1", 21, None, "a")),
        ("ftp://me@[2001:db8::1]:2121/a", Site("ftp", "2001:db8::1", 2121, "me", "a")),
        ("FTP://Host.Example/A", Site("ftp", "host.example", 21, None, "A")),
        ("ftp://host/a%20b%23%3F", Site("ftp", "host", 21, None, "a b#?")),
        ("ftp://host/caf%E9", Site("ftp", "host", 21, None, "caf\udce9")),
        ("ftp://host/caf\u00e9", Site("ftp", "host", 21, None, "caf\u00e9")),
        ("ftp://host/..a/b..", Site("ftp", "host", 21, None, "..a/b..")),
        ("ftp://host/a%ffb%ff", Site("ftp", "host", 21, None, "a\udcffb\udcff")),
        ("ftp://m\u00fcnchen.example/", Site("ftp", "m\u00fcnchen.example", 21, None, "")),
    ],
)
def test_a_destination_is_read(text: str, site: Site) -> None:
    assert parse_destination(text) == site


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "ftpes://user@host/path"),
        ("host/path", "ftpes://user@host/path"),
        ("host:/path", "ftpes://user@host/path"),
        ("http://host/", "unknown scheme http://"),
        ("sftp://host/", "unknown scheme sftp://"),
        ("ftp:", "no host"),
        ("ftp:///a", "no host"),
        ("ftp://me@/a", "no host"),
        ("ftp://:21/a", "no host"),
        ("ftp://host/a?b", "%3F"),
        ("ftp://host/a#b", "%23"),
        ("ftp://host/..", ".."),
        ("ftp://host/a/../b", ".."),
        ("ftp://host/a/%2e%2e/b", ".."),
        ("ftp://host//../a", ".."),
        ("ftp://host/%2F..", ".."),
        ("ftp://host/a%0d%0aDELE b", "control character"),
        ("ftp://host/a%0D", "control character"),
        ("ftp://host/a%0a", "control character"),
        ("ftp://host/a%00", "control character"),
        ("ftp://me%0d%0aQUIT@host/", "control character"),
        ("ftp://host/a%ff%ffb", "control character"),
        ("ftp://host/a%FF%F4", "control character"),
        ("ftp://me%ff%fbx@host/", "control character"),
        ("ftp://me@ftp..example.org/", "invalid host name"),
        ("ftp://me@.example.org/", "invalid host name"),
        (f"ftp://me@{'x' * 64}.org/", "invalid host name"),
        ("ftp://me@\u202ehost/", "invalid host name"),
        ("ftp://host:abc/", "URL"),
        ("ftp://host:99999/", "URL"),
        ("ftp://host:-1/", "URL"),
        ("ftp://[::1/a", "URL"),
        ("ftps://host:21/a", "write ftpes://"),
        ("ftp://host:990/a", "write ftps://"),
        ("ftpes://host:990/a", "write ftps://"),
    ],
)
def test_a_destination_that_cannot_be_meant_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_port_0_is_refused_rather_than_replaced() -> None:
    with pytest.raises(UsageError):
        parse_destination("ftp://host:0/a")


@pytest.mark.parametrize("text", ["ftp://me:hunter2@host/a", "ftp://me:hunter2@[::1]:21/a", "ftp://:hunter2@host/a"])
def test_a_password_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="--password-file") as caught:
        parse_destination(text)
    assert "hunter2" not in str(caught.value)


def test_an_empty_password_is_a_password() -> None:
    with pytest.raises(UsageError, match="password"):
        parse_destination("ftp://me:@host/a")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:hunter2/x@host/a",
        "ftp://me:hunter2#x@host/a",
        "ftp://me:hunter2?x@host/a",
        "ftp://me:hunter2\u2100@host/a",
        "ftp://me:hunter2@host:port/a",
        "ftp://me:hunter2[@host/a",
        "http://me:hunter2@host/a",
        "ftp://me:hunter2@/a",
        "ftp://me:hunter2@host/a/../b",
        "ftp://me:hunter2@host/%0a",
        "me:hunter2@host/a",
    ],
)
def test_a_destination_that_is_wrong_in_other_ways_does_not_repeat_the_password_either(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_a_site_or_a_usage_error(text: str) -> None:
    for destination in (text, "ftp://" + text, "ftp://host/" + text):
        try:
            site = parse_destination(destination)
        except UsageError:
            continue
        assert site.host
        assert ".." not in site.root.split("/")
        assert not set("\r\n\0") & set(site.root + site.host + (site.user or ""))


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/",
        "ftp://host/a/b",
        "ftp://host//a",
        "ftp://me@host/a",
        "ftp://host:2121/a",
        "ftps://host/a",
        "ftpes://host/a",
        "ftps://host:2121/a",
        "ftp://[::1]:2121/a",
    ],
)
def test_a_site_is_shown_as_it_is_written(text: str) -> None:
    assert parse_destination(text).shown == text


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("ftp://host/a", "ftps://host/a", True),
        ("ftp://host/a", "ftpes://host/a", True),
        ("ftpes://host:2121/a", "ftps://host:2121/a", True),
        ("ftp://host/a", "ftp://HOST/a/", True),
        ("ftp://host/a", "ftp://host:2121/a", False),
        ("ftp://host/a", "ftp://host//a", False),
        ("ftp://host/a", "ftp://host/A", False),
        ("ftp://host/a", "ftp://me@host/a", False),
        ("ftp://me@host/a", "ftp://Me@host/a", False),
        ("ftp://host/a", "ftp://other/a", False),
    ],
)
def test_a_state_is_bound_to_host_port_user_and_root(one: str, other: str, alike: bool) -> None:
    assert (parse_destination(one).binding == parse_destination(other).binding) is alike


# TLS.


@pytest.mark.parametrize(
    ("text", "tls", "site"),
    [
        ("ftp://host/a", "explicit", Site("ftpes", "host", 21, None, "a")),
        ("ftp://host/a", "implicit", Site("ftps", "host", 990, None, "a")),
        ("ftp://host/a", "off", Site("ftp", "host", 21, None, "a")),
        ("ftps://host/a", "explicit", Site("ftpes", "host", 21, None, "a")),
        ("ftpes://host/a", "implicit", Site("ftps", "host", 990, None, "a")),
        ("ftps://host/a", "off", Site("ftp", "host", 21, None, "a")),
        ("ftp://host:2121/a", "implicit", Site("ftps", "host", 2121, None, "a")),
        ("ftps://host:21/a", "implicit", Site("ftps", "host", 21, None, "a")),
        ("ftps://host:21/a", "explicit", Site("ftpes", "host", 21, None, "a")),
        ("ftp://host:990/a", "off", Site("ftp", "host", 990, None, "a")),
        ("ftp://host:990/a", "explicit", Site("ftpes", "host", 990, None, "a")),
    ],
)
def test_what_is_said_of_tls_goes_before_the_scheme_and_its_port(text: str, tls: str, site: Site) -> None:
    assert parse_destination(text, tls) == site


@pytest.mark.parametrize(
    ("tls", "scheme", "port"),
    [(None, "ftp", 21), ("off", "ftp", 21), ("explicit", "ftpes", 21), ("implicit", "ftps", 990)],
)
def test_the_original_form_is_of_the_scheme_that_is_said_of_tls(tls: str | None, scheme: str, port: int) -> None:
    assert parse_original("host,me,secret,www", tls) == (Site(scheme, "host", port, "me", "www"), Secret("secret"))
    assert parse_original("host,me,secret,www,2121", tls)[0] == Site(scheme, "host", 2121, "me", "www")
