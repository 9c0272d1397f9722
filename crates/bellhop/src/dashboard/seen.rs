//! What a viewer may see. The one place that narrows: what belongs to another application is not found.

use std::collections::{HashMap, hash_map::Entry};

use uuid::Uuid;

use super::{Visit, Wrong};
use crate::{
    domain::{
        delivery::Delivery,
        enterprise::{Application, Enterprise},
        integration::Integration,
        masked::masked_url,
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, IntegrationId, ReplayId, WebhookId},
    store::{DeliveryFilter, IntegrationFilter, MOST_LEAFED, Noun, Page, Replay},
};

/// Rows of a page of a list.
pub const ROWS: u32 = 50;

/// The first page of a list, and one more.
pub fn first_page() -> Page {
    Page {
        after: None,
        limit: ROWS + 1,
    }
}

/// A part of a list, and where the next one begins.
#[derive(Debug)]
pub struct Rows<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The id after which the next page begins; `None` on the last.
    pub next: Option<Uuid>,
}

/// A part of the deliveries that fit.
#[derive(Debug)]
pub struct Leafed {
    /// The rows.
    pub items: Vec<Delivery>,
    /// Where the next page begins.
    pub next: Option<Uuid>,
    /// Whether there may be more, further back than was looked.
    pub is_cut: bool,
}

impl<T> Rows<T> {
    /// Of what was found, when one more than is shown was asked for.
    pub fn new(mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Self {
        let has_more = items.len() > ROWS as usize;
        items.truncate(ROWS as usize);
        let next = items.last().filter(|_| has_more).map(id);
        Self { items, next }
    }
}

impl Visit {
    /// The page of a list that the query asks for, and one more.
    pub fn page(&self) -> Page {
        Page {
            after: self.query().parsed("Cursor"),
            limit: ROWS + 1,
        }
    }

    fn sees(&self, of: ApplicationId) -> bool {
        self.only().is_none_or(|only| only == of)
    }

    /// An application.
    pub async fn application(&self, id: ApplicationId) -> Result<Application, Wrong> {
        let found = self.store().application(id).await?;
        found
            .filter(|found| self.sees(found.id))
            .ok_or_else(|| Wrong::missing(Noun::Application, id))
    }

    /// Applications.
    pub async fn applications(&self) -> Result<Rows<Application>, Wrong> {
        let found = match self.only() {
            Some(id) => self.store().application(id).await?.into_iter().collect(),
            None => self.store().applications(self.page()).await?,
        };
        Ok(Rows::new(found, |each| each.id.0))
    }

    /// Applications to choose from, for the operator: the first of them.
    pub async fn known_applications(&self) -> Result<Vec<(Uuid, String)>, Wrong> {
        let found = self.store().applications(first_page()).await?;
        Ok(found
            .into_iter()
            .map(|each| (each.id.0, each.name))
            .collect())
    }

    /// Enterprises to choose from, for the operator: the first of them.
    pub async fn known_enterprises(&self) -> Result<Vec<(Uuid, String)>, Wrong> {
        let found = self.store().enterprises(first_page()).await?;
        Ok(found
            .into_iter()
            .map(|each| (each.id.0, each.name))
            .collect())
    }

    /// A webhook.
    pub async fn webhook(&self, id: WebhookId) -> Result<Webhook, Wrong> {
        let found = self.store().webhook(id).await?;
        found
            .filter(|found| self.sees(found.application_id))
            .ok_or_else(|| Wrong::missing(Noun::Webhook, id))
    }

    /// Webhooks, of one application or of all that the viewer sees.
    pub async fn webhooks(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Rows<Webhook>, Wrong> {
        let found = self.store().webhooks(self.narrow(of)?, page).await?;
        Ok(Rows::new(found, |each| each.id.0))
    }

    /// An integration.
    pub async fn integration(&self, id: IntegrationId) -> Result<Integration, Wrong> {
        let found = self.store().integration(id).await?;
        found
            .filter(|found| self.sees(found.application_id))
            .ok_or_else(|| Wrong::missing(Noun::Integration, id))
    }

    /// Integrations.
    pub async fn integrations(
        &self,
        mut filter: IntegrationFilter,
        page: Page,
    ) -> Result<Rows<Integration>, Wrong> {
        filter.application_id = self.narrow(filter.application_id)?;
        let found = self.store().integrations(filter, page).await?;
        Ok(Rows::new(found, |each| each.id.0))
    }

    /// A delivery.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Delivery, Wrong> {
        let found = self.store().delivery(id).await?;
        found
            .filter(|found| self.sees(found.application_id))
            .ok_or_else(|| Wrong::missing(Noun::Delivery, id))
    }

    /// Deliveries, newest first. Where no index finds those that fit, so many are looked at, and no more.
    pub async fn deliveries(
        &self,
        mut filter: DeliveryFilter,
        page: Page,
    ) -> Result<Leafed, Wrong> {
        filter.application_id = self.narrow(filter.application_id)?;
        let leaf = self.store().leaf(filter, page, MOST_LEAFED).await?;
        let rows = Rows::new(leaf.deliveries, |each| each.id.0);
        Ok(Leafed {
            next: rows.next.or(leaf.looked_to.map(|id| id.0)),
            is_cut: rows.next.is_none() && leaf.looked_to.is_some(),
            items: rows.items,
        })
    }

    /// An enterprise. Only the operator has them all; an application sees those that it is connected to by name.
    pub async fn enterprise(&self, id: EnterpriseId) -> Result<Enterprise, Wrong> {
        self.operator()?;
        let found = self.store().enterprise(id).await?;
        found.ok_or_else(|| Wrong::missing(Noun::Enterprise, id))
    }

    /// A run.
    pub async fn replay(&self, id: ReplayId) -> Result<Replay, Wrong> {
        let found = self.store().replay(id).await?;
        found
            .filter(|found| {
                self.only()
                    .is_none_or(|only| found.application_id == Some(only))
            })
            .ok_or_else(|| Wrong::missing(Noun::Replay, id))
    }

    /// A filter by application within what the viewer sees.
    pub fn narrow(&self, wanted: Option<ApplicationId>) -> Result<Option<ApplicationId>, Wrong> {
        match (self.only(), wanted) {
            (Some(only), Some(wanted)) if only != wanted => {
                Err(Wrong::missing(Noun::Application, wanted))
            }
            (Some(only), _) => Ok(Some(only)),
            (None, wanted) => Ok(wanted),
        }
    }
}

/// What rows call what they name, each looked up once.
#[derive(Debug, Default)]
pub struct Names {
    webhooks: HashMap<WebhookId, Option<Webhook>>,
    integrations: HashMap<IntegrationId, String>,
    applications: HashMap<ApplicationId, String>,
    enterprises: HashMap<EnterpriseId, String>,
}

impl Names {
    /// The webhook; `None` if it was deleted.
    pub async fn webhook(
        &mut self,
        visit: &Visit,
        id: WebhookId,
    ) -> Result<Option<&Webhook>, Wrong> {
        if let Entry::Vacant(place) = self.webhooks.entry(id) {
            place.insert(visit.store().webhook(id).await?);
        }
        Ok(self.webhooks.get(&id).and_then(Option::as_ref))
    }

    /// What a webhook is called.
    pub async fn of_webhook(&mut self, visit: &Visit, id: WebhookId) -> Result<String, Wrong> {
        let found = self.webhook(visit, id).await?;
        Ok(found.map_or_else(|| "deleted webhook".to_owned(), webhook_name))
    }

    /// What an integration is called.
    pub async fn of_integration(
        &mut self,
        visit: &Visit,
        id: IntegrationId,
    ) -> Result<String, Wrong> {
        if let Some(name) = self.integrations.get(&id) {
            return Ok(name.clone());
        }
        let found = visit.store().integration(id).await?;
        let name = found.map_or_else(|| short(id.0), |found| found.name);
        self.integrations.insert(id, name.clone());
        Ok(name)
    }

    /// What an application is called.
    pub async fn of_application(
        &mut self,
        visit: &Visit,
        id: ApplicationId,
    ) -> Result<String, Wrong> {
        if let Some(name) = self.applications.get(&id) {
            return Ok(name.clone());
        }
        let found = visit.store().application(id).await?;
        let name = found.map_or_else(|| short(id.0), |found| found.name);
        self.applications.insert(id, name.clone());
        Ok(name)
    }

    /// What an enterprise is called.
    pub async fn of_enterprise(
        &mut self,
        visit: &Visit,
        id: EnterpriseId,
    ) -> Result<String, Wrong> {
        if let Some(name) = self.enterprises.get(&id) {
            return Ok(name.clone());
        }
        let found = visit.store().enterprise(id).await?;
        let name = found.map_or_else(|| short(id.0), |found| found.name);
        self.enterprises.insert(id, name.clone());
        Ok(name)
    }
}

/// What a webhook is called: what people have written of it, or its address without its query.
pub fn webhook_name(webhook: &Webhook) -> String {
    if webhook.description.trim().is_empty() {
        let url = masked_url(webhook.url.expose());
        let rest = url.split_once("://").map(|(_, rest)| rest.to_owned());
        rest.unwrap_or(url)
    } else {
        webhook.description.clone()
    }
}

/// The beginning of an id, to tell rows apart.
pub fn short(id: Uuid) -> String {
    id.simple().to_string()[..8].to_owned()
}
