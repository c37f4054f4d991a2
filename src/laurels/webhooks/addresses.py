"""
Where webhooks may go: to HTTPS URLs whose names lead to public addresses, and nowhere else.

Whoever may register a webhook could otherwise let this server call what only it can reach: the machine itself, its
private network, the cloud's metadata. A URL is taken apart here and once; what stands in it strangely is refused rather
than understood, as two programs understand it in two ways. A name is resolved, every address that comes of it is
checked, and the connection goes to one of those very addresses (sending.py), so that a name which means something else
a moment later leads nowhere.
"""

from __future__ import annotations

import re
import socket
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from laurels.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

URL_CHARACTERS_MAX = 2_000
HOST_CHARACTERS_MAX = 253
PORTS = {"https": 443, "http": 80}

#: Of IPv4, what is not public (IANA's registry of special addresses), and where Azure answers its own machines.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
#: Of IPv6, only what was given out as public is, but for protocols (Teredo among them), examples and 6to4.
_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
#: Stands for IPv4 on networks that have only IPv6, so it is what the IPv4 address in it is.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Refused also where private addresses are allowed: nobody's webhook is there, but a cloud's metadata may be.
_NEVER_V4 = tuple(map(IPv4Network, ("100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.192/32")))
_NEVER_V6 = tuple(map(IPv6Network, ("fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")))

_URL = re.compile(r"[!-~]+").fullmatch
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?").fullmatch
#: Programs that read `0x7f.1` as an address do so because of how it ends.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch
#: Names that mean something only inside of a machine or network.
_LOCAL_NAMES = frozenset({"arpa", "home", "internal", "intranet", "invalid", "lan", "local", "localhost", "onion"})


class Target(NamedTuple):
    """A URL, taken apart: `target` is its path and query, `host` a name in lower case or an address."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """Return what the `Host` header says."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS[self.scheme] else f"{shown}:{self.port}"


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as this machine knows them. Raises OSError where there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """
    Which URLs and addresses webhooks may go to.

    With `allow_private` also to private addresses and over plain HTTP, but never to link-local ones.
    """

    def __init__(self, *, allow_private: bool = False, resolve: Callable[[str, int], Sequence[str]] = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def target_of(self, url: str) -> Target:
        """Take a URL apart. Raises InvalidInput `invalid_url`, or `address_refused` for one that names an address."""
        if len(url) > URL_CHARACTERS_MAX or not _URL(url) or "\\" in url or "#" in url:
            raise _invalid(
                f"A URL is made of at most {URL_CHARACTERS_MAX:,} plain characters, without a backslash or a fragment; "
                "names of other alphabets are written as xn--…."
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _invalid(f"This is no URL that can be read: {error}.") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and self._allow_private):
            raise _invalid("Webhooks go to https:// URLs.")
        if "@" in parts.netloc:
            raise _invalid("A URL of a webhook holds no user and no password: the signature says who sends.")
        if port == 0:
            raise _invalid("The port is a number from 1 to 65535.")
        is_bracketed, written = "[" in parts.netloc, parts.hostname or ""
        shown = f"[{written}]" if is_bracketed else written
        if parts.netloc.lower() not in {shown, f"{shown}:{port}"}:
            raise _invalid(f"{parts.netloc!r:.80} is not NAME or NAME:PORT.")
        host = self._host_of(written, is_bracketed=is_bracketed)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port or PORTS[parts.scheme], target)

    def of(self, host: str, port: int) -> list[str]:
        """
        Return the addresses to connect to.

        Raises InvalidInput `address_refused` where any of them is not public, `address_unknown` where there is none.
        """
        literal = _address(host)
        if literal is not None:
            return [self._checked(literal, host)]
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            found, reason = [], f": {error}"
        else:
            reason = ""
        if not found:
            raise InvalidInput("address_unknown", f"{host} leads to no address{reason}.", "url")
        return [self._checked(ip_address(each), host) for each in found]

    def check(self, url: str) -> None:
        """Raise InvalidInput unless a webhook may go to this URL as things are now."""
        target = self.target_of(url)
        self.of(target.host, target.port)

    def _host_of(self, host: str, *, is_bracketed: bool) -> str:
        """Return the host of a URL, an address or a name, if it is written in the one plain way."""
        literal = _address(host)
        if literal is not None and is_bracketed == (literal.version == 6):  # noqa: PLR2004
            return self._checked(literal, host)
        labels = host.split(".")
        if is_bracketed or len(host) > HOST_CHARACTERS_MAX or not all(map(_LABEL, labels)) or _ENDS_IN_NUMBER(host):
            raise _invalid(f"{host!r:.80} is no name and no address that a URL can hold.")
        if not self._allow_private and (len(labels) == 1 or labels[-1] in _LOCAL_NAMES):
            raise InvalidInput("address_refused", f"{host} is a name inside of a machine or network.", "url")
        return host

    def _checked(self, address: IPv4Address | IPv6Address, host: str) -> str:
        if not (is_permitted(address) if self._allow_private else is_public(address)):
            led = "is" if str(address) == host else f"leads to {address}, which is"
            raise InvalidInput("address_refused", f"{host} {led} not a public address.", "url")
        return str(address)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the internet's, and nobody's private or special one in another form."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return (
        address in _UNICAST_V6
        and address.scope_id is None
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and not _is_isatap(address)
    )


def is_permitted(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address may be called where private ones may: not if it is of the link, a group's or nobody's."""
    if isinstance(address, IPv4Address):
        never = address.is_multicast or address.is_reserved or address.is_unspecified
        return not never and not any(address in network for network in _NEVER_V4)
    inner = _inner(address)
    if inner is not None:
        return is_permitted(inner)
    is_group = address.is_multicast or address.is_unspecified
    return not is_group and address.scope_id is None and not any(address in network for network in _NEVER_V6)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, written plainly: four decimal numbers, or IPv6 without a zone."""
    try:
        return IPv6Address(host) if ":" in host and "%" not in host else IPv4Address(host)
    except AddressValueError:
        return None


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that one of IPv6 stands for."""
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address.ipv4_mapped


def _is_isatap(address: IPv6Address) -> bool:
    """Whether an IPv4 address is inside, to which the network may take the call as it is."""
    return (int(address) >> 32) & 0xFCFF_FFFF == 0x0000_5EFE  # noqa: PLR2004


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput("invalid_url", reason, "url")
