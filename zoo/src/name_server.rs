//! A DNS server on loopback that answers as it was told (RFC 1035, 4).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, task::JoinSet};

const CLASS_IN: [u8; 2] = [0, 1];
const KIND_A: u16 = 1;
const KIND_ALIAS: u16 = 5;
const KIND_AAAA: u16 = 28;

/// What is answered to a question.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses: the IPv4 ones to questions for A, the others to those for AAAA.
    Addresses(Vec<IpAddr>),
    /// A response code: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Code(u8),
    /// No record of the kind, and no error.
    NoData,
    /// The name is another name for this one.
    Alias(String),
    /// No answer at all.
    Nothing,
}

/// A name server. Ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Zone {
    names: HashMap<String, Vec<Says>>,
    ttl_s: u32,
    /// What was asked for, in order; the position in a name's script is how often the kind was asked for before.
    asked: Vec<(String, u16)>,
}

impl Says {
    /// These addresses.
    pub fn addresses(addresses: &[&str]) -> Self {
        let parsed = addresses.iter().map(|text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{text} is no address"))
        });
        Self::Addresses(parsed.collect())
    }
}

impl NameServer {
    /// Answers for these names, one answer after the other, the last one for ever. Other names do not exist. Names are
    /// in lower case without trailing dot. No answer may be kept: whoever asks again gets the next one.
    pub async fn start<'a>(
        names: impl IntoIterator<Item = (&'a str, Vec<Says>)>,
    ) -> io::Result<Self> {
        Self::start_with_ttl(names, 0).await
    }

    /// The same, with answers that may be kept for so many seconds.
    pub async fn start_with_ttl<'a>(
        names: impl IntoIterator<Item = (&'a str, Vec<Says>)>,
        ttl_s: u32,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let names = names
            .into_iter()
            .map(|(name, says)| (name.to_owned(), says))
            .collect();
        let zone = Arc::new(Mutex::new(Zone {
            names,
            ttl_s,
            asked: Vec::new(),
        }));
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, zone.clone()));
        Ok(Self {
            address,
            zone,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names that were asked for, in order, as they came.
    pub fn asked(&self) -> Vec<String> {
        let zone = self.zone.lock().expect("no holder panics");
        zone.asked.iter().map(|(name, _)| name.clone()).collect()
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let answer = Question::read(&buffer[..length]).and_then(|question| {
            let mut zone = zone.lock().expect("no holder panics");
            let says = zone.says(&question);
            question.answer(&says, zone.ttl_s)
        });
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

impl Zone {
    fn says(&mut self, question: &Question<'_>) -> Says {
        let asked = (question.name.clone(), question.kind);
        let before = self
            .asked
            .iter()
            .filter(|earlier| **earlier == asked)
            .count();
        self.asked.push(asked);
        let lower = question.name.to_ascii_lowercase();
        match self
            .names
            .get(lower.trim_end_matches('.'))
            .map(Vec::as_slice)
        {
            None | Some([]) => Says::Code(3),
            Some(script) => script[before.min(script.len() - 1)].clone(),
        }
    }
}

/// One question.
struct Question<'a> {
    id: [u8; 2],
    name: String,
    kind: u16,
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (mut name, mut at) = (String::new(), 12);
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = message.get(at..at + length)?;
            name.push_str(std::str::from_utf8(label).ok()?);
            name.push('.');
            at += length;
        }
        let kind = message.get(at..at + 2)?;
        Some(Self {
            id: [message[0], message[1]],
            name,
            kind: u16::from_be_bytes([kind[0], kind[1]]),
            bytes: message.get(12..at + 4)?,
        })
    }

    fn answer(&self, says: &Says, ttl_s: u32) -> Option<Vec<u8>> {
        let record = |kind, data: &[u8]| record(kind, ttl_s, data);
        let (code, records): (u8, Vec<Vec<u8>>) = match says {
            Says::Nothing => return None,
            Says::Code(code) => (*code, vec![]),
            Says::NoData => (0, vec![]),
            Says::Alias(to) => (0, vec![record(KIND_ALIAS, &encoded(to))]),
            Says::Addresses(addresses) => {
                let of_kind = addresses.iter().filter_map(|address| match address {
                    IpAddr::V4(v4) if self.kind == KIND_A => Some(record(KIND_A, &v4.octets())),
                    IpAddr::V6(v6) if self.kind == KIND_AAAA => {
                        Some(record(KIND_AAAA, &v6.octets()))
                    }
                    _ => None,
                });
                (0, of_kind.collect())
            }
        };
        let counts = [0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        let head = [self.id[0], self.id[1], 0x81, 0x80 | code];
        Some([&head[..], &counts, self.bytes, &records.concat()].concat())
    }
}

/// A record of the name that was asked for, to which the first two bytes point.
fn record(kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [
        &[0xc0, 12],
        &kind.to_be_bytes()[..],
        &CLASS_IN,
        &ttl_s.to_be_bytes(),
        &length,
        data,
    ]
    .concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}
