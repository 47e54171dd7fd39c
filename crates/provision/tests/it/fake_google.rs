//! Google Workspace as far as it matters here: its addresses, its state and the bodies of its errors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use piton_model::Secret;
use piton_provision::{Clock as _, GoogleSettings};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::clock::ManualClock;
use crate::fake::{Asked, Fake, Reply, form};

/// Made anew for each run of the tests: nobody shall find a key among the sources.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    #[expect(clippy::disallowed_methods, reason = "the service account is not Piton's child")]
    let mut keygen = std::process::Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "", "-f"]).arg(&file).status();
    assert!(made.unwrap().success(), "ssh-keygen makes a key");
    std::fs::read_to_string(file).unwrap()
});
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Default)]
pub struct State {
    pub users: BTreeMap<String, Value>,
    /// Members by group.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Product, SKU, account.
    pub licenses: BTreeSet<(String, String, String)>,
    /// Assignments of roles: id, role, account's id.
    pub assignments: Vec<(String, String, String)>,
    pub transfers: Vec<Value>,
    /// What is answered to the next call whose line contains this.
    pub faults: VecDeque<(&'static str, u16, Value)>,
    /// The list of roles has no last page.
    pub endless: bool,
    /// Whoever asks for a token with this scope hears nothing, ever.
    pub hangs: Option<&'static str>,
    /// Scopes that were delegated.
    pub delegated: Option<Vec<&'static str>>,
    /// Tokens, until when they are good, and for what.
    tokens: BTreeMap<String, (Duration, String)>,
    issued: usize,
    clock: Option<Arc<ManualClock>>,
}

pub struct Google {
    pub fake: Fake,
    pub state: Arc<Mutex<State>>,
}

impl Google {
    pub async fn start() -> Google {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fake = Fake::start(move |asked| shared.lock().unwrap().answer(asked)).await;
        Google { fake, state }
    }

    pub fn settings(&self) -> GoogleSettings {
        let credentials = json!({
            "type": "service_account",
            "client_email": "piton@project.iam.gserviceaccount.com",
            "private_key_id": "k1",
            "private_key": KEY.as_str(),
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        GoogleSettings {
            credentials: Secret::new(credentials.to_string()),
            admin: "admin@example.org".to_owned(),
            domain: Some("example.org".to_owned()),
            customer: None,
            api_url: Some(self.fake.url.clone()),
            token_url: Some(format!("{}token", self.fake.url)),
        }
    }

    /// Its tokens end by this clock.
    pub fn lives_by(&self, clock: &Arc<ManualClock>) {
        self.state.lock().unwrap().clock = Some(Arc::clone(clock));
    }

    pub fn fail_once(&self, line: &'static str, status: u16, body: Value) {
        self.state.lock().unwrap().faults.push_back((line, status, body));
    }

    pub fn user(&self, address: &str) -> Value {
        self.state.lock().unwrap().users.get(address).cloned().unwrap_or(Value::Null)
    }

    /// Ends all tokens at once.
    pub fn revoke(&self) {
        self.state.lock().unwrap().tokens.clear();
    }
}

/// An error as Google's APIs write it.
pub fn error(code: u16, domain: &str, reason: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message,
        "errors": [{"message": message, "domain": domain, "reason": reason}]}})
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json; charset=UTF-8".to_owned())], body.to_string())
}

fn refuse(code: u16, reason: &str, message: &str) -> Reply {
    reply(code, &error(code, "global", reason, message))
}

impl State {
    fn now(&self) -> Duration {
        self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.uptime())
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(at) = self.faults.iter().position(|(line, ..)| asked.line().contains(line)) {
            let (_, status, body) = self.faults.remove(at).unwrap();
            return reply(status, &body);
        }
        if asked.path == "/token" {
            return self.token(asked);
        }
        let bearer = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(scope) = self.tokens.get(bearer).filter(|(until, _)| self.now() < *until).map(|(_, scope)| scope)
        else {
            return refuse(401, "authError", "Request had invalid authentication credentials.");
        };
        let needed = match asked.path.as_str() {
            path if path.contains("/licensing/") => "apps.licensing",
            path if path.contains("/datatransfer/") => "admin.datatransfer",
            path if path.contains("/members") => "admin.directory.group.member",
            path if path.contains("/customer/") => "admin.directory.rolemanagement",
            _ => "admin.directory.user",
        };
        if !scope.contains(needed) {
            return refuse(403, "insufficientPermissions", "Request had insufficient authentication scopes.");
        }
        let path = asked.path.clone();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["admin", "directory", "v1", "users", rest @ ..] => self.users(asked, rest),
            ["admin", "directory", "v1", "groups", group, "members", rest @ ..] => self.members(asked, group, rest),
            ["admin", "directory", "v1", "customer", "my_customer", rest @ ..] => self.roles(asked, rest),
            ["admin", "datatransfer", "v1", rest @ ..] => self.transfers(asked, rest),
            ["apps", "licensing", "v1", "product", product, "sku", sku, "user", rest @ ..] => {
                self.licenses(asked, product, sku, rest)
            }
            _ => refuse(404, "notFound", "Not Found"),
        }
    }

    fn token(&mut self, asked: &Asked) -> Reply {
        let form = form(&asked.body);
        assert_eq!(form.get("grant_type").map(String::as_str), Some(GRANT));
        let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
        let body: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
        if public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_err() {
            return reply(400, &json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}));
        }
        let claims = signed.split_once('.').unwrap().1;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iss"], "piton@project.iam.gserviceaccount.com");
        assert!(claims["aud"].as_str().unwrap().ends_with("/token"));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        if claims["sub"] != "admin@example.org" {
            return reply(400, &json!({"error": "invalid_grant", "error_description": "Invalid email or User ID"}));
        }
        let scope = claims["scope"].as_str().unwrap().to_owned();
        let allowed = |one: &str| {
            self.delegated.as_ref().is_none_or(|all| all.contains(&one.rsplit('/').next().unwrap_or_default()))
        };
        if !scope.split(' ').all(allowed) {
            let said = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for \
                        any of the scopes requested.";
            return reply(401, &json!({"error": "unauthorized_client", "error_description": said}));
        }
        if self.hangs.is_some_and(|hangs| scope.contains(hangs)) {
            return Reply::Never;
        }
        self.issued += 1;
        let token = format!("ya29.token-{}", self.issued);
        self.tokens.insert(token.clone(), (self.now() + Duration::from_secs(3599), scope));
        reply(200, &json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
    }

    fn users(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        match (asked.method.as_str(), rest) {
            ("POST", []) => {
                let mut user = asked.json();
                let address = user["primaryEmail"].as_str().unwrap().to_owned();
                if self.find(&address).is_some() {
                    return refuse(409, "duplicate", "Entity already exists.");
                }
                assert!(user["password"].as_str().unwrap().len() >= 8);
                user.as_object_mut().unwrap().remove("password");
                user["id"] = format!("id-{address}").into();
                user["suspended"] = false.into();
                self.users.insert(address, user.clone());
                reply(200, &user)
            }
            (method, [key]) => {
                let Some(address) = self.find(key) else {
                    return refuse(404, "notFound", "Resource Not Found: userKey");
                };
                match method {
                    "GET" => reply(200, &self.users[&address]),
                    "DELETE" => {
                        self.users.remove(&address);
                        Reply::Answer(204, Vec::new(), String::new())
                    }
                    "PUT" => {
                        let user = self.users.get_mut(&address).unwrap();
                        user.as_object_mut().unwrap().extend(asked.json().as_object().unwrap().clone());
                        reply(200, user)
                    }
                    _ => refuse(405, "httpMethodNotAllowed", "Method Not Allowed"),
                }
            }
            _ => refuse(404, "notFound", "Not Found"),
        }
    }

    /// By address, alias or id, as the API does.
    fn find(&self, key: &str) -> Option<String> {
        let is_it = |(address, user): &(&String, &Value)| {
            *address == key
                || user["id"] == key
                || user["aliases"].as_array().is_some_and(|all| all.iter().any(|one| one == key))
        };
        self.users.iter().find(is_it).map(|(address, _)| address.clone())
    }

    fn members(&mut self, asked: &Asked, group: &str, rest: &[&str]) -> Reply {
        let Some(members) = self.groups.get_mut(group) else {
            return refuse(404, "notFound", "Resource Not Found: groupKey");
        };
        match (asked.method.as_str(), rest) {
            ("POST", []) => {
                if !members.insert(asked.json()["email"].as_str().unwrap().to_owned()) {
                    return refuse(409, "duplicate", "Member already exists.");
                }
                reply(200, &asked.json())
            }
            ("GET", []) => reply(200, &json!({"members": []})),
            ("DELETE", [member]) => {
                if members.remove(*member) {
                    return Reply::Answer(204, Vec::new(), String::new());
                }
                refuse(404, "notFound", "Resource Not Found: memberKey")
            }
            _ => refuse(404, "notFound", "Not Found"),
        }
    }

    fn roles(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        match (asked.method.as_str(), rest) {
            // In two pages.
            ("GET", ["roles"]) => match asked.query.get("pageToken") {
                None => reply(
                    200,
                    &json!({"items": [{"roleId": "1", "roleName": "_SEED_ADMIN_ROLE"}], "nextPageToken": "p2"}),
                ),
                Some(_) if self.endless => reply(200, &json!({"items": [], "nextPageToken": "p2"})),
                Some(_) => reply(200, &json!({"items": [{"roleId": "2", "roleName": "Help Desk"}]})),
            },
            ("GET", ["roleassignments"]) => {
                let of_user = self.assignments.iter().filter(|(_, _, user)| *user == asked.query["userKey"]);
                let items: Vec<Value> = of_user
                    .map(|(id, role, user)| json!({"roleAssignmentId": id, "roleId": role, "assignedTo": user}))
                    .collect();
                reply(200, &json!({"items": items}))
            }
            ("POST", ["roleassignments"]) => {
                let body = asked.json();
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                let id = format!("a{}", self.assignments.len());
                self.assignments.push((id, text("roleId"), text("assignedTo")));
                reply(200, &body)
            }
            ("DELETE", ["roleassignments", id]) => {
                self.assignments.retain(|(other, ..)| other != id);
                Reply::Answer(204, Vec::new(), String::new())
            }
            _ => refuse(404, "notFound", "Not Found"),
        }
    }

    fn transfers(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        match (asked.method.as_str(), rest) {
            ("GET", ["applications"]) => {
                let known = json!([{"id": "55656082996", "name": "Drive and Docs"},
                    {"id": "435070579839", "name": "Calendar"}]);
                reply(200, &json!({"applications": known}))
            }
            ("GET", ["transfers"]) => reply(200, &json!({"dataTransfers": self.transfers})),
            ("POST", ["transfers"]) => {
                let mut body = asked.json();
                body["overallTransferStatusCode"] = "inProgress".into();
                self.transfers.push(body.clone());
                reply(200, &body)
            }
            _ => refuse(404, "notFound", "Not Found"),
        }
    }

    fn licenses(&mut self, asked: &Asked, product: &str, sku: &str, rest: &[&str]) -> Reply {
        let key = |user: &str| (product.to_owned(), sku.to_owned(), user.to_owned());
        match (asked.method.as_str(), rest) {
            ("POST", []) => {
                let user = asked.json()["userId"].as_str().unwrap().to_owned();
                if self.find(&user).is_none() {
                    return refuse(404, "notFound", "User not found");
                }
                if !self.licenses.insert(key(&user)) {
                    let said = "User already has a license for the specified product and SKU";
                    return refuse(412, "conditionNotMet", said);
                }
                reply(200, &json!({"userId": user, "skuId": sku, "productId": product}))
            }
            ("GET", [user]) if self.licenses.contains(&key(user)) => reply(200, &json!({"userId": user})),
            ("DELETE", [user]) if self.licenses.remove(&key(user)) => reply(200, &json!({})),
            _ => refuse(404, "notFound", "Not Found"),
        }
    }
}
