//! Telling other replicas what happens here, for those who listen there.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    feed::{Event, Feed},
    store::Store,
};

/// How long events are gathered: other replicas need no word of each.
const GATHER: Duration = Duration::from_millis(20);

/// Tells them for ever; if there are none, it does nothing.
pub async fn tell(feed: Arc<Feed>, store: Arc<dyn Store>) {
    let mut were_lost = false;
    loop {
        feed.outgoing().await;
        sleep(GATHER).await;
        let mut events = feed.take_outgoing();
        if were_lost {
            events.insert(0, (0, Event::Missed));
        }
        were_lost = match store.tell_replicas(&events).await {
            Ok(()) => false,
            Err(error) => {
                tracing::debug!(%error, "other replicas were not told what happened here");
                true
            }
        };
    }
}
