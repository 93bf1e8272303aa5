"""Makes vectors.json with PyJWT: tokens that another implementation signed, one an algorithm, and some that must be refused.

    pip install 'pyjwt[crypto]' && python make.py > vectors.json
"""
import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

CLAIMS = {
    "sub": "spiffe://example.org/ns/shop/sa/payments",
    "aud": ["reports", "spiffe://example.org/ns/shop/sa/ledger"],
    "iat": 1_700_000_000,
    "exp": 1_700_000_300,
    "nested": {"list": [1, 2.5, None, True, "é"]},
}

keys = {
    "rsa-2048": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "p-256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "p-384": (ec.generate_private_key(ec.SECP384R1()), ECAlgorithm),
    "p-521": (ec.generate_private_key(ec.SECP521R1()), ECAlgorithm),
    "rsa-1024": (rsa.generate_private_key(65537, 1024), RSAAlgorithm),
    "k-256": (ec.generate_private_key(ec.SECP256K1()), ECAlgorithm),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}


def token(algorithm, name, **header):
    key = keys[name][0] if name else "a secret that both sides know, of enough bytes for any hash" * 2
    headers = {"kid": name or "secret", **header}
    return jwt.encode(CLAIMS, key, algorithm, headers)


def public(name):
    key, kind = keys[name]
    return {**kind.to_jwk(key.public_key(), as_dict=True), "use": "jwt-svid", "kid": name}


good = {a: token(a, "rsa-2048") for a in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")}
good |= {"ES256": token("ES256", "p-256"), "ES384": token("ES384", "p-384"), "ES512": token("ES512", "p-521")}
good |= {"ES256 without kid": jwt.encode(CLAIMS, keys["p-256"][0], "ES256")}
good |= {"ES256 of type JOSE": token("ES256", "p-256", typ="JOSE")}
good |= {"ES256 without typ": token("ES256", "p-256", typ=None)}
bad = {
    "RS256 with 1024 bits": token("RS256", "rsa-1024"),
    "PS256 with 1024 bits": token("PS256", "rsa-1024"),
    "ES256K": token("ES256K", "k-256"),
    "EdDSA": token("EdDSA", "ed25519"),
    "HS256": token("HS256", None),
    "none": jwt.encode(CLAIMS, None, "none", {"kid": "p-256"}),
    "another type": token("ES256", "p-256", typ="at+jwt"),
    "a key in the header": token("ES256", "p-256", jwk=public("p-256")),
    "critical": token("ES256", "p-256", crit=["exp"]),
}
keys_of_domain = [public(name) for name in keys]
print(json.dumps({"keys": keys_of_domain, "good": good, "bad": bad}, indent=1))
