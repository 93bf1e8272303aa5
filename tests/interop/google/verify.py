"""Judges what the clients printed: plain values by text, tokens by the platform's published keys. Prints the table.

verify.py DIRECTORY JWKS_URL SCOPE AUDIENCE CLIENT...

A client named `cli` is mwid's own `token` command, which prints the bare token.
"""
import sys
import urllib.request

import jwt

directory, jwks_url, scope, audience, *clients = sys.argv[1:]
keys = jwt.PyJWKSet.from_json(urllib.request.urlopen(jwks_url).read().decode())


def claims(token, expected_audience=None):
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience=expected_audience,
        options={"verify_aud": expected_audience is not None},
    )


def lines(name):
    with open(f"{directory}/{name}.out") as file:
        return dict(line.rstrip("\n").split("\t", 1) for line in file if "\t" in line)


def scopes(token):
    return set(claims(token)["scope"].split())


def judge(client):
    """What each line is worth: a short word for the table; an exception is a failure."""
    got = lines(client)
    only_one = client.endswith("-scoped")
    seen = {}
    for what, value in got.items():
        if what == "project":
            assert value == "mwid-dev", value
            seen[what] = value
        elif what == "email":
            assert value.endswith("@mwid-dev.iam.gserviceaccount.com"), value
            seen[what] = "yes"
        elif what == "universe":
            assert value == "googleapis.com", value
            seen[what] = value
        elif what == "access":
            found = scopes(value)
            assert found == {scope} if only_one else len(found) > 1, found
            seen[what] = f"verified, {len(found)} scopes" if len(found) > 1 else "verified, 1 scope"
        elif what == "scoped":
            assert scopes(value) == {scope}, scopes(value)
            seen[what] = "verified, 1 scope"
        elif what == "id":
            found = claims(value, audience)
            # The Java library asks for the standard format unless it is told otherwise.
            if "google" in found:
                assert found["google"]["compute_engine"]["project_id"] == "mwid-dev", found
            seen[what] = "verified, full" if "google" in found else "verified"
        else:
            raise AssertionError(f"{client} printed {what}")
    return seen


# google-cloud-auth is asked for no project; gcp_auth knows nothing else.
HAS_NO_CALL_FOR = {"rust": ["project"], "gcp_auth": ["email", "scoped", "id", "universe"]}

with_cli = "cli" in clients
clients = [client for client in clients if client != "cli"]
columns = ["project", "email", "access", "scoped", "id", "universe"]
print("| client | " + " | ".join(columns) + " |")
print("|---|" + "---|" * len(columns))
for client in clients:
    seen = judge(client)
    print(f"| {client} | " + " | ".join(seen.get(column, "-") for column in columns) + " |")
    missing = [column for column in columns if column not in seen]
    assert missing == HAS_NO_CALL_FOR.get(client, []), f"{client} printed no {missing}"
if with_cli:
    with open(f"{directory}/cli-access.out") as file:
        assert len(scopes(file.read().strip())) > 1
    with open(f"{directory}/cli-id.out") as file:
        assert claims(file.read().strip(), audience)["aud"] == audience
print(f"ok: {len(clients)} clients{' and mwid token' if with_cli else ''}; every token verified with {jwks_url.split('/', 3)[3]}")
