//! The settings of a webhook, of a new one and of one that there is.

use bellhop_webhook::{Action, Profile};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::controls::{Field, Filled, hidden_once},
        form::{Form, number},
        pages::webhook_secrets::{boxes, secret_once},
        seen::webhook_name,
    },
    domain::{
        masked::masked_url,
        retry,
        signatures::Signature,
        webhook::{self, Webhook},
    },
    id::ApplicationId,
    store::Noun,
};

/// The form for a new one.
pub async fn form(visit: Visit) -> Result<Page, Wrong> {
    // A link may fill some of it in.
    let prefilled = ["Url", "Description", "RetrySchedule"];
    let values = prefilled
        .iter()
        .fold(defaults(), |form, name| match visit.query().text(name) {
            Some(value) => form.with(name, value),
            None => form,
        });
    new(&visit, &Filled::with(values)).await
}

/// Makes it. Its secret is shown once.
pub async fn create(visit: Visit) -> Result<Done, Wrong> {
    let id: ApplicationId = visit.id(Noun::Application)?;
    let mut document = document(visit.form());
    document.retain(|_, value| !value.is_null());
    let signatures: Vec<&str> = visit.form().all("Signatures").collect();
    if !signatures.is_empty() {
        document.insert("Signatures".to_owned(), signatures.into());
    }
    let asking = visit.post(format!("/v1/applications/{id}/webhooks"));
    let answer = asking.with(document).once().send().await;
    let done = |made: &Value| {
        let name = visit.form().text("Description");
        let name = name.unwrap_or("the new webhook");
        Done::page(secret_once(&visit, made, name, "The webhook is created"))
    };
    let again = async |filled: &Filled| new(&visit, filled).await;
    visit.settle(answer, done, again).await
}

/// The form for one that there is.
pub async fn edit(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    Ok(editing(&visit, &webhook, &Filled::with(present(&webhook))))
}

/// Changes it.
pub async fn update(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let mut document = document(visit.form());
    // A field for a secret is empty unless it is to change.
    document.retain(|name, value| !value.is_null() || name == "RateLimit");
    document.entry("Description").or_insert_with(|| json!(""));
    let path = format!("/v1/webhooks/{}", webhook.id);
    let asking = visit.ask(http::Method::PATCH, path).with(document);
    let done = |_: &Value| {
        let path = format!("/dashboard/webhooks/{}", webhook.id);
        Done::see(path, "saved")
    };
    let again = async |filled: &Filled| Ok(editing(&visit, &webhook, filled));
    visit.settle(asking.send().await, done, again).await
}

async fn new(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    let application = visit.application(visit.id(Noun::Application)?).await?;
    let path = format!("/dashboard/applications/{}", application.id);
    let body = html! {
        (filled.summary())
        form.panel.stack method="post" action=(format!("{path}/webhooks/new")) {
            (hidden_once(visit))
            (fields(filled, "https, and a public host, unless the operator allows more."))
            (boxes(&filled.values))
            (filled.area(Field { name: "Headers", label: "Further headers",
                hint: "One a line, as in X-Api-Key: value. Values are kept encrypted and never shown again.", kind: "" }))
            div.actions {
                button.primary type="submit" { "Create the webhook" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    let page = Page::new(
        "Webhooks",
        format!("New webhook of {}", application.name),
        body,
    );
    Ok(page
        .below("Applications", "/dashboard/applications")
        .below(application.name, path))
}

fn editing(visit: &Visit, webhook: &Webhook, filled: &Filled) -> Page {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let url = format!(
        "Empty: it stays {}. Another one begins its health anew.",
        masked_url(webhook.url.expose())
    );
    let body = html! {
        (filled.summary())
        form.panel.stack method="post" action=(format!("{path}/settings")) {
            (hidden_once(visit))
            (fields(filled, &url))
            div.actions {
                button.primary type="submit" { "Save" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    let title = format!("Settings of {}", webhook_name(webhook));
    let page = Page::new("Webhooks", title, body).below("Webhooks", "/dashboard/webhooks");
    page.below(webhook_name(webhook), path)
}

fn fields(filled: &Filled, url: &str) -> Markup {
    let chosen: Vec<&str> = filled.values.all("Actions").collect();
    html! {
        (filled.field(Field { name: "Url", label: "URL", hint: url, kind: "url" }))
        (filled.field(Field { name: "Description", label: "Description", hint: "What people call it.", kind: "text" }))
        fieldset {
            legend { "Actions" }
            p.hint { "None chosen: all of its profile, later ones too." }
            div.boxes {
                @for action in Action::ALL {
                    label {
                        input type="checkbox" name="Actions" value=(action) checked[chosen.contains(&action.as_str())];
                        " " (action)
                    }
                }
            }
        }
        (filled.choice(Field { name: "Profile", label: "Profile", hint: "2025 adds Service and IntegrationApiKeyCreated.", kind: "" },
            &[(Profile::Default.as_str(), "default"), (Profile::V2025.as_str(), "2025")]))
        (filled.field(Field { name: "TimeoutSeconds", label: "Time-out in seconds", hint: "Of the whole exchange, 1 to 60.", kind: "number" }))
        (filled.field(Field { name: "RetrySchedule", label: "Seconds before each try", hint: "With commas, as in 0, 5, 300.", kind: "text" }))
        (filled.field(Field { name: "MaxInFlight", label: "Requests at a time", hint: "1 to 256.", kind: "number" }))
        (filled.field(Field { name: "RateLimit", label: "Requests a second", hint: "Empty: no limit.", kind: "number" }))
        (filled.choice(Field { name: "FollowRedirects", label: "Redirects", hint: "", kind: "" },
            &[("false", "Refuse"), ("true", "Follow 307 and 308 within the origin")]))
    }
}

fn defaults() -> Form {
    let waits = retry::DEFAULT_SECONDS
        .map(|wait| wait.to_string())
        .join(", ");
    Form::default()
        .with(
            "TimeoutSeconds",
            webhook::DEFAULT_TIMEOUT.as_secs().to_string(),
        )
        .with("RetrySchedule", waits)
        .with("MaxInFlight", webhook::DEFAULT_MAX_IN_FLIGHT.to_string())
        .with("Signatures", Signature::V1.as_str())
}

fn present(webhook: &Webhook) -> Form {
    let waits: Vec<_> = webhook
        .retry_schedule
        .seconds()
        .iter()
        .map(ToString::to_string)
        .collect();
    let form = Form::default()
        .with("Description", webhook.description.clone())
        .with("Profile", webhook.profile.as_str())
        .with("TimeoutSeconds", webhook.timeout.as_secs().to_string())
        .with("RetrySchedule", waits.join(", "))
        .with("MaxInFlight", webhook.max_in_flight.to_string())
        .with(
            "RateLimit",
            webhook
                .rate_limit
                .map_or(String::new(), |rate| rate.to_string()),
        )
        .with("FollowRedirects", webhook.follow_redirects.to_string());
    let actions = webhook.actions.actions();
    actions
        .iter()
        .fold(form, |form, action| form.and("Actions", action.as_str()))
}

/// The form as the API takes it; what is empty is null.
fn document(form: &Form) -> Map<String, Value> {
    let text = |name: &str| form.text(name).map_or(Value::Null, Value::from);
    let counted = |name: &str| form.text(name).map_or(Value::Null, number);
    let waits = form
        .text("RetrySchedule")
        .map(|waits| waits.split(',').map(number).collect::<Value>());
    let headers: Map<String, Value> = form
        .text("Headers")
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.trim().to_owned(), Value::from(value.trim()))
        })
        .collect();
    let members = [
        ("Url", text("Url")),
        ("Description", text("Description")),
        ("Actions", form.all("Actions").collect()),
        ("Profile", text("Profile")),
        ("TimeoutSeconds", counted("TimeoutSeconds")),
        ("RetrySchedule", waits.unwrap_or(Value::Null)),
        ("MaxInFlight", counted("MaxInFlight")),
        ("RateLimit", counted("RateLimit")),
        (
            "FollowRedirects",
            json!(form.text("FollowRedirects") == Some("true")),
        ),
        (
            "Headers",
            if headers.is_empty() {
                Value::Null
            } else {
                headers.into()
            },
        ),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
