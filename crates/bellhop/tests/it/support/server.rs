//! The real server as a child process, and what can be seen of it from outside.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::events::Events;

const KEY: &str = "the-operators-key-of-a-test-0123456789";
const ENTERPRISE: &str = "8865aa96-f62d-4f9b-a912-ab2100f60f42";
/// Far more than it takes, for machines that are busy.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server in a folder of its own. It is killed when it is dropped.
pub struct Server {
    child: Child,
    /// Where it listens, as `127.0.0.1:port`.
    pub address: String,
    folder: Arc<TempDir>,
    settings: Vec<(String, String)>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Server {
    /// Starts it with these settings, and waits until it is ready. An enterprise is there.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), settings).await
    }

    /// The same in a folder that another one may have been in.
    pub async fn start_in(folder: Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let address = free_address();
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>();
        let mut server = Self {
            child: spawn(&address, folder.path(), &settings),
            address,
            folder,
            settings,
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        server.ready().await;
        let path = format!("/v1/enterprises/{ENTERPRISE}");
        let named = json!({ "Name": "Sample Chain Hotel 1" });
        // Another replica may have made it.
        let made = server.ask(Method::PUT, &path, Some(&named)).await.0;
        assert!(made == 201 || made == 200);
        server
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGKILL; then it is started again on the same data, and is ready.
    pub async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.address, self.folder.path(), &self.settings);
        self.ready().await;
    }

    async fn ready(&mut self) {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}\n{}", self.log());
            }
            if self
                .try_ask(Method::GET, "/readyz", None)
                .await
                .is_some_and(|answer| answer.0 == 200)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server is not ready\n{}", self.log());
    }

    /// The operator asks; answers with status and document.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {path}\n{}", self.log()))
    }

    /// The operator posts, under an idempotency key.
    pub async fn ask_once(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.send(Method::POST, path, Some(body), Some(key)).await;
        answer.unwrap_or_else(|| panic!("no answer to {path}\n{}", self.log()))
    }

    /// The operator asks, beside others; nobody knows what came of it.
    pub fn asking(&self, method: Method, path: &str) -> impl Future<Output = ()> + 'static {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .body(Full::default())
            .unwrap();
        let asked = self.client.request(request);
        async move {
            let _ = asked.await;
        }
    }

    async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        self.send(method, path, body, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Option<(u16, Value)> {
        let mut request = Request::builder();
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))
            .unwrap();
        let answer = self.client.request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// What a reading with this key is answered with.
    pub async fn status_with(&self, key: &str, path: &str) -> u16 {
        let key = format!("Bearer {key}");
        let headers = [("authorization", key.as_str())];
        self.fetch(Method::GET, path, &headers, "").await.0
    }

    /// A request as it is given, with the operator's key unless another is; answers with status, headers and body.
    pub async fn fetch(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, Bytes) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header(header::AUTHORIZATION, format!("Bearer {KEY}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, body)
    }

    /// The operator's stream of events, from this place on if one is named. It is open when this comes back.
    pub async fn events(&self, query: &str, last_id: &str) -> Events {
        let mut request = Request::get(format!("http://{}/v1/events{query}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"));
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let answer = self.client.request(request.body(Full::default()).unwrap());
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        Events::of(axum::body::Body::new(answer.into_body()))
            .opened()
            .await
    }

    /// Signs in to the dashboard with an API key; answers with the session's cookie.
    pub async fn sign_in(&self, key: &str) -> String {
        let form = format!("ApiKey={key}");
        let (status, headers, _) = self
            .fetch(Method::POST, "/dashboard/sign-in", &[], &form)
            .await;
        assert_eq!(status, 303);
        session_of(&headers)
    }

    /// Signs in to the dashboard with the operator's key.
    pub async fn sign_in_as_operator(&self) -> String {
        self.sign_in(KEY).await
    }

    /// Whether an access token is active (RFC 7662).
    pub async fn is_active(&self, token: &str) -> bool {
        let request = Request::post(format!(
            "http://{}/v1/access-tokens/introspect",
            self.address
        ))
        .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(format!("token={token}")))
        .unwrap();
        let answer = self.client.request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let worth: Value = serde_json::from_slice(&body).unwrap();
        worth["active"].as_bool().unwrap()
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Value {
        let (status, document) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    /// Makes something; answers with it.
    pub async fn make(&self, path: &str, document: &Value) -> Value {
        let (status, made) = self.ask(Method::POST, path, Some(document)).await;
        assert_eq!(status, 201, "{path}: {made}");
        made
    }

    /// Makes an application; answers with its id.
    pub async fn application(&self, name: &str) -> String {
        let made = self
            .make("/v1/applications", &json!({ "Name": name }))
            .await;
        made["Id"].as_str().unwrap().to_owned()
    }

    /// Makes an integration of it; answers with all of it.
    pub async fn integration(&self, application: &str, name: &str) -> Value {
        let document = json!({
            "ApplicationId": application, "EnterpriseId": ENTERPRISE, "Name": name
        });
        self.make("/v1/integrations", &document).await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    /// SIGSTOP, and waits until none of its threads runs: the signal alone is on its way when it is sent.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let status = waitpid(id, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    }

    /// SIGTERM, and waits until it has drained and ended. Says whether it was content.
    pub async fn end(mut self) -> bool {
        self.signal(Signal::SIGTERM);
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("SIGTERM did not end the server\n{}", self.log());
    }

    /// Its figures, as text.
    pub async fn metrics(&self) -> String {
        let request = Request::get(format!("http://{}/metrics", self.address))
            .body(Full::default())
            .unwrap();
        let answer = self.client.request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// One of its figures that has no labels.
    pub async fn figure(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line.trim().parse().unwrap()
    }

    /// Its folder, which outlives it.
    pub fn folder(&self) -> Arc<TempDir> {
        self.folder.clone()
    }

    /// Where its database and its keys are.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs another command on its data.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let settings = self.settings.iter().map(|(name, value)| (name, value));
        Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .args(arguments)
            .env_clear()
            .env("BELLHOP_DATA_DIR", self.folder.path().join("data"))
            .envs(settings)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Every byte that it left anywhere: its files and its log.
    pub fn left_behind(&self) -> Vec<u8> {
        let mut left = Vec::new();
        gather(self.folder.path(), &mut left);
        left
    }

    /// The memory that it has now, in bytes (Linux).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(address: &str, folder: &Path, settings: &[(String, String)]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let settings = settings.iter().map(|(name, value)| (name, value));
    Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .arg("serve")
        .env_clear()
        .env("BELLHOP_LISTEN", address)
        .env("BELLHOP_DATA_DIR", folder.join("data"))
        .env("BELLHOP_OPERATOR_KEY", KEY)
        .env("BELLHOP_LOG", "debug")
        // Tests look at figures as often as they can.
        .env("BELLHOP_KEYLESS_RATE", "0")
        .envs(settings)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// The session's cookie, name and value, of an answer that opens one.
pub fn session_of(headers: &HeaderMap) -> String {
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// An address that was free just now.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn gather(folder: &Path, left: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, left);
        } else {
            left.extend(fs::read(&path).unwrap());
        }
    }
}
