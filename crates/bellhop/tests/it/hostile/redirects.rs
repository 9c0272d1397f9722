//! The zoo's redirects, to webhooks that follow redirects: nothing but the origin itself is reached.

use serde_json::json;
use zoo::Authority;

use crate::support::sending::Sending;

#[tokio::test]
async fn a_webhook_that_follows_redirects_is_led_nowhere_else() {
    let authority = Authority::new();
    let mut sending = Sending::guarded(&["127.0.0.0/8"]).await;
    let mut seen = 0;
    for beast in zoo::beasts() {
        if !beast.name.starts_with("redirect_") {
            continue;
        }
        seen += 1;
        let receiver = beast.start(&authority).await.unwrap();
        let application = sending.app.application(&beast.name).await;
        let settings = json!({
            "Url": beast.url(&receiver, "/hook"), "RetrySchedule": [0], "FollowRedirects": true
        });
        sending.app.webhook(&application, settings).await;
        let made = sending.app.integration(&application, "visitor").await;
        sending.drain().await;
        let delivery = sending.delivery(made["Id"].as_str().unwrap(), 1).await;
        let attempt = &delivery["Attempts"][0];
        assert_eq!(attempt["Cause"], "redirect_refused", "{}", beast.name);
        let loops = ["redirect_307_to_itself", "redirect_308_to_itself"];
        let expected = if loops.contains(&&*beast.name) { 4 } else { 1 };
        assert_eq!(receiver.requests().len(), expected, "{}", beast.name);
    }
    assert!(seen >= 28, "{seen}");
}
