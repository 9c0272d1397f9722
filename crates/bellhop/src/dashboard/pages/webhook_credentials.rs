//! How a webhook proves itself to its receiver beside its signatures: what stands in `Authorization`, and its client
//! certificate.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, fact, hidden},
            moments::both,
        },
        form::Form,
        seen::webhook_name,
    },
    domain::{
        authentication::{Authentication, Validity},
        masked::masked_url,
        webhook::Webhook,
    },
    store::Noun,
};

/// The members of each way, as the API names them; before them stands `Authentication/` in a form.
const WAYS: [(&str, &[&str]); 3] = [
    ("Bearer", &["Token"]),
    ("Basic", &["Username", "Password"]),
    (
        "OAuth2ClientCredentials",
        &["TokenUrl", "ClientId", "ClientSecret", "Scope", "AuthStyle"],
    ),
];

/// What it has, and the forms for other ones.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    Ok(page(&visit, &webhook, &Filled::default()))
}

/// Sets or removes them.
pub async fn change(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let path = format!("/v1/webhooks/{}", webhook.id);
    let asking = visit.ask(http::Method::PATCH, path);
    let answer = asking.with(document(visit.form())).send().await;
    let path = format!("/dashboard/webhooks/{}/credentials", webhook.id);
    let done = |_: &Value| Done::see(path, "saved");
    let again = async |filled: &Filled| Ok(page(&visit, &webhook, filled));
    visit.settle(answer, done, again).await
}

/// What the form wants changed, as the API takes it.
fn document(form: &Form) -> Value {
    let members = |of: &str, names: &[&str]| {
        let pairs = names.iter().filter_map(|name| {
            let text = form.text(&format!("{of}/{name}"))?;
            Some(((*name).to_owned(), Value::from(text)))
        });
        pairs.collect::<Map<_, _>>()
    };
    match form.text("Set").unwrap_or_default() {
        "Certificate" => {
            let names = ["CertificatePem", "PrivateKeyPem"];
            json!({ "ClientCertificate": members("ClientCertificate", &names) })
        }
        "NoCertificate" => json!({ "ClientCertificate": null }),
        "None" => json!({ "Authentication": null }),
        way => {
            let known = WAYS.iter().find(|(name, _)| *name == way);
            let mut given = members("Authentication", known.map_or(&[], |(_, names)| names));
            given.insert("Type".to_owned(), way.into());
            json!({ "Authentication": given })
        }
    }
}

/// What it has, in a few words.
pub fn named(webhook: &Webhook) -> Markup {
    let certificate = webhook.client_certificate.as_ref();
    html! {
        @match &webhook.authentication {
            None if certificate.is_none() => { "none but its signatures" }
            None => {}
            Some(authentication) => { (spelt(authentication)) }
        }
        @if certificate.is_some() {
            @if webhook.authentication.is_some() { ", and " }
            "client certificate"
        }
    }
}

fn spelt(authentication: &Authentication) -> &'static str {
    match authentication {
        Authentication::Bearer { .. } => "bearer token",
        Authentication::Basic { .. } => "user and password",
        Authentication::OAuth2(_) => "OAuth 2 client credentials",
    }
}

fn page(visit: &Visit, webhook: &Webhook, filled: &Filled) -> Page {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let body = html! {
        p { "Signatures prove each message. Some receivers, or the gateways before them, want more. All of it is kept encrypted, \
            and secrets are never shown again." }
        (filled.summary())
        (present(visit, webhook))
        section aria-labelledby="set" {
            h2 #set { @if webhook.authentication.is_some() { "Another Authorization" } @else { "Set Authorization" } }
            (ways(visit, &path, filled))
        }
        (certificate(visit, &path, filled))
    };
    let page = Page::new("Webhooks", "Credentials", body).below("Webhooks", "/dashboard/webhooks");
    page.below(webhook_name(webhook), path)
}

fn present(visit: &Visit, webhook: &Webhook) -> Markup {
    let path = format!("/dashboard/webhooks/{}/credentials", webhook.id);
    let remove = |set: &str, name: &str| {
        html! {
            form method="post" action=(path) {
                (hidden(visit))
                input type="hidden" name="Set" value=(set);
                button.danger type="submit" { (name) }
            }
        }
    };
    html! {
        section.panel aria-labelledby="present" {
            h2 #present { "In force" }
            @if webhook.authentication.is_none() && webhook.client_certificate.is_none() {
                p { "Nothing beside the signatures." }
            }
            @if let Some(authentication) = &webhook.authentication {
                dl.facts {
                    (fact("Authorization", html! { (spelt(authentication)) }))
                    @match authentication {
                        Authentication::Bearer { .. } => {}
                        Authentication::Basic { username, .. } => (fact("User", html! { code { (username) } })),
                        Authentication::OAuth2(client) => {
                            (fact("Token endpoint", html! { code { (masked_url(client.token_url.expose())) } }))
                            (fact("Client id", html! { code { (client.client_id) } }))
                            (fact("Scope", html! { (client.scope.as_deref().unwrap_or("none")) }))
                            (fact("Id and secret stand in", html! { (client.style.as_str()) }))
                        }
                    }
                }
                (remove("None", "Send no Authorization"))
            }
            @if let Some(certificate) = &webhook.client_certificate {
                dl.facts {
                    (fact("Client certificate", html! { code { (certificate.subject) } }))
                    (fact("Valid until", html! {
                        (both(certificate.not_after, visit.now()))
                        @match certificate.validity(visit.now()) {
                            Validity::Valid => {}
                            Validity::Expiring => { " " strong { "Set a new one soon." } }
                            Validity::Expired => { " " strong { "It has expired: set a new one." } }
                        }
                    }))
                    (fact("SHA-256", html! { code { (certificate.fingerprint) } }))
                }
                (remove("NoCertificate", "Show no certificate"))
            }
        }
    }
}

fn ways(visit: &Visit, path: &str, filled: &Filled) -> Markup {
    let chosen = filled.values.text("Set").unwrap_or_default();
    let form = |way: &str, fields: Markup| {
        html! {
            form.stack method="post" action=(format!("{path}/credentials")) {
                (hidden(visit))
                input type="hidden" name="Set" value=(way);
                (fields)
                div.actions { button.primary type="submit" { "Set it" } }
            }
        }
    };
    html! {
        details.panel open[chosen == "Bearer"] {
            summary { "Bearer token" }
            (form("Bearer", html! {
                (filled.secret(Field { name: "Authentication/Token", label: "Token", hint: "As the receiver gave it.", kind: "" }))
            }))
        }
        details.panel open[chosen == "Basic"] {
            summary { "User and password (Basic)" }
            (form("Basic", html! {
                (filled.field(Field { name: "Authentication/Username", label: "User", hint: "Without a colon.", kind: "text" }))
                (filled.secret(Field { name: "Authentication/Password", label: "Password", hint: "", kind: "" }))
            }))
        }
        details.panel open[chosen == "OAuth2ClientCredentials"] {
            summary { "OAuth 2 client credentials" }
            (form("OAuth2ClientCredentials", html! {
                p.hint { "A token is fetched, kept while it is valid, and fetched again." }
                (filled.field(Field { name: "Authentication/TokenUrl", label: "Token endpoint", hint: "https, judged like the webhook’s own URL.", kind: "url" }))
                (filled.field(Field { name: "Authentication/ClientId", label: "Client id", hint: "", kind: "text" }))
                (filled.secret(Field { name: "Authentication/ClientSecret", label: "Client secret", hint: "", kind: "" }))
                (filled.field(Field { name: "Authentication/Scope", label: "Scope (optional)", hint: "With spaces between.", kind: "text" }))
                (filled.choice(Field { name: "Authentication/AuthStyle", label: "Id and secret stand in", hint: "", kind: "" },
                    &[("Header", "the header (HTTP Basic)"), ("Body", "the body")]))
            }))
        }
    }
}

fn certificate(visit: &Visit, path: &str, filled: &Filled) -> Markup {
    html! {
        section aria-labelledby="certificate" {
            h2 #certificate { "Client certificate (mTLS)" }
            details.panel open[filled.values.text("Set") == Some("Certificate")] {
                summary { "Set a client certificate" }
                form.stack method="post" action=(format!("{path}/credentials")) {
                    (hidden(visit))
                    input type="hidden" name="Set" value="Certificate";
                    (filled.area(Field { name: "ClientCertificate/CertificatePem", label: "Certificate, PEM",
                        hint: "First its own, then those that lead to its authority.", kind: "" }))
                    (filled.blank_area(Field { name: "ClientCertificate/PrivateKeyPem", label: "Private key, PEM",
                        hint: "Not encrypted. It is never shown again.", kind: "" }))
                    div.actions { button.primary type="submit" { "Set the certificate" } }
                }
            }
        }
    }
}
