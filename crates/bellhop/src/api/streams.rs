//! How many streams there may be: in all, and for one key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{callers::Caller, code::Code, error::ApiError};

/// Most streams of one key.
pub const MOST_OF_A_KEY: usize = 16;
/// Most streams in all.
pub const MOST: usize = 256;
/// When to ask again.
const RETRY_AFTER_SECONDS: u32 = 10;

/// The streams there are.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<[u8; 32], usize>>);

/// Room for one stream, as long as it is held.
#[derive(Debug)]
pub struct StreamPlace {
    streams: Arc<Streams>,
    identity: [u8; 32],
}

impl Streams {
    /// Takes room for one more, if there is any.
    pub fn take(self: &Arc<Self>, caller: &Caller) -> Result<StreamPlace, ApiError> {
        let mut open = self.0.lock().expect("no holder panics");
        if open.values().sum::<usize>() >= MOST {
            let detail = format!("There are {MOST} streams of events, and no room for more.");
            let busy = ApiError::new(Code::Unavailable, detail);
            return Err(busy.with_retry_after(RETRY_AFTER_SECONDS));
        }
        let of_key = open.entry(caller.identity).or_default();
        if *of_key >= MOST_OF_A_KEY {
            let detail = format!(
                "This key has {MOST_OF_A_KEY} streams of events open. Close one, or use one stream for more."
            );
            let refused = ApiError::new(Code::TooManyRequests, detail);
            return Err(refused.with_retry_after(RETRY_AFTER_SECONDS));
        }
        *of_key += 1;
        Ok(StreamPlace {
            streams: self.clone(),
            identity: caller.identity,
        })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().expect("no holder panics");
        if let Some(count) = open.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.identity);
            }
        }
    }
}
