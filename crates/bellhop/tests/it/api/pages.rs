//! Lists in pages, and conditional requests.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

#[tokio::test]
async fn pages_show_everything_once() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    app.webhook(&application, json!({})).await;
    let mut made = BTreeSet::new();
    for number in 0..23 {
        let integration = app.integration(&application, &format!("{number}")).await;
        made.insert(text(&integration["Id"]));
    }
    for (list, expected) in [("integrations", 23), ("deliveries", 23)] {
        let mut ids = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let from = cursor
                .as_str()
                .map_or(String::new(), |c| format!("&Cursor={c}"));
            let page = app
                .get(&format!("/v1/{list}?Limit=10{from}"))
                .await
                .expect(200);
            let items = page["Items"].as_array().unwrap();
            assert!(items.len() <= 10);
            ids.extend(items.iter().map(|item| text(&item["Id"])));
            cursor = page["NextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(ids.len(), expected, "{list}");
        let different: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(different.len(), expected, "{list}");
        if list == "integrations" {
            assert_eq!(different, made);
            assert!(ids.is_sorted());
        }
    }
    let page = app.get("/v1/integrations?Limit=1000").await.expect(200);
    assert_eq!(page["Items"].as_array().unwrap().len(), 23);
    let cursor = text(&app.get("/v1/deliveries?Limit=1").await.expect(200)["NextCursor"]);
    let wrong = app.get(&format!("/v1/integrations?Cursor={cursor}")).await;
    assert_eq!(wrong.expect(400)["code"], "bad_cursor");
    app.stop().await;
}

#[tokio::test]
async fn a_history_has_pages_too() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let id = text(&app.integration(&application, "x").await["Id"]);
    for command in ["disable", "enable", "disable"] {
        app.post(&format!("/v1/integrations/{id}/{command}"), &json!({}))
            .await
            .expect(200);
    }
    let path = format!("/v1/integrations/{id}/messages?Limit=3");
    let first = app.get(&path).await.expect(200);
    let cursor = text(&first["NextCursor"]);
    let second = app
        .get(&format!("{path}&Cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second["Items"][0]["Sequence"], 4);
    assert_eq!(second["NextCursor"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn tombstones_are_listed_on_request() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    app.integration(&application, "kept").await;
    let id = text(&app.integration(&application, "gone").await["Id"]);
    let path = format!("/v1/integrations/{id}");
    app.operator(Method::DELETE, &path).send().await.expect(200);
    for (query, expected) in [("", 1), ("?WithDeleted=true", 2), ("?State=Deleted", 1)] {
        let page = app
            .get(&format!("/v1/integrations{query}"))
            .await
            .expect(200);
        assert_eq!(page["Items"].as_array().unwrap().len(), expected, "{query}");
    }
    assert_eq!(app.get(&path).await.expect(200)["State"], "Deleted");
    app.stop().await;
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    let integration = text(&app.integration(&application, "x").await["Id"]);
    for path in [
        format!("/v1/applications/{application}"),
        format!("/v1/webhooks/{webhook}"),
        format!("/v1/integrations/{integration}"),
        "/v1/deliveries".to_owned(),
    ] {
        let first = app.get(&path).await;
        first.expect(200);
        let etag = first.header("etag").to_owned();
        let again = app
            .operator(Method::GET, &path)
            .header("if-none-match", &etag)
            .send()
            .await;
        assert_eq!(again.status, 304, "{path}");
        assert!(again.bytes.is_empty());
        let other = app
            .operator(Method::GET, &path)
            .header("if-none-match", "\"x\"")
            .send()
            .await;
        assert_eq!(other.status, 200, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_changed_meanwhile_is_not_overwritten() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    let integration = text(&app.integration(&application, "x").await["Id"]);
    for (method, read, written, body) in [
        (
            Method::PATCH,
            format!("/v1/webhooks/{webhook}"),
            "",
            json!({ "Description": "a" }),
        ),
        (
            Method::PATCH,
            format!("/v1/applications/{application}"),
            "",
            json!({ "Name": "B" }),
        ),
        (
            Method::PUT,
            format!("/v1/enterprises/{}", crate::support::app::ENTERPRISE),
            "",
            json!({ "Name": "C" }),
        ),
        (
            Method::POST,
            format!("/v1/integrations/{integration}"),
            "/disable",
            json!({}),
        ),
    ] {
        let etag = app.get(&read).await.header("etag").to_owned();
        let write = |etag: String| {
            let path = format!("{read}{written}");
            app.operator(method.clone(), &path)
                .header("if-match", &etag)
                .json(&body)
                .send()
        };
        let before = app.everything().await;
        let refused = write("\"other\"".into()).await.expect(412);
        assert_eq!(refused["code"], "precondition_failed", "{read}");
        assert_eq!(app.everything().await, before, "{read}");
        write(etag.clone()).await.expect(200);
        write(etag).await.expect(412);
    }
    app.stop().await;
}

/// Found by schemathesis: a cursor that looks like one and that nobody was given.
#[tokio::test]
async fn a_cursor_beyond_every_sequence_has_nothing_behind_it() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let id = text(&app.integration(&application, "x").await["Id"]);
    for cursor in [
        "BQ000000000000000000000",
        "Bf________________-----",
        "BQAAAAAAAAAAAH_________8",
    ] {
        let answer = app
            .get(&format!("/v1/integrations/{id}/messages?Cursor={cursor}"))
            .await;
        match answer.status.as_u16() {
            200 => assert_eq!(answer.expect(200)["Items"], json!([])),
            _ => assert_eq!(answer.expect(400)["code"], "bad_cursor"),
        }
    }
    app.stop().await;
}
