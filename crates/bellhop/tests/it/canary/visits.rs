//! Visits to the dashboard: every page is read, as the operator and as a partner. The links that sign in and the cookies are
//! secrets; each belongs in the one answer that gives it.

use http::{HeaderMap, Method};
use serde_json::Value;

use super::canaries::{Canaries, Seen};
use crate::support::server::{Server, session_of};

/// Pages of one thing are read for so many things of a kind.
const OF_A_KIND: usize = 12;
/// Pages that are there for the operator.
const PAGES: [&str; 16] = [
    "",
    "/deliveries",
    "/deliveries?State=Failed",
    "/integrations",
    "/integrations/new",
    "/applications",
    "/webhooks",
    "/enterprises",
    "/replays",
    "/replays/new",
    "/catalogue",
    "/keys",
    "/operational-messages",
    "/search?Text=Hotel",
    "/nothing",
    "/sign-in",
];

/// Somebody who is signed in.
struct Visitor<'a> {
    server: &'a Server,
    cookie: String,
    seen: &'a mut Seen,
}

/// Signs in with a key, with a link, and as a partner, and reads all that is there.
pub async fn visit_everything(
    server: &Server,
    application: &str,
    canaries: &mut Canaries,
    seen: &mut Seen,
) {
    let cookie = server.sign_in_as_operator().await;
    keep_session(&cookie, canaries);
    let mut operator = Visitor {
        server,
        cookie,
        seen,
    };
    operator.read_everything(&PAGES).await;
    let link = operator.link_for(application).await;
    let partner = use_link(server, &link, canaries, seen).await;
    let mut partner = Visitor {
        server,
        cookie: partner,
        seen,
    };
    partner
        .read_everything(&[
            "",
            "/deliveries",
            "/webhooks",
            "/integrations",
            "/applications",
        ])
        .await;
    partner.sign_out().await;
    // As `bellhop sign-in` does.
    let (status, _, made) = server
        .fetch(Method::POST, "/dashboard/links", &[], "")
        .await;
    assert_eq!(status, 201);
    let made: Value = serde_json::from_slice(&made).unwrap();
    use_link(server, made["Path"].as_str().unwrap(), canaries, seen).await;
    // One that nobody uses.
    let (_, _, waiting) = server
        .fetch(Method::POST, "/dashboard/links", &[], "")
        .await;
    let waiting: Value = serde_json::from_slice(&waiting).unwrap();
    let text = waiting["Path"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap()
        .1;
    canaries.add("link that signs in", text);
    fail_to_sign_in(server, canaries, seen).await;
}

/// The page with the button has the link in it, where it belongs. The second time, it opens nothing.
async fn use_link(server: &Server, link: &str, canaries: &mut Canaries, seen: &mut Seen) -> String {
    let text = link.rsplit_once('/').unwrap().1;
    canaries.add("link that signs in", text);
    let (status, headers, _) = server.fetch(Method::POST, link, &[], "").await;
    assert_eq!(status, 303);
    let cookie = session_of(&headers);
    keep_session(&cookie, canaries);
    let (status, headers, page) = server.fetch(Method::POST, link, &[], "").await;
    assert_eq!(status, 410);
    seen.put("pages", answer(&headers, &page));
    cookie
}

async fn fail_to_sign_in(server: &Server, canaries: &mut Canaries, seen: &mut Seen) {
    let wrong = canaries.make("wrong key for the dashboard");
    let form = format!("ApiKey=bhk_{wrong}");
    let (status, headers, page) = server
        .fetch(Method::POST, "/dashboard/sign-in", &[], &form)
        .await;
    assert_eq!(status, 401);
    seen.put("pages", answer(&headers, &page));
    let wrong = format!("/dashboard/sign-in/{}", canaries.make("wrong link"));
    let (status, headers, page) = server.fetch(Method::POST, &wrong, &[], "").await;
    assert_eq!(status, 410);
    seen.put("pages", answer(&headers, &page));
    let stolen = format!(
        "bellhop-session={}",
        canaries.make("cookie of a session that is over")
    );
    let cookie = [("cookie", stolen.as_str())];
    let (status, headers, page) = server.fetch(Method::GET, "/dashboard", &cookie, "").await;
    assert_eq!(status, 303);
    seen.put("pages", answer(&headers, &page));
}

fn keep_session(cookie: &str, canaries: &mut Canaries) {
    canaries.add("cookie of a session", cookie.split_once('=').unwrap().1);
}

fn answer(headers: &HeaderMap, page: &[u8]) -> Vec<u8> {
    [format!("{headers:?}\n").as_bytes(), page].concat()
}

impl Visitor<'_> {
    async fn read_everything(&mut self, pages: &[&str]) {
        let mut found = Vec::new();
        for page in pages {
            let text = self.page(page).await;
            found.extend(linked(&text));
        }
        // What those pages lead to, and what that leads to: one thing of a kind looks like another.
        for _ in 0..2 {
            let mut next = Vec::new();
            for path in some_of_each(std::mem::take(&mut found)) {
                let text = self.page(&path).await;
                next.extend(linked(&text));
            }
            found = next;
        }
    }

    async fn page(&mut self, path: &str) -> String {
        let path = format!("/dashboard{path}");
        let cookie = [("cookie", self.cookie.as_str())];
        let (status, headers, page) = self.server.fetch(Method::GET, &path, &cookie, "").await;
        assert!(
            (200..500).contains(&status) && status != 429,
            "{path}: {status}"
        );
        self.seen.put("pages", answer(&headers, &page));
        String::from_utf8(page.to_vec()).unwrap()
    }

    async fn post(&mut self, path: &str) -> (u16, String) {
        let page = self.page("/search").await;
        let key = page.split_once(r#"name="Key" value=""#).unwrap().1;
        let form = format!("Key={}", key.split_once('"').unwrap().0);
        let cookie = [("cookie", self.cookie.as_str())];
        let (status, _, page) = self.server.fetch(Method::POST, path, &cookie, &form).await;
        (status, String::from_utf8(page.to_vec()).unwrap())
    }

    /// The link for a partner, which one page shows once.
    async fn link_for(&mut self, application: &str) -> String {
        let path = format!("/dashboard/applications/{application}/sign-in-link");
        let (status, page) = self.post(&path).await;
        assert_eq!(status, 200);
        let (_, text) = page.split_once("/dashboard/sign-in/").unwrap();
        format!("/dashboard/sign-in/{}", &text[..64])
    }

    async fn sign_out(&mut self) {
        assert_eq!(self.post("/dashboard/sign-out").await.0, 303);
    }
}

/// Where a page leads within the dashboard.
fn linked(page: &str) -> Vec<String> {
    let links = page.split(r#"href="/dashboard"#).skip(1);
    let paths = links.filter_map(|rest| rest.split_once('"').map(|(path, _)| path));
    paths
        .filter(|path| !path.starts_with("/assets"))
        .map(|path| path.replace("&amp;", "&"))
        .collect()
}

/// A few of each kind: what varies are ids.
fn some_of_each(mut paths: Vec<String>) -> Vec<String> {
    let kind = |path: &str| {
        let is_name = |part: &&str| part.len() < 32;
        path.split(['/', '?', '='])
            .filter(is_name)
            .collect::<Vec<_>>()
            .join("/")
    };
    paths.sort();
    paths.dedup();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    paths.retain(|path| {
        let count = counts.entry(kind(path)).or_default();
        *count += 1;
        *count <= OF_A_KIND
    });
    paths
}
