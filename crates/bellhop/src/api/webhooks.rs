//! Webhooks: an application's endpoints. What can be done with one beside reading and changing is in
//! `webhook_commands`.

use bellhop_webhook::{Action, UtcSecond};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply, applications,
    client_certificate::ClientCertificateObject,
    cursor::List,
    objects::Headers,
    page::{Items, PageRequest},
    public_keys::verifying_key,
    times::{UtcMillisecond, second},
    webhook_credentials::AuthenticationObject,
    webhook_settings::{CreateWebhook, UpdateWebhook, check_secret},
    webhook_signatures::{PublicKeys, change, check_signatures, choose, public_keys_url},
};
use crate::{
    domain::{
        health::{Circuit, Health},
        masked::{MASK, masked_url},
        secret_text::SecretText,
        signatures::{SecretKind, Signature},
        webhook::{Webhook, WebhookSecret},
    },
    feed::Event,
    id::{ApplicationId, WebhookId},
    store::{NewWebhook, Noun, Write, Written},
};

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Webhook)]
pub struct WebhookObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: WebhookId,
    /// The application that owns it.
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    /// Where to. A query is a secret and shown as `?…`.
    url: String,
    /// For people.
    description: String,
    /// Which actions; empty for all of its profile.
    actions: Vec<&'static str>,
    /// `default` or `2025`.
    profile: &'static str,
    /// `Enabled`, `Paused` or `Disabled`.
    state: &'static str,
    /// Why it is not enabled.
    state_reason: Option<String>,
    /// The deadline of one exchange.
    timeout_seconds: u64,
    /// Seconds before each try.
    retry_schedule: Vec<u32>,
    /// Most requests at a time.
    max_in_flight: u32,
    /// Most requests a second; null for no limit.
    rate_limit: Option<u32>,
    /// Whether 307 and 308 are followed, within the same origin and three times at most.
    follow_redirects: bool,
    /// Further headers, their values masked.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Headers,
    /// What stands in `Authorization` of each request.
    authentication: Option<AuthenticationObject>,
    /// What is shown in the TLS handshake to a receiver that asks.
    client_certificate: Option<ClientCertificateObject>,
    /// How requests are signed.
    signatures: Vec<&'static str>,
    /// The newest public key, `whpk_…`; null if it has no key pair.
    public_key: Option<String>,
    /// Where its public keys are, for whoever verifies; null if it has no key pair. A path alone, to be read from where
    /// the API was asked, unless the server's setting `public_url` says more.
    public_keys_url: Option<String>,
    /// What signs now, newest first; never the secrets themselves.
    secrets: Vec<SecretObject>,
    /// How it fares.
    health: HealthObject,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
}

/// A secret that signs, without itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = WebhookSecret)]
pub struct SecretObject {
    /// The first 12 hex digits of the SHA-256 of the secret in its printed form: whoever has it can tell which it is.
    fingerprint: String,
    /// `whsec` (HMAC-SHA256, signs `v1`) or `whsk` (ed25519, signs `v1a`).
    kind: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// Until when it signs; null for the newest.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_utc: Option<UtcSecond>,
}

/// What attempts have shown of a webhook. Resuming it, or giving it another URL, begins anew.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = WebhookHealth)]
pub struct HealthObject {
    /// `Closed`: it is sent to. `Open`: it failed 10 times in a row, and nothing is sent before `OpenUntilUtc`.
    /// `HalfOpen`: one attempt at a time finds out whether it is back.
    circuit: &'static str,
    /// Failed attempts since the last that succeeded. Bellhop's own faults do not count.
    consecutive_failures: u32,
    /// When the first of them ended. After 5 days of nothing but failures the webhook is disabled.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since_utc: Option<UtcMillisecond>,
    /// Until when nothing is sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    open_until_utc: Option<UtcMillisecond>,
    /// How many requests it may have at a time while it is not `Closed`, or gets its backlog after it was; null for
    /// `MaxInFlight`.
    in_flight_limit: Option<u32>,
}

/// What was done to a webhook. `Secret` is there when one was made or given, and only then; a key pair never is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CommandedWebhook {
    #[serde(flatten)]
    webhook: WebhookObject,
    /// Whether anything changed; in the answers to pause and resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    /// What both sides sign and verify with: shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Creates a webhook. Its `Secret` is shown once.
#[utoipa::path(post, path = "/v1/applications/{Id}/webhooks", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the application.")), request_body = CreateWebhook,
    responses((status = 201, description = "It is new, and enabled.", body = CommandedWebhook)))]
pub async fn create(call: Call) -> Result<Reply, ApiError> {
    let application_id: ApplicationId = call.id(Noun::Application)?;
    call.caller
        .sees(application_id, Noun::Application, application_id)?;
    let (mut body, mut checks) = call.read::<CreateWebhook>()?;
    let given = body.secret.take();
    let secret = given.map(|text| check_secret(&mut checks, text));
    let signatures = check_signatures(&mut checks, body.signatures.take());
    let chosen = choose(&mut checks, call.lifecycle(), secret, signatures);
    let mut settings = body.check(
        &mut checks,
        &*call.api.options.judge_url,
        call.lifecycle().now(),
    );
    checks.finish()?;
    settings.signatures = Some(chosen.choice);
    let new = NewWebhook {
        id: call.lifecycle().id(),
        application_id,
        secret: chosen.secret,
        settings,
    };
    let (id, view) = (new.id, View::of(&call));
    let fresh = chosen.fresh;
    call.commit(Write::CreateWebhook(Box::new(new)), move |written| {
        answer(StatusCode::CREATED, written, &view, None, &fresh)
            .with_location(&format!("/v1/webhooks/{id}"))
    })
    .await
}

/// The webhooks of one application, in the order of their ids.
#[utoipa::path(get, path = "/v1/applications/{Id}/webhooks", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the application."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<WebhookObject>)))]
pub async fn list_of_application(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::Webhooks, &mut query)?;
    query.finish()?;
    let application = applications::find(&call).await?;
    list_page(&call, page, Some(application.id)).await
}

/// The webhooks that the key may see, in the order of their ids.
#[utoipa::path(get, path = "/v1/webhooks", tag = "Webhooks",
    params(("ApplicationId" = Option<Uuid>, Query, description = "Of this application."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<WebhookObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["ApplicationId", "Limit", "Cursor"]);
    let wanted = query.id("ApplicationId");
    let page = PageRequest::read(List::Webhooks, &mut query)?;
    query.finish()?;
    list_page(&call, page, call.caller.narrow(wanted)?).await
}

/// One webhook.
#[utoipa::path(get, path = "/v1/webhooks/{Id}", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")),
    responses((status = 200, description = "The webhook.", body = WebhookObject)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let webhook = find(&call).await?;
    let version = webhook.revision;
    let object = WebhookObject::at(webhook, &View::of(&call));
    Ok(Reply::ok(&object).with_version(version))
}

/// Changes the settings of a webhook. With `If-Match`, only if nobody else has since it was read.
#[utoipa::path(patch, path = "/v1/webhooks/{Id}", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")), request_body = UpdateWebhook,
    responses((status = 200, description = "As it is now.", body = CommandedWebhook)))]
pub async fn update(call: Call) -> Result<Reply, ApiError> {
    let present = find(&call).await?;
    let (mut body, mut checks) = call.read::<UpdateWebhook>()?;
    let signatures = check_signatures(&mut checks, body.signatures.take());
    let mut patch = body.check(
        &mut checks,
        &*call.api.options.judge_url,
        call.lifecycle().now(),
        Some(&present),
    );
    checks.finish()?;
    let mut fresh = Vec::new();
    if let Some(signatures) = signatures {
        let (choice, made) = change(call.lifecycle(), signatures, None);
        patch.signatures = Some(choice);
        fresh = made;
    }
    call.if_match(present.revision)?;
    let write = Write::UpdateWebhook {
        id: present.id,
        if_revision: call.has_if_match().then_some(present.revision),
        patch: Box::new(patch),
    };
    let view = View::of(&call);
    call.commit(write, move |written| {
        answer(StatusCode::OK, written, &view, None, &fresh)
    })
    .await
}

/// Deletes a webhook. What it had still to send is discarded.
#[utoipa::path(delete, path = "/v1/webhooks/{Id}", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")),
    responses((status = 204, description = "It is gone.")))]
pub async fn delete(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let present = find(&call).await?;
    call.if_match(present.revision)?;
    let write = Write::DeleteWebhook { id: present.id };
    let deleted = call.commit(write, |_| Reply::no_content()).await?;
    call.api.options.feed.tell(Event::WebhookDeleted {
        id: present.id,
        application_id: present.application_id,
    });
    Ok(deleted)
}

/// The webhook in the path, if the caller may see it.
pub async fn find(call: &Call) -> Result<Webhook, ApiError> {
    let id: WebhookId = call.id(Noun::Webhook)?;
    let found = call.store().webhook(id).await?;
    let webhook = found.ok_or_else(|| ApiError::not_found(Noun::Webhook, id))?;
    call.caller
        .sees(webhook.application_id, Noun::Webhook, id)?;
    Ok(webhook)
}

/// The answer to a write. What is fresh is shown, if the webhook has it now.
pub fn answer(
    status: StatusCode,
    written: &Written,
    view: &View,
    changed: Option<bool>,
    fresh: &[SecretText],
) -> Reply {
    match written {
        Written::Webhook(webhook) => shown(status, webhook, view, changed, fresh),
        _ => Reply::unexpected(),
    }
}

/// A webhook as an answer.
pub fn shown(
    status: StatusCode,
    webhook: &Webhook,
    view: &View,
    changed: Option<bool>,
    fresh: &[SecretText],
) -> Reply {
    let secret = webhook
        .secrets
        .iter()
        .find(|secret| secret.kind() == SecretKind::Shared && fresh.contains(&secret.text));
    let document = CommandedWebhook {
        webhook: WebhookObject::at(webhook.clone(), view),
        changed,
        secret: secret.map(|secret| secret.text.expose().to_owned()),
    };
    Reply::json(status, &document).with_version(webhook.revision)
}

async fn list_page(
    call: &Call,
    page: PageRequest,
    of: Option<ApplicationId>,
) -> Result<Reply, ApiError> {
    let found = call.store().webhooks(of, page.page()).await?;
    let view = View::of(call);
    let object = |webhook| WebhookObject::at(webhook, &view);
    Ok(page.reply(found, |each| each.id.0, object))
}

/// What showing a webhook takes beside the webhook.
#[derive(Debug, Clone)]
pub struct View {
    now: Timestamp,
    public_keys: PublicKeys,
}

impl View {
    /// Now, for this call.
    pub fn of(call: &Call) -> Self {
        Self {
            now: call.lifecycle().now(),
            public_keys: public_keys_url(call),
        }
    }
}

impl WebhookObject {
    /// As it is at this moment.
    pub fn at(webhook: Webhook, view: &View) -> Self {
        let public_key = webhook.active_secrets(view.now).find_map(verifying_key);
        let actions = webhook.actions.actions();
        let secrets = webhook
            .active_secrets(view.now)
            .map(SecretObject::of)
            .collect();
        let headers = webhook
            .headers
            .into_iter()
            .map(|(name, _)| (name, MASK.to_owned()))
            .collect();
        Self {
            id: webhook.id,
            application_id: webhook.application_id,
            url: masked_url(webhook.url.expose()),
            description: webhook.description,
            actions: actions.into_iter().map(Action::as_str).collect(),
            profile: webhook.profile.as_str(),
            state: webhook.state.as_str(),
            state_reason: webhook.state_reason,
            timeout_seconds: webhook.timeout.as_secs(),
            retry_schedule: webhook.retry_schedule.seconds().to_vec(),
            max_in_flight: webhook.max_in_flight,
            rate_limit: webhook.rate_limit,
            follow_redirects: webhook.follow_redirects,
            headers: Headers(headers),
            authentication: webhook.authentication.as_ref().map(Into::into),
            client_certificate: webhook
                .client_certificate
                .as_ref()
                .map(|certificate| ClientCertificateObject::at(certificate, view.now)),
            signatures: webhook.signatures.iter().map(Signature::as_str).collect(),
            public_key: public_key.map(|key| key.to_string()),
            public_keys_url: public_key.map(|_| view.public_keys.url(webhook.id)),
            secrets,
            health: HealthObject::at(webhook.health, view.now),
            created_utc: second(webhook.created),
        }
    }
}

impl SecretObject {
    fn of(secret: &WebhookSecret) -> Self {
        Self {
            fingerprint: secret.fingerprint(),
            kind: secret.kind().as_str(),
            created_utc: second(secret.created),
            expires_utc: secret.expires.map(second),
        }
    }
}

impl HealthObject {
    fn at(health: Health, now: Timestamp) -> Self {
        let circuit = health.circuit(now);
        let open_until = match circuit {
            Circuit::Open { until } => Some(until),
            Circuit::Closed | Circuit::HalfOpen => None,
        };
        Self {
            circuit: circuit.as_str(),
            consecutive_failures: health.failures,
            failing_since_utc: health.failing_since.map(UtcMillisecond),
            open_until_utc: open_until.map(UtcMillisecond),
            in_flight_limit: health.most_in_flight(now),
        }
    }
}
