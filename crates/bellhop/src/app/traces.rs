//! Traces, from the start to the end of the process.

use std::{sync::Arc, time::Duration};

use url::Url;

use super::Parts;
use crate::{
    config::Config,
    telemetry::{Metrics, traces::Traces},
};

/// How long the last traces may take when the process ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Those that are configured.
pub fn open(
    config: &Config,
    metrics: &Metrics,
    parts: &Parts,
) -> anyhow::Result<Option<Arc<Traces>>> {
    let Some(to) = &config.traces else {
        return Ok(None);
    };
    // Its path and query may hold a key.
    if let Ok(url) = Url::parse(to.endpoint.expose()) {
        let collector = url.origin().ascii_serialization();
        tracing::info!(collector, "requests and attempts are traced");
    }
    let traces = Traces::new(to, metrics, parts.random.clone())?;
    Ok(Some(Arc::new(traces)))
}

/// Sends what waits, if the collector takes it in time.
pub async fn close(traces: Option<Arc<Traces>>) {
    let Some(traces) = traces else {
        return;
    };
    let closed = tokio::task::spawn_blocking(move || traces.close(CLOSE_WITHIN)).await;
    if !closed.unwrap_or_default() {
        tracing::warn!("the collector did not take the last traces");
    }
}
