//! What this replica has claimed, in its memory: a record need not read its delivery again.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    domain::delivery::DeliveryState,
    id::{ApplicationId, DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::Fence,
};

/// What this replica has claimed.
#[derive(Debug, Default)]
pub struct Held {
    claims: Mutex<HashMap<DeliveryId, HeldClaim>>,
    /// The database may have claims of this replica that it does not know of: what became of a transaction is unknown.
    has_strays: AtomicBool,
}

/// One claim.
#[derive(Debug, Clone, Copy)]
pub struct HeldClaim {
    pub fence: Fence,
    pub application_id: ApplicationId,
    pub webhook_id: WebhookId,
    pub integration_id: IntegrationId,
    pub sequence: u64,
    pub state: DeliveryState,
    pub tries: u32,
    pub is_replay: bool,
    pub replay_id: Option<ReplayId>,
}

impl Held {
    /// The claim, if it has this fence.
    pub fn find(&self, id: DeliveryId, fence: Fence) -> Option<HeldClaim> {
        let held = self.claims.lock().expect("no holder panics");
        held.get(&id).filter(|held| held.fence == fence).copied()
    }

    /// It is held no longer, unless it was claimed anew.
    pub fn end(&self, id: DeliveryId, fence: Fence) {
        let mut held = self.claims.lock().expect("no holder panics");
        if held.get(&id).is_some_and(|held| held.fence == fence) {
            held.remove(&id);
        }
    }

    /// These are held from now on.
    pub fn hold(&self, claims: &[(DeliveryId, HeldClaim)]) {
        let mut held = self.claims.lock().expect("no holder panics");
        held.extend(claims.iter().copied());
    }

    /// Whether it may have; from now on it is taken to have none.
    pub fn take_strays(&self) -> bool {
        self.has_strays.swap(false, Ordering::Relaxed)
    }

    /// The database may have claims that are not held.
    pub fn have_strays(&self) {
        self.has_strays.store(true, Ordering::Relaxed);
    }

    /// The numbers of all that is held.
    pub fn fences(&self) -> Vec<i64> {
        let held = self.claims.lock().expect("no holder panics");
        held.values().map(|claim| claim.fence.0 as i64).collect()
    }
}
