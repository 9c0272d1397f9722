//! What `deploy/` asks for is what the server tells.

use std::collections::BTreeSet;

use crate::support::app::TestApp;

/// The alert rules and the dashboard.
const FILES: [(&str, &str); 2] = [
    (
        "deploy/prometheus/bellhop.rules.yml",
        include_str!("../../../../deploy/prometheus/bellhop.rules.yml"),
    ),
    (
        "deploy/grafana/bellhop.json",
        include_str!("../../../../deploy/grafana/bellhop.json"),
    ),
];

/// The names under which Prometheus keeps what a scrape tells.
fn names(scrape: &str) -> BTreeSet<String> {
    let types = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, of_type)| {
            let suffixes: &[&str] = match of_type {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "info" => &["_info"],
                _ => &[""],
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect()
}

/// Words of a text that begin so.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|one: char| !one.is_ascii_alphanumeric() && one != '_')
        .filter(move |word| word.starts_with(prefix))
}

#[tokio::test]
async fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let app = TestApp::start();
    // What has never happened is not told: one request, so that there is one.
    app.get("/livez").await;
    let scrape = app.get("/metrics").await.text();
    let known = names(&scrape);
    for (file, text) in FILES {
        let asked: BTreeSet<&str> = words(text, "bellhop_")
            .chain(words(text, "process_"))
            .collect();
        assert!(asked.len() > 5, "{file}");
        for metric in asked {
            // A text may name a family without what Prometheus adds to it.
            let is_known = known
                .iter()
                .any(|name| name == metric || name == &format!("{metric}_bucket"));
            assert!(is_known, "{file} asks for {metric}, which is not told");
        }
    }
}

#[test]
fn the_dashboard_is_json_without_an_address() {
    let dashboard: serde_json::Value = serde_json::from_str(FILES[1].1).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().filter(|panel| panel["type"] != "row").count() >= 15);
    assert!(!FILES[1].1.contains("://"));
}
