//! A webhook for as long as a command runs: paused, so that the server keeps what it would send, and sends nothing.

use anstream::eprintln;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{
    Failure,
    client::Client,
    style::{DIM, HEAD},
};

/// By which a webhook is known that a command left behind when it was killed.
const DESCRIPTION: &str = "bellhop listen";
/// Nobody is there, for good: example.com is nobody's (RFC 2606). The guard takes no name that is not public.
const NOWHERE: &str = "https://bellhop-listen.example.com/";

/// A webhook that ends with the command.
#[derive(Debug)]
pub struct Temporary {
    /// The webhook.
    pub webhook: Value,
}

impl Temporary {
    /// Makes one for this application, in the place of any that was left behind.
    pub async fn make(client: &Client, application: Uuid) -> Result<Self, Failure> {
        let path = format!("/v1/applications/{application}/webhooks");
        let page: Value = client.get(&format!("{path}?Limit=1000")).await?;
        for webhook in page["Items"].as_array().into_iter().flatten() {
            if webhook["Description"] == DESCRIPTION && webhook["Url"] == NOWHERE {
                delete(client, webhook).await?;
            }
        }
        let settings = json!({ "Url": NOWHERE, "Description": DESCRIPTION });
        let webhook: Value = client.post(&path, &settings).await?;
        let id = webhook["Id"].as_str().unwrap_or_default();
        let why = json!({ "Reason": "bellhop listen forwards what it gets" });
        let _: Value = client
            .post(&format!("/v1/webhooks/{id}/pause"), &why)
            .await?;
        let secret = webhook["Secret"].as_str().unwrap_or_default();
        eprintln!("{HEAD}Secret{HEAD:#}  {secret}");
        eprintln!("{DIM}It is of the webhook {id}, which ends with this command.{DIM:#}");
        Ok(Self { webhook })
    }

    /// Deletes it.
    pub async fn end(self, client: &Client) -> Result<(), Failure> {
        delete(client, &self.webhook).await
    }
}

async fn delete(client: &Client, webhook: &Value) -> Result<(), Failure> {
    let id = webhook["Id"].as_str().unwrap_or_default();
    let asking = client.ask(Method::DELETE, format!("/v1/webhooks/{id}"));
    asking.send().await.map(drop)
}
