//! The webhook that a command is about: the one that is named, or the only one there is.

use serde_json::Value;
use uuid::Uuid;

use super::{Code, Failure, client::Client};

/// Which webhook.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct WhichWebhook {
    /// The webhook; the only one that the key may see unless given.
    #[arg(long, value_name = "ID")]
    pub webhook: Option<Uuid>,
}

impl WhichWebhook {
    /// The webhook, as the API has it.
    pub async fn find(&self, client: &Client) -> Result<Value, Failure> {
        if let Some(id) = self.webhook {
            return client.get(&format!("/v1/webhooks/{id}")).await;
        }
        let mut page: Value = client.get("/v1/webhooks?Limit=2").await?;
        let found = page["Items"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        let count = found.len();
        let mut found = found.into_iter();
        match (found.next(), count) {
            (Some(only), 1) => Ok(only),
            (None, _) => Err(Failure::new(Code::NotFound, "there is no webhook").hint(
                "bellhop webhook create --application ID --url https://hooks.example.com/bellhop",
            )),
            (Some(_), _) => Err(Failure::new(Code::Usage, "there are several webhooks")
                .hint("name one with --webhook ID: bellhop webhook list")),
        }
    }
}
