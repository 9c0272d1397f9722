//! Every cause, really provoked: a receiver, a name server or a network that fails so, the real sender, and the page of the
//! delivery, which says why it failed and what to do. A cause without a way to provoke it does not compile.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bellhop::{
    delivery::{
        egress::{Dial, EgressPolicy, Roots, SystemResolver, Tcp, Wire},
        sender::SenderOptions,
    },
    domain::cause::Cause,
};
use nix::errno::Errno;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use zoo::{Authority, Behaviour, ClosedPort, Flaw, NameServer, Receiver, Says};

use super::{Browser, Desk};
use crate::support::{app::text, place::is_postgres, sending::Sending};

/// How a cause comes about.
enum Way {
    /// A receiver of plain http that does this.
    Receiver(Behaviour),
    /// One that speaks TLS with this flaw in its certificate.
    Tls(Flaw),
    /// A URL that says https, to one that does this.
    NoTls(Behaviour),
    /// This URL.
    Url(&'static str),
    /// A receiver whose port nobody listens at.
    Closed,
    /// One whose queue of connections is full.
    Full,
    /// One that asks for a client's certificate.
    WantsCertificate,
    /// The token endpoint answers so, or is not there.
    Token(Option<Behaviour>),
    /// The body is gone.
    Erased,
    /// Not one of a delivery: another test provokes it.
    Elsewhere(&'static str, &'static str),
}

/// A port at which the network fails in these ways, whatever is there.
const FAILING_PORTS: [(u16, Errno); 2] = [(40_001, Errno::EACCES), (40_002, Errno::EMFILE)];

fn way(cause: Cause) -> Way {
    let status =
        |status, headers: &[(&str, &str)]| Way::Receiver(Behaviour::status(status, headers));
    match cause {
        Cause::UrlRefused => Way::Url("https://169.254.169.254/hook"),
        Cause::DnsNotFound => Way::Url("https://missing.hooks.example.com/hook"),
        Cause::DnsFailed => Way::Url("https://broken.hooks.example.com/hook"),
        Cause::DnsTimeout => Way::Url("https://silent.hooks.example.com/hook"),
        Cause::DnsRefusedAddress => Way::Url("https://inside.hooks.example.com/hook"),
        Cause::PlainHttpRefused => Way::Url("http://public.hooks.example.com/hook"),
        Cause::ConnectRefused => Way::Closed,
        Cause::ConnectTimeout => Way::Full,
        // TCP goes to no group of hosts.
        Cause::ConnectUnreachable => Way::Url("http://224.0.0.1:9000/hook"),
        Cause::ConnectFailed => Way::Url("http://127.0.0.1:40001/hook"),
        Cause::Internal => Way::Url("http://127.0.0.1:40002/hook"),
        Cause::TlsCertificateExpired => Way::Tls(Flaw::Expired),
        Cause::TlsCertificateNotYetValid => Way::Tls(Flaw::NotYetValid),
        Cause::TlsWrongHost => Way::Tls(Flaw::OtherHost),
        Cause::TlsUntrusted => Way::Tls(Flaw::UnknownAuthority),
        Cause::TlsTimeout => Way::NoTls(Behaviour::Blurt(vec![])),
        Cause::TlsFailed => Way::NoTls(Behaviour::Blurt(
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        )),
        Cause::TlsClientCertificate => Way::WantsCertificate,
        Cause::Reset => Way::Receiver(Behaviour::ReadAndReset),
        Cause::ClosedEarly => Way::Receiver(Behaviour::AnswerAndClose(vec![])),
        Cause::Timeout => Way::Receiver(Behaviour::Hang),
        Cause::ProtocolError => Way::Receiver(Behaviour::AnswerAndClose(b"hello\r\n\r\n".to_vec())),
        Cause::ResponseTooLarge => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            Way::Receiver(Behaviour::endless(head, &chunk))
        }
        Cause::RedirectRefused => status(307, &[("location", "https://other.example.com/")]),
        Cause::Gone => status(410, &[]),
        Cause::RateLimited => status(429, &[("retry-after", "30")]),
        Cause::ClientError => status(404, &[]),
        Cause::Unavailable => status(503, &[]),
        Cause::ServerError => status(500, &[]),
        Cause::OauthTokenRefused => Way::Token(Some(Behaviour::status(400, &[]))),
        Cause::OauthTokenUnavailable => Way::Token(None),
        Cause::Erased => Way::Erased,
        Cause::MailDeferred => {
            Way::Elsewhere(include_str!("../operational/mod.rs"), "\"mail_deferred\"")
        }
        Cause::MailRejected => {
            Way::Elsewhere(include_str!("../operational/mod.rs"), "\"mail_rejected\"")
        }
    }
}

/// TCP, but at two ports the machine says no.
#[derive(Debug)]
struct Failing;

#[async_trait]
impl Dial for Failing {
    async fn dial(&self, to: SocketAddr) -> io::Result<Box<dyn Wire>> {
        match FAILING_PORTS.iter().find(|(port, _)| *port == to.port()) {
            Some((_, errno)) => Err(io::Error::from_raw_os_error(*errno as i32)),
            None => Tcp.dial(to).await,
        }
    }
}

/// What must live until the attempts have been made.
#[derive(Default)]
struct Kept {
    receivers: Vec<Receiver>,
    listeners: Vec<TcpListener>,
    closed: Vec<ClosedPort>,
    streams: Vec<TcpStream>,
}

impl Kept {
    async fn receiver(&mut self, behaviour: Behaviour) -> SocketAddr {
        let receiver = Receiver::start(behaviour).await.unwrap();
        let address = receiver.address();
        self.receivers.push(receiver);
        address
    }

    /// The settings of a webhook that fails in this way.
    async fn settings(&mut self, way: Way, authority: &Authority) -> Option<Value> {
        let mut settings = json!({ "RetrySchedule": [0], "TimeoutSeconds": 2 });
        let url = match way {
            Way::Elsewhere(..) => return None,
            Way::Receiver(behaviour) => format!("http://{}/hook", self.receiver(behaviour).await),
            Way::NoTls(behaviour) => format!("https://{}/hook", self.receiver(behaviour).await),
            Way::Tls(flaw) => {
                let config = authority.server("127.0.0.1", flaw);
                let receiver = Receiver::start_tls(Behaviour::healthy(), config)
                    .await
                    .unwrap();
                let url = format!("https://{}/hook", receiver.address());
                self.receivers.push(receiver);
                url
            }
            Way::WantsCertificate => {
                let config = authority.server_asking("127.0.0.1");
                let receiver = Receiver::start_tls(Behaviour::healthy(), config)
                    .await
                    .unwrap();
                let url = format!("https://{}/hook", receiver.address());
                self.receivers.push(receiver);
                url
            }
            Way::Url(url) => {
                // A name server that says nothing is given up after 5 s.
                settings["TimeoutSeconds"] = 10.into();
                url.to_owned()
            }
            Way::Closed => format!("http://{}/hook", self.closed()),
            Way::Full => {
                settings["TimeoutSeconds"] = 10.into();
                format!("http://{}/hook", self.full().await)
            }
            Way::Token(behaviour) => {
                let endpoint = match behaviour {
                    Some(behaviour) => self.receiver(behaviour).await,
                    None => self.closed(),
                };
                settings["Authentication"] = json!({
                    "Type": "OAuth2ClientCredentials", "TokenUrl": format!("http://{endpoint}/token"),
                    "ClientId": "bellhop", "ClientSecret": "hush",
                });
                format!("http://{}/hook", self.receiver(Behaviour::healthy()).await)
            }
            Way::Erased => format!("http://{}/hook", self.receiver(Behaviour::healthy()).await),
        };
        settings["Url"] = url.into();
        Some(settings)
    }

    /// Where nobody listens.
    fn closed(&mut self) -> SocketAddr {
        let port = ClosedPort::take().unwrap();
        let address = port.address().unwrap();
        self.closed.push(port);
        address
    }

    /// A listener that takes no connection any more.
    async fn full(&mut self) -> SocketAddr {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let briefly = std::time::Duration::from_millis(300);
        while let Ok(Ok(stream)) = tokio::time::timeout(briefly, TcpStream::connect(address)).await
        {
            self.streams.push(stream);
            assert!(self.streams.len() < 16);
        }
        self.listeners.push(listener);
        address
    }
}

fn certificates(authority: &Authority) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(authority.pem().as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

/// What the page of the webhook's only delivery says.
async fn judge(sending: &Sending, browser: &Browser<'_>, webhook: &str, cause: Cause) {
    let list = format!("/v1/deliveries?WebhookId={webhook}");
    let list = sending.app.get(&list).await.expect(200);
    let delivery = &list["Items"][0];
    assert_eq!(delivery["Cause"], cause.as_str(), "{delivery}");
    let path = format!("/dashboard/deliveries/{}", text(&delivery["Id"]));
    let page = browser.page(&path).await;
    let diagnosis = super::between(&page, r#"<div class="diagnosis">"#, "</div>");
    for part in [cause.as_str(), cause.title(), cause.next_step()] {
        let part = maud::html! { (part) }.into_string();
        assert!(diagnosis.contains(&part), "{cause}: {part}\n{diagnosis}");
    }
    assert_eq!(diagnosis.contains("own fault"), cause.is_ours());
}

#[tokio::test]
async fn every_cause_is_provoked_and_its_page_says_what_to_do() {
    let authority = Authority::new();
    let names = NameServer::start(vec![
        ("missing.hooks.example.com", vec![Says::Code(3)]),
        ("broken.hooks.example.com", vec![Says::Code(2)]),
        ("silent.hooks.example.com", vec![Says::Nothing]),
        (
            "inside.hooks.example.com",
            vec![Says::addresses(&["10.0.0.1"])],
        ),
        (
            "public.hooks.example.com",
            vec![Says::addresses(&["93.184.215.14"])],
        ),
    ])
    .await
    .unwrap();
    let allow = ["127.0.0.0/8", "224.0.0.0/4"].map(|network| network.parse().unwrap());
    let options = SenderOptions {
        resolver: Arc::new(SystemResolver::asking(vec![names.address()])),
        dial: Arc::new(Failing),
        roots: Roots::SystemAnd(certificates(&authority)),
        ..SenderOptions::new(Arc::new(EgressPolicy::allowing(allow)))
    };
    let mut sending = Sending::anywhere(options).await;
    let (mut kept, mut webhooks, mut erased) = (Kept::default(), Vec::new(), None);
    for cause in Cause::ALL {
        let way = way(*cause);
        if let Way::Elsewhere(test, words) = way {
            assert!(test.contains(words), "{cause} is provoked nowhere");
            continue;
        }
        let is_erased = matches!(way, Way::Erased);
        let Some(settings) = kept.settings(way, &authority).await else {
            continue;
        };
        let made = sending.app.webhook(&sending.application, settings).await;
        let id = text(&made["Id"]);
        if is_erased {
            erased = Some(id);
        } else {
            webhooks.push((*cause, id));
        }
    }
    // Held, until its body is gone.
    let erased = erased.unwrap();
    let pause = format!("/v1/webhooks/{erased}/pause");
    sending.app.post(&pause, &json!({})).await.expect(200);
    sending.integration("North Wing").await;
    sending.drain().await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    assert!(webhooks.len() >= 20);
    for (cause, webhook) in &webhooks {
        judge(&sending, &browser, webhook, *cause).await;
    }
    if !is_postgres() {
        // Nothing that is to be sent is erased: somebody has been at the file.
        let sql = "UPDATE messages SET body = NULL, body_2025 = NULL, erased_ms = created_ms";
        sending.app.place.tamper(sql);
        let resume = format!("/v1/webhooks/{erased}/resume");
        sending.app.post(&resume, &json!({})).await.expect(200);
        sending.drain().await;
        judge(&sending, &browser, &erased, Cause::Erased).await;
    }
    sending.app.stop().await;
}
