//! What can be done with a webhook: hold it, let it go on, try it, give it another secret.

use std::time::Duration;

use bellhop_webhook::Action;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    attempts::{AttemptObject, SentTo},
    checks::Checks,
    code::Code,
    objects::Headers,
    overlap::overlap,
    webhook_settings::check_secret,
    webhook_signatures::{check_use, main_kind},
    webhooks::{CommandedWebhook, View, answer, find, shown},
};
use crate::{
    domain::{
        retry::later,
        signatures::SecretKind,
        webhook::{Webhook, WebhookState},
    },
    store::{WebhookPatch, Write},
};

const MAX_REASON: usize = 500;
/// How long a caller waits for the outcome of a test unless it says otherwise: it is recorded nowhere, so an
/// answer without it is of little use.
const TEST_WAIT: Duration = Duration::from_secs(10);

/// Why a webhook is paused. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct PauseWebhook {
    /// Why, for people.
    reason: Option<String>,
}

/// The body may be empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The new secret. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RotateSecret {
    /// `whsec_…` or `whsk_…`, of a kind that the webhook's `Signatures` need; one is made unless given.
    secret: Option<String>,
    /// What is made where none is given: `Secret` (whsec_…) or `KeyPair`; `Secret` unless the webhook signs with its
    /// key pair alone.
    kind: Option<String>,
    /// For how long the former secrets sign as well, 0 to 604800; a day unless given. 0 if one is in wrong hands: then
    /// nothing is signed with them any more when this is answered.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<u32>,
}

/// What a test is to be. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TestWebhook {
    /// Whether the newest secret alone signs, also while former ones overlap: so a receiver shows that it has it. False
    /// unless given.
    newest_secret_only: Option<bool>,
    /// Of which action, of the webhook's profile; `IntegrationEnabled` unless given.
    action: Option<String>,
    /// Only make it and sign it: the answer has it, and nothing is sent. False unless given.
    dry_run: Option<bool>,
}

/// A test message as it would be sent now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SignedTest {
    /// The headers, without what the webhook proves itself with.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Headers,
    /// The exact bytes.
    body: String,
}

/// A test message that was sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TestedWebhook {
    /// Its `webhook-id`.
    message_id: String,
    /// What came of it; null if it has not ended within the time that `Prefer: wait` names.
    attempt: Option<AttemptObject>,
    /// What would be sent, of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<SignedTest>,
}

/// Holds a webhook: what happens meanwhile is kept and sent later, in order.
#[utoipa::path(post, path = "/v1/webhooks/{Id}/pause", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")), request_body = inline(Option<PauseWebhook>),
    responses((status = 200, description = "It is paused.", body = CommandedWebhook)))]
pub async fn pause(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<PauseWebhook>()?;
    if let Some(reason) = &body.reason {
        checks.text("/Reason", reason, 1, MAX_REASON);
    }
    checks.finish()?;
    set_state(&call, WebhookState::Paused, body.reason).await
}

/// Enables a webhook that is paused or disabled, and closes its circuit: everything held is sent, in order.
#[utoipa::path(post, path = "/v1/webhooks/{Id}/resume", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")),
    responses((status = 200, description = "It is enabled.", body = CommandedWebhook)))]
pub async fn resume(call: Call) -> Result<Reply, ApiError> {
    call.read::<Nothing>()?.1.finish()?;
    set_state(&call, WebhookState::Enabled, None).await
}

/// Sends a test message, now and outside every lane; it is not recorded. The answer waits for its outcome:
/// 10 seconds, or as long as `Prefer: wait=N` says.
#[utoipa::path(post, path = "/v1/webhooks/{Id}/test", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: up to N seconds, at most 60.")),
    request_body = inline(Option<TestWebhook>),
    responses((status = 200, description = "What came of it.", body = TestedWebhook),
        (status = 202, description = "It is on its way.", body = TestedWebhook)))]
pub async fn test(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<TestWebhook>()?;
    let mut webhook = find(&call).await?;
    let action = body.action.as_deref();
    let action = action.map_or(Action::IntegrationEnabled, |text| {
        let of_profile = Action::ALL.into_iter();
        let of_profile = of_profile.filter(|action| action.in_profile(webhook.profile));
        let known: Vec<_> = of_profile.map(|action| (action.as_str(), action)).collect();
        let found = checks.one_of("/Action", text, &known);
        found.unwrap_or(Action::IntegrationEnabled)
    });
    checks.finish()?;
    if body.newest_secret_only == Some(true) {
        // The newest of each kind.
        webhook.secrets.retain(|secret| secret.expires.is_none());
    }
    if body.dry_run == Some(true) {
        return signed_test(&call, &webhook, action);
    }
    let wait = call.wait().unwrap_or(TEST_WAIT);
    let sender = &call.api.options.test_sender;
    let tested = sender.send_test(&webhook, action, wait).await;
    let sent = SentTo::test(&webhook, &tested);
    let status = if tested.attempt.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let document = TestedWebhook {
        message_id: tested.message_id.to_string(),
        attempt: tested
            .attempt
            .map(|attempt| AttemptObject::new(attempt, &sent)),
        signed: None,
    };
    Ok(Reply::json(status, &document))
}

/// A test message that somebody else sends. It is about nothing that exists, so that nothing in it is a secret.
fn signed_test(call: &Call, webhook: &Webhook, action: Action) -> Result<Reply, ApiError> {
    let sender = &call.api.options.test_sender;
    let message = sender.make_test(webhook, action);
    let headers = sender.sign(webhook, &message).ok_or_else(|| {
        let detail = "The webhook's secret was rotated this moment. Ask again.";
        ApiError::new(Code::Unavailable, detail).with_retry_after(1)
    })?;
    Ok(Reply::ok(&TestedWebhook {
        message_id: message.message_id.to_string(),
        attempt: None,
        signed: Some(SignedTest {
            headers: Headers(headers),
            body: String::from_utf8_lossy(&message.body).into_owned(),
        }),
    }))
}

/// Gives a webhook another secret, shown once, or another key pair, of which only the public key is. The former ones of
/// the same kind sign as well until the overlap ends.
#[utoipa::path(post, path = "/v1/webhooks/{Id}/rotate-secret", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")), request_body = inline(Option<RotateSecret>),
    responses((status = 200, description = "The new secret signs from now on.", body = CommandedWebhook)))]
pub async fn rotate_secret(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<RotateSecret>()?;
    let overlap = overlap(&call, &mut checks, body.overlap_seconds);
    let webhook = find(&call).await?;
    let given = body.secret.map(|text| check_secret(&mut checks, text));
    let kind = check_kind(&mut checks, body.kind.as_deref(), given.is_some(), &webhook);
    if let Some(secret) = &given {
        check_use(&mut checks, secret, webhook.signatures);
    }
    checks.finish()?;
    call.if_match(webhook.revision)?;
    let secret = given.unwrap_or_else(|| call.lifecycle().secret_of(kind));
    let write = Write::RotateSecret {
        id: webhook.id,
        secret: secret.clone(),
        overlap_until: later(call.lifecycle().now(), overlap),
    };
    let view = View::of(&call);
    let rotated = call
        .commit(write, move |written| {
            let fresh = std::slice::from_ref(&secret);
            answer(StatusCode::OK, written, &view, None, fresh)
        })
        .await?;
    // What is under way was made ready with the former secrets: it does not sign with them after this.
    if let Some(present) = call.store().webhook(webhook.id).await? {
        let retire = &call.api.options.retire_secrets;
        retire.retire(present.id, present.revision);
    }
    Ok(rotated)
}

/// Which kind of secret is to be made.
fn check_kind(
    checks: &mut Checks,
    kind: Option<&str>,
    is_given: bool,
    webhook: &Webhook,
) -> SecretKind {
    let Some(text) = kind else {
        return main_kind(webhook.signatures);
    };
    let known = [
        ("Secret", SecretKind::Shared),
        ("KeyPair", SecretKind::KeyPair),
    ];
    let kind = checks
        .one_of("/Kind", text, &known)
        .unwrap_or(SecretKind::Shared);
    if is_given {
        checks.invalid(
            "/Kind",
            "Secret says already which kind it is: leave one of the two out.",
        );
    } else if !webhook.signatures.need(kind) {
        let detail = format!(
            "The webhook does not sign with it: its signatures are {}. Choose others in Signatures first.",
            webhook.signatures
        );
        checks.invalid("/Kind", detail);
    }
    kind
}

async fn set_state(
    call: &Call,
    state: WebhookState,
    reason: Option<String>,
) -> Result<Reply, ApiError> {
    let present = find(call).await?;
    call.if_match(present.revision)?;
    let view = View::of(call);
    // Whoever resumes a webhook that is enabled wants its circuit closed.
    let heals = state == WebhookState::Enabled && !present.health.is_clean();
    if present.state == state && reason.is_none() && !heals {
        return Ok(shown(StatusCode::OK, &present, &view, Some(false), &[]));
    }
    let changed = present.state != state || present.state_reason != reason || heals;
    let patch = WebhookPatch {
        state: Some((state, reason)),
        ..WebhookPatch::default()
    };
    let write = Write::UpdateWebhook {
        id: present.id,
        if_revision: call.has_if_match().then_some(present.revision),
        patch: Box::new(patch),
    };
    call.commit(write, move |written| {
        answer(StatusCode::OK, written, &view, Some(changed), &[])
    })
    .await
}
