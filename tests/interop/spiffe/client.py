"""py-spiffe, unmodified, at the Workload API of SPIFFE_ENDPOINT_SOCKET.

usage: client.py watch | once TIMES | jwt AUDIENCE
Prints one line an event, its words apart by tabs: x509 ID SERIAL, jwt ID, end REASON. The library itself checks that a key is that of its leaf.
"""
import sys
import threading

from spiffe import JwtSource, WorkloadApiClient, X509Source
from spiffe.svid.jwt_svid import JwtSvid


def say(*words):
    print(*words, sep="\t", flush=True)


def tell(svid):
    say("x509", str(svid.spiffe_id), f"{svid.leaf.serial_number:x}")


def watch():
    source = X509Source()
    told = threading.Lock()

    def updated():
        with told:
            try:
                tell(source.get_x509_context().default_svid)
            except Exception as error:
                say("end", error)

    source.subscribe_for_updates(updated)
    updated()
    threading.Event().wait()


def prove(svid, roots):
    """The chain that came leads to a root that came with it, and the key is the leaf's."""
    assert svid.private_key.public_key() == svid.leaf.public_key(), "the key is another's"
    chain = svid.cert_chain
    for issued, issuer in zip(chain, chain[1:]):
        issued.verify_directly_issued_by(issuer)
    for root in roots:
        if root.subject == chain[-1].issuer:
            return chain[-1].verify_directly_issued_by(root)
    raise AssertionError("the chain leads to no root of its bundle")


def once(times):
    for _ in range(times):
        with WorkloadApiClient() as client:
            try:
                context = client.fetch_x509_context(timeout=20)
            except Exception as error:
                say("end", f"{error}: {error.__cause__}".replace("\n", " ").replace("\t", " "))
                sys.exit(1)
            svid = context.default_svid
            bundle = context.x509_bundle_set.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
            prove(svid, bundle.x509_authorities)
            tell(svid)


def jwt(audience):
    with JwtSource(timeout_in_seconds=20) as source:
        svid = source.fetch_svid({audience})
        bundle = source.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
        JwtSvid.parse_and_validate(svid.token, bundle, {audience})
        with WorkloadApiClient() as client:
            assert client.validate_jwt_svid(svid.token, audience).spiffe_id == svid.spiffe_id
            try:
                client.validate_jwt_svid(svid.token, "somebody else")
            except Exception:
                say("jwt", str(svid.spiffe_id))
                return
    say("end", "a JWT-SVID for somebody else was taken")


if __name__ == "__main__":
    {"watch": watch, "once": lambda: once(int(sys.argv[2])), "jwt": lambda: jwt(sys.argv[2])}[sys.argv[1]]()
