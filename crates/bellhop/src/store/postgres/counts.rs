//! How many deliveries are in each state.

use uuid::Uuid;

use super::{
    connect::Failed,
    connection::{Ask, execute},
};
use crate::domain::delivery::DeliveryState;

/// How the numbers change.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts([i64; 4]);

/// Which writer of a replica counts: each has rows of its own, so that none waits for another.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    Lifecycle,
    Records,
    Others,
}

/// Replicas take one of so many sets of rows. Two that take the same wait for each other, no more.
const REPLICAS: u128 = 16;

impl Counts {
    pub fn added(&mut self, state: DeliveryState) {
        self.0[state as usize] += 1;
    }

    pub fn removed(&mut self, state: DeliveryState) {
        self.0[state as usize] -= 1;
    }

    pub fn moved(&mut self, from: DeliveryState, to: DeliveryState, n: u64) {
        self.0[from as usize] -= n as i64;
        self.0[to as usize] += n as i64;
    }

    /// Adds what has changed.
    pub async fn write(&self, on: &impl Ask, holder: Uuid, by: Writer) -> Result<(), Failed> {
        let changed = DeliveryState::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, change)| *change != 0);
        let (states, changes): (Vec<&str>, Vec<i64>) = changed
            .map(|(state, change)| (state.as_str(), change))
            .unzip();
        if states.is_empty() {
            return Ok(());
        }
        let shard = (holder.as_u128() % REPLICAS) as i64 * 4 + by as i64;
        execute(
            on,
            "INSERT INTO delivery_counts AS c (shard, state, n) \
             SELECT $1, state, n FROM unnest($2::text[], $3::bigint[]) AS u (state, n) ORDER BY state \
             ON CONFLICT (shard, state) DO UPDATE SET n = c.n + excluded.n",
            &[&shard, &states, &changes],
        )
        .await?;
        Ok(())
    }
}
