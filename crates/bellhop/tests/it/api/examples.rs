//! For each operation of the OpenAPI document, a request that does something; and for each place in it where an id may
//! stand, one with that id.

use bellhop::api;
use http::Method;
use serde_json::{Map, Value, json};

use crate::support::{
    answer::Answer,
    app::{TestApp, text},
};

/// An id that names nothing.
pub const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// An operation, as the document describes it.
pub struct Described {
    pub id: String,
    pub method: Method,
    pub path: String,
    scopes: Vec<String>,
    query: Vec<String>,
    body: Vec<String>,
}

/// One of each that an application has, and what the operator has beside it.
#[derive(Debug)]
pub struct Things {
    pub application: String,
    pub enterprise: String,
    webhook: String,
    integration: String,
    delivery: String,
    replay: String,
    key_id: String,
}

/// A member of a query or of a body that takes an id.
pub struct IdPlace {
    pub member: String,
    is_query: bool,
}

/// Every operation of the document.
pub fn operations() -> Vec<Described> {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let texts = |value: &Value| -> Vec<String> {
                let of = value.as_array().into_iter().flatten();
                of.map(text).collect()
            };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let query = parameters.filter(|parameter| parameter["in"] == "query");
            let content = operation["requestBody"]["content"].as_object();
            let schema = content.and_then(|content| content.values().next());
            all.push(Described {
                id: text(&operation["operationId"]),
                method: method.to_uppercase().parse().unwrap(),
                path: asked_at(path),
                scopes: texts(&operation["x-scopes"]),
                query: query.map(|parameter| text(&parameter["name"])).collect(),
                body: schema.map_or(vec![], |schema| members(&document, &schema["schema"])),
            });
        }
    }
    assert!(all.len() > 40);
    all
}

/// A stream that is to end.
fn asked_at(path: &str) -> String {
    let is_stream = path == "/v1/events";
    format!("{path}{}", if is_stream { "?WaitSeconds=0" } else { "" })
}

/// The names of all members that a schema has, at any depth.
fn members(document: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        found.extend(members(document, target.unwrap()));
    }
    for word in ["oneOf", "allOf", "anyOf"] {
        for each in schema[word].as_array().into_iter().flatten() {
            found.extend(members(document, each));
        }
    }
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        found.push(name.clone());
        found.extend(members(document, of));
    }
    found
}

impl Described {
    /// Whether no key is needed.
    pub fn is_public(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Whether a key of this scope may.
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|allowed| allowed == scope)
    }

    /// Whether its path has an id.
    pub fn names_an_id(&self) -> bool {
        self.path.contains("{Id}")
    }

    /// Whether it answers with something that was not there before.
    pub fn makes_something(&self) -> bool {
        [
            "createWebhook",
            "backfillWebhook",
            "rotateSecret",
            "testWebhook",
        ]
        .contains(&&*self.id)
    }

    /// Where an application's key may give an id, beside the path.
    pub fn places_of_ids(&self) -> Vec<IdPlace> {
        if !self.allows("application") {
            return Vec::new();
        }
        let place = |is_query| {
            move |member: &String| IdPlace {
                member: member.clone(),
                is_query,
            }
        };
        // A client of an authorization server is none of ours.
        let is_id = |member: &&String| {
            (member.ends_with("Id") || member.ends_with("Ids")) && *member != "ClientId"
        };
        let query = self.query.iter().filter(is_id).map(place(true));
        let body = self.body.iter().filter(is_id).map(place(false));
        query.chain(body).collect()
    }
}

impl IdPlace {
    /// Asks with this id there; all else is the caller's own.
    pub async fn ask(
        &self,
        app: &TestApp,
        operation: &Described,
        own: &Things,
        id: &str,
        key: &str,
    ) -> Answer {
        let mut path = operation.path.replace("{Id}", own.in_path(&operation.path));
        let mut body: Value = serde_json::from_str(&body_of(operation, own)).unwrap_or(json!({}));
        if self.is_query {
            let sign = if path.contains('?') { '&' } else { '?' };
            path = format!("{path}{sign}{}={id}", self.member);
        } else if self.member.ends_with("Ids") {
            body[&self.member] = json!([id]);
        } else {
            body[&self.member] = json!(id);
        }
        let asking = app.ask(operation.method.clone(), &path).key(key);
        if operation.method == Method::GET {
            return asking.send().await;
        }
        asking.json(&body).send().await
    }
}

impl Things {
    /// A new application with one of each.
    pub async fn make(app: &TestApp, name: &str) -> Self {
        let application = app.application(name).await;
        let enterprise = uuid::Uuid::parse_str(&application).unwrap().as_u128() ^ 1;
        let enterprise = uuid::Uuid::from_u128(enterprise).to_string();
        let path = format!("/v1/enterprises/{enterprise}");
        let put = app.operator(Method::PUT, &path);
        put.json(&json!({ "Name": name })).send().await.expect(201);
        let settings = json!({ "Signatures": ["v1", "v1a"] });
        let webhook = text(&app.webhook(&application, settings).await["Id"]);
        let integration = json!({
            "ApplicationId": application, "EnterpriseId": enterprise, "Name": "x"
        });
        let made = app.post("/v1/integrations", &integration).await.expect(201);
        let integration = text(&made["Id"]);
        let path = format!("/v1/deliveries?WebhookId={webhook}");
        let delivery = text(&app.get(&path).await.expect(200)["Items"][0]["Id"]);
        let backfill = format!("/v1/webhooks/{webhook}/backfill");
        let replay = text(&app.post(&backfill, &json!({})).await.expect(202)["Id"]);
        let scope = json!({ "Scope": "introspect" });
        let key = app.post("/v1/keys", &scope).await.expect(201);
        Self {
            application,
            enterprise,
            webhook,
            integration,
            delivery,
            replay,
            key_id: text(&key["Id"]),
        }
    }

    /// Ids that name nothing.
    pub fn nothing() -> Self {
        let id = || NOTHING.to_owned();
        Self {
            application: id(),
            enterprise: id(),
            webhook: id(),
            integration: id(),
            delivery: id(),
            replay: id(),
            key_id: id(),
        }
    }

    /// The one that a path is about.
    pub fn in_path(&self, path: &str) -> &str {
        match path.split('/').nth(2).unwrap_or_default() {
            "enterprises" => &self.enterprise,
            "applications" => &self.application,
            "webhooks" | "bellhop" => &self.webhook,
            "integrations" => &self.integration,
            "deliveries" => &self.delivery,
            "replays" => &self.replay,
            "keys" => &self.key_id,
            _ if path.contains("{Id}") => panic!("say here which id belongs in {path}"),
            _ => "",
        }
    }

    /// The one that a member of this name names.
    pub fn named(&self, member: &str) -> &str {
        match member {
            "ApplicationId" => &self.application,
            "EnterpriseId" => &self.enterprise,
            "WebhookId" => &self.webhook,
            "IntegrationId" | "IntegrationIds" => &self.integration,
            "DeliveryId" => &self.delivery,
            _ => panic!("say here which id belongs in {member}"),
        }
    }

    pub fn ids(&self) -> [&str; 7] {
        [
            &self.application,
            &self.enterprise,
            &self.webhook,
            &self.integration,
            &self.delivery,
            &self.replay,
            &self.key_id,
        ]
    }

    /// The text with the same word for each of these ids.
    pub fn without_ids(&self, text: &str) -> String {
        let without = |text: String, id: &str| text.replace(id, "(an id)");
        self.ids().into_iter().fold(text.to_owned(), without)
    }

    /// All of them, as the operator sees them.
    pub async fn shown(&self, app: &TestApp) -> Vec<Value> {
        let mut shown = Vec::new();
        for path in [
            format!("/v1/applications/{}", self.application),
            format!("/v1/webhooks/{}", self.webhook),
            format!("/v1/integrations/{}", self.integration),
            format!("/v1/integrations/{}/messages", self.integration),
            format!("/v1/deliveries/{}", self.delivery),
            format!("/v1/deliveries?ApplicationId={}", self.application),
            format!("/v1/replays/{}", self.replay),
            format!("/v1/replays?ApplicationId={}", self.application),
        ] {
            shown.push(app.get(&path).await.expect(200));
        }
        let keys = app.get("/v1/keys?Limit=1000").await.expect(200);
        let keys = keys["Items"].as_array().unwrap().clone();
        shown.extend(keys.into_iter().filter(|key| key["Id"] == *self.key_id));
        shown
    }
}

/// What each operation is sent, so that it does something with these.
pub fn body_of(operation: &Described, things: &Things) -> String {
    let document = match &*operation.id {
        "introspectAccessToken" => return "token=x".to_owned(),
        "putEnterprise" | "createApplication" => json!({ "Name": "x" }),
        "createWebhook" => json!({ "Url": "https://hooks.example.com/" }),
        "createIntegration" => json!({
            "ApplicationId": things.application, "EnterpriseId": things.enterprise, "Name": "x"
        }),
        "createKey" => json!({ "Scope": "introspect" }),
        "startReplay" => json!({ "DryRun": true, "WebhookId": things.webhook }),
        "discardDelivery" => json!({ "Reason": "x" }),
        "live"
        | "ready"
        | "readMetrics"
        | "readPublicKeys"
        | "getEnterprise"
        | "listEnterprises"
        | "updateApplication"
        | "getApplication"
        | "listApplications"
        | "listApplicationWebhooks"
        | "listWebhooks"
        | "getWebhook"
        | "updateWebhook"
        | "deleteWebhook"
        | "pauseWebhook"
        | "resumeWebhook"
        | "testWebhook"
        | "rotateSecret"
        | "backfillWebhook"
        | "listIntegrations"
        | "getIntegration"
        | "enableIntegration"
        | "disableIntegration"
        | "cancelIntegration"
        | "reinstateIntegration"
        | "deleteIntegration"
        | "regenerateAccessToken"
        | "listMessages"
        | "listDeliveries"
        | "streamEvents"
        | "getDelivery"
        | "replayDelivery"
        | "revealDelivery"
        | "listReplays"
        | "getReplay"
        | "pauseReplay"
        | "resumeReplay"
        | "cancelReplay"
        | "listKeys"
        | "rotateKey"
        | "deleteKey"
        | "listAudit"
        | "listOperationalMessages" => Value::Object(Map::new()),
        other => panic!("say here what {other} is sent, so that who may do it is tested"),
    };
    document.to_string()
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)
    }
}
