//! A mail server on loopback that answers as it is told, and writes down what came (RFC 5321; STARTTLS of RFC 3207,
//! AUTH of RFC 4954).

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::tls::localhost;

/// A mail server. What it is not told to answer, it answers as a healthy one.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    /// The authority that its certificate is signed by: itself.
    pub authority: Vec<u8>,
}

/// How it is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// Whether it offers STARTTLS.
    pub starttls: bool,
    /// Whether it wants this user and password ("user", "p:w/") before it takes mail.
    pub auth: bool,
}

/// One mail as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// What MAIL said.
    pub from: String,
    /// What each RCPT said.
    pub to: Vec<String>,
    /// Headers and text, dots and line ends undone.
    pub data: String,
    /// Whether it came over TLS.
    pub was_encrypted: bool,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    /// Answers to commands that begin so, each given once.
    script: Mutex<VecDeque<(&'static str, &'static str)>>,
    commands: Mutex<Vec<String>>,
    mails: Mutex<Vec<Mail>>,
}

impl MailServer {
    /// Listens on a free port.
    pub async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            setup,
            script: Mutex::default(),
            commands: Mutex::default(),
            mails: Mutex::default(),
        });
        let (acceptor, authority) = localhost();
        let accepting = tokio::spawn(accept(listener, shared.clone(), acceptor));
        Self {
            address,
            shared,
            accepting,
            authority,
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next command that begins so gets this answer, once.
    pub fn answers(&self, command: &'static str, answer: &'static str) {
        self.shared
            .script
            .lock()
            .unwrap()
            .push_back((command, answer));
    }

    /// Every command that came, its verb alone.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    /// Every mail that it took, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Mail {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        self.data
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        tokio::spawn(async move {
            // A connection that the sender drops is its affair.
            let _ = converse(stream, &shared, &acceptor).await;
        });
    }
}

async fn converse(stream: TcpStream, shared: &Shared, acceptor: &TlsAcceptor) -> io::Result<()> {
    let mut session = Session::new(BufReader::new(stream), shared, false);
    session.say("220 mail.test ESMTP").await?;
    if !session.serve().await? {
        return Ok(());
    }
    let stream = acceptor.accept(session.stream.into_inner()).await?;
    let mut session = Session::new(BufReader::new(stream), shared, true);
    session.serve().await.map(drop)
}

struct Session<'a, S> {
    stream: BufReader<S>,
    shared: &'a Shared,
    is_encrypted: bool,
    is_known: bool,
    mail: Mail,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(stream: BufReader<S>, shared: &'a Shared, is_encrypted: bool) -> Self {
        Self {
            stream,
            shared,
            is_encrypted,
            is_known: false,
            mail: empty(is_encrypted),
        }
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Until QUIT. Says whether TLS begins instead.
    async fn serve(&mut self) -> io::Result<bool> {
        loop {
            let line = self.line().await?;
            let verb = line.split(' ').next().unwrap_or_default().to_uppercase();
            self.shared.commands.lock().unwrap().push(verb.clone());
            if let Some(answer) = self.scripted(&verb) {
                self.say(answer).await?;
                continue;
            }
            match verb.as_str() {
                "EHLO" => self.hello().await?,
                "STARTTLS" if self.shared.setup.starttls && !self.is_encrypted => {
                    self.say("220 go ahead").await?;
                    return Ok(true);
                }
                "AUTH" => self.authenticate(&line).await?,
                "MAIL" if self.shared.setup.auth && !self.is_known => {
                    self.say("530 5.7.0 Authentication required").await?;
                }
                "MAIL" => {
                    self.mail.from = line;
                    self.say("250 ok").await?;
                }
                "RCPT" => {
                    self.mail.to.push(line);
                    self.say("250 ok").await?;
                }
                "DATA" => self.data().await?,
                "QUIT" => {
                    self.say("221 bye").await?;
                    return Ok(false);
                }
                _ => self.say("502 5.5.1 not known here").await?,
            }
        }
    }

    fn scripted(&self, verb: &str) -> Option<&'static str> {
        let mut script = self.shared.script.lock().unwrap();
        let place = script.iter().position(|(command, _)| *command == verb)?;
        script.remove(place).map(|(_, answer)| answer)
    }

    async fn hello(&mut self) -> io::Result<()> {
        let setup = self.shared.setup;
        if setup.starttls && !self.is_encrypted {
            self.say("250-STARTTLS").await?;
        }
        if setup.auth && (self.is_encrypted || !setup.starttls) {
            self.say("250-AUTH PLAIN").await?;
        }
        self.say("250 8BITMIME").await
    }

    async fn authenticate(&mut self, line: &str) -> io::Result<()> {
        let given = line
            .rsplit(' ')
            .next()
            .and_then(|text| STANDARD.decode(text).ok());
        if given.as_deref() == Some(b"\0user\0p:w/") {
            self.is_known = true;
            self.say("235 2.7.0 welcome").await
        } else {
            // Some servers repeat what they were told.
            self.say("535 5.7.8 no such user with password p:w/").await
        }
    }

    async fn data(&mut self) -> io::Result<()> {
        self.say("354 end with a dot").await?;
        let mut data = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push('\n');
        }
        if let Some(answer) = self.scripted(".") {
            return self.say(answer).await;
        }
        let mut mail = std::mem::replace(&mut self.mail, empty(self.is_encrypted));
        mail.data = data;
        self.shared.mails.lock().unwrap().push(mail);
        self.say("250 2.0.0 queued").await
    }
}

fn empty(was_encrypted: bool) -> Mail {
    Mail {
        from: String::new(),
        to: Vec::new(),
        data: String::new(),
        was_encrypted,
    }
}
