//! A page of filtered deliveries that costs the same however many there are: only so many are looked at.

use uuid::Uuid;

use super::{DeliveryFilter, Page, id_bounds::id_bound_after};
use crate::{
    clock::to_ms,
    domain::delivery::{Delivery, DeliveryState},
    id::DeliveryId,
};

/// How many pending deliveries may there be for all of them to be looked at.
pub const MOST_PENDING: u64 = 20_000;

/// How many messages may an integration or the integrations of an enterprise have for all of their deliveries to be looked
/// at.
pub const MOST_MESSAGES: u64 = 10_000;

/// Some of the deliveries that fit a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaf {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Down to which delivery was looked, if the page is not full and there are older ones: there to go on.
    pub looked_to: Option<DeliveryId>,
}

/// How deliveries are found that fit a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// An index finds them.
    Whole,
    /// Among those that failed, which have an index of their own.
    Failed,
    /// Among the lanes that have something to send.
    Lanes,
    /// Among the newest of all, or of the application.
    Newest,
}

impl Way {
    /// For this filter, when so many deliveries are pending, and the integrations that it names have so many messages.
    pub fn of(filter: &DeliveryFilter, pending: u64, messages: u64) -> Self {
        let is_plain = filter.webhook_id.is_none()
            && filter.action.is_none()
            && filter.state.is_none()
            && filter.cause.is_none();
        // Mostly few belong to an integration, and so to an enterprise.
        let is_of_some = filter.integration_id.is_some() || filter.enterprise_id.is_some();
        let is_few = is_of_some && messages <= MOST_MESSAGES;
        match filter.state {
            _ if is_few || is_plain && !is_of_some => Self::Whole,
            Some(DeliveryState::Failed) => Self::Failed,
            Some(DeliveryState::Pending) if pending <= MOST_PENDING => Self::Lanes,
            _ => Self::Newest,
        }
    }
}

/// Only older ones than this are looked at: those after the page before, and of the time that the filter names.
pub fn before(filter: &DeliveryFilter, page: Page) -> Uuid {
    let until = filter.to.and_then(|to| id_bound_after(to_ms(to)));
    page.after
        .into_iter()
        .chain(until)
        .min()
        .unwrap_or(Uuid::max())
}

impl Leaf {
    /// What was found, when deliveries were looked at down to there.
    pub fn of(mut deliveries: Vec<Delivery>, limit: u32, looked_to: Option<DeliveryId>) -> Self {
        if let Some(least) = looked_to {
            deliveries.retain(|delivery| delivery.id >= least);
        }
        let is_full = deliveries.len() >= limit as usize;
        Self {
            deliveries,
            looked_to: looked_to.filter(|_| !is_full),
        }
    }
}
