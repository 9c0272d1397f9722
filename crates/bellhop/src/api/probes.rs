//! What machines ask without a key: is it alive, is it ready, how is it doing.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiError, Reply, code::Code, state::ApiState};

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// `Live` or `Ready`.
    status: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "Operation",
    responses((status = 200, description = "It does.", body = Health)))]
pub async fn live(_: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&Health { status: "Live" }))
}

/// Whether requests should be sent here: what is commanded can be made durable, and the server is not going away.
#[utoipa::path(get, path = "/readyz", tag = "Operation",
    responses((status = 200, description = "Yes.", body = Health), (status = 503, description = "Not now.")))]
pub async fn ready(api: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    if api.is_draining() {
        let error = ApiError::new(Code::Unavailable, "The server is going away.");
        return Err(error.with_retry_after(5));
    }
    api.store().can_commit().await?;
    Ok(Reply::ok(&Health { status: "Ready" }))
}

/// Figures in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "Operation",
    responses((status = 200, description = "The figures.", content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(api: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    let now = api.lifecycle().now();
    let stats = api.store().stats(now).await?;
    let text = api.options.metrics.scrape(&stats, now);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(Reply::of(StatusCode::OK, content_type, Bytes::from(text))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}
