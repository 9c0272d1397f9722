//! One who listens: first to what was missed, then to what happens.

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc};

use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{BATCH, Gap, Live, LiveFilter, Reader, Told, What, read::made_since};
use crate::{
    clock::from_ms,
    feed::{Numbered, Place},
};

/// Most deliveries that are told of the time of a gap.
pub const MOST_OF_A_GAP: u32 = 1000;

/// What is read, on its way.
type Reading = Pin<Box<dyn Future<Output = Vec<Told>> + Send>>;

/// One who listens.
pub struct Listener {
    live: Arc<Live>,
    filter: LiveFilter,
    receiver: Receiver<Arc<Told>>,
    /// What was missed and is still to be read.
    missed: VecDeque<Numbered>,
    /// Where the listener was, if what came after is not known.
    away_since: Option<Place>,
    /// What is being read of that. Kept here, so that whoever stops hearing for a moment does not begin it again.
    reading: Option<Reading>,
    /// Up to here it was told already, or need not be.
    until: u64,
    ready: VecDeque<Told>,
}

/// What a listener hears next.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something it wants to hear of.
    Told(Told),
    /// Something happened that it does not want to hear of, but it need not hear what came before again.
    Nothing(Place),
    /// It did not keep up, and hears no more. So many were dropped.
    Behind(u64),
    /// Nothing will happen any more.
    Over,
}

impl Listener {
    pub(super) fn new(
        live: Arc<Live>,
        filter: LiveFilter,
        receiver: Receiver<Arc<Told>>,
        missed: Vec<Numbered>,
        away_since: Option<Place>,
        until: u64,
    ) -> Self {
        let mut ready = VecDeque::new();
        let place = live.feed.place();
        if live.feed.is_deaf() {
            ready.push_back(Told {
                place: None,
                number: place.number,
                what: What::Gap(Gap::Deaf),
            });
        }
        Self {
            live,
            filter,
            receiver,
            missed: missed.into(),
            away_since,
            reading: None,
            until,
            ready,
        }
    }

    /// The place from which it listens.
    pub fn place(&self) -> Place {
        let place = self.live.feed.place();
        self.live.feed.place_of(self.until, place.at_ms)
    }

    /// Whether there is something that happened before it listened, and that it has not heard yet.
    pub fn is_behind(&self) -> bool {
        self.away_since.is_some()
            || self.reading.is_some()
            || !self.missed.is_empty()
            || !self.ready.is_empty()
    }

    /// What it hears next. Nothing is lost if this is given up before it answers.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(told) = self.ready.pop_front() {
                if let Some(heard) = self.sift(told) {
                    return heard;
                }
                continue;
            }
            if self.reading.is_none() {
                self.reading = self.read_on();
            }
            if let Some(reading) = &mut self.reading {
                self.ready = reading.await.into();
                self.reading = None;
                continue;
            }
            match self.receiver.recv().await {
                Ok(told) if told.number <= self.until => {}
                Ok(told) => self.ready.push_back(Told::clone(&told)),
                Err(RecvError::Lagged(dropped)) => return Heard::Behind(dropped),
                Err(RecvError::Closed) => return Heard::Over,
            }
        }
    }

    fn sift(&self, told: Told) -> Option<Heard> {
        if self.filter.takes(&told.what) {
            Some(Heard::Told(told))
        } else {
            told.place.map(Heard::Nothing)
        }
    }

    /// What is to be read next of what was missed.
    fn read_on(&mut self) -> Option<Reading> {
        if let Some(since) = self.away_since.take() {
            let (live, filter, here) = (self.live.clone(), self.filter.clone(), self.place());
            return Some(Box::pin(of_the_gap(live, filter, since, here)));
        }
        let most = self.missed.len().min(BATCH);
        let batch: Vec<Numbered> = self.missed.drain(..most).collect();
        if batch.is_empty() {
            return None;
        }
        let live = self.live.clone();
        Some(Box::pin(async move {
            let mut reader = Reader::new(live.store.clone());
            reader.read(&live.feed, &batch).await
        }))
    }
}

/// That there is a gap, and of its time what the database can say: which deliveries were made.
async fn of_the_gap(live: Arc<Live>, filter: LiveFilter, since: Place, here: Place) -> Vec<Told> {
    let told = |what| Told {
        place: None,
        number: here.number,
        what,
    };
    let mut all = vec![told(What::Gap(Gap::Away {
        since_ms: since.at_ms,
    }))];
    let from = from_ms(since.at_ms);
    let made = made_since(&*live.store, &filter.of, from, MOST_OF_A_GAP).await;
    match made {
        Ok(Some(made)) => {
            let mut reader = Reader::new(live.store.clone());
            all.extend(reader.completed(made).await.into_iter().map(told));
        }
        Ok(None) => {}
        Err(error) => {
            tracing::debug!(%error, "what happened in a gap could not be read");
            all.push(told(What::Gap(Gap::Database)));
        }
    }
    if let Some(last) = all.last_mut() {
        last.place = Some(here);
    }
    all
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Listener");
        let shown = shown.field("filter", &self.filter);
        shown
            .field("missed", &self.missed.len())
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
