"""Where webhooks may go: a corpus of ways around that are all refused, plain URLs that are not, and no second look."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import laurels
from laurels.settings import Settings
from laurels.webhooks import deliveries, endpoints
from laurels.webhooks.addresses import Addresses, is_permitted, is_public
from laurels.webhooks.deliverer import Deliverer
from tests.conftest import on_sqlite_alone

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


def names(**addresses):
    """A resolver that knows these names, with _ for a dot, and every other one as public."""
    known = {name.replace("_", "."): found for name, found in addresses.items()}

    def resolve(host, port):
        return known.get(host, [PUBLIC, PUBLIC_V6])

    return resolve


#: URLs whose host is itself the trick; the resolver says of every name that it is public.
TRICKS = [
    # Addresses of the machine, plainly.
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.8.9.10/",
    "https://0.0.0.0/",
    "https://0.1.2.3/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    # The same in decimal, octal, hexadecimal, shortened, mixed.
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0177.0000.0000.0001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.0x1/",
    "https://1.0x7f/",
    "https://00000127.0.0.1/",
    "https://4294967297/",
    "https://127.0.0.1.:443/",
    "https://127.0.0.1./",
    # Private networks, the link, carriers, examples, groups, the reserved rest.
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.254/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.254/",
    "https://169.254.0.1/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.7/",
    "https://203.0.113.9/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    # Metadata of clouds.
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://metadata.google.internal/",
    # IPv4 inside of IPv6: mapped, compatible, NAT64 of the world and of the site, 6to4, Teredo, ISATAP.
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:10.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b::10.1.2.3]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001:0:53aa:64c:0:fbff:80ff:fffe]/",
    "https://[2606:2800:21f:cb07:0:5efe:7f00:1]/",
    "https://[2606:2800:21f:cb07:200:5efe:a00:1]/",
    # Private, local, old and unassigned IPv6.
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[4000::1]/",
    "https://[5f00::1]/",
    # Names that mean something inside only.
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://hooks.localhost/",
    "https://localhost.localdomain./",
    "https://printer.local/",
    "https://vault.internal/",
    "https://intranet/",
    "https://kubernetes/",
    "https://router.home.arpa/",
    "https://1.0.0.127.in-addr.arpa/",
    # Users, and what one program takes for the host and another does not.
    "https://hooks.example.com@127.0.0.1/",
    "https://127.0.0.1@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://@hooks.example.com/",
    "https://hooks.example.com:443@127.0.0.1/",
    "https://127.0.0.1\\@hooks.example.com/",
    "https://hooks.example.com\\.127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https://hooks.example.com#@127.0.0.1/",
    "https://127.0.0.1#.hooks.example.com/",
    "https://hooks.example.com%2f@127.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://%31%32%37.0.0.1/",
    "https://127.0.0.1%00.hooks.example.com/",
    "https://hooks.example.com,127.0.0.1/",
    "https://hooks.example.com;127.0.0.1/",
    "https://[::1].hooks.example.com/",
    "https://hooks.example.com[::1]/",
    "https://x[::1]/",
    "https://[127.0.0.1]/",
    "https://[hooks.example.com]/",
    "https://[::1/",
    "https://::1/",
    "https:///127.0.0.1/",
    "https:/127.0.0.1/",
    "https:127.0.0.1/",
    "//127.0.0.1/",
    "https://",
    "https://?",
    "https://.hooks.example.com/",
    "https://hooks..example.com/",
    "https://hooks.example.com./",
    "https://-/",
    # Ports.
    "https://hooks.example.com:0/",
    "https://hooks.example.com:/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:-1/",
    "https://hooks.example.com:0443/",
    "https://hooks.example.com:443:80/",
    "https://hooks.example.com:x/",
    # White space, line breaks, other alphabets' digits and dots.
    " https://hooks.example.com/",
    "https://hooks.example.com/ ",
    "https://127.0.0.1\t/",
    "ht\ntps://hooks.example.com/",
    "https://hooks.example.com/\r\nX-Injected: yes",
    "https://hooks.example.com/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "https://hooks.exa\tmple.com/",
    "https://hooks.example.com\x00.127.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://127\uff0e0\uff0e0\uff0e1/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://loc\u00adalhost/",
    "https://127.0.0.1\u2044@hooks.example.com/",
    "https://\u202e1.0.0.721/",
    # Schemes.
    "http://hooks.example.com/",
    "HTTP://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/",
    "unix:///run/laurels.sock",
    "https+unix://hooks.example.com/",
    "javascript:alert(1)",
    "jar:https://hooks.example.com!/",
    "data:text/plain,x",
    "wss://hooks.example.com/",
    "",
    "hooks.example.com",
    "https://hooks.example.com/" + "a" * 2_000,
    "https://" + "a" * 64 + ".example.com/",
    "https://" + "a." * 130 + "com/",
]

#: Addresses that a name may lead to.
INSIDE = [
    "127.0.0.1",
    "10.0.0.5",
    "172.20.0.2",
    "192.168.0.10",
    "169.254.169.254",
    "100.64.1.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.251",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "64:ff9b::7f00:1",
    "2002:c0a8:101::",
    "2001:0:1:2:3:4:5:6",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::5",
    "fd00:ec2::254",
    "ff02::fb",
]


def code_of(call, *arguments):
    with pytest.raises(laurels.InvalidInput) as caught:
        call(*arguments)
    return caught.value.code


def test_the_corpus_is_as_large_as_it_claims():
    assert len({*TRICKS, *INSIDE}) == len(TRICKS) + len(INSIDE) >= 150


@pytest.mark.parametrize("url", TRICKS, ids=lambda url: ascii(url)[1:60])
def test_no_trick_gets_a_webhook_to_where_it_may_not_go(url):
    assert code_of(Addresses(resolve=names()).check, url) in {"invalid_url", "address_refused"}


@pytest.mark.parametrize("address", INSIDE)
def test_no_name_leads_inside(address):
    addresses = Addresses(resolve=names(rebind_example_com=[address]))
    assert code_of(addresses.check, "https://rebind.example.com/") == "address_refused"


@pytest.mark.parametrize("address", INSIDE)
def test_one_address_inside_spoils_the_others(address):
    addresses = Addresses(resolve=names(both_example_com=[PUBLIC, address]))
    assert code_of(addresses.check, "https://both.example.com/") == "address_refused"


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "header"),
    [
        pytest.param("https://hooks.example.com", "hooks.example.com", 443, "/", "hooks.example.com", id="a-name"),
        pytest.param(
            "https://Hooks.Example.COM:8443/a/b?c=d&e=%20",
            "hooks.example.com",
            8443,
            "/a/b?c=d&e=%20",
            "hooks.example.com:8443",
            id="port-and-query",
        ),
        pytest.param("https://example.com?x", "example.com", 443, "/?x", "example.com", id="query-alone"),
        pytest.param(f"https://{PUBLIC}/", PUBLIC, 443, "/", PUBLIC, id="an-address"),
        pytest.param(f"https://[{PUBLIC_V6}]:444/", PUBLIC_V6, 444, "/", f"[{PUBLIC_V6}]:444", id="of-ipv6"),
        pytest.param("https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443, "/", "[64:ff9b::808:808]", id="nat64"),
        pytest.param("https://xn--bcher.example/", "xn--bcher.example", 443, "/", "xn--bcher.example", id="idn"),
        pytest.param("https://a_b.example.com/", "a_b.example.com", 443, "/", "a_b.example.com", id="underscore"),
        pytest.param("https://1.example.com/@x:y/", "1.example.com", 443, "/@x:y/", "1.example.com", id="at-in-path"),
        pytest.param("https://10.0.0.1.example/", "10.0.0.1.example", 443, "/", "10.0.0.1.example", id="numbers"),
        pytest.param("https://hooks.0x.tools/", "hooks.0x.tools", 443, "/", "hooks.0x.tools", id="hexadecimal-label"),
    ],
)  # fmt: skip
def test_a_plain_url_is_understood(url, host, port, target, header):
    addresses = Addresses(resolve=names())
    found = addresses.target_of(url)
    assert (found.host, found.port, found.target, found.host_header) == (host, port, target, header)
    addresses.check(url)


@pytest.mark.parametrize(
    ("address", "public", "permitted"),
    [
        pytest.param("8.8.8.8", True, True, id="public"),
        pytest.param("2606:4700:4700::1111", True, True, id="public-of-ipv6"),
        pytest.param("64:ff9b::8.8.8.8", True, True, id="nat64"),
        pytest.param("::ffff:8.8.8.8", True, True, id="mapped"),
        pytest.param("127.0.0.1", False, True, id="the-machine"),
        pytest.param("::1", False, True, id="the-machine-of-ipv6"),
        pytest.param("10.1.2.3", False, True, id="private"),
        pytest.param("fd12::1", False, True, id="private-of-ipv6"),
        pytest.param("169.254.169.254", False, False, id="metadata"),
        pytest.param("::ffff:169.254.169.254", False, False, id="metadata-mapped"),
        pytest.param("64:ff9b::a9fe:a9fe", False, False, id="metadata-by-nat64"),
        pytest.param("fd00:ec2::254", False, False, id="metadata-of-ipv6"),
        pytest.param("fe80::1", False, False, id="the-link"),
        pytest.param("224.0.0.1", False, False, id="a-group"),
        pytest.param("0.0.0.0", False, False, id="nobody"),
    ],
)
def test_addresses_are_told_apart(address, public, permitted):
    assert (is_public(ip_address(address)), is_permitted(ip_address(address))) == (public, permitted)


def test_a_name_without_an_address_is_told_so():
    assert (
        code_of(Addresses(resolve=names(gone_example_com=[])).check, "https://gone.example.com/") == "address_unknown"
    )


# --- On the way -------------------------------------------------------------------------------------------------------


class Rebinding:
    """A resolver that says one thing when it is asked first, and another from then on."""

    def __init__(self, first, then):
        self.answers = [first]
        self.then = then
        self.asked = 0

    def __call__(self, host, port):
        self.asked += 1
        return self.answers.pop() if self.answers else self.then


@pytest.fixture
def engine(open_engine, clock):
    clock.now = datetime.now(UTC)
    return open_engine()


def deliver(engine, addresses, **options):
    deliverer = Deliverer(engine, Settings(), addresses=addresses, dice=lambda: 0.0, **options)
    done = deliverer.run_once()
    deliverer.close()
    return done


def attempts_of(engine, endpoint):
    with engine.read() as connection:
        (told,) = deliveries.page(connection, endpoint.id, limit=10)
    return told.attempts


@on_sqlite_alone
def test_a_name_that_leads_inside_after_it_was_registered_is_not_called(engine, receive):
    receiver = receive()
    port = receiver.url.split(":")[2].split("/")[0]
    addresses = Addresses(resolve=Rebinding([PUBLIC], ["127.0.0.1"]))
    endpoint = endpoints.create(engine, addresses, f"https://rebind.example.com:{port}/", actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    assert deliver(engine, addresses).delivered == 0
    (attempt,) = attempts_of(engine, endpoint)
    assert attempt.error == "rebind.example.com leads to 127.0.0.1, which is not a public address."
    assert receiver.came == []


@pytest.fixture
def certificates(tmp_path):
    """A certificate for hooks.example.com, as a server uses it and as a client trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())
    return server, client


@on_sqlite_alone
def test_the_checked_address_is_called_by_the_name_and_asked_for_only_once(engine, receive, certificates):
    """By SNI, certificate and `Host`. Whatever the name would mean a moment later, nobody asks."""
    server, client = certificates
    asked_for = []
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    receiver = receive(trust=server)
    port = int(receiver.url.split(":")[2].split("/")[0])
    resolver = Rebinding(["127.0.0.1"], ["127.0.0.1"])
    addresses = Addresses(allow_private=True, resolve=resolver)
    endpoint = endpoints.create(engine, addresses, f"https://hooks.example.com:{port}/in", actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    resolver.asked, resolver.answers, resolver.then = 0, [["127.0.0.1"]], ["192.168.77.1"]
    assert deliver(engine, addresses, trust=client).delivered == 1
    assert resolver.asked == 1
    assert asked_for == ["hooks.example.com"]
    assert receiver.came[0].headers["host"] == f"hooks.example.com:{port}"
    assert [attempt.response for attempt in attempts_of(engine, endpoint)] == [204]


@on_sqlite_alone
def test_a_certificate_that_nobody_trusts_is_a_failure(engine, receive, certificates):
    receiver = receive(trust=certificates[0])
    port = receiver.url.split(":")[2].split("/")[0]
    addresses = Addresses(allow_private=True, resolve=lambda host, port: ["127.0.0.1"])
    endpoint = endpoints.create(engine, addresses, f"https://hooks.example.com:{port}/", actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    assert deliver(engine, addresses).delivered == 0
    (attempt,) = attempts_of(engine, endpoint)
    assert "CERTIFICATE_VERIFY_FAILED" in attempt.error
    assert receiver.came == []


@on_sqlite_alone
def test_the_next_address_is_tried_where_one_does_not_answer(engine, receive):
    receiver = receive()
    port = receiver.url.split(":")[2].split("/")[0]
    addresses = Addresses(allow_private=True, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    endpoints.create(engine, addresses, f"http://hooks.example.com:{port}/", actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    assert deliver(engine, addresses).delivered == 1


@on_sqlite_alone
def test_a_name_for_which_no_server_answers_costs_no_more_than_the_timeout(engine):
    answering = threading.Event()
    addresses = Addresses(allow_private=True, resolve=lambda host, port: answering.wait(30) or ["127.0.0.1"])
    engine_addresses = Addresses(allow_private=True, resolve=names())
    endpoint = endpoints.create(engine, engine_addresses, "https://slow.example.com/", actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    began = time.monotonic()
    assert deliver(engine, addresses, timeout_s=0.2).failed == 1
    assert time.monotonic() - began < 3
    # Whoever still waits for the name keeps the process from nothing.
    assert [thread.name for thread in threading.enumerate() if "resolver" in thread.name and not thread.daemon] == []
    assert attempts_of(engine, endpoint)[0].error == "no answer within 0.2 s"
    answering.set()


@on_sqlite_alone
def test_proxies_of_the_environment_are_not_used(engine, receive, monkeypatch):
    """They would connect for us, to what was not checked."""
    proxy, receiver = receive(), receive()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    addresses = Addresses(allow_private=True)
    endpoints.create(engine, addresses, receiver.url, actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    assert deliver(engine, addresses).delivered == 1
    assert proxy.came == []
