//! Google's token endpoints for tests: OAuth (`/token`), the Security Token Service (`/v1/token`), IAM Credentials
//! (`/v1/projects/-/serviceAccounts/…`) and whatever else a test puts there. As strict as the real ones are: a field too much, too few or
//! twice, another content type, a wrong signature or a stale claim is refused.
mod jwt;
mod wire;

pub use jwt::ServiceKey;
pub use wire::{Asked, Reply};

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
const ACCOUNTS: &str = "/v1/projects/-/serviceAccounts/";

/// Running endpoints; they stop when dropped.
#[derive(Debug)]
pub struct Google {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// Somebody with a refresh token.
#[derive(Clone, Debug)]
pub struct User {
    /// The OAuth client's.
    pub client_id: String,
    /// The OAuth client's.
    pub client_secret: String,
    /// The user's.
    pub refresh_token: String,
    /// The user's.
    pub email: String,
    /// What the user agreed to.
    pub scopes: Vec<String>,
}

/// A provider of a pool that is trusted.
#[derive(Clone, Debug)]
pub struct Federation {
    /// The provider's name.
    pub audience: String,
    /// `urn:…`.
    pub subject_token_type: String,
    /// The only token that it accepts.
    pub subject_token: String,
    /// `Basic …`, if a client must prove itself.
    pub authorization: Option<String>,
    /// `options`, if they must be there.
    pub options: Option<Value>,
}

#[derive(Debug)]
struct State {
    now: u64,
    url: String,
    users: Vec<User>,
    accounts: BTreeMap<String, (Vec<u8>, String)>,
    federations: Vec<Federation>,
    /// Acting and target; delegates in between are part of the target's list.
    may_act: BTreeSet<(String, String)>,
    pages: BTreeMap<String, Reply>,
    /// Access tokens that were handed out: whose, and with which scopes.
    tokens: BTreeMap<String, (String, BTreeSet<String>)>,
    next: VecDeque<Reply>,
    asked: Vec<Asked>,
    stop: bool,
}

impl Google {
    /// On a free port of 127.0.0.1, where it is `now`.
    pub fn start(now: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            now,
            url: format!("http://{address}"),
            users: vec![],
            accounts: BTreeMap::new(),
            federations: vec![],
            may_act: BTreeSet::new(),
            pages: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next: VecDeque::new(),
            asked: vec![],
            stop: false,
        }));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().stop {
                    return;
                }
                // One at a time; a client that goes away is its own business.
                let _gone = stream.and_then(|stream| serve(&stream, &shared));
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// A URL of these endpoints.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The `service_account_impersonation_url` of an account.
    pub fn impersonation_url(&self, email: &str) -> String {
        self.url(&format!("{ACCOUNTS}{email}:generateAccessToken"))
    }

    /// Knows a user from now on.
    pub fn add_user(&self, user: User) {
        self.state.lock().unwrap().users.push(user);
    }

    /// Knows a service account and its key from now on.
    pub fn add_account(&self, email: &str, key: &ServiceKey) {
        let known = (key.public.clone(), key.id.clone());
        self.state
            .lock()
            .unwrap()
            .accounts
            .insert(email.to_owned(), known);
    }

    /// Trusts a provider from now on. Its tokens are those of `federated`.
    pub fn federate(&self, federation: Federation) {
        self.state.lock().unwrap().federations.push(federation);
    }

    /// The acting account may make tokens of the target.
    pub fn allow(&self, acting: &str, target: &str) {
        let pair = (acting.to_owned(), target.to_owned());
        self.state.lock().unwrap().may_act.insert(pair);
    }

    /// Another page, for a GET.
    pub fn page(&self, target: &str, reply: Reply) {
        self.state.lock().unwrap().pages.insert(target.to_owned(), reply);
    }

    /// The next request is answered so, whatever it is.
    pub fn next(&self, reply: Reply) {
        self.state.lock().unwrap().next.push_back(reply);
    }

    /// Tokens that were handed out are taken no more.
    pub fn revoke_all(&self) {
        self.state.lock().unwrap().tokens.clear();
    }

    /// A token that is taken for an account's.
    pub fn hand_out(&self, token: &str, email: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let mut state = self.state.lock().unwrap();
        state.tokens.insert(token.to_owned(), (email.to_owned(), scopes));
    }

    /// Whose an access token is, and its scopes.
    pub fn whose(&self, token: &str) -> Option<(String, Vec<String>)> {
        let state = self.state.lock().unwrap();
        let (email, scopes) = state.tokens.get(token)?;
        Some((email.clone(), scopes.iter().cloned().collect()))
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The claims of an ID token.
    pub fn claims(&self, id_token: &str) -> Value {
        jwt::claims(id_token).unwrap()
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.stop = true;
        }
        // Wakes the thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let asked = Asked::read(stream)?;
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let reply = match state.next.pop_front() {
        Some(reply) => reply,
        None => state.answer(&asked).unwrap_or_else(|refused| refused),
    };
    drop(state);
    reply.send(stream)
}

/// RFC 6749, 5.2.
fn refusal(code: &str, description: &str) -> Reply {
    let status = if code == "invalid_client" { 401 } else { 400 };
    Reply::json(status, &json!({"error": code, "error_description": description}))
}

/// An error of a Google API.
fn api_error(code: u16, status: &str, reason: &str, message: &str) -> Reply {
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    let error = json!({"code": code, "message": message, "status": status, "details": details});
    Reply::json(code, &json!({ "error": error }))
}

fn bad(why: &str) -> Reply {
    api_error(400, "INVALID_ARGUMENT", "", why)
}

/// Exactly these members.
fn only(body: &Value, names: &[&str]) -> Result<(), Reply> {
    let object = body.as_object().ok_or_else(|| bad("no object"))?;
    let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    match found == names.iter().copied().collect() {
        true => Ok(()),
        false => Err(bad("unknown or missing members")),
    }
}

/// Takes a field out of a form.
fn take(form: &mut BTreeMap<String, String>, name: &str) -> Result<String, Reply> {
    form.remove(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| refusal("invalid_request", &format!("Missing required parameter: {name}")))
}

fn nothing_more(form: &BTreeMap<String, String>) -> Result<(), Reply> {
    match form.keys().next() {
        None => Ok(()),
        Some(name) => Err(refusal("invalid_request", &format!("Unknown parameter: {name}"))),
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(' ').map(str::to_owned).collect()
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Result<Reply, Reply> {
        let host = self.url.trim_start_matches("http://");
        if asked.header("host") != host {
            return Err(Reply::text(421, "wrong host"));
        }
        if let (true, Some(page)) = (asked.method == "GET", self.pages.get(&asked.target)) {
            return Ok(page.clone());
        }
        match (asked.method.as_str(), asked.target.as_str()) {
            ("POST", "/token") => self.oauth(asked),
            ("POST", "/v1/token") => self.sts(asked),
            ("POST", target) if target.starts_with(ACCOUNTS) => self.iam(asked),
            _ => Err(Reply::text(404, "not found")),
        }
    }

    fn new_token(&mut self, email: &str, scopes: BTreeSet<String>) -> String {
        let token = format!("ya29.c.{}-{}", self.tokens.len(), "x".repeat(180));
        self.tokens.insert(token.clone(), (email.to_owned(), scopes));
        token
    }

    fn oauth(&mut self, asked: &Asked) -> Result<Reply, Reply> {
        let mut form = asked.form().map_err(|why| refusal("invalid_request", &why))?;
        match take(&mut form, "grant_type")?.as_str() {
            "refresh_token" => self.refresh(form),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.jwt_bearer(form),
            other => Err(refusal("unsupported_grant_type", other)),
        }
    }

    fn refresh(&mut self, mut form: BTreeMap<String, String>) -> Result<Reply, Reply> {
        let (id, secret) = (take(&mut form, "client_id")?, take(&mut form, "client_secret")?);
        let token = take(&mut form, "refresh_token")?;
        let scope = form.remove("scope");
        nothing_more(&form)?;
        let is_client = |user: &&User| user.client_id == id && user.client_secret == secret;
        let mut users = self.users.iter().filter(is_client).peekable();
        users
            .peek()
            .ok_or_else(|| refusal("invalid_client", "Unauthorized"))?;
        let user = users
            .find(|user| user.refresh_token == token)
            .cloned()
            .ok_or_else(|| refusal("invalid_grant", "Token has been expired or revoked."))?;
        let all: BTreeSet<String> = user.scopes.iter().cloned().collect();
        let scopes = scope.map_or_else(|| all.clone(), |scope| words(&scope));
        if !scopes.is_subset(&all) {
            return Err(refusal("invalid_scope", "Bad Request"));
        }
        let said: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let mut answer = json!({"expires_in": 3599, "token_type": "Bearer", "scope": said.join(" ")});
        if scopes.contains("openid") {
            let claims = json!({"aud": user.client_id, "exp": self.now + 3599, "email": user.email});
            answer["id_token"] = jwt::id_token(&claims).into();
        }
        answer["access_token"] = self.new_token(&user.email, scopes).into();
        Ok(Reply::json(200, &answer))
    }

    fn jwt_bearer(&mut self, mut form: BTreeMap<String, String>) -> Result<Reply, Reply> {
        let assertion = take(&mut form, "assertion")?;
        nothing_more(&form)?;
        let bad = |why: &str| refusal("invalid_grant", why);
        let email = jwt::claims(&assertion)
            .and_then(|claims| Some(claims["iss"].as_str()?.to_owned()))
            .ok_or_else(|| bad("Invalid JWT"))?;
        let (public, id) = self
            .accounts
            .get(&email)
            .ok_or_else(|| bad("Invalid grant: account not found"))?;
        let (header, claims) = jwt::verified(&assertion, public).map_err(|why| bad(&why))?;
        if header != json!({"alg": "RS256", "typ": "JWT", "kid": id}) {
            return Err(bad("Invalid JWT header"));
        }
        let (iat, exp) = (claims["iat"].as_u64(), claims["exp"].as_u64());
        let (iat, exp) = iat.zip(exp).ok_or_else(|| bad("Invalid JWT: no times"))?;
        if claims["aud"] != format!("{}/token", self.url) {
            return Err(bad("Invalid JWT: Failed audience check."));
        }
        if iat > self.now || exp <= self.now || exp - iat > 3600 {
            return Err(bad(
                "Invalid JWT: Token must be a short-lived token (60 minutes).",
            ));
        }
        match (claims["scope"].as_str(), claims["target_audience"].as_str()) {
            (Some(scope), None) => {
                let token = self.new_token(&email, words(scope));
                let answer = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
                Ok(Reply::json(200, &answer))
            }
            (None, Some(audience)) => {
                let claims = json!({"aud": audience, "exp": self.now + 3600, "email": email});
                Ok(Reply::json(200, &json!({"id_token": jwt::id_token(&claims)})))
            }
            _ => Err(bad("Invalid OAuth scope or ID token audience provided.")),
        }
    }

    fn sts(&mut self, asked: &Asked) -> Result<Reply, Reply> {
        let mut form = asked.form().map_err(|why| refusal("invalid_request", &why))?;
        let grant = take(&mut form, "grant_type")?;
        let wanted = take(&mut form, "requested_token_type")?;
        if grant != "urn:ietf:params:oauth:grant-type:token-exchange"
            || wanted != "urn:ietf:params:oauth:token-type:access_token"
        {
            return Err(refusal(
                "invalid_request",
                "wrong grant_type or requested_token_type",
            ));
        }
        let audience = take(&mut form, "audience")?;
        let found = self.federations.iter().find(|f| f.audience == audience).cloned();
        let known =
            found.ok_or_else(|| refusal("invalid_target", "The target service is gone or disabled."))?;
        let scopes = words(&take(&mut form, "scope")?);
        if take(&mut form, "subject_token_type")? != known.subject_token_type {
            return Err(refusal(
                "invalid_request",
                "Invalid value for \"subject_token_type\".",
            ));
        }
        if take(&mut form, "subject_token")? != known.subject_token {
            return Err(refusal(
                "invalid_grant",
                "The subject token is not of a trusted issuer.",
            ));
        }
        let options = form
            .remove("options")
            .map(|text| serde_json::from_str::<Value>(&text).unwrap());
        nothing_more(&form)?;
        if options != known.options || asked.headers.get("authorization") != known.authorization.as_ref() {
            return Err(refusal("invalid_client", "Wrong client or options"));
        }
        let token = self.new_token("federated", scopes);
        Ok(Reply::json(
            200,
            &json!({
                "access_token": token,
                "issued_token_type": wanted,
                "token_type": "Bearer",
                // A text, as some of Google's endpoints write it.
                "expires_in": "3599",
            }),
        ))
    }

    fn iam(&mut self, asked: &Asked) -> Result<Reply, Reply> {
        let bearer = asked
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or("");
        let stranger = || {
            api_error(
                401,
                "UNAUTHENTICATED",
                "ACCESS_TOKEN_EXPIRED",
                "Request had invalid credentials.",
            )
        };
        let (acting, has) = self.tokens.get(bearer).cloned().ok_or_else(stranger)?;
        if !has.contains(CLOUD) {
            let why = "Request had insufficient authentication scopes.";
            return Err(api_error(
                403,
                "PERMISSION_DENIED",
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                why,
            ));
        }
        if asked.header("content-type") != "application/json" {
            return Err(bad("content-type"));
        }
        let body: Value = serde_json::from_str(&asked.body).map_err(|_| bad("no JSON"))?;
        let path = asked.target.strip_prefix(ACCOUNTS).unwrap_or("");
        let (target, verb) = path.rsplit_once(':').ok_or_else(|| bad("no verb"))?;
        let target = target.replace("%40", "@");
        let delegates: Vec<String> = body["delegates"]
            .as_array()
            .ok_or_else(|| bad("delegates"))?
            .iter()
            .map(|name| name.as_str().unwrap_or("").to_owned())
            .collect();
        self.chain(&acting, &delegates, &target)?;
        match verb {
            "generateAccessToken" => self.iam_access(&target, &body),
            "generateIdToken" => self.iam_id(&target, &body),
            _ => Err(bad("unknown verb")),
        }
    }

    fn iam_access(&mut self, target: &str, body: &Value) -> Result<Reply, Reply> {
        only(body, &["delegates", "scope", "lifetime"])?;
        let scopes: Vec<String> = serde_json::from_value(body["scope"].clone()).map_err(|_| bad("scope"))?;
        let lifetime = body["lifetime"].as_str();
        let seconds = lifetime.and_then(|text| text.strip_suffix('s')?.parse::<i64>().ok());
        let seconds = seconds.ok_or_else(|| bad("lifetime"))?;
        if scopes.is_empty() {
            return Err(bad("scope"));
        }
        let token = self.new_token(target, scopes.into_iter().collect());
        let now = i64::try_from(self.now).unwrap();
        let until = time::OffsetDateTime::from_unix_timestamp(now + seconds).unwrap();
        let (date, at) = (until.date(), until.time());
        let until = format!("{date}T{:02}:{:02}:{:02}Z", at.hour(), at.minute(), at.second());
        let answer = json!({"accessToken": token, "expireTime": until});
        Ok(Reply::json(200, &answer))
    }

    fn iam_id(&self, target: &str, body: &Value) -> Result<Reply, Reply> {
        only(body, &["audience", "delegates", "includeEmail"])?;
        let mut claims = json!({"aud": body["audience"], "exp": self.now + 3600});
        if body["includeEmail"]
            .as_bool()
            .ok_or_else(|| bad("includeEmail"))?
        {
            claims["email"] = target.into();
        }
        let answer = json!({"token": jwt::id_token(&claims)});
        Ok(Reply::json(200, &answer))
    }

    /// Each may act as the next.
    fn chain(&self, acting: &str, delegates: &[String], target: &str) -> Result<(), Reply> {
        let names = delegates
            .iter()
            .map(|name| name.strip_prefix("projects/-/serviceAccounts/").unwrap_or("?"));
        let mut from = acting;
        for to in names.chain([target]) {
            if !self.may_act.contains(&(from.to_owned(), to.to_owned())) {
                let why = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
                return Err(api_error(403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", why));
            }
            from = to;
        }
        Ok(())
    }
}
