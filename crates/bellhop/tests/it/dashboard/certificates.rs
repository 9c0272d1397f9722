//! A client certificate that ends is on the overview, for whom it concerns, until it is renewed.

use bellhop::{delivery::certificates::Certificates, domain::api_key::Scope};
use http::Method;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::Desk;
use crate::support::app::{TestApp, text};

/// One that ends on this day of December 2019, or in the next year.
fn certificate(year: i32, day: u8) -> Value {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "bellhop");
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(year, 12, day);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    json!({ "CertificatePem": certificate.pem(), "PrivateKeyPem": key.serialize_pem() })
}

#[tokio::test]
async fn a_certificate_that_ends_is_on_the_overview_until_it_is_renewed() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let other = app.application("Spa Planner").await;
    let settings = json!({ "Description": "Doors", "ClientCertificate": certificate(2019, 18) });
    let webhook = app.webhook(&application, settings).await;
    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    let desk = Desk::of(&app);
    let operator = desk.operator().await;
    let partner = desk
        .browser(Scope::Application(application.parse().unwrap()))
        .await;
    let stranger = desk
        .browser(Scope::Application(other.parse().unwrap()))
        .await;
    let notice = "The client certificate of";
    assert!(!operator.page("/dashboard").await.contains(notice));
    let mut walk = Certificates::new(app.store.clone(), app.clock.clone());
    assert!(!walk.step().await.unwrap());
    for page in [
        operator.page("/dashboard").await,
        partner.page("/dashboard").await,
    ] {
        assert!(page.contains(notice) && page.contains("Doors"), "{page}");
        assert!(
            page.contains("notice warn") && page.contains(" expires "),
            "{page}"
        );
    }
    assert!(!stranger.page("/dashboard").await.contains(notice));
    let told = app.get("/v1/operational-messages").await.expect(200);
    assert_eq!(
        told["Items"][0]["Type"], "webhook.certificate_expiring",
        "{told}"
    );

    app.clock.advance(std::time::Duration::from_hours(6 * 24));
    let page = operator_again(&desk).await;
    assert!(
        page.contains("notice bad") && page.contains(" has expired, "),
        "{page}"
    );
    let renewed = json!({ "ClientCertificate": certificate(2020, 18) });
    let asking = app.operator(Method::PATCH, &path).json(&renewed);
    asking.send().await.expect(200);
    assert!(!operator_again(&desk).await.contains(notice));
    app.stop().await;
}

/// Sessions idle no longer than a day.
async fn operator_again(desk: &Desk) -> String {
    desk.operator().await.page("/dashboard").await
}
