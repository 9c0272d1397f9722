//! Replays in bulk: a counted dry run, then a run that goes on by itself. Backfills are runs as well.

use std::time::Duration;

use bellhop_webhook::Action;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Checks, Reply,
    code::Flaw,
    cursor::List,
    error::FieldError,
    page::{Items, PageRequest},
    replay_objects::{
        BackfillPreview, CommandedReplay, ReplayCounts, ReplayFilter, ReplayObject, ReplayPreview,
    },
    replay_token::{self, Previewed},
    times::second,
    webhook_commands::Nothing,
    webhooks,
};
use crate::{
    domain::{cause::Cause, delivery::DeliveryState, replay::ReplayCommand, retry::later},
    id::{ApplicationId, EnterpriseId, IntegrationId, ReplayId, WebhookId},
    store::{
        Counted, DeliveryFilter, MAX_TOTAL, NewReplay, Noun, Replay, ReplayCount, Selection, Write,
        Written,
    },
};

/// How long a dry run may be started.
const PREVIEW_LASTS: Duration = Duration::from_hours(1);
/// Most integrations that a backfill names.
const MAX_INTEGRATIONS: usize = 100;

/// A dry run, or its start. At least one member of the filter is needed for a dry run; the start needs the token.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StartReplay {
    /// Count, and give a token.
    dry_run: Option<bool>,
    /// Of the dry run that is to be started. The filter may be given again; it has to be the same.
    token: Option<String>,
    /// To this webhook.
    webhook_id: Option<Uuid>,
    /// Of this application.
    application_id: Option<Uuid>,
    /// Of this integration.
    integration_id: Option<Uuid>,
    /// Of this enterprise.
    enterprise_id: Option<Uuid>,
    /// Of this action.
    action: Option<String>,
    /// In this state: `Pending`, `Delivered`, `Failed` or `Discarded`.
    state: Option<String>,
    /// Whose newest attempt failed so.
    cause: Option<String>,
    /// Made at this moment or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    from_utc: Option<String>,
    /// Made before this moment.
    #[schema(value_type = Option<String>, format = DateTime)]
    to_utc: Option<String>,
}

/// Which history. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct BackfillWebhook {
    /// Of these integrations alone, at most 100.
    integration_ids: Option<Vec<Uuid>>,
    /// Only count.
    dry_run: Option<bool>,
}

/// Counts what fits a filter (`DryRun: true`, 200), or replays what a dry run counted (`Token`, 201). The run sends
/// each once more, with the same id and bytes, in order within each integration.
#[utoipa::path(post, path = "/v1/replays", tag = "Replays", request_body = StartReplay,
    responses((status = 200, description = "What would be replayed.", body = ReplayPreview),
        (status = 201, description = "It is running.", body = ReplayObject)))]
pub async fn start(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<StartReplay>()?;
    let filter = body.filter(&mut checks);
    match (body.dry_run.unwrap_or(false), &body.token) {
        (true, Some(_)) => checks.invalid("/Token", "A dry run takes no token: it gives one."),
        (false, None) => checks.push(FieldError::at(
            "/Token",
            Flaw::Missing,
            "Make a dry run first: send the filter with DryRun true, look at the counts, and send the Token.",
        )),
        (true, None) if filter == DeliveryFilter::default() => checks.invalid(
            "",
            "A replay needs a filter: at least one of WebhookId, ApplicationId, IntegrationId, EnterpriseId, Action, \
             State, Cause, FromUtc and ToUtc.",
        ),
        _ => {}
    }
    checks.finish()?;
    let filter = narrowed(&call, &filter)?;
    match body.token {
        None => preview(&call, filter).await,
        Some(token) => run(&call, filter, &token).await,
    }
}

/// Replays in bulk and backfills, newest first.
#[utoipa::path(get, path = "/v1/replays", tag = "Replays",
    params(("ApplicationId" = Option<Uuid>, Query, description = "That keep to this application."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<ReplayObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["ApplicationId", "Limit", "Cursor"]);
    let wanted = query.id("ApplicationId");
    let page = PageRequest::read(List::Replays, &mut query)?;
    query.finish()?;
    let of = call.caller.narrow(wanted)?;
    let found = call.store().replays(of, page.page()).await?;
    let mut shown = Vec::with_capacity(found.len());
    for replay in found {
        shown.push((replay.id, object(&call, &replay).await?));
    }
    Ok(page.reply(shown, |(id, _)| id.0, |(_, shown)| shown))
}

/// How far a replay or backfill is.
#[utoipa::path(get, path = "/v1/replays/{Id}", tag = "Replays",
    params(("Id" = Uuid, Path, description = "Of the replay.")),
    responses((status = 200, description = "The replay.", body = ReplayObject)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let replay = find(&call).await?;
    Ok(Reply::ok(&object(&call, &replay).await?).with_version_of_body())
}

/// Stops a replay for a while: what it has made due is withdrawn, and what is pending keeps its schedule. What a
/// backfill has made stays.
#[utoipa::path(post, path = "/v1/replays/{Id}/pause", tag = "Replays",
    params(("Id" = Uuid, Path, description = "Of the replay.")),
    responses((status = 200, description = "It is paused.", body = CommandedReplay)))]
pub async fn pause(call: Call) -> Result<Reply, ApiError> {
    command(&call, ReplayCommand::Pause).await
}

/// Lets a paused replay go on where it was.
#[utoipa::path(post, path = "/v1/replays/{Id}/resume", tag = "Replays",
    params(("Id" = Uuid, Path, description = "Of the replay.")),
    responses((status = 200, description = "It is running.", body = CommandedReplay)))]
pub async fn resume(call: Call) -> Result<Reply, ApiError> {
    command(&call, ReplayCommand::Resume).await
}

/// Ends a replay for good. What it has sent is sent; nothing more is.
#[utoipa::path(post, path = "/v1/replays/{Id}/cancel", tag = "Replays",
    params(("Id" = Uuid, Path, description = "Of the replay.")),
    responses((status = 200, description = "It is canceled.", body = CommandedReplay)))]
pub async fn cancel(call: Call) -> Result<Reply, ApiError> {
    command(&call, ReplayCommand::Cancel).await
}

/// Gives a webhook the history that it has not: a delivery for each message of its application's live integrations
/// that it wants and has none of, in order. With `DryRun: true` it only counts.
#[utoipa::path(post, path = "/v1/webhooks/{Id}/backfill", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")), request_body = inline(Option<BackfillWebhook>),
    responses((status = 200, description = "What would be sent.", body = BackfillPreview),
        (status = 202, description = "It is running.", body = ReplayObject)))]
pub async fn backfill(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<BackfillWebhook>()?;
    let webhook = webhooks::find(&call).await?;
    let integrations = named(
        &call,
        &mut checks,
        body.integration_ids,
        webhook.application_id,
    )
    .await?;
    checks.finish()?;
    let selection = Selection::History {
        webhook_id: webhook.id,
        integrations,
    };
    let count = count(&call, selection.clone(), None).await?;
    if body.dry_run.unwrap_or(false) {
        return Ok(Reply::ok(&BackfillPreview::from(&count)));
    }
    let new = NewReplay {
        id: call.lifecycle().id(),
        selection,
        application_id: Some(webhook.application_id),
        count,
        previewed: None,
        expires: None,
    };
    begin(&call, new, StatusCode::ACCEPTED).await
}

/// The integrations that a backfill keeps to: each has to be one of the application.
async fn named(
    call: &Call,
    checks: &mut Checks,
    ids: Option<Vec<Uuid>>,
    of: ApplicationId,
) -> Result<Option<Vec<IntegrationId>>, ApiError> {
    let Some(ids) = ids else {
        return Ok(None);
    };
    if !(1..=MAX_INTEGRATIONS).contains(&ids.len()) {
        checks.invalid(
            "/IntegrationIds",
            format!("It names 1 to {MAX_INTEGRATIONS} integrations. Without it, all are meant."),
        );
        return Ok(None);
    }
    let ids: Vec<IntegrationId> = ids.into_iter().map(IntegrationId).collect();
    for (place, id) in ids.iter().enumerate() {
        let found = call.store().integration(*id).await?;
        if found.is_none_or(|integration| integration.application_id != of) {
            checks.push(FieldError::at(
                format!("/IntegrationIds/{place}"),
                Flaw::NoSuchThing,
                format!("The webhook's application has no integration {id}."),
            ));
        }
    }
    Ok(Some(ids))
}

async fn preview(call: &Call, filter: DeliveryFilter) -> Result<Reply, ApiError> {
    let count = count(call, Selection::Deliveries(filter.clone()), None).await?;
    let expires = later(call.lifecycle().now(), PREVIEW_LASTS);
    let previewed = Previewed {
        filter,
        counted: count.counted,
        digest: count.digest,
        expires,
    };
    Ok(Reply::ok(&ReplayPreview {
        counts: ReplayCounts::from(&count),
        token: replay_token::write(&call.api.options.operator_key, &previewed),
        expires_utc: second(expires),
    }))
}

async fn run(call: &Call, given: DeliveryFilter, token: &str) -> Result<Reply, ApiError> {
    let previewed = call
        .api
        .options
        .operator_keys()
        .find_map(|key| replay_token::read(key, token))
        .ok_or_else(|| bad_token("This is not the Token of a dry run. Make another dry run."))?;
    let filter = narrowed(call, &previewed.filter)?;
    // Compared as they are written: moments to the millisecond.
    let is_given = given != narrowed(call, &DeliveryFilter::default())?;
    let is_other = is_given && ReplayFilter::from(&given) != ReplayFilter::from(&filter);
    if filter != previewed.filter || is_other {
        return Err(bad_token(
            "This token belongs to a dry run with another filter. Leave the filter out, or make another dry run.",
        ));
    }
    let selection = Selection::Deliveries(filter.clone());
    let count = count(call, selection.clone(), Some(previewed.counted)).await?;
    let counts = ReplayCounts::from(&count);
    let new = NewReplay {
        id: call.lifecycle().id(),
        selection,
        application_id: application(call, &filter).await?,
        count,
        previewed: Some(previewed.digest),
        expires: Some(previewed.expires),
    };
    begin(call, new, StatusCode::CREATED)
        .await
        .map_err(|error| error.with_counts(counts))
}

fn bad_token(detail: &str) -> ApiError {
    ApiError::invalid(vec![FieldError::at("/Token", Flaw::Invalid, detail)])
}

/// The one application that a filter keeps to, if there is one.
async fn application(
    call: &Call,
    filter: &DeliveryFilter,
) -> Result<Option<ApplicationId>, ApiError> {
    if filter.application_id.is_some() {
        return Ok(filter.application_id);
    }
    if let Some(id) = filter.webhook_id
        && let Some(webhook) = call.store().webhook(id).await?
    {
        return Ok(Some(webhook.application_id));
    }
    let Some(id) = filter.integration_id else {
        return Ok(None);
    };
    let integration = call.store().integration(id).await?;
    Ok(integration.map(|integration| integration.application_id))
}

/// Counted, or refused because it is too much.
async fn count(
    call: &Call,
    selection: Selection,
    counted: Option<Counted>,
) -> Result<ReplayCount, ApiError> {
    let now = call.lifecycle().now();
    let count = call.store().count_replay(selection, counted, now).await?;
    if count.total > MAX_TOTAL {
        let detail = format!(
            "More than {MAX_TOTAL} deliveries fit. Narrow it, by FromUtc and ToUtc for example."
        );
        return Err(ApiError::invalid(vec![FieldError::at(
            "",
            Flaw::Invalid,
            detail,
        )]));
    }
    Ok(count)
}

async fn begin(call: &Call, new: NewReplay, status: StatusCode) -> Result<Reply, ApiError> {
    let id = new.id;
    call.commit(Write::StartReplay(Box::new(new)), move |written| {
        let Written::Replay { replay, .. } = written else {
            return Reply::unexpected();
        };
        Reply::json(status, &ReplayObject::new(replay, None))
            .with_location(&format!("/v1/replays/{id}"))
    })
    .await
}

async fn command(call: &Call, command: ReplayCommand) -> Result<Reply, ApiError> {
    call.read::<Nothing>()?.1.finish()?;
    let id = find(call).await?.id;
    call.commit(Write::CommandReplay { id, command }, |written| {
        let Written::Replay { replay, changed } = written else {
            return Reply::unexpected();
        };
        Reply::ok(&CommandedReplay {
            replay: ReplayObject::new(replay, None),
            changed: *changed,
        })
    })
    .await
}

/// The replay in the path, if the caller may see it. One of several applications is the operator's.
async fn find(call: &Call) -> Result<Replay, ApiError> {
    let id: ReplayId = call.id(Noun::Replay)?;
    let found = call.store().replay(id).await?;
    let replay = found.ok_or_else(|| ApiError::not_found(Noun::Replay, id))?;
    if call
        .caller
        .narrow(None)?
        .is_none_or(|own| Some(own) == replay.application_id)
    {
        Ok(replay)
    } else {
        Err(ApiError::not_found(Noun::Replay, id))
    }
}

/// A replay with the webhook that it waits for.
async fn object(call: &Call, replay: &Replay) -> Result<ReplayObject, ApiError> {
    let held_by = match replay.held_by.filter(|_| !replay.state.has_ended()) {
        Some(id) => call.store().webhook(id).await?,
        None => None,
    };
    Ok(ReplayObject::new(replay, held_by.as_ref()))
}

/// A filter within what the caller may see.
fn narrowed(call: &Call, filter: &DeliveryFilter) -> Result<DeliveryFilter, ApiError> {
    Ok(DeliveryFilter {
        application_id: call.caller.narrow(filter.application_id)?,
        ..filter.clone()
    })
}

impl StartReplay {
    fn filter(&self, checks: &mut Checks) -> DeliveryFilter {
        let actions = Action::ALL.map(|action| (action.as_str(), action));
        let states = DeliveryState::ALL.map(|state| (state.as_str(), state));
        let causes: Vec<_> = Cause::ALL
            .iter()
            .map(|cause| (cause.as_str(), *cause))
            .collect();
        DeliveryFilter {
            webhook_id: self.webhook_id.map(WebhookId),
            application_id: self.application_id.map(ApplicationId),
            integration_id: self.integration_id.map(IntegrationId),
            enterprise_id: self.enterprise_id.map(EnterpriseId),
            action: self
                .action
                .as_ref()
                .and_then(|text| checks.one_of("/Action", text, &actions)),
            state: self
                .state
                .as_ref()
                .and_then(|text| checks.one_of("/State", text, &states)),
            cause: self
                .cause
                .as_ref()
                .and_then(|text| checks.one_of("/Cause", text, &causes)),
            from: checks.moment("/FromUtc", self.from_utc.as_deref()),
            to: checks.moment("/ToUtc", self.to_utc.as_deref()),
        }
    }
}
