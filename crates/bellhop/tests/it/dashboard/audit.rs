//! The audit log's page.

use bellhop::domain::api_key::Scope;

use super::{Desk, between};
use crate::support::{
    app::{ENTERPRISE, TestApp, text},
    place::is_postgres,
};

#[tokio::test]
async fn the_log_is_shown_filtered_and_paged() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    for number in 0..60 {
        app.integration(&application, &format!("Wing {number}"))
            .await;
    }
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let page = browser.page("/dashboard/audit").await;
    assert!(page.contains("SignedIn") && page.contains("the operator’s key"));
    assert_eq!(page.matches(r#"data-label="Action""#).count(), 50);
    let next = between(&page, "Cursor=", "\"");
    let later = browser
        .page(&format!("/dashboard/audit?Cursor={next}"))
        .await;
    assert!(later.contains("EnterpriseCreated") && later.contains(">First page<"));
    let few = browser
        .page("/dashboard/audit?Action=ApplicationCreated")
        .await;
    assert_eq!(few.matches(r#"data-label="Action""#).count(), 1);
    assert!(few.contains(&format!(
        "/dashboard/applications/{application}\">Acme Keys"
    )));
    let of_one = format!("/dashboard/audit?SubjectId={ENTERPRISE}");
    assert!(
        browser
            .page(&of_one)
            .await
            .contains("Sample Chain Hotel 1</a>")
    );
    let none = browser
        .page("/dashboard/audit?ToUtc=2001-01-01T00:00:00Z")
        .await;
    assert!(none.contains("Nothing fits"));
    for wrong in ["Action=Odd", "Cursor=odd", "ActorId=1", "FromUtc=yesterday"] {
        let answer = browser.get(&format!("/dashboard/audit?{wrong}")).await;
        assert!(answer.status.is_client_error(), "{wrong}");
        assert!(answer.text().contains(r#"role="alert""#), "{wrong}");
    }
    let scope = Scope::Application(application.parse().unwrap());
    let partner = desk.browser(scope).await;
    assert_eq!(partner.get("/dashboard/audit").await.status, 403);
    app.stop().await;
}

#[tokio::test]
async fn the_page_says_whether_the_chain_holds() {
    // There, links are written behind the entries.
    if is_postgres() {
        return;
    }
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let page = browser.page("/dashboard/audit").await;
    assert!(page.contains("Holds") && !page.contains("Broken"), "{page}");
    let said = between(&page, "Position ", ",").to_owned();
    let id = text(&app.integration(&application, "North Wing").await["Id"]);
    let page = browser.page("/dashboard/audit").await;
    assert_ne!(between(&page, "Position ", ","), said);
    // Somebody rewrites history beside the server.
    app.place.tamper(&format!(
        "DROP TRIGGER audit_entries_stay; UPDATE audit_entries SET from_address = '192.0.2.1' WHERE hex(subject_id) = '{}'",
        id.replace('-', "").to_uppercase()
    ));
    let page = browser.page("/dashboard/audit").await;
    assert!(
        page.contains("Broken") && page.contains("was changed"),
        "{page}"
    );
    app.stop().await;
}
