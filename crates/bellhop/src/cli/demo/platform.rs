//! The sample platform: everything over the HTTP API, as an operator would do it.

use bellhop_webhook::{Secret, Verifier};
use http::Method;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::life::{Sample, Step};
use crate::{
    cli::{Code, Failure, client::Client},
    id::IntegrationId,
};

/// The retry schedule of the demo's webhook: the default one, compressed.
pub const RETRY_SECONDS: [u32; 8] = [0, 1, 1, 1, 2, 2, 3, 3];
/// How long a receiver may take, in seconds.
const TIMEOUT_SECONDS: u32 = 5;

/// The customer.
pub const ENTERPRISE: &str = "Sample Chain Hotel 1";
/// The partner's product.
pub const APPLICATION: &str = "Sample Key Cards";

/// A platform with one enterprise, one application and one webhook.
#[derive(Debug)]
pub struct Platform {
    client: Client,
    /// The customer.
    pub enterprise_id: Uuid,
    /// The partner's product.
    pub application_id: Uuid,
    /// Its webhook.
    pub webhook_id: Uuid,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page<T> {
    items: Vec<T>,
}

/// A message as the history has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistoryMessage {
    /// Its position.
    pub sequence: u64,
    /// What happened.
    pub action: String,
    /// The stored bytes, with the access token masked.
    pub body: Box<RawValue>,
}

/// A delivery as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Delivery {
    /// Where it stands.
    pub state: String,
    /// How often it was tried.
    pub attempt_count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct New {
    id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewWebhook {
    id: Uuid,
    secret: String,
}

impl Platform {
    /// Makes enterprise, application and webhook; gives the verifier for the webhook's secret, which is shown once.
    pub async fn set_up(
        client: Client,
        enterprise_id: Uuid,
        webhook_url: &str,
    ) -> Result<(Self, Verifier), Failure> {
        let path = format!("/v1/enterprises/{enterprise_id}");
        let _: IgnoredAny = client
            .call(Method::PUT, &path, Some(&json!({"Name": ENTERPRISE})))
            .await?;
        let application: New = client
            .post("/v1/applications", &json!({"Name": APPLICATION}))
            .await?;
        let webhook: NewWebhook = client
            .post(
                &format!("/v1/applications/{}/webhooks", application.id),
                &json!({
                    "Url": webhook_url,
                    "Description": "The demo's receiver",
                    "RetrySchedule": RETRY_SECONDS,
                    "TimeoutSeconds": TIMEOUT_SECONDS,
                }),
            )
            .await?;
        let secret: Secret = webhook.secret.parse().map_err(|error| {
            Failure::new(
                Code::Other,
                format_args!("the server gave a secret that cannot be used: {error}"),
            )
        })?;
        let platform = Self {
            client,
            enterprise_id,
            application_id: application.id,
            webhook_id: webhook.id,
        };
        Ok((platform, Verifier::new(vec![secret], vec![])))
    }

    /// Commands one step of an integration's life.
    pub async fn command(&self, step: Step, sample: Sample) -> Result<(), Failure> {
        let (method, path) = step.call(sample.id);
        let requestor = json!({"Name": "Front Desk", "Email": "front.desk@hotel.example"});
        let body = match step.name {
            "create" => Some(json!({
                "Id": sample.id,
                "ApplicationId": self.application_id,
                "EnterpriseId": self.enterprise_id,
                "Name": sample.name,
                "Requestor": requestor,
            })),
            "delete" => None,
            _ => Some(json!({"Requestor": requestor})),
        };
        let _: Value = self.client.call(method, &path, body.as_ref()).await?;
        Ok(())
    }

    /// The history of an integration.
    pub async fn history(&self, id: IntegrationId) -> Result<Vec<HistoryMessage>, Failure> {
        let page: Page<_> = self
            .client
            .get(&format!("/v1/integrations/{id}/messages"))
            .await?;
        Ok(page.items)
    }

    /// All deliveries to the webhook.
    pub async fn deliveries(&self) -> Result<Vec<Delivery>, Failure> {
        let path = format!("/v1/deliveries?WebhookId={}&Limit=1000", self.webhook_id);
        let page: Page<_> = self.client.get(&path).await?;
        Ok(page.items)
    }
}
