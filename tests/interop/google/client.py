"""What a Python program gets through google-auth, by the environment alone. Prints `what<TAB>value` lines."""
import os
import sys

import google.auth
import google.auth.transport.requests
from google.oauth2 import id_token

scope, audience = sys.argv[1:3]
request = google.auth.transport.requests.Request()
credentials, project = google.auth.default()
credentials.refresh(request)
scoped, _ = google.auth.default(scopes=[scope])
scoped.refresh(request)
for what, value in [
    ("project", project),
    ("email", credentials.service_account_email),
    ("access", credentials.token),
    ("scoped", scoped.token),
    ("id", id_token.fetch_id_token(request, audience)),
    ("universe", credentials.universe_domain),
]:
    print(f"{what}\t{value}")
