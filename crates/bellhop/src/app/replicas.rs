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
        // On its own, so that what is under way when this is stopped keeps its connection to the end: given back in the
        // middle, it would be the next one's to wait for.
        let store = store.clone();
        let told = tokio::spawn(async move { store.tell_replicas(&events).await });
        were_lost = match told.await {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                tracing::debug!(%error, "other replicas were not told what happened here");
                true
            }
            Err(_) => true,
        };
    }
}
