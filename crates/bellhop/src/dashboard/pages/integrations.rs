//! Integrations: the list, and making one.

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, hidden_once, pager},
            marks,
            moments::ago,
        },
        seen::Names,
    },
    domain::integration::{Integration, State},
    store::IntegrationFilter,
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    let filter = filter(&visit);
    let found = visit.integrations(filter, visit.page()).await?;
    let state = visit.query().text("State").unwrap_or_default().to_owned();
    let body = html! {
        form.filters method="get" action="/dashboard/integrations" aria-label="Filters" {
            div.field {
                label for="State" { "State" }
                select #State name="State" {
                    option value="" { "All but deleted" }
                    @for each in State::ALL {
                        option value=(each.as_str()) selected[each.as_str() == state] { (each.as_str()) }
                    }
                }
            }
            @for name in ["ApplicationId", "EnterpriseId"] {
                @if let Some(value) = visit.query().text(name) { input type="hidden" name=(name) value=(value); }
            }
            button type="submit" { "Filter" }
        }
        @if found.items.is_empty() {
            (nothing(&visit))
        } @else {
            (rows(&visit, &found.items).await?)
        }
        (pager(&visit, found.next))
    };
    let page = Page::new("Integrations", "Integrations", body);
    Ok(if visit.is_operator() {
        page.beside(
            html! { a.button.primary href="/dashboard/integrations/new" { "New integration" } },
        )
    } else {
        page
    })
}

/// What the query keeps to.
fn filter(visit: &Visit) -> IntegrationFilter {
    let query = visit.query();
    let wanted = query.text("State");
    IntegrationFilter {
        application_id: query.id("ApplicationId"),
        enterprise_id: query.id("EnterpriseId"),
        state: State::ALL
            .into_iter()
            .find(|state| Some(state.as_str()) == wanted),
        with_deleted: false,
    }
}

/// Integrations as a table.
pub async fn rows(visit: &Visit, integrations: &[Integration]) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(integrations.len());
    for integration in integrations {
        let application = names
            .of_application(visit, integration.application_id)
            .await?;
        let enterprise = names
            .of_enterprise(visit, integration.enterprise_id)
            .await?;
        rows.push((integration, application, enterprise));
    }
    Ok(html! {
        table.cards {
            caption.unseen { "Integrations" }
            thead {
                tr {
                    th scope="col" { "State" } th scope="col" { "Name" } th scope="col" { "Enterprise" }
                    th scope="col" { "Application" } th.number scope="col" { "Messages" } th scope="col" { "Created" }
                }
            }
            tbody {
                @for (integration, application, enterprise) in rows {
                    tr {
                        td data-label="State" { (marks::integration(integration.state())) }
                        th scope="row" data-label="Name" {
                            a href=(format!("/dashboard/integrations/{}", integration.id)) { (integration.name) }
                        }
                        td data-label="Enterprise" {
                            @if visit.is_operator() {
                                a href=(format!("/dashboard/enterprises/{}", integration.enterprise_id)) { (enterprise) }
                            } @else { (enterprise) }
                        }
                        td data-label="Application" {
                            a href=(format!("/dashboard/applications/{}", integration.application_id)) { (application) }
                        }
                        td.number data-label="Messages" { (integration.sequence) }
                        td data-label="Created" { (ago(integration.created, visit.now())) }
                    }
                }
            }
        }
    })
}

/// The form for a new one.
pub async fn form(visit: Visit) -> Result<Page, Wrong> {
    visit.operator()?;
    filling(&visit, &Filled::with(visit.query().clone())).await
}

/// Makes one. Its access token is shown once.
pub async fn create(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let form = visit.form();
    let mut document = form.document(&["Name", "ApplicationId", "EnterpriseId"]);
    document.insert(
        "IsEnabled".to_owned(),
        (form.text("IsEnabled") != Some("false")).into(),
    );
    if let Some(requestor) = requestor(&visit) {
        document.insert("Requestor".to_owned(), requestor);
    }
    match visit
        .post("/v1/integrations")
        .with(document)
        .once()
        .send()
        .await
    {
        Ok(made) => Ok(Done::Page(Box::new(shown_once(
            &made,
            "The integration is created",
        )))),
        Err(Wrong::Problem(problem)) => {
            let status = problem.status;
            let page = filling(&visit, &Filled::refused(form.clone(), problem)).await?;
            Ok(Done::Page(Box::new(page.status(status))))
        }
        Err(wrong) => Err(wrong),
    }
}

/// The person who asks, if the form names one.
pub fn requestor(visit: &Visit) -> Option<Value> {
    let (name, email) = (
        visit.form().text("Requestor/Name"),
        visit.form().text("Requestor/Email"),
    );
    (name.is_some() || email.is_some()).then(|| {
        let members = [("Name", name), ("Email", email)];
        members
            .into_iter()
            .filter_map(|(member, text)| Some((member.to_owned(), json!(text?))))
            .collect()
    })
}

/// Fields for the person who asks.
pub fn requestor_fields(filled: &Filled) -> Markup {
    html! {
        fieldset {
            legend { "Requestor" }
            p.hint { "Who asks for it. Messages name this person; leave both empty if it is not known." }
            (filled.field(Field { name: "Requestor/Name", label: "Name", hint: "", kind: "text" }))
            (filled.field(Field { name: "Requestor/Email", label: "E-mail", hint: "", kind: "email" }))
        }
    }
}

/// An access token, which nobody sees again.
pub fn shown_once(made: &Value, title: &str) -> Page {
    let text = |member: &str| made[member].as_str().unwrap_or_default().to_owned();
    let body = html! {
        section.panel.once {
            p { "The access token of " strong { (text("Name")) } " is shown now and never again. The webhooks of its application \
                are told it." }
            p { (copyable(&text("AccessToken"), "the access token")) }
            p { a.button.primary href=(format!("/dashboard/integrations/{}", text("Id"))) { "To the integration" } }
        }
    };
    Page::new("Integrations", title, body).below("Integrations", "/dashboard/integrations")
}

async fn filling(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    let applications = visit.known_applications().await?;
    let enterprises = visit.known_enterprises().await?;
    let body = html! {
        (filled.summary())
        form.panel.stack method="post" action="/dashboard/integrations/new" {
            (hidden_once(visit))
            (filled.field(Field { name: "Name", label: "Name", hint: "As messages carry it.", kind: "text" }))
            (filled.id(Field { name: "ApplicationId", label: "Application’s id",
                hint: "The partner’s product that is connected.", kind: "" }, &applications))
            (filled.id(Field { name: "EnterpriseId", label: "Enterprise’s id",
                hint: "The customer to whom it is connected.", kind: "" }, &enterprises))
            (filled.choice(Field { name: "IsEnabled", label: "Starts", hint: "", kind: "" },
                &[("true", "Enabled"), ("false", "Disabled")]))
            (requestor_fields(filled))
            div.actions {
                button.primary type="submit" { "Create the integration" }
                a.button href="/dashboard/integrations" { "Cancel" }
            }
        }
    };
    let page = Page::new("Integrations", "New integration", body);
    Ok(page.below("Integrations", "/dashboard/integrations"))
}

fn nothing(visit: &Visit) -> Markup {
    let is_filtered = !visit.query().query_without(&["Cursor", "Done"]).is_empty();
    if is_filtered {
        empty(
            "No integration fits",
            "None that exists fits these filters.",
            Some(("/dashboard/integrations", "Clear the filters")),
        )
    } else if visit.is_operator() {
        empty(
            "No integrations yet",
            "An integration connects one enterprise to one application, and has an access token. Everything that happens to \
             it is told to the application’s webhooks, in order.",
            Some(("/dashboard/integrations/new", "New integration")),
        )
    } else {
        empty(
            "No integrations yet",
            "When an enterprise connects your product, its integration will be here, with its history.",
            Some(("/dashboard/catalogue", "What messages look like")),
        )
    }
}
