//! What a receiver does with a connection.

/// What a receiver does with each connection.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers every request with these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Answers the requests in turn, over all connections, and those after the last with the last.
    InTurn(Vec<Behaviour>),
    /// Answers one request and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Answers one request and resets the connection.
    AnswerAndReset(Vec<u8>),
    /// Answers a request, waits for the next one on the same connection, and closes without an answer.
    AnswerOnce(Vec<u8>),
    /// Answers with a 500 whose body is the request, headers and all.
    Echo,
    /// Answers with the head and then the piece, again and again as fast as it goes.
    Endless {
        /// What comes once.
        head: Vec<u8>,
        /// What comes again and again.
        piece: Vec<u8>,
    },
    /// Answers with the head and then the piece every few milliseconds.
    Drip {
        /// What comes once.
        head: Vec<u8>,
        /// What comes again and again.
        piece: Vec<u8>,
    },
    /// Reads the request, and never answers.
    Hang,
    /// Reads one byte every few milliseconds.
    ReadSlowly,
    /// Closes the connection at once.
    Close,
    /// Resets the connection at once.
    Reset,
    /// Reads the request, and resets the connection.
    ReadAndReset,
    /// Answers whatever comes first with these bytes, without reading on.
    Blurt(Vec<u8>),
}

impl Behaviour {
    /// Answers 200 with a short body: a healthy receiver.
    pub fn healthy() -> Self {
        Self::answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    }

    /// Answers every request with this text.
    pub fn answer(text: &str) -> Self {
        Self::Answer(text.into())
    }

    /// Answers every request with this status, these header lines and no body.
    pub fn status(status: u16, headers: &[(&str, &str)]) -> Self {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect();
        Self::answer(&format!(
            "HTTP/1.1 {status} X\r\n{lines}content-length: 0\r\n\r\n"
        ))
    }

    /// See [`Behaviour::Endless`].
    pub fn endless(head: &str, piece: &str) -> Self {
        Self::Endless {
            head: head.into(),
            piece: piece.into(),
        }
    }

    /// See [`Behaviour::Drip`].
    pub fn drip(head: &str, piece: &str) -> Self {
        Self::Drip {
            head: head.into(),
            piece: piece.into(),
        }
    }
}
