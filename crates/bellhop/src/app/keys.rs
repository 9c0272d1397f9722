//! What is done about API keys beside requests: reading what other replicas did, and noting when keys were used.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

use crate::api::ApiState;

/// How often they are read where other replicas may have ended one. A request does not believe what was read more than a
/// second ago and reads for itself; this is so that none has to.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How often it is noted in the store when keys were used.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// Does so until `stop`, and then notes what is left.
pub async fn look_after(state: ApiState, are_shared: bool, stop: impl Future<Output = ()>) {
    let mut read = delaying(interval(READ_EVERY));
    let mut note = delaying(interval_at(Instant::now() + NOTE_EVERY, NOTE_EVERY));
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = read.tick(), if are_shared => {
                if let Err(error) = state.read_keys().await {
                    tracing::warn!(%error, "the API keys could not be read; only the operator's own key opens anything now");
                }
            }
            _ = note.tick() => note_uses(&state).await,
        }
    }
    note_uses(&state).await;
}

async fn note_uses(state: &ApiState) {
    if let Err(error) = state.note_key_uses().await {
        tracing::warn!(%error, "it could not be noted when API keys were used; it is tried again");
    }
}

fn delaying(mut interval: Interval) -> Interval {
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
