//! Microsoft Graph as far as it matters here: its addresses, its state and the bodies of its errors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use piton_model::Secret;
use piton_provision::MicrosoftSettings;
use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply, form};

pub const ENGINEERS: &str = "02bd9fd6-8f93-4758-87c3-1fb73740a315";
pub const E3: &str = "6fd2c87f-b296-42f0-b197-1e91e994b900";
pub const E5: &str = "c7df2760-2c81-4ef7-b578-5b5392b571df";
const HELPDESK: &str = "729827e3-9c14-49f7-bb1b-9608f156bbb8";

/// A part of a line, and the status, headers and body of its answer.
type Fault = (&'static str, u16, Vec<(&'static str, String)>, Value);

#[derive(Default)]
pub struct State {
    /// By user principal name.
    pub users: BTreeMap<String, Value>,
    /// Those that were made are not to be seen yet.
    pub lagging: bool,
    pub members: BTreeSet<String>,
    pub assignments: Vec<Value>,
    pub sessions_ended: usize,
    /// What is answered to the next call whose line contains this.
    pub faults: VecDeque<Fault>,
    tokens: usize,
    /// No token before this one is good.
    pub oldest: usize,
}

pub struct Graph {
    pub fake: Fake,
    pub state: Arc<Mutex<State>>,
}

impl Graph {
    pub async fn start() -> Graph {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fake = Fake::start(move |asked| shared.lock().unwrap().answer(asked)).await;
        Graph { fake, state }
    }

    pub fn settings(&self) -> MicrosoftSettings {
        MicrosoftSettings {
            tenant_id: "contoso.example".to_owned(),
            client_id: "11111111-2222-3333-4444-555555555555".to_owned(),
            client_secret: Secret::new("client~secret~value".to_owned()),
            usage_location: Some("DE".to_owned()),
            api_url: Some(format!("{}v1.0", self.fake.url)),
            token_url: Some(format!("{}contoso.example/oauth2/v2.0/token", self.fake.url)),
        }
    }

    pub fn user(&self, name: &str) -> Value {
        self.state.lock().unwrap().users.get(name).cloned().unwrap_or(Value::Null)
    }

    pub fn fail_once(&self, line: &'static str, status: u16, headers: Vec<(&'static str, String)>, body: Value) {
        self.state.lock().unwrap().faults.push_back((line, status, headers, body));
    }
}

/// An error as Graph writes it.
pub fn error(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "innerError": {"date": "2026-01-05T09:00:00",
        "request-id": "8f0c", "client-request-id": "8f0c"}}})
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    reply(status, &error(code, message))
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_string())
}

fn nothing() -> Reply {
    Reply::Answer(204, Vec::new(), String::new())
}

fn not_found(what: &str) -> Reply {
    let said =
        format!("Resource '{what}' does not exist or one of its queried reference-property objects are not present.");
    refuse(404, "Request_ResourceNotFound", &said)
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(at) = self.faults.iter().position(|(line, ..)| asked.line().contains(line)) {
            let (_, status, mut headers, body) = self.faults.remove(at).unwrap();
            headers.push(("content-type", "application/json".to_owned()));
            return Reply::Answer(status, headers, body.to_string());
        }
        if asked.path == "/contoso.example/oauth2/v2.0/token" {
            return self.token(asked);
        }
        let token =
            asked.header("authorization").strip_prefix("Bearer eyJ-").and_then(|text| text.parse::<usize>().ok());
        if token.is_none_or(|token| token < self.oldest) {
            return refuse(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.");
        }
        let path = asked.path.clone();
        let parts: Vec<&str> = path.trim_start_matches("/v1.0/").split('/').collect();
        match parts.as_slice() {
            ["users", rest @ ..] => self.users(asked, rest),
            ["groups", rest @ ..] => self.groups(asked, rest),
            ["subscribedSkus"] => reply(
                200,
                &json!({"value": [{"skuId": E3, "skuPartNumber": "ENTERPRISEPACK"},
                {"skuId": E5, "skuPartNumber": "ENTERPRISEPREMIUM"}]}),
            ),
            ["roleManagement", "directory", rest @ ..] => self.roles(asked, rest),
            _ => refuse(400, "BadRequest", "Resource not found for the segment."),
        }
    }

    fn token(&mut self, asked: &Asked) -> Reply {
        let form = form(&asked.body);
        assert_eq!(form["grant_type"], "client_credentials");
        assert_eq!(form["scope"], "https://graph.microsoft.com/.default");
        if form["client_secret"] != "client~secret~value" {
            let said = "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the \
                        client secret value, not the client secret ID.";
            return reply(
                401,
                &json!({"error": "invalid_client", "error_description": said, "error_codes": [7_000_215]}),
            );
        }
        self.tokens += 1;
        reply(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": format!("eyJ-{}", self.tokens)}))
    }

    fn users(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        let body = asked.json();
        let (key, action) = match rest {
            [] => return self.make(&body),
            [key] => (*key, None),
            [key, action] => (*key, Some(*action)),
            _ => return refuse(400, "BadRequest", "Resource not found for the segment."),
        };
        let lagging = self.lagging;
        let Some(user) = self.users.get_mut(key).filter(|_| !lagging) else { return not_found(key) };
        match (asked.method.as_str(), action) {
            ("GET", None) => {
                let fields = asked.query["$select"].split(',').map(|field| (field.to_owned(), user[field].clone()));
                reply(200, &Value::Object(fields.collect()))
            }
            ("PATCH", None) => {
                user.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
                nothing()
            }
            ("DELETE", None) => {
                self.users.remove(key);
                nothing()
            }
            ("POST", Some("revokeSignInSessions")) => {
                self.sessions_ended += 1;
                reply(200, &json!({"value": true}))
            }
            ("POST", Some("assignLicense")) => {
                if user["usageLocation"].is_null() {
                    let said = "License assignment cannot be done for user with invalid usage location.";
                    return refuse(400, "Request_BadRequest", said);
                }
                let licenses = user["assignedLicenses"].as_array_mut().unwrap();
                for sku in body["removeLicenses"].as_array().unwrap() {
                    let before = licenses.len();
                    licenses.retain(|one| one["skuId"] != *sku);
                    if licenses.len() == before {
                        return refuse(400, "Request_BadRequest", "User does not have a corresponding license.");
                    }
                }
                licenses.extend(body["addLicenses"].as_array().unwrap().clone());
                reply(200, user)
            }
            _ => refuse(405, "Request_BadRequest", "Method not allowed."),
        }
    }

    fn make(&mut self, body: &Value) -> Reply {
        let name = body["userPrincipalName"].as_str().unwrap().to_owned();
        if self.users.contains_key(&name) {
            let said = "Another object with the same value for property userPrincipalName already exists.";
            let mut body = error("Request_BadRequest", said);
            body["error"]["details"] =
                json!([{"code": "ObjectConflict", "target": "userPrincipalName", "message": said}]);
            return reply(400, &body);
        }
        let mut user = body.clone();
        assert!(user["passwordProfile"]["password"].is_string() && user["mailNickname"].is_string());
        user.as_object_mut().unwrap().remove("passwordProfile");
        user["id"] = format!("00000000-0000-0000-0000-{:012}", self.users.len() + 1).into();
        user["assignedLicenses"] = json!([]);
        self.users.insert(name, user.clone());
        reply(201, &user)
    }

    fn groups(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        match (asked.method.as_str(), rest) {
            ("GET", []) => {
                let is_it = asked.query["$filter"] == "mail eq 'Ada''s engineers' or displayName eq 'Ada''s engineers'";
                reply(200, &json!({"value": if is_it { json!([{"id": ENGINEERS}]) } else { json!([]) }}))
            }
            ("POST", [ENGINEERS, "members", "$ref"]) => {
                let body = asked.json();
                let (base, id) = body["@odata.id"].as_str().unwrap().rsplit_once('/').unwrap();
                assert!(base.ends_with("/v1.0/directoryObjects"), "{base}");
                if self.lagging {
                    return not_found(id);
                }
                if !self.members.insert(id.to_owned()) {
                    let said = "One or more added object references already exist for the following modified properties: \
                                'members'.";
                    return refuse(400, "Request_BadRequest", said);
                }
                nothing()
            }
            ("DELETE", [ENGINEERS, "members", id, "$ref"]) => {
                if self.members.remove(*id) {
                    nothing()
                } else {
                    not_found(id)
                }
            }
            (_, [group, ..]) => not_found(group),
            _ => refuse(405, "Request_BadRequest", "Method not allowed."),
        }
    }

    fn roles(&mut self, asked: &Asked, rest: &[&str]) -> Reply {
        match (asked.method.as_str(), rest) {
            ("GET", ["roleDefinitions"]) => {
                let is_it = asked.query["$filter"] == "displayName eq 'Helpdesk Administrator'";
                reply(200, &json!({"value": if is_it { json!([{"id": HELPDESK}]) } else { json!([]) }}))
            }
            ("GET", ["roleAssignments"]) => {
                let of = |one: &&Value| {
                    asked.query["$filter"] == format!("principalId eq '{}'", one["principalId"].as_str().unwrap())
                };
                let found: Vec<&Value> = self.assignments.iter().filter(of).collect();
                reply(200, &json!({"value": found}))
            }
            ("POST", ["roleAssignments"]) => {
                let mut body = asked.json();
                if self.assignments.iter().any(|one| one["roleDefinitionId"] == body["roleDefinitionId"]) {
                    let said = "A conflicting object with one or more of the specified property values is present in the \
                                directory.";
                    return refuse(400, "Request_BadRequest", said);
                }
                body["id"] = "assignment-1".into();
                self.assignments.push(body.clone());
                reply(201, &body)
            }
            ("DELETE", ["roleAssignments", id]) => {
                self.assignments.retain(|one| one["id"] != *id);
                nothing()
            }
            _ => refuse(400, "BadRequest", "Resource not found for the segment."),
        }
    }
}
