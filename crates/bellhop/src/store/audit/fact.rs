//! What each write leaves in the audit log: one entry, if it changed something. The one table of that.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        api_key::{ApiKey, KeyRotation},
        audit::{AuditAction as A, AuditSubject as S, Fact},
        authentication::Authentication,
        delivery::Delivery,
        integration::{Command, Integration},
        masked::masked_url,
        replay::ReplayCommand,
        sign_in::{SignIn, SignInKind, audit_id},
        signatures::{SecretKind, Signature},
        webhook::{Webhook, WebhookSecret, WebhookState},
    },
    id::{ApplicationId, WebhookId},
    store::{Replay, Selection, SignInWrite, Write, Written},
};

/// What was there before a write, where the log says what became of it.
#[derive(Debug, Clone)]
pub enum Before {
    /// The name of an enterprise or an application.
    Name(String),
    /// A webhook.
    Webhook(Box<Webhook>),
    /// An API key.
    Key(Box<ApiKey>),
}

/// What an answer shows that is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The member of the answer that holds it.
    pub secret: &'static str,
    /// Whose it is.
    pub subject: S,
    /// The id of that.
    pub id: Uuid,
    /// The application that it belongs to.
    pub application_id: Option<ApplicationId>,
}

impl Shown {
    /// The same answer was given once more.
    pub fn again(self) -> Fact {
        Fact::new(A::SecretShownAgain, self.subject, self.id)
            .of(self.application_id)
            .saying(json!({ "Shown": self.secret }))
    }
}

/// What a write leaves in the log; `None` if it changed nothing. A new write has to say it here.
#[expect(
    clippy::too_many_lines,
    reason = "one match over all writes: the compiler asks a new one for its entry"
)]
pub fn fact(write: &Write, written: &Written, before: Option<Before>) -> Option<Fact> {
    match (write, written) {
        (Write::PutEnterprise { .. }, Written::Enterprise { enterprise, .. }) => {
            let actions = (A::EnterpriseCreated, A::EnterpriseRenamed);
            named(
                actions,
                S::Enterprise,
                enterprise.id.0,
                &enterprise.name,
                before,
            )
        }
        (
            Write::CreateApplication { .. } | Write::RenameApplication { .. },
            Written::Application(application),
        ) => {
            let actions = (A::ApplicationCreated, A::ApplicationRenamed);
            let (id, name) = (application.id, &application.name);
            Some(named(actions, S::Application, id.0, name, before)?.of(Some(id)))
        }
        (Write::CreateWebhook(_), Written::Webhook(webhook)) => {
            let mut details = settings(webhook);
            show_secret(&mut details, webhook.secrets.iter().any(is_shown));
            Some(of_webhook(A::WebhookCreated, webhook, details))
        }
        (Write::UpdateWebhook { patch, .. }, Written::Webhook(webhook)) => {
            let action = match patch.state {
                Some((WebhookState::Enabled, _)) => A::WebhookResumed,
                Some((WebhookState::Paused, _)) => A::WebhookPaused,
                Some((WebhookState::Disabled, _)) => A::WebhookDisabled,
                None => A::WebhookUpdated,
            };
            Some(of_webhook(action, webhook, differences(before, webhook)))
        }
        (Write::RotateSecret { overlap_until, .. }, Written::Webhook(webhook)) => {
            let mut details = Map::new();
            details.insert("FormerUntilUtc".into(), moment(*overlap_until));
            show_secret(&mut details, webhook.secrets.first().is_some_and(is_shown));
            Some(of_webhook(A::WebhookSecretRotated, webhook, details))
        }
        (Write::DeleteWebhook { .. }, Written::Deleted) => {
            let Some(Before::Webhook(webhook)) = before else {
                return None;
            };
            Some(of_webhook(A::WebhookDeleted, &webhook, settings(&webhook)))
        }
        (Write::CreateIntegration { .. }, Written::Integration { integration, .. }) => Some(
            of_integration(A::IntegrationCreated, integration, Some("AccessToken")),
        ),
        (
            Write::Command { command, .. },
            Written::Integration {
                integration,
                changed: true,
            },
        ) => {
            let shown = matches!(command, Command::RegenerateAccessToken { .. });
            let action = action_of(command);
            Some(of_integration(
                action,
                integration,
                shown.then_some("AccessToken"),
            ))
        }
        (Write::Replay { .. }, Written::Delivery(delivery)) => {
            Some(of_delivery(A::DeliveryReplayed, delivery, None))
        }
        (Write::Discard { reason, .. }, Written::Delivery(delivery)) => {
            Some(of_delivery(A::DeliveryDiscarded, delivery, Some(reason)))
        }
        (Write::StartReplay(_), Written::Replay { replay, .. }) => Some(started(replay)),
        (
            Write::CommandReplay { command, .. },
            Written::Replay {
                replay,
                changed: true,
            },
        ) => {
            let action = match command {
                ReplayCommand::Pause => A::ReplayPaused,
                ReplayCommand::Resume => A::ReplayResumed,
                ReplayCommand::Cancel => A::ReplayCanceled,
            };
            Some(Fact::new(action, S::Replay, replay.id.0).of(replay.application_id))
        }
        (Write::CreateKey(_), Written::Key(key)) => {
            let mut details = about_key(key);
            details["Shown"] = json!("Key");
            Some(of_key(A::KeyCreated, key, details))
        }
        (Write::RotateKey { to, .. }, Written::Key(key)) => Some(rotated(key, *to)),
        (Write::DeleteKey { .. }, Written::Deleted) => {
            let Some(Before::Key(key)) = before else {
                return None;
            };
            Some(of_key(A::KeyDeleted, &key, about_key(&key)))
        }
        (Write::SignIn(write), _) => signed_in(write),
        (Write::Note(fact), _) => Some((**fact).clone()),
        // What nothing came of; the steps of a run, which were asked for when it was started; and when keys were used,
        // which is no change of them.
        (
            Write::PutEnterprise { .. }
            | Write::CreateApplication { .. }
            | Write::RenameApplication { .. }
            | Write::CreateWebhook(_)
            | Write::UpdateWebhook { .. }
            | Write::RotateSecret { .. }
            | Write::DeleteWebhook { .. }
            | Write::CreateIntegration { .. }
            | Write::Command { .. }
            | Write::Replay { .. }
            | Write::Discard { .. }
            | Write::StartReplay(_)
            | Write::StepReplay(_)
            | Write::CommandReplay { .. }
            | Write::CreateKey(_)
            | Write::RotateKey { .. }
            | Write::NoteKeyUses(_)
            | Write::TellCertificate { .. }
            | Write::DeleteKey { .. },
            _,
        ) => None,
    }
}

/// The server has disabled a webhook.
pub fn disabled(webhook: WebhookId, of: ApplicationId, reason: &str) -> Fact {
    Fact::new(A::WebhookDisabled, S::Webhook, webhook.0)
        .of(Some(of))
        .saying(json!({ "Reason": reason }))
}

fn action_of(command: &Command) -> A {
    match command {
        Command::Enable => A::IntegrationEnabled,
        Command::Disable => A::IntegrationDisabled,
        Command::Cancel => A::IntegrationCanceled,
        Command::Reinstate => A::IntegrationReinstated,
        Command::Delete => A::IntegrationDeleted,
        Command::RegenerateAccessToken { .. } => A::AccessTokenRegenerated,
    }
}

/// Something with a name came, or has another name. The same name again is no change.
fn named(
    (created, renamed): (A, A),
    subject: S,
    id: Uuid,
    name: &str,
    before: Option<Before>,
) -> Option<Fact> {
    match before {
        Some(Before::Name(former)) if former == name => None,
        Some(Before::Name(former)) => {
            let details = json!({ "Name": changed(former, name) });
            Some(Fact::new(renamed, subject, id).saying(details))
        }
        _ => Some(Fact::new(created, subject, id).saying(json!({ "Name": name }))),
    }
}

/// On the way of every message: written by hand, and short. Names of people are with the message, where they can be
/// purged; its sequence says which that is.
fn of_integration(action: A, integration: &Integration, shown: Option<&str>) -> Fact {
    let sequence = integration.sequence;
    let fact =
        Fact::new(action, S::Integration, integration.id.0).of(Some(integration.application_id));
    match shown {
        Some(shown) => fact.saying(format_args!(
            r#"{{"Sequence":{sequence},"Shown":"{shown}"}}"#
        )),
        None => fact.saying(format_args!(r#"{{"Sequence":{sequence}}}"#)),
    }
}

fn of_webhook(action: A, webhook: &Webhook, details: Map<String, Value>) -> Fact {
    Fact::new(action, S::Webhook, webhook.id.0)
        .of(Some(webhook.application_id))
        .saying(Value::Object(details))
}

fn of_delivery(action: A, delivery: &Delivery, reason: Option<&String>) -> Fact {
    let mut details = json!({
        "WebhookId": delivery.webhook_id,
        "IntegrationId": delivery.integration_id,
        "Sequence": delivery.sequence,
    });
    if let Some(reason) = reason {
        details["Reason"] = json!(reason);
    }
    Fact::new(action, S::Delivery, delivery.id.0)
        .of(Some(delivery.application_id))
        .saying(details)
}

fn of_key(action: A, key: &ApiKey, details: Value) -> Fact {
    Fact::new(action, S::Key, key.id.0)
        .of(key.scope.application_id())
        .saying(details)
}

fn about_key(key: &ApiKey) -> Value {
    let mut details = json!({ "Name": key.name, "Scope": key.scope.as_str() });
    if let Some(expires) = key.expires {
        details["ExpiresUtc"] = moment(expires);
    }
    details
}

fn rotated(key: &ApiKey, to: KeyRotation) -> Fact {
    let mut details = json!({ "FormerUntilUtc": moment(to.overlap_until), "Shown": "Key" });
    if let Some(expires) = to.expires {
        details["ExpiresUtc"] = moment(expires);
    }
    of_key(A::KeyRotated, key, details)
}

fn started(replay: &Replay) -> Fact {
    let action = match &replay.selection {
        Selection::Deliveries(_) => A::ReplayStarted,
        Selection::History { .. } => A::BackfillStarted,
    };
    let details = json!({ "Total": replay.total, "Selection": selected(&replay.selection) });
    Fact::new(action, S::Replay, replay.id.0)
        .of(replay.application_id)
        .saying(details)
}

/// What was selected, with the members that the API has for it, if they were given.
fn selected(selection: &Selection) -> Value {
    let members = match selection {
        Selection::Deliveries(of) => vec![
            ("WebhookId", of.webhook_id.map(|id| json!(id))),
            ("ApplicationId", of.application_id.map(|id| json!(id))),
            ("IntegrationId", of.integration_id.map(|id| json!(id))),
            ("EnterpriseId", of.enterprise_id.map(|id| json!(id))),
            ("Action", of.action.map(|action| json!(action.as_str()))),
            ("State", of.state.map(|state| json!(state.as_str()))),
            ("Cause", of.cause.map(|cause| json!(cause.as_str()))),
            ("FromUtc", of.from.map(moment)),
            ("ToUtc", of.to.map(moment)),
        ],
        Selection::History {
            webhook_id,
            integrations,
        } => vec![
            ("WebhookId", Some(json!(webhook_id))),
            (
                "IntegrationIds",
                integrations.as_ref().map(|ids| json!(ids)),
            ),
        ],
    };
    let given = members.into_iter();
    let given = given.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

/// Ways into the dashboard. A session that is prolonged is one that is used.
fn signed_in(write: &SignInWrite) -> Option<Fact> {
    let session = |action, sign_in: &SignIn| {
        Fact::new(action, S::Session, audit_id(&sign_in.hash)).of(sign_in.scope.application_id())
    };
    match write {
        SignInWrite::Keep(made) if made.kind == SignInKind::Link => {
            let details = json!({ "Scope": made.scope.as_str(), "Shown": "Link" });
            Some(session(A::SignInLinkCreated, made).saying(details))
        }
        SignInWrite::Keep(made) => {
            let details = json!({ "Scope": made.scope.as_str() });
            Some(session(A::SignedIn, made).saying(details))
        }
        SignInWrite::UseLink {
            link,
            session: opened,
        } => {
            let details = json!({ "Scope": opened.scope.as_str(), "Link": audit_id(link) });
            Some(session(A::SignedIn, opened).saying(details))
        }
        SignInWrite::Prolong { .. } => None,
        SignInWrite::End {
            session,
            application_id,
        } => Some(Fact::new(A::SignedOut, S::Session, audit_id(session)).of(*application_id)),
    }
}

fn moment(at: Timestamp) -> Value {
    format!("{at:.3}").into()
}

fn changed(old: impl Into<Value>, new: impl Into<Value>) -> Value {
    json!({ "Old": old.into(), "New": new.into() })
}

/// Private keys never leave the server.
fn is_shown(secret: &WebhookSecret) -> bool {
    secret.kind() == SecretKind::Shared
}

fn show_secret(details: &mut Map<String, Value>, is_shown: bool) {
    if is_shown {
        details.insert("Shown".into(), "Secret".into());
    }
}

/// What is not the same any more. Of what is secret, only that.
fn differences(before: Option<Before>, after: &Webhook) -> Map<String, Value> {
    let mut differences = Map::new();
    let Some(Before::Webhook(before)) = before else {
        return differences;
    };
    let (mut former, latter) = (settings(&before), settings(after));
    for (name, new) in latter {
        let old = former.remove(&name).unwrap_or_default();
        if old != new {
            differences.insert(name, changed(old, new));
        }
    }
    // The same host and path, or the same names, with other secrets.
    let secrets = [
        ("Url", before.url != after.url),
        ("Headers", before.headers != after.headers),
        (
            "Authentication",
            before.authentication != after.authentication,
        ),
    ];
    for (name, is_other) in secrets {
        if is_other && !differences.contains_key(name) {
            differences.insert(name.into(), "Changed".into());
        }
    }
    let is_new = |secret: &&WebhookSecret| before.secrets.iter().all(|old| old.text != secret.text);
    let is_new_shown = after.secrets.iter().filter(is_new).any(is_shown);
    show_secret(&mut differences, is_new_shown);
    if before.health != after.health {
        differences.insert("Health".into(), "Reset".into());
    }
    differences
}

/// The settings as the API shows them: the query of the URL masked, of the headers their names.
fn settings(webhook: &Webhook) -> Map<String, Value> {
    let actions = webhook.actions.actions();
    let actions: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
    let headers: Vec<_> = webhook.headers.iter().map(|(name, _)| name).collect();
    let signatures: Vec<_> = webhook.signatures.iter().map(Signature::as_str).collect();
    let certificate = webhook.client_certificate.as_ref();
    let certificate = certificate.map(|certificate| &certificate.fingerprint);
    let settings = json!({
        "Url": masked_url(webhook.url.expose()),
        "Description": webhook.description,
        "Actions": actions,
        "Profile": webhook.profile.as_str(),
        "State": webhook.state.as_str(),
        "StateReason": webhook.state_reason,
        "TimeoutSeconds": webhook.timeout.as_secs(),
        "RetrySchedule": webhook.retry_schedule.seconds(),
        "MaxInFlight": webhook.max_in_flight,
        "RateLimit": webhook.rate_limit,
        "FollowRedirects": webhook.follow_redirects,
        "Signatures": signatures,
        "Headers": headers,
        "Authentication": webhook.authentication.as_ref().map(Authentication::kind),
        "ClientCertificate": certificate,
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}
