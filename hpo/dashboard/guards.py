"""What a page served to a browser is protected from: WSGI layers, each of which refuses or adds one thing."""

import hmac
import html
import ipaddress
import json
import re
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from hpo.errors import InvalidOption

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

SHORTEST_TOKEN = 16  # characters: of those that are generated each carries 6 bits
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")  # what stands in an address as it is
_SAFE_METHODS = ("GET", "HEAD")
_HARMLESS = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # an address may hold the token
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # no page elsewhere may load data as a script or picture
}


def read_only(app: WSGI) -> WSGI:
    """Refuse every request that could change something."""

    def guarded(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _SAFE_METHODS:
            return app(environ, start_response)
        reason = "read-only: start hpo dashboard with --writable"
        return refuse(start_response, "405 Method Not Allowed", reason, [("Allow", ", ".join(_SAFE_METHODS))])

    return guarded


def only_hosts(app: WSGI, names: Collection[str]) -> WSGI:
    """Refuse requests that name another host, or that come from a page of another.

    A page elsewhere must not reach the database by rebinding its own name to this address. The port does not matter:
    through a tunnel it is another, and a rebound name is foreign on every port.

    Args:
        app: what is guarded.
        names: host names and addresses, without port.
    """
    known = {name.lower() for name in names}

    def guarded(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        if _host_name(host) not in known:
            shown = ", ".join(sorted(known)[:4])
            return refuse(start_response, "403 Forbidden", f"this dashboard answers to other names only, as {shown}")
        if environ["REQUEST_METHOD"] not in _SAFE_METHODS and not _is_same_origin(environ, host):
            return refuse(start_response, "403 Forbidden", "a page of another origin may not change the database")
        return app(environ, start_response)

    return guarded


def with_token(app: WSGI, token: str, cookie: str) -> WSGI:
    """Refuse whoever does not know the token.

    It is asked for in the address once (``?token=``) and kept in a cookie that scripts cannot read and that other
    sites' pages do not send; programs may send it as ``Authorization: Bearer``.

    Args:
        app: what is guarded.
        token: see :func:`check_token`.
        cookie: name of the cookie; two servers of one machine share its cookies.
    """

    def guarded(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and _equal(given, token):
            left = urlencode([pair for pair in query if pair[0] != "token"])
            path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
            return _remember(start_response, f"/{path.lstrip('/')}" + (f"?{left}" if left else ""), cookie, token)
        scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if _equal(_cookie(environ, cookie), token) or (scheme.lower() == "bearer" and _equal(bearer, token)):
            return app(environ, start_response)
        reason = "open the address that hpo dashboard printed: it ends in the token"
        return refuse(start_response, "401 Unauthorized", reason, [("WWW-Authenticate", "Bearer")])

    return guarded


def with_headers(app: WSGI) -> WSGI:
    """Add the headers that keep a browser from what no page here needs, and take artifacts their rights.

    A response without a Content-Security-Policy of its own may load and run nothing. A file that somebody attached to a
    trial is sandboxed, downloaded instead of shown, and readable by no page elsewhere.
    """

    def guarded(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_artifact = environ.get("PATH_INFO", "").lstrip("/").lower().startswith("artifacts")

        def start(status: str, headers: Headers, *rest: Any) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() not in _replaced(is_artifact)]
            if is_artifact:
                kept += [("Content-Security-Policy", f"{_HARMLESS}; sandbox"), ("Content-Disposition", "attachment")]
            own = next((value for name, value in kept if name.lower() == "content-security-policy"), None)
            if own is None:
                kept.append(("Content-Security-Policy", _HARMLESS))
            elif "frame-ancestors" not in own:
                more = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
                kept.append(("Content-Security-Policy", more))  # a browser obeys all policies it is sent
            return start_response(status, [*kept, *_ALWAYS.items()], *rest)

        return app(environ, start)

    return guarded


def check_token(token: str) -> str:
    """The token, where it can stand in an address and cannot be guessed.

    Raises:
        InvalidOption: what is allowed.
    """
    if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        raise InvalidOption(
            f"--token: give {SHORTEST_TOKEN} or more of the letters A-Z, a-z, digits and . _ ~ - "
            f"(it has {len(token)} characters)"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    Raises:
        InvalidOption: the name cannot be resolved.
    """
    return all(ipaddress.ip_address(address).is_loopback for address in addresses(host))


def addresses(host: str) -> list[str]:
    """The addresses of a host name or address.

    Raises:
        InvalidOption: it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidOption(f"--host {host!r} is not a name or address of this machine ({error})") from error
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def refuse(
    start_response: Callable[..., Any], status: str, reason: str, headers: Sequence[tuple[str, str]] = ()
) -> list[bytes]:
    """Answer with the reason as JSON, the form of optuna-dashboard's own refusals."""
    return respond(start_response, status, json.dumps({"reason": reason}), "application/json", headers)


def respond(
    start_response: Callable[..., Any],
    status: str,
    text: str,
    kind: str = "text/html; charset=utf-8",
    headers: Sequence[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer with a text."""
    body = text.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [body]


def _replaced(is_artifact: bool) -> set[str]:
    """Lower-case names of headers that are not let through."""
    ours = {name.lower() for name in _ALWAYS} | {"access-control-allow-origin", "server"}
    return ours | {"content-security-policy", "content-disposition"} if is_artifact else ours


def _host_name(host: str) -> str:
    """``[::1]:8080`` -> ``::1``, ``Alpha:8080`` -> ``alpha``."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([^:\[\]]+?)\.?(?::\d+)?", host)
    return (match[1] or match[2]).lower() if match else ""


def _is_same_origin(environ: Environ, host: str) -> bool:
    if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = environ.get("HTTP_ORIGIN")  # programs send none
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _cookie(environ: Environ, name: str) -> str:
    """Our cookie, whatever other applications on this host have set: Python's own parser ends at what it dislikes."""
    for part in environ.get("HTTP_COOKIE", "").split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            return str(value.strip())
    return ""


def _equal(given: str, token: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _remember(start_response: Callable[..., Any], address: str, cookie: str, token: str) -> list[bytes]:
    """Set the cookie and go on without the token in the address.

    A redirect would not do: where a link elsewhere led here, the browser does not send a strict cookie after it.
    """
    target = html.escape(address, quote=True)
    page = (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={target}">'
        f'<title>hpo dashboard</title><a href="{target}">On to the dashboard</a>'
    )
    value = f"{cookie}={token}; HttpOnly; SameSite=Strict; Path=/"
    return respond(start_response, "200 OK", page, headers=[("Set-Cookie", value), ("Cache-Control", "no-store")])
